//! The guide: one page for each thing that people want to do.
//!
//! - [Getting started](getting_started): from an empty folder to a login that is tested.
//! - [Logging in and out](logging_in_and_out): owners, roles, "remember me", the list of devices,
//!   logging out everywhere, changing a password.
//! - [Concurrent requests](concurrent_requests): what happens when two requests change one
//!   session, and how to choose it field by field.
//! - [Changing your session](changing_your_session): how the struct changes from deploy to deploy,
//!   while older records are stored and older builds run.
//! - [Coming from tower-sessions, actix-session or gorilla](coming_from): a table of equivalents,
//!   what behaves differently, and how to move an app that is running.
//!
//! The pages hold no items, and are there in the documentation only.

// Each page is a file of `guide/` and one entry here and above.
#[doc = include_str!("guide/getting_started.md")]
pub mod getting_started {}

#[doc = include_str!("guide/logging_in_and_out.md")]
pub mod logging_in_and_out {}

#[doc = include_str!("guide/concurrent_requests.md")]
pub mod concurrent_requests {}

#[doc = include_str!("guide/changing_your_session.md")]
pub mod changing_your_session {}

#[cfg(all(feature = "actix", feature = "tower-sessions", feature = "tower-sessions-0-14"))]
#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}
