//! Typed, schema-versioned web sessions with no silent lost update.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod clock;
mod codec;
mod cookie;
mod data;
mod error;
mod event;
mod keyring;
mod memory;
pub mod provider;
mod random;
mod request;
mod schema;
mod session;
mod store;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::codec::{Codec, CodecBuilder, Purpose};
pub use crate::cookie::{CookieConfig, SameSite};
pub use crate::data::SessionData;
pub use crate::error::Error;
pub use crate::keyring::{KeyEncryption, KeyEncryptionError, LocalKey, WrappedKey};
pub use crate::memory::MemoryProvider;
pub use crate::request::RequestSessions;
pub use crate::schema::{MergeConflict, Schema, SchemaField, SchemaVersion};
pub use crate::session::{Commit, Session};
pub use crate::store::{
    KeepChanges, Outcome, SessionInfo, Sessions, Store, StoreBuilder, StoreKey,
};
#[cfg(feature = "derive")]
pub use sessions_derive::Session;
