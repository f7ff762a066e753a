//! Typed web sessions: who is logged in, a cart, flash messages, as the fields of a struct.
//!
//! ```no_run
//! # #[cfg(feature = "axum")] mod example {
//! use axum::{Router, routing::get};
//! use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(owner)]
//!     user: Option<u64>,
//!     #[session(merge = add)]
//!     visits: u32,
//!     cart: Vec<String>,
//! }
//!
//! async fn home(mut visitor: Session<Visitor>) -> String {
//!     visitor.visits += 1;
//!     format!("visit number {}", visitor.visits)
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let store = Store::new(MemoryProvider::new());
//!     let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store));
//!     axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
//! }
//! # }
//! ```
//!
//! [The guide](crate::guide) shows the rest in small steps: [getting
//! started](crate::guide::getting_started), [logging in and
//! out](crate::guide::logging_in_and_out), [concurrent
//! requests](crate::guide::concurrent_requests), [changing your
//! session](crate::guide::changing_your_session), [going to
//! production](crate::guide::going_to_production), and more.
//!
//! # What there is
//!
//! - [`derive@Session`] makes a struct a session type: its name, its schema version, how it
//!   changed from version to version, and how concurrent changes of a field merge.
//! - [`Session<T>`](struct@Session) is the handle that a handler holds. It derefs to the struct; a
//!   change is saved once the handler has answered.
//! - [`Store`] loads sessions and commits them, [lists](Store::list) an owner's,
//!   [ends](Store::revoke_all) them, and [changes](Store::update) one in the background.
//!   [`StoreBuilder`] has its settings.
//! - [`Flash`] is a field's type: messages that are shown once.
//! - A [`Provider`](provider::Provider) keeps the records: [`MemoryProvider`], a provider crate, or
//!   your own.
//! - [`Codec`] seals any value into a cookie or a link, under keys that are made, stored and rotated
//!   without an operator; it works without a store too.
//!
//! # What holds
//!
//! - A save that meets another's merges with it field by field; none is silently lost.
//! - A session that ended is never revived, and an unknown id is never adopted.
//! - When the owner changes, so does the id, and the old cookie is dead.
//! - A store that is down is an error, never an empty session in place of a real one.
//! - Nothing changed, nothing saved. A visitor who stores nothing has no record and no cookie.
//!
//! # Without a framework
//!
//! Load the session with the request's headers, commit it, and send the cookie that the commit
//! gives, if any:
//!
//! ```
//! use http::{HeaderMap, header::SET_COOKIE};
//! use sessions::{MemoryProvider, Session, Store};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     visits: u32,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
//! let store = Store::new(MemoryProvider::new());
//! let (request, mut response) = (HeaderMap::new(), HeaderMap::new());
//!
//! let mut visitor = store.load::<Visitor>(&request).await?;
//! visitor.visits += 1;
//! if let Some(cookie) = visitor.commit().await?.set_cookie() {
//!     response.append(SET_COOKIE, cookie.clone());
//! }
//! # assert!(response.contains_key(SET_COOKIE));
//! # Ok(()) }
//! ```
//!
//! It runs on tokio, with time enabled: `#[tokio::main]` does that, a runtime built by hand needs
//! `enable_time()` (or `enable_all()`), without which tokio panics where a wait begins.
//!
//! # Non-goals
//!
//! Checking passwords, deciding who may do what, and protecting forms against forgery from
//! subdomains are the app's: a session says who came back, not whether to believe them. The
//! [security model](crate::guide::security_model) says what is protected against what.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `derive` (default) | `#[derive(Session)]` |
//! | `axum` | [`axum::SessionLayer`](crate::axum) and the extractor, for axum and any `tower` stack |
//! | `actix` | [`actix::SessionMiddleware`](crate::actix) and the extractor, for actix-web |
//! | `metrics` | counters and histograms, through the `metrics` facade |
//! | `tower-sessions` | [`tower_sessions::ProviderStore`](crate::tower_sessions): tower-sessions over any provider |
//! | `tower-sessions-0-14` | the same for tower-sessions 0.14, which axum-login 0.18 is built on |
//! | `testing` | [`testing::TestStore`](crate::testing): tests of an app's handlers in few lines |
//! | `conformance` | the suite that shows a provider right |

#![cfg_attr(docsrs, feature(doc_cfg))]
// The documentation above is that of all features.
#![cfg_attr(
    not(all(
        feature = "actix",
        feature = "axum",
        feature = "conformance",
        feature = "derive",
        feature = "testing"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg(feature = "actix")]
#[cfg_attr(docsrs, doc(cfg(feature = "actix")))]
pub mod actix;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod clock;
mod codec;
mod commit;
mod cookie;
mod crypto;
mod data;
mod error;
mod flash;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod fuzzing;
// Its examples need both features; nothing in it can be called, so that no build contains it.
#[cfg(all(any(doc, doctest), feature = "axum", feature = "derive"))]
pub mod guide;
mod id;
mod keyring;
mod memory;
mod pending;
pub mod provider;
mod random;
mod request;
mod schema;
mod session;
mod store;
mod telemetry;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))))]
pub mod tower_sessions;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::codec::Codec;
pub use crate::codec::builder::CodecBuilder;
pub use crate::commit::{Commit, CommitError};
pub use crate::cookie::{CookieConfig, CookieHeaders, SameSite};
pub use crate::crypto::purpose::Purpose;
pub use crate::data::{AsOwner, NoOwner, SessionData};
pub use crate::error::Error;
pub use crate::flash::Flash;
pub use crate::id::StoreKey;
pub use crate::keyring::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
pub use crate::keyring::local_key::LocalKey;
pub use crate::keyring::state::{KeyInfo, KeyRingInfo, KeyState};
pub use crate::memory::MemoryProvider;
pub use crate::provider::Page;
pub use crate::request::RequestSessions;
pub use crate::schema::describe::{Schema, SchemaField, SchemaVersion};
pub use crate::schema::policy::MergeConflict;
pub use crate::session::Session;
pub use crate::store::Store;
pub use crate::store::builder::StoreBuilder;
pub use crate::store::change::Outcome;
pub use crate::store::fence::LoginAttempt;
pub use crate::store::keep::KeepChanges;
pub use crate::store::owner::{SessionInfo, SessionPage};
#[cfg(feature = "derive")]
#[doc = include_str!("derive.md")]
pub use sessions_derive::Session;

/// The examples of the README, run with the others.
#[cfg(all(doctest, feature = "actix", feature = "axum", feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;
