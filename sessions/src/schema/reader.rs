//! Reading single values out of a record, for generated code.

use std::borrow::Cow;

use super::decode::Cursor;
use super::describe::Schema;
use super::entries::{Entries, Fault, Span};
use super::field::Field;
use super::malformed::{Malformed, Reason};
use super::value::Value;
use super::{cbor, entries, wire};
use crate::error::Error;
use crate::provider::Source;

/// Reads fields one after another into a value.
///
/// A record that this build wrote is read in one pass. If the fields have another order (for
/// example because an older build wrote it, or because it has fields that this build does not
/// know), the reader builds an index first.
#[derive(Debug)]
pub struct Reader<'a> {
    session: &'static str,
    /// The record's version.
    found: u16,
    /// The version as which to read it: this build's if that is lower.
    version: u16,
    data: &'a [u8],
    /// Where the map of fields begins.
    body: usize,
    /// At the next entry of the pass.
    cursor: Cursor<'a>,
    /// How many entries the pass has left.
    left: u64,
    /// The positions of the fields, after the pass has met something unexpected.
    index: Option<Index<'a>>,
}

/// The error of a value that is being read. It is a pointer, so results stay small.
#[derive(Debug)]
pub struct Failed(Box<Error>);

impl From<Failed> for Error {
    fn from(Failed(error): Failed) -> Self {
        *error
    }
}

/// The positions of the fields.
#[derive(Debug)]
enum Index<'a> {
    Stored {
        entries: Entries,
        /// The place behind the last one found.
        next: usize,
    },
    Fields(&'static [Field], &'a [Span]),
}

impl<'a> Reader<'a> {
    /// Reads a record from the map of fields on: `count` entries at `at`, its head at `body`.
    #[inline]
    pub(super) fn new(
        session: &'static str,
        found: u16,
        version: u16,
        data: &'a [u8],
        body: usize,
        (count, at): (u64, usize),
    ) -> Self {
        let cursor = Cursor::new(&data[at..]);
        Self { session, found, version, data, body, cursor, left: count, index: None }
    }

    /// Reads fields of the table's own version.
    pub(super) fn of_fields(
        schema: &'static Schema,
        fields: &'static [Field],
        data: &'a [u8],
        spans: &'a [Span],
    ) -> Self {
        let Schema { name: session, version, .. } = *schema;
        Self {
            session,
            found: version,
            version,
            data,
            body: 0,
            cursor: Cursor::new(&[]),
            left: 0,
            index: Some(Index::Fields(fields, spans)),
        }
    }

    /// The version as which to read: the record's, or this build's if that is lower.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Returns the value under `key`; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Decode`] if the value is missing or is not a `T`.
    #[inline]
    pub fn get<T>(&mut self, value: &Value<T>, name: &'static str, key: &str) -> Result<T, Failed> {
        if !self.is_next(key) {
            let span = self.find(name, key)?;
            return value.decode(span.of(self.data)).map_err(|error| self.at_fault(name, error));
        }
        match self.next_value(value) {
            Ok(value) => Ok(value),
            Err(error) => Err(self.at_fault(name, error)),
        }
    }

    /// Returns the value that a build with `write` has put under `key`: a field that the record's
    /// version does not have, and that builds of this version carry along. Returns `None` if the
    /// record is older than `first`, because the key belonged to another field before that version.
    ///
    /// # Errors
    /// [`Error::Decode`] if the value is not a `T`.
    pub fn early<T>(
        &mut self,
        first: u16,
        value: &Value<T>,
        name: &'static str,
        key: &str,
    ) -> Result<Option<T>, Failed> {
        if self.version < first {
            return Ok(None);
        }
        if self.is_next(key) {
            let read = self.next_value(value);
            return read.map(Some).map_err(|error| self.at_fault(name, error));
        }
        let Some(span) = self.position(key)? else { return Ok(None) };
        let read = value.decode(span.of(self.data));
        read.map(Some).map_err(|error| self.at_fault(name, error))
    }

    /// Turns a converter's failure into an error that names the field.
    ///
    /// # Errors
    /// [`Error::Decode`] if the converter failed.
    pub fn converted<T, E: Into<Source>>(
        &self,
        name: &'static str,
        result: Result<T, E>,
    ) -> Result<T, Failed> {
        result.map_err(|error| self.at_fault(name, error))
    }

    /// Checks the rest of the record: it must be well-formed, too.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.index.is_some() || self.left == 0 && self.cursor.rest.is_empty() {
            return Ok(());
        }
        entries::parse(self.data, self.body).map(drop).map_err(|fault| *self.unreadable(fault).0)
    }

    /// Moves the pass over `key` if it is next.
    #[inline]
    fn is_next(&mut self, key: &str) -> bool {
        let rest = self.cursor.rest;
        // A head of one byte holds lengths below 24, one of two those of the longest key.
        let after = match key.len() {
            length @ 1..24 => rest.strip_prefix(&[cbor::TEXT << 5 | length as u8]),
            length => rest.strip_prefix(&[cbor::TEXT << 5 | 24, length as u8]),
        };
        match after.and_then(|rest| rest.strip_prefix(key.as_bytes())) {
            Some(after) if self.left > 0 => {
                self.left -= 1;
                self.cursor.rest = after;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn next_value<T>(&mut self, value: &Value<T>) -> Result<T, Malformed> {
        let rest = self.cursor.rest;
        let end = wire::skip(rest, 0, cbor::MAX_DEPTH)?;
        let value = (value.decode)(&mut self.cursor)?;
        // A value must neither leave bytes of its own nor read into the next.
        if self.cursor.rest.len() == rest.len() - end {
            Ok(value)
        } else {
            Err(Reason::Trailing.into())
        }
    }

    /// Returns the position of a field that is not next and must exist.
    #[inline(never)]
    fn find(&mut self, name: &'static str, key: &str) -> Result<Span, Failed> {
        self.position(key)?.ok_or_else(|| {
            let text = format!("the record has no key `{key}`");
            self.at_fault(name, Malformed::from(text))
        })
    }

    /// Returns the position of a field that is not next.
    fn position(&mut self, key: &str) -> Result<Option<Span>, Failed> {
        if self.index.is_none() {
            let entries = entries::parse(self.data, self.body);
            let entries = entries.map_err(|fault| self.unreadable(fault))?;
            self.index = Some(Index::Stored { entries, next: 0 });
            // The pass is over.
            (self.left, self.cursor) = (0, Cursor::new(&[]));
        }
        Ok(match &mut self.index {
            Some(Index::Stored { entries, next }) => {
                let is_it = |at: &usize| entries[*at].key.of(self.data) == key.as_bytes();
                let found = (*next..entries.len()).chain(0..*next).find(is_it);
                found.map(|found| {
                    *next = found + 1;
                    entries[found].value
                })
            }
            Some(Index::Fields(fields, spans)) => {
                let found = fields.iter().position(|field| field.key == key);
                found.map(|found| spans[found])
            }
            None => None,
        })
    }

    #[cold]
    fn at_fault(&self, field: &'static str, source: impl Into<Source>) -> Failed {
        Failed(Box::new(Error::Decode {
            session: Cow::Borrowed(self.session),
            field: Some(Cow::Borrowed(field)),
            version: self.found,
            source: source.into(),
        }))
    }

    #[cold]
    fn unreadable(&self, fault: Fault<'_>) -> Failed {
        Failed(Box::new(unreadable(self.session, self.found, fault)))
    }
}

/// Returns the error of a record whose field map is malformed.
#[cold]
pub(super) fn unreadable(session: &'static str, version: u16, fault: Fault<'_>) -> Error {
    Error::Decode {
        session: Cow::Borrowed(session),
        field: fault.key.map(|key| Cow::Owned(key.to_owned())),
        version,
        source: fault.source.into(),
    }
}
