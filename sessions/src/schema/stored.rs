//! A record's data, parsed as far as its header.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

use super::entries;
use super::entries::{Entries, Fault, Span, Spans};
use super::fields::{Fields, Unknown};
use super::header::{ENCRYPTED, ENVELOPE, Header, Summary};
use super::limits::{MAX_RECORD, too_long};
use super::malformed::{Malformed, Reason};
use super::reader::{Reader, unreadable};
use super::table::Table;
use crate::error::Error;

/// The position of the header.
const HEADER: usize = 1;

/// A record's data, parsed as far as its header.
///
/// Shares the data's bytes, and allocates nothing.
#[derive(Clone, Debug)]
pub struct Stored {
    session: &'static str,
    /// The part before the fields.
    pub summary: Summary,
    data: Bytes,
    /// Where the map of fields begins.
    body: usize,
}

impl Stored {
    /// Parses the envelope; `session` names the type for errors.
    ///
    /// # Errors
    /// [`Error::Decode`] if the bytes do not begin as a record does. The fields are checked when
    /// they are read.
    pub fn parse(session: &'static str, data: &Bytes) -> Result<Self, Error> {
        match parse_summary(data) {
            Ok((summary, body)) => Ok(Self { session, summary, data: data.clone(), body }),
            Err(source) => Err(unreadable(session, 0, source.into())),
        }
    }

    /// Returns the whole header.
    ///
    /// # Errors
    /// Never fails in practice: the header was checked when the record was parsed.
    pub fn header(&self) -> Result<Header, Error> {
        match Header::parse(&self.data, HEADER) {
            Ok((header, _)) => Ok(header),
            Err(source) => Err(self.unreadable(source.into())),
        }
    }

    /// Returns the record's data with another header, and the fields as they are, so that it needs
    /// neither the session's type nor a version that this build can read. Returns `None` if that
    /// takes more than `limit` bytes.
    #[cfg(feature = "dbsc")]
    pub(crate) fn with_header(&self, header: &Header, limit: usize) -> Option<Bytes> {
        let mut out = vec![ENVELOPE];
        let Summary { schema_version, min_reader, .. } = self.summary;
        header.put(&mut out, schema_version, min_reader, false);
        out.extend_from_slice(&self.data[self.body..]);
        (out.len() <= limit).then(|| out.into())
    }

    /// Returns the fields at this build's version, unchanged or migrated, with the unknown ones.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] if this build is too old. [`Error::Decode`] if it is too new, a field
    /// is missing or a migration fails.
    pub fn fields(&self, table: &'static Table) -> Result<Fields, Error> {
        self.check(table)?;
        let entries = entries::parse(&self.data, self.body);
        let entries = entries.map_err(|fault| self.unreadable(fault))?;
        if entries.len() == table.fields.len()
            && self.summary.schema_version >= table.schema.version
            && entries
                .iter()
                .zip(table.fields)
                .all(|(entry, field)| entry.key.of(&self.data) == field.key.as_bytes())
        {
            // As this build wrote it.
            let spans = entries.iter().map(|entry| entry.value).collect();
            let mut fields = Fields::new(table, self.data.clone(), spans);
            fields.version = self.summary.schema_version;
            fields.min_reader = self.summary.min_reader;
            return Ok(fields);
        }
        let mut spans: SmallVec<[Option<Span>; 8]> = smallvec![None; table.fields.len()];
        let mut unknown = Entries::new();
        for (expected, entry) in entries.into_iter().enumerate() {
            let key = entry.key.of(&self.data);
            match table.find(expected, key) {
                Some(index) => spans[index] = Some(entry.value),
                None if table.is_retired(key) => {}
                None => unknown.push(entry),
            }
        }
        let mut fields = if self.summary.schema_version < table.schema.version {
            Fields::of(table, (table.migrate)(self.reader(table)?)?)
        } else {
            self.slices(table, &spans)?
        };
        fields.unknown = self.unknown(unknown);
        fields.version = self.summary.schema_version;
        fields.min_reader = self.summary.min_reader;
        Ok(fields)
    }

    /// Returns every field as JSON under its storage key, also those that this build does not know.
    ///
    /// # Errors
    /// [`Error::Decode`] for bytes that are no fields.
    #[cfg(feature = "export")]
    pub(crate) fn json(&self) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
        let entries = entries::parse(&self.data, self.body);
        let entries = entries.map_err(|fault| self.unreadable(fault))?;
        let field = |entry: &entries::Entry| {
            let key = String::from_utf8_lossy(entry.key.of(&self.data)).into_owned();
            match super::json::convert(entry.value.of(&self.data)) {
                Ok(value) => Ok((key, value)),
                Err(source) => Err(self.unreadable(source.into())),
            }
        };
        entries.iter().map(field).collect()
    }

    /// Begins to read the fields into a value.
    ///
    /// # Errors
    /// As for [`fields`](Self::fields), if the record's version cannot be read.
    #[inline]
    pub(crate) fn reader(&self, table: &'static Table) -> Result<Reader<'_>, Error> {
        self.check(table)?;
        let body = entries::count(&self.data, self.body);
        let body_count = body.map_err(|source| self.unreadable(source.into()))?;
        let found = self.summary.schema_version;
        let version = found.min(table.schema.version);
        Ok(Reader::new(self.session, found, version, &self.data, self.body, body_count))
    }

    fn slices(&self, table: &'static Table, spans: &[Option<Span>]) -> Result<Fields, Error> {
        let found = spans.iter().zip(table.fields).map(|(span, field)| {
            span.ok_or_else(|| {
                let text = format!("the record has no key `{}`", field.key);
                let source = Malformed::from(text);
                self.unreadable(Fault { key: Some(field.name), source })
            })
        });
        let spans: Result<Spans, Error> = found.collect();
        Ok(Fields::new(table, self.data.clone(), spans?))
    }

    fn unknown(&self, entries: Entries) -> Option<Arc<Unknown>> {
        if entries.is_empty() {
            return None;
        }
        Some(Arc::new(Unknown { data: self.data.clone(), entries }))
    }

    fn unreadable(&self, fault: Fault<'_>) -> Error {
        unreadable(self.session, self.summary.schema_version, fault)
    }

    /// Whether this build reads the record's version.
    fn check(&self, table: &'static Table) -> Result<(), Error> {
        let Summary { schema_version: found, min_reader, critical, .. } = self.summary;
        let supported = table.schema.version;
        if min_reader > supported || critical {
            return Err(Error::NewerSchema {
                session: Cow::Borrowed(self.session),
                found,
                min_reader,
                supported,
            });
        }
        if found < table.oldest {
            let text = format!("this build reads version {} and later", table.oldest);
            return Err(Error::Decode {
                session: Cow::Borrowed(self.session),
                field: None,
                version: found,
                source: text.into(),
            });
        }
        Ok(())
    }
}

fn parse_summary(data: &Bytes) -> Result<(Summary, usize), Malformed> {
    if data.len() > MAX_RECORD {
        return Err(too_long(data.len(), MAX_RECORD));
    }
    match data.first() {
        Some(&ENVELOPE) => Summary::parse(data, HEADER),
        Some(&ENCRYPTED) => Err(Malformed::from(
            "the record is encrypted and cannot be decrypted: its key was erased, it was changed, \
             or this store is built without encrypt_records()",
        )),
        Some(other) => {
            let text = format!("envelope version {other} is unknown, this build reads {ENVELOPE}");
            Err(Malformed::from(text))
        }
        None => Err(Reason::Truncated.into()),
    }
}
