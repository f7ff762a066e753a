//! Typed data as bytes: the envelope of a record, its fields, and how changes merge.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{Error, SessionData};

/// The schema of a session type.
#[derive(Debug)]
pub struct Schema {
    /// The name of the session type.
    pub name: &'static str,
    /// The schema version of this build.
    pub version: u16,
}

/// What the store does with a type's fields without knowing the type.
#[derive(Debug)]
pub struct Table {
    pub schema: &'static Schema,
    /// `"<name>/<version>"`.
    pub format: &'static str,
}

/// The part of an envelope in front of the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) schema_version: u16,
    pub(crate) min_reader: u16,
    pub(crate) created_at: SystemTime,
    /// The ids of the last saves, newest first, at most eight.
    pub(crate) saves: SmallVec<[u64; 8]>,
    /// This session's own lifetime and idle timeout, where `remember` set one.
    pub(crate) remember: Option<Duration>,
    /// What the app calls this session, such as a device's name.
    pub(crate) label: Option<std::sync::Arc<str>>,
}

/// A record's data, parsed as far as its header.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(crate) header: Header,
}

impl Stored {
    /// Parses the envelope; `session` names the type for errors.
    pub(crate) fn parse(session: &'static str, data: &Bytes) -> Result<Self, Error> {
        let _ = (session, data);
        todo!()
    }

    /// The fields at this build's version: as they stand, or migrated, with the unknown ones.
    pub(crate) fn fields(&self, table: &'static Table) -> Result<Fields, Error> {
        let _ = table;
        todo!()
    }
}

/// A value's fields, encoded at this build's version, and the ones this build does not know.
#[derive(Clone, Debug)]
pub struct Fields {}

impl Fields {
    /// Decodes the value again: after a merge.
    pub(crate) fn decode<T: SessionData>(&self) -> Result<T, Error> {
        todo!()
    }

    /// Who owns the session, as the owner field displays it.
    pub(crate) fn owner(&self, table: &'static Table) -> Result<Option<String>, Error> {
        let _ = table;
        todo!()
    }

    pub(crate) fn format(&self, table: &'static Table) -> std::borrow::Cow<'static, str> {
        let _ = table;
        todo!()
    }
    /// The record's data; the header's versions are raised to the unknown fields' needs.
    pub(crate) fn to_data(&self, header: &Header) -> Bytes {
        let _ = header;
        todo!()
    }
}

/// What differs between a base and a value that came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Diff {
    /// Any field, or the set of unknown ones, differs.
    pub(crate) changed: bool,
    /// A field of the owner group differs: the id must be renewed.
    pub(crate) renew: bool,
    /// The owner itself differs: nothing of the last one's may be read by the next.
    pub(crate) owner: bool,
}

/// Compares `mine` with its base, and puts the base's bytes where values are equal although their
/// bytes differ. Gives `mine` the base's unknown fields, unless the owner changed.
pub(crate) fn diff(table: &'static Table, base: &Fields, mine: &mut Fields) -> Result<Diff, Error> {
    let _ = (table, base, mine);
    todo!()
}

/// The outcome of a merge.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) fields: Fields,
    /// Fields where `mine` overwrote a change of theirs: reported, no loss is silent.
    pub(crate) overwritten: SmallVec<[&'static str; 4]>,
}

/// Three-way merge, field by field. `mine` has been through [`diff`].
pub(crate) fn merge(
    table: &'static Table,
    base: &Fields,
    mine: &Fields,
    theirs: &Fields,
) -> Result<Merged, Error> {
    let _ = (table, base, mine, theirs);
    todo!()
}
