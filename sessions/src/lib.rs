//! Typed, schema-versioned web sessions with no silent lost update.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod clock;
mod codec;
mod data;
mod error;
mod memory;
pub mod provider;
mod schema;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::codec::{Codec, Purpose};
pub use crate::data::SessionData;
pub use crate::error::Error;
pub use crate::memory::MemoryProvider;
pub use crate::schema::{MergeConflict, Schema, SchemaField, SchemaVersion};
#[cfg(feature = "derive")]
pub use sessions_derive::Session;
