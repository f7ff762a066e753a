//! What the code that `#[derive(Session)]` generates names. Not a public interface: the derive is
//! pinned to the exact version of this crate.

pub use crate::data::{NoOwner, SessionData};
pub use crate::error::Error;
pub use crate::schema::*;

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
