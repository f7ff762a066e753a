//! The fields of a value as bytes, and writing them as a record.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::entries::{Encoded, Entries, Entry, Spans};
use super::header::{ENVELOPE, Header};
use super::limits::{MAX_RECORD, RECORD_LIMIT, too_long};
use super::reader::Reader;
use super::table::{Downgrade, Table};
use super::wire::{Count, Out};
use super::{cbor, wire};
use crate::error::Error;

/// A value's fields, encoded at this build's version, and the ones this build does not know.
#[derive(Clone, Debug)]
pub struct Fields {
    pub(super) table: &'static Table,
    pub(super) data: Bytes,
    pub(super) spans: Spans,
    pub(super) unknown: Option<Arc<Unknown>>,
    /// The versions of the record that these fields came from; zero for none.
    pub(crate) version: u16,
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

    /// Of what a value encoded.
    pub(crate) fn of(table: &'static Table, encoded: Encoded) -> Self {
        Self::new(table, encoded.data, encoded.spans)
    }

    /// Begins to read them into a value: after a merge.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::of_fields(self.table.schema, self.table.fields, &self.data, &self.spans)
    }

    /// Returns the session's owner, as the owner field displays it.
    ///
    /// # Errors
    /// [`Error::Decode`] if the owner field cannot be read.
    pub fn owner(&self, table: &'static Table) -> Result<Option<String>, Error> {
        let Some(owner) = &table.owner else { return Ok(None) };
        (owner.display)(self.slice(owner.field))
            .map_err(|source| self.table.unreadable(owner.field, source))
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
                let mut older = Downgrade::new(self.table, &self.data, &self.spans, shape);
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

    /// The version to write: this build's, or the record's if that is higher.
    fn record_version(&self) -> u16 {
        self.table.schema.write.max(self.version)
    }

    /// Writes a record: its envelope, its fields (in the shape of an older build if there is one),
    /// and the fields that this build does not know.
    fn put(&self, out: &mut impl Out, head: &Head<'_>, older: Option<&Downgrade<'_>>) {
        out.put(&[ENVELOPE]);
        head.header.put(out, head.version, head.min_reader, self.forget);
        let older = older.map(Downgrade::written);
        let known = older.map_or(self.spans.len(), |(count, _)| count);
        let unknown = self.unknown.as_ref().map_or(0, |unknown| unknown.entries.len());
        wire::put_head(out, cbor::MAP, (known + unknown) as u64);
        match older {
            Some((_, older)) => out.put(older),
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
            wire::put_head(out, cbor::TEXT, key.of(data).len() as u64);
            out.put(key.of(data));
            out.put(value.of(data));
        }
    }

    #[cold]
    fn too_long(&self, length: usize, limit: usize) -> Error {
        let longest = (0..self.spans.len()).max_by_key(|index| self.slice(*index).len());
        self.table.not_encoded(longest.unwrap_or(0), too_long(length, limit))
    }
}
