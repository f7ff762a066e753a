//! What the code that `#[derive(Session)]` generates names. Not a public interface: the derive is
//! pinned to the exact version of this crate.

pub use crate::data::{NoOwner, SessionData};
pub use crate::error::Error;
pub use crate::schema::canonical::{Order, order};
pub use crate::schema::convert::{MadeBy, Returned, TriedBy};
pub use crate::schema::derive::{
    ByType, DefaultValue, MergeAdd, MergeAppend, MergeClearWins, MergeMax, MergeOr, MergeUnion,
    OnlyDefault, Probe, add, append, by_type, clear_wins, max, merge_with, or, owner, owner_option,
    union,
};
pub use crate::schema::describe::{Schema, SchemaField, SchemaVersion};
pub use crate::schema::entries::Encoded;
pub use crate::schema::field::{Field, Group, Owner};
pub use crate::schema::fields::Fields;
pub use crate::schema::header::{Header, MAX_SAVES, Summary, UnknownExtras};
pub use crate::schema::limits::{MAX_LABEL, MAX_RECORD, RECORD_LIMIT, check_label};
pub use crate::schema::merge::{Diff, Merged, diff, merge, replay};
pub use crate::schema::policy::{
    AgainFn, FieldKind, MergeConflict, MergeFn, Policy, Refusal, Three,
};
pub use crate::schema::reader::{Failed, Reader};
pub use crate::schema::stored::Stored;
pub use crate::schema::table::{Downgrade, DowngradeFn, OWNER_GROUP, Table};
pub use crate::schema::value::{FieldType, Value, again, value};
pub use crate::schema::writer::Writer;

/// Stands in for the schema of a struct that does not compile.
pub const NO_SCHEMA: &Schema = &Schema::of("", 1, 1, &[]);

/// Stands in for the table of a struct that does not compile.
pub const NO_TABLE: &Table = &Table {
    schema: NO_SCHEMA,
    format: "",
    oldest: 1,
    fields: &[],
    groups: &[],
    owner: None,
    retired: &[],
    migrate: |_| Err(Error::config("this struct does not compile")),
    downgrade: None,
};
