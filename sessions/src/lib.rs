//! Typed, schema-versioned web sessions with no silent lost update.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod codec;
mod data;
mod error;
mod keyring;
mod memory;
pub mod provider;
mod random;
mod schema;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::codec::{Codec, CodecBuilder, Purpose};
pub use crate::data::SessionData;
pub use crate::error::Error;
pub use crate::keyring::{KeyEncryption, KeyEncryptionError, LocalKey, WrappedKey};
pub use crate::memory::MemoryProvider;
pub use crate::schema::Schema;
#[cfg(feature = "derive")]
pub use sessions_derive::Session;
