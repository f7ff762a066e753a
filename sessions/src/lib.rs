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
//! The package is `sessionful` (`cargo add sessionful --features axum`), and code calls the library `sessions`:
//! on crates.io the names `sessions` and `sessions-redis` belong to another project.
//!
//! [The guide](crate::guide) continues in small steps: [getting
//! started](crate::guide::getting_started), [logging in and
//! out](crate::guide::logging_in_and_out), [concurrent
//! requests](crate::guide::concurrent_requests), [changing your
//! session](crate::guide::changing_your_session), [going to
//! production](crate::guide::going_to_production), and more.
//!
//! # Overview
//!
//! - [`derive@Session`] makes a struct a session type: its name, its schema version, how it
//!   changed from version to version, and how concurrent changes of a field merge.
//! - [`Session<T>`](struct@Session) is the handle that a handler takes. It derefs to the struct. The
//!   layer saves a change after the handler has answered.
//! - [`Store`] loads and commits sessions, [lists](Store::list) and [ends](Store::revoke_all) the
//!   sessions of an owner, and [changes](Store::update) a session in the background.
//!   [`StoreBuilder`] has its settings.
//! - [`Flash`] is a field type for messages that are shown once.
//! - A [`Provider`](provider::Provider) keeps the records: [`MemoryProvider`], a provider crate, or
//!   your own.
//! - [`Codec`](codec::Codec) seals any value into a cookie or a link, under keys that it makes, stores and rotates.
//!   It works without a store too.
//!
//! # Guarantees
//!
//! - Concurrent saves are merged field by field. No change is silently lost.
//! - A session that ended is never revived, and an unknown id is never adopted.
//! - When the owner changes, so does the secret in the cookie, and the old cookie stops working.
//! - A store that is down is an error, never an empty session in place of a real one.
//! - A request that changes nothing saves nothing. A visitor who stores nothing has no record and no
//!   cookie.
//!
//! # Without a framework
//!
//! Load the session with the request's headers, commit it, and send the cookie that the commit
//! returns, if any:
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
//! The crate needs tokio with time enabled. `#[tokio::main]` enables it; a runtime that you build
//! yourself needs `enable_time()` or `enable_all()`. Without it, tokio panics at the first wait.
//!
//! # Non-goals
//!
//! Checking passwords, authorization, and protecting forms against forgery from subdomains are up to
//! the app: a session says who came back, not whether to believe them. The
//! [security model](crate::guide::security_model) lists what is protected against what.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `derive` (default) | `#[derive(Session)]` |
//! | `axum` | [`tower::SessionLayer`](crate::tower) for any `tower` stack, and the extractors for [`axum`] |
//! | `actix` | [`actix::SessionMiddleware`](crate::actix) and the extractor, for actix-web |
//! | `cache` | [`Cache`]: reads without a round trip to the database |
//! | `dbsc` | [`DeviceBinding`]: sessions bound to a device, where the browser can (experimental) |
//! | `metrics` | counters and histograms, through the `metrics` facade |
//! | `tower-sessions` | [`tower_sessions::ProviderStore`](crate::tower_sessions): tower-sessions over any provider |
//! | `tower-sessions-0-14` | the same for tower-sessions 0.14, which axum-login 0.18 uses |
//! | `export` | [`Store::export_owner`]: an owner's sessions as JSON |
//! | `admin` | [`admin::Admin`](crate::admin): commands for operators |
//! | `testing` | [`testing::TestStore`](crate::testing): short tests of an app's handlers |
//! | `conformance` | the suites that test a [provider](provider::conformance) and a [key service](keys::conformance) |

#![cfg_attr(docsrs, feature(doc_cfg))]
// The documentation above links to items of all features.
#![cfg_attr(
    not(all(
        feature = "actix",
        feature = "admin",
        feature = "axum",
        feature = "cache",
        feature = "conformance",
        feature = "dbsc",
        feature = "derive",
        feature = "export",
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
#[cfg(feature = "admin")]
#[cfg_attr(docsrs, doc(cfg(feature = "admin")))]
pub mod admin;
mod authentication;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
pub mod clock;
pub mod codec;
pub mod commit;
mod cookie;
mod crypto;
pub mod data;
mod device;
#[cfg(feature = "dbsc")]
mod device_binding;
mod device_key;
mod error;
mod flash;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod fuzzing;
// Only for rustdoc: the module holds nothing to call, and its examples need both features.
#[cfg(all(any(doc, doctest), feature = "axum", feature = "derive"))]
pub mod guide;
mod id;
mod keyring;
mod memory;
pub mod moving;
mod pending;
pub mod provider;
mod random;
pub mod request;
mod return_path;
pub mod schema;
mod session;
mod store;
mod telemetry;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod tower;
#[cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "tower-sessions", feature = "tower-sessions-0-14"))))]
pub mod tower_sessions;
mod transport;

/// The keys of the [`codec`]: their protection at rest, and what operators see of them.
pub mod keys {
    #[cfg(feature = "conformance")]
    #[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
    pub use crate::keyring::conformance;
    pub use crate::keyring::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
    pub use crate::keyring::local_key::LocalKey;
    pub use crate::keyring::recipients::Recipients;
    pub use crate::keyring::state::{KeyInfo, KeyRingInfo, KeyState};
}

pub use crate::authentication::{Authentication, Proof};
pub use crate::cookie::{CookieConfig, SameSite};
#[doc(inline)]
pub use crate::data::SessionData;
pub use crate::device::{Device, Devices, TrustedProxies};
#[cfg(feature = "dbsc")]
pub use crate::device_binding::DeviceBinding;
pub use crate::error::Error;
pub use crate::flash::Flash;
pub use crate::id::StoreKey;
pub use crate::memory::MemoryProvider;
#[doc(inline)]
pub use crate::provider::Page;
pub use crate::session::Session;
pub use crate::store::Store;
pub use crate::store::assurance::Assurance;
pub use crate::store::at_limit::AtLimit;
pub use crate::store::base::Arrival;
pub use crate::store::builder::StoreBuilder;
#[cfg(feature = "cache")]
pub use crate::store::cache::Cache;
pub use crate::store::ended_by::EndedBy;
pub use crate::store::fence::LoginAttempt;
pub use crate::store::owner::{SessionInfo, SessionPage};
pub use crate::store::settings::SessionSettings;
pub use crate::store::stats::{Stats, VersionStats};
pub use crate::store::upgrade::{Upgrade, Upgraded};
pub use crate::store::watch::Watch;
pub use crate::store::watches::SessionEnd;
pub use crate::telemetry::event::Event;
pub use crate::transport::Transport;
#[cfg(feature = "derive")]
#[doc = include_str!("guide/attributes.md")]
pub use sessions_derive::Session;

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "axum", feature = "derive"))]
#[doc = include_str!("../README.md")]
struct Readme;
