//! What the store does with a type's fields without knowing the type.

use std::borrow::Cow;

use super::describe::Schema;
use super::entries::{Encoded, Span};
use super::field::{Field, Group, Owner};
use super::malformed::Malformed;
use super::reader::Reader;
use super::value::Value;
use super::wire;
use super::wire::Out;
use crate::error::Error;
use crate::provider::Source;

/// A session type as the store sees it: a constant that the derive builds.
#[derive(Debug)]
pub struct Table {
    /// The public description.
    pub schema: &'static Schema,
    /// `"<name>/<version>"`.
    pub format: &'static str,
    /// The lowest readable version.
    pub oldest: u16,
    /// The stored fields, in the order of their declaration.
    pub fields: &'static [Field],
    /// The groups' policies; the owner group is the first.
    pub groups: &'static [Group],
    /// The owner field, if there is one.
    pub owner: Option<Owner>,
    /// Former keys, which no field of this version has. A save drops them.
    pub retired: &'static [&'static str],
    /// Decodes a record of an older version and encodes it at this one.
    pub migrate: fn(Reader<'_>) -> Result<Encoded, Error>,
    /// Writes the fields as an older version had them, if `write` is set.
    pub downgrade: Option<DowngradeFn>,
}

/// Writes fields as an older version had them.
pub type DowngradeFn = fn(&mut Downgrade<'_>) -> Result<(), Error>;

/// The index of the owner group, which every table has.
pub const OWNER_GROUP: usize = 0;

impl Table {
    /// Returns the lowest version that can read records written at `version`.
    pub(crate) fn min_reader(&self, version: u16) -> u16 {
        let versions = self.schema.versions;
        versions.iter().find(|entry| entry.version == version).map_or(1, |entry| entry.min_reader)
    }

    /// Returns the index of the field that this version stores under `key`. The search starts at
    /// `expected`, the position in a record that this version wrote.
    #[inline]
    pub(crate) fn find(&self, expected: usize, key: &[u8]) -> Option<usize> {
        let at = |index: &usize| self.fields[*index].key.as_bytes() == key;
        if expected < self.fields.len() && at(&expected) {
            return Some(expected);
        }
        (0..self.fields.len()).find(at)
    }

    /// Whether `key` is a retired key.
    pub(crate) fn is_retired(&self, key: &[u8]) -> bool {
        self.retired.iter().any(|retired| retired.as_bytes() == key)
    }

    #[cold]
    pub(super) fn unreadable(&self, index: usize, source: Source) -> Error {
        Error::Decode {
            session: Cow::Borrowed(self.schema.name),
            field: Some(Cow::Borrowed(self.fields[index].name)),
            version: self.schema.version,
            source,
        }
    }

    #[cold]
    pub(super) fn not_encoded(&self, index: usize, source: Malformed) -> Error {
        Error::Encode {
            session: Cow::Borrowed(self.schema.name),
            field: Cow::Borrowed(self.fields[index].name),
            source: source.into(),
        }
    }
}

/// Writes fields as an older version had them, for generated code.
#[derive(Debug)]
pub struct Downgrade<'a> {
    table: &'static Table,
    /// The fields at this build's version.
    data: &'a [u8],
    spans: &'a [Span],
    version: u16,
    count: usize,
    out: Vec<u8>,
}

impl<'a> Downgrade<'a> {
    pub(super) fn new(
        table: &'static Table,
        data: &'a [u8],
        spans: &'a [Span],
        version: u16,
    ) -> Self {
        Self { table, data, spans, version, count: 0, out: Vec::new() }
    }

    /// How many fields were written, and the fields.
    pub(super) fn written(&self) -> (usize, &[u8]) {
        (self.count, &self.out)
    }

    fn slice(&self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.data)
    }

    /// The version to write.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Writes a field's bytes as they are.
    pub fn copy(&mut self, index: usize, key: &str) {
        wire::put_text(&mut self.out, key);
        self.out.put(self.slice(index));
        self.count += 1;
    }

    /// Decodes a field, to convert it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the field cannot be read.
    pub fn get<T>(&self, how: &Value<T>, index: usize) -> Result<T, Error> {
        let value = how.decode(self.slice(index));
        value.map_err(|error| self.table.unreadable(index, error.into()))
    }

    /// Writes an old field; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Encode`] if the field cannot be encoded.
    pub fn put<T>(
        &mut self,
        how: &Value<T>,
        name: &'static str,
        key: &str,
        value: &T,
    ) -> Result<(), Error> {
        wire::put_text(&mut self.out, key);
        self.count += 1;
        let start = self.out.len();
        let encoded = (how.encode)(value, &mut self.out);
        // An older build must be able to read the value back, too.
        let encoded = encoded.and_then(|()| how.decode(&self.out[start..]).map(drop));
        self.converted(name, encoded)
    }

    /// Turns an inverse converter's failure into an error that names the field.
    ///
    /// # Errors
    /// [`Error::Encode`] if the converter failed.
    pub fn converted<T, E: Into<Source>>(
        &self,
        name: &'static str,
        result: Result<T, E>,
    ) -> Result<T, Error> {
        result.map_err(|error| Error::Encode {
            session: Cow::Borrowed(self.table.schema.name),
            field: Cow::Borrowed(name),
            source: error.into(),
        })
    }
}
