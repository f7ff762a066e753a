//! Typed data as bytes: the envelope of a record, its fields, and how changes merge.
//!
//! A record's data is one byte of envelope version (1), then a sequence of CBOR items (RFC 8742):
//! schema version, min reader, creation time in milliseconds since 1970, the ids of the last saves
//! as one byte string, a map of extras, and the map from storage key to value.

pub(crate) mod canonical;
pub(crate) mod collect;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod describe;
pub(crate) mod encode;
pub(crate) mod entries;
pub(crate) mod fields;
pub(crate) mod header;
pub(crate) mod limits;
pub(crate) mod malformed;
pub(crate) mod merge;
pub(crate) mod policy;
pub(crate) mod reader;
pub(crate) mod stored;
pub(crate) mod table;
pub(crate) mod wire;

pub use self::canonical::{Order, order};
pub use self::convert::{MadeBy, Returned, TriedBy};
pub use self::describe::{Schema, SchemaField, SchemaVersion};
pub use self::fields::{Downgrade, Fields, Writer};
pub use self::header::{Header, MAX_SAVES, Summary, UnknownExtras};
pub use self::limits::{MAX_LABEL, MAX_RECORD, RECORD_LIMIT, check_label};
pub use self::merge::{Diff, Merged, diff, merge, replay};
pub use self::policy::{
    AgainFn, ByType, DefaultValue, FieldType, Kind, MergeAdd, MergeAny, MergeAppend,
    MergeClearWins, MergeConflict, MergeFn, MergeMax, MergeUnion, OnlyDefault, Policy, Probe,
    Refusal, Three, Value, add, again, any, append, by_type, clear_wins, max, merge_with, owner,
    owner_option, union, value,
};
pub use self::reader::{Failed, Reader};
pub use self::stored::Stored;
pub use self::table::{DowngradeFn, Field, Group, OWNER_GROUP, Owner, Table};
