//! The guide: one page for each task.
//!
//! - [Getting started](getting_started): from an empty folder to a tested login.
//! - [Logging in and out](logging_in_and_out): owners, roles, "remember me", the list of devices,
//!   logging out everywhere, changing a password.
//! - [Testing your app](testing_your_app): handlers tested with visitors who are logged in, time that
//!   passes, conflicts, and a database that is down.
//! - [Recipes](recipes): short answers: pages for members only, forged requests, acting as another
//!   user, rolling a version back, errors as JSON, leaving other login crates.
//! - [Concurrent requests](concurrent_requests): what happens when two requests change one
//!   session, and how to choose the result field by field.
//! - [Changing your session](changing_your_session): how the struct changes from deploy to deploy,
//!   while older records are stored and older builds run.
//! - [Choosing a provider](choosing_a_provider): what memory, SQLite, PostgreSQL, MySQL, Redis and
//!   DynamoDB keep, cost and need.
//! - [Security model](security_model): what is protected against what, and what is not.
//! - [Going to production](going_to_production): a checklist for the first deploy and for being on
//!   call.
//! - [Asking again: step-up](asking_again): how long ago the owner proved who they are, sessions that
//!   lock, lost credentials, acting as another.
//! - [Sessions bound to a device](device_binding): a copied cookie that dies within minutes, where the
//!   browser can.
//! - [Closing sockets on logout](closing_sockets): WebSockets and event streams that close when
//!   their session ends, and jobs that stop.
//! - [Mobile and API clients](mobile_and_api_clients): tokens in a header, for clients without cookies.
//! - [Caching](caching): reads without a round trip, when they pay, and how soon every host knows that
//!   a session has ended.
//! - [Keys and rotation](keys_and_rotation): the life of the keys that seal cookies, and what to do
//!   when a key has leaked.
//! - [Operating](operating): commands for operators, dropping old versions, moving to another database,
//!   and what to plan with.
//! - [Observability](observability): every event, span and metric, and the alerts worth having.
//! - [Large services](large_services): bytes, calls, connections, shards and cost for 10^8 sessions and
//!   10^6 requests a second.
//! - [Writing a provider](writing_a_provider): sessions in any other database, and the suite that
//!   tests the provider.
//! - [Coming from tower-sessions, actix-session or gorilla](coming_from): a table of equivalents,
//!   what behaves differently, and how to move an app that is running.
//! - [All settings](settings): every setting of the library, its default and its unit.
//! - [All attributes](attributes): what `#[session(..)]` takes on a struct and on its fields.
//!
//! These modules exist only in the documentation and hold no items.

// Each page is a file of `guide/` and one entry here and above.
#[doc = include_str!("guide/getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("guide/logging_in_and_out.md")]
pub mod logging_in_and_out {}

#[cfg(all(feature = "actix", feature = "testing"))]
#[doc = include_str!("guide/testing_your_app.md")]
pub mod testing_your_app {}

#[cfg(all(feature = "actix", feature = "testing", feature = "tower-sessions-0-14"))]
#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("guide/concurrent_requests.md")]
pub mod concurrent_requests {}

#[cfg(feature = "testing")]
#[doc = include_str!("guide/changing_your_session.md")]
pub mod changing_your_session {}

#[doc = include_str!("guide/choosing_a_provider.md")]
pub mod choosing_a_provider {}

#[doc = include_str!("guide/security_model.md")]
pub mod security_model {}

#[doc = include_str!("guide/going_to_production.md")]
pub mod going_to_production {}

#[cfg(feature = "actix")]
#[doc = include_str!("guide/asking_again.md")]
pub mod asking_again {}

#[cfg(feature = "dbsc")]
#[doc = include_str!("guide/device_binding.md")]
pub mod device_binding {}

#[cfg(feature = "actix")]
#[doc = include_str!("guide/closing_sockets.md")]
pub mod closing_sockets {}

#[doc = include_str!("guide/mobile_and_api_clients.md")]
pub mod mobile_and_api_clients {}

#[cfg(feature = "cache")]
#[doc = include_str!("guide/caching.md")]
pub mod caching {}

#[doc = include_str!("guide/keys_and_rotation.md")]
pub mod keys_and_rotation {}

#[cfg(all(feature = "admin", feature = "testing"))]
#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[cfg(feature = "metrics")]
#[doc = include_str!("guide/observability.md")]
pub mod observability {}

#[doc = include_str!("guide/large_services.md")]
pub mod large_services {}

#[doc = include_str!("guide/writing_a_provider.md")]
pub mod writing_a_provider {}

#[cfg(all(feature = "actix", feature = "tower-sessions", feature = "tower-sessions-0-14"))]
#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("guide/settings.md")]
pub mod settings {}

#[doc = include_str!("guide/attributes.md")]
pub mod attributes {}
