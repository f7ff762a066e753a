//! Typed data as bytes: the envelope of a record, its fields, and how changes merge.
//!
//! A record's data is one byte of envelope version (1), then a sequence of CBOR items (RFC 8742):
//! schema version, min reader, creation time in milliseconds since 1970, the ids of the last saves
//! as one byte string, a map of extras, and the map from storage key to value.

pub(crate) mod canonical;
pub(crate) mod cbor;
pub(crate) mod collect;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod derive;
pub(crate) mod describe;
pub(crate) mod encode;
pub(crate) mod entries;
pub(crate) mod field;
pub(crate) mod fields;
pub(crate) mod header;
#[cfg(feature = "export")]
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod malformed;
pub(crate) mod merge;
pub(crate) mod policy;
pub(crate) mod reader;
pub(crate) mod stored;
pub(crate) mod table;
pub(crate) mod value;
pub(crate) mod wire;
pub(crate) mod writer;

pub use self::describe::{Schema, SchemaField, SchemaVersion};
pub use self::policy::MergeConflict;
