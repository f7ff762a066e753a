//! The fields of a value as bytes, and writing them as a record.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::entries::{Entries, Entry, Span, Spans};
use super::header::Header;
use super::limits::{MAX_RECORD, RECORD_LIMIT, too_long};
use super::malformed::Malformed;
use super::policy::Value;
use super::reader::Reader;
use super::stored::ENVELOPE;
use super::table::Table;
use super::wire::{self, Count, Out};
use crate::error::Source;
use crate::{Error, SessionData};

/// A value's fields, encoded at this build's version, and the ones this build does not know.
#[derive(Clone, Debug)]
pub struct Fields {
    pub(super) table: &'static Table,
    pub(super) data: Bytes,
    pub(super) spans: Spans,
    pub(super) unknown: Option<Arc<Unknown>>,
    /// The versions of the record that these fields came from; zero for none.
    pub(super) version: u16,
    pub(super) min_reader: u16,
    /// Whether the owner changed. Then fields that this build does not know are dropped.
    pub(super) forget: bool,
    /// Which fields differ from the base. Empty if they were not compared.
    pub(super) changed: Changed,
}

/// For each field, whether it differs from a base.
pub(super) type Changed = SmallVec<[bool; 8]>;

/// The beginning of a record.
struct Head<'h> {
    header: &'h Header,
    version: u16,
    min_reader: u16,
}

/// The fields of a newer build: the positions of their keys and values in a record.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) data: Bytes,
    pub(super) entries: Entries,
}

impl Fields {
    pub(super) fn new(table: &'static Table, data: Bytes, spans: Spans) -> Self {
        Self {
            table,
            data,
            spans,
            unknown: None,
            version: 0,
            min_reader: 0,
            forget: false,
            changed: Changed::new(),
        }
    }

    /// Decodes the value again, after a merge.
    ///
    /// # Errors
    /// [`Error::Decode`] if a field cannot be read.
    pub fn decode<T: SessionData>(&self) -> Result<T, Error> {
        Ok(T::read(&mut Reader::of_fields(self.table, &self.data, &self.spans))?)
    }

    /// Returns the session's owner, as the owner field displays it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the owner field cannot be read.
    pub fn owner(&self, table: &'static Table) -> Result<Option<String>, Error> {
        let Some(owner) = &table.owner else { return Ok(None) };
        (owner.display)(self.slice(owner.field))
            .map_err(|source| self.unreadable(owner.field, source))
    }

    /// Returns the record's data, of at most [`RECORD_LIMIT`] bytes.
    ///
    /// # Errors
    /// The errors of [`to_data_within`](Self::to_data_within).
    pub fn to_data(&self, header: &Header) -> Result<Bytes, Error> {
        self.to_data_within(header, RECORD_LIMIT)
    }

    /// Returns the record's data, of at most `limit` bytes, and never of more than [`MAX_RECORD`].
    /// Its versions are this build's, or those that the unknown fields need if they are higher, and
    /// not those of `header`.
    ///
    /// # Errors
    /// [`Error::Encode`] if an inverse converter fails or the record is too long; the error names
    /// the longest field.
    pub fn to_data_within(&self, header: &Header, limit: usize) -> Result<Bytes, Error> {
        let version = self.record_version();
        let shape = version.min(self.table.schema.version);
        let min_reader = self.table.min_reader(shape).max(self.min_reader);
        let older = match self.table.downgrade {
            Some(downgrade) if shape < self.table.schema.version => {
                let mut older =
                    Downgrade { fields: self, version: shape, count: 0, out: Vec::new() };
                downgrade(&mut older)?;
                Some(older)
            }
            _ => None,
        };
        let head = Head { header, version, min_reader };
        // The length is counted first, so one allocation of the exact size is enough.
        let mut count = Count::default();
        self.put(&mut count, &head, older.as_ref());
        let limit = limit.min(MAX_RECORD);
        if count.0 > limit {
            return Err(self.too_long(count.0, limit));
        }
        let mut out = Vec::with_capacity(count.0);
        self.put(&mut out, &head, older.as_ref());
        Ok(out.into())
    }

    /// Returns the [`Record::format`](crate::provider::Record) of the record that
    /// [`to_data`](Self::to_data) makes.
    #[must_use]
    pub fn format(&self) -> Cow<'static, str> {
        let version = self.record_version();
        if version == self.table.schema.version {
            Cow::Borrowed(self.table.format)
        } else {
            Cow::Owned(format!("{}/{version}", self.table.schema.name))
        }
    }

    /// The bytes of one field.
    #[inline]
    pub(super) fn slice(&self, index: usize) -> &[u8] {
        self.spans[index].of(&self.data)
    }

    pub(super) fn unreadable(&self, index: usize, source: Source) -> Error {
        Error::Decode {
            session: Cow::Borrowed(self.table.schema.name),
            field: Some(Cow::Borrowed(self.table.fields[index].name)),
            version: self.table.schema.version,
            source,
        }
    }

    /// The version to write: this build's, or the record's if that is higher.
    fn record_version(&self) -> u16 {
        self.table.schema.write.max(self.version)
    }

    /// Writes a record: its envelope, its fields (in the shape of an older build if there is one),
    /// and the fields that this build does not know.
    fn put(&self, out: &mut impl Out, head: &Head<'_>, older: Option<&Downgrade<'_>>) {
        out.put(&[ENVELOPE]);
        head.header.put(out, head.version, head.min_reader, self.forget);
        let known = older.map_or(self.spans.len(), |older| older.count);
        let unknown = self.unknown.as_ref().map_or(0, |unknown| unknown.entries.len());
        wire::put_head(out, wire::MAP, (known + unknown) as u64);
        match older {
            Some(older) => out.put(&older.out),
            None => {
                for (index, field) in self.table.fields.iter().enumerate() {
                    wire::put_text(out, field.key);
                    out.put(self.slice(index));
                }
            }
        }
        let Some(unknown) = &self.unknown else { return };
        let Unknown { data, entries } = &**unknown;
        for Entry { key, value } in entries {
            wire::put_head(out, wire::TEXT, key.of(data).len() as u64);
            out.put(key.of(data));
            out.put(value.of(data));
        }
    }

    #[cold]
    fn too_long(&self, length: usize, limit: usize) -> Error {
        let longest = (0..self.spans.len()).max_by_key(|index| self.slice(*index).len());
        not_encoded(self.table, longest.unwrap_or(0), too_long(length, limit))
    }
}

/// Encodes a value's fields one after another, for generated code.
#[derive(Debug)]
pub struct Writer {
    table: &'static Table,
    out: Vec<u8>,
    spans: Spans,
}

impl Writer {
    /// A writer of the table's fields, in their order.
    #[must_use]
    pub fn new(table: &'static Table) -> Self {
        // Most sessions fit: one allocation instead of six.
        Self { table, out: Vec::with_capacity(256), spans: Spans::new() }
    }

    /// Encodes the next field.
    ///
    /// # Errors
    /// [`Error::Encode`] if the type's serde code fails, or writes something that could not be read
    /// back.
    #[inline]
    pub fn put<T>(&mut self, how: &Value<T>, value: &T) -> Result<(), Error> {
        let start = self.out.len();
        let encoded = (how.encode)(value, &mut self.out);
        self.next(start, encoded)
    }

    fn next(&mut self, start: usize, encoded: Result<(), Malformed>) -> Result<(), Error> {
        let index = self.spans.len();
        encoded
            .and_then(|()| match self.out.len() {
                length if length > MAX_RECORD => Err(too_long(length, MAX_RECORD)),
                _ => Ok(()),
            })
            .map_err(|error| not_encoded(self.table, index, error))?;
        self.spans.push(Span::new(start..self.out.len()));
        Ok(())
    }

    /// The encoded fields.
    #[must_use]
    pub fn finish(self) -> Fields {
        Fields::new(self.table, self.out.into(), self.spans)
    }
}

/// Writes fields as an older version had them, for generated code.
#[derive(Debug)]
pub struct Downgrade<'a> {
    fields: &'a Fields,
    version: u16,
    count: usize,
    out: Vec<u8>,
}

impl Downgrade<'_> {
    /// The version to write.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Writes a field's bytes as they are.
    pub fn copy(&mut self, index: usize, key: &str) {
        wire::put_text(&mut self.out, key);
        self.out.put(self.fields.slice(index));
        self.count += 1;
    }

    /// Decodes a field, to convert it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the field cannot be read.
    pub fn get<T>(&self, how: &Value<T>, index: usize) -> Result<T, Error> {
        how.decode(self.fields.slice(index))
            .map_err(|error| self.fields.unreadable(index, error.into()))
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
            session: Cow::Borrowed(self.fields.table.schema.name),
            field: Cow::Borrowed(name),
            source: error.into(),
        })
    }
}

#[cold]
pub(super) fn not_encoded(table: &'static Table, index: usize, source: Malformed) -> Error {
    Error::Encode {
        session: Cow::Borrowed(table.schema.name),
        field: Cow::Borrowed(table.fields[index].name),
        source: source.into(),
    }
}
