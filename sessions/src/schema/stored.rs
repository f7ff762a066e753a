//! Reading a record: the envelope, and single values for generated code.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::describe::Schema;
use super::fields::{Fields, Unknown};
use super::header::Header;
use super::policy::Value;
use super::table::Table;
use super::wire::{self, Malformed};
use crate::Error;
use crate::error::Source;

/// The envelope version that this build reads and writes. Zero marks the store's tombstones.
pub(super) const ENVELOPE: u8 = 1;

/// The longest record that is read or written.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// The longest storage key.
const MAX_KEY: u64 = 64;

/// A record's data, parsed as far as its header and the places of its fields.
///
/// Shares the data's bytes; allocates only for a record of more than sixteen fields or with
/// extras.
#[derive(Clone, Debug)]
pub struct Stored {
    session: &'static str,
    /// What stands in front of the fields.
    pub header: Header,
    data: Bytes,
    entries: SmallVec<[Entry; 16]>,
}

/// Where a field stands in the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// A range of a buffer of at most [`MAX_RECORD`] bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(range: Range<usize>) -> Self {
        // Nothing longer than `MAX_RECORD` gets here; a longer one would only read as empty.
        let short = |at: usize| u32::try_from(at).unwrap_or(0);
        Self { start: short(range.start), end: short(range.end) }
    }

    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Stored {
    /// Parses the envelope; `session` names the type for errors.
    ///
    /// # Errors
    /// [`Error::Decode`] where the bytes are not a whole, well-formed record.
    pub fn parse(session: &'static str, data: &Bytes) -> Result<Self, Error> {
        let at_fault = |field: Option<&str>, version: u16, source: Malformed| Error::Decode {
            session: Cow::Borrowed(session),
            field: field.map(|field| Cow::Owned(field.to_owned())),
            version,
            source: Source::from(source),
        };
        if data.len() > MAX_RECORD {
            return Err(at_fault(None, 0, too_long(data.len())));
        }
        match data.first() {
            Some(&ENVELOPE) => {}
            Some(other) => {
                let text = format!("envelope version {other} is unknown, this build reads 1");
                return Err(at_fault(None, 0, Malformed::Value(text.into())));
            }
            None => return Err(at_fault(None, 0, Malformed::Truncated)),
        }
        let (header, at) = Header::parse(data, 1).map_err(|source| at_fault(None, 0, source))?;
        let version = header.schema_version;
        let mut entries = SmallVec::new();
        parse_entries(data, at, &mut entries)
            .map_err(|(field, source)| at_fault(field, version, source))?;
        Ok(Self { session, header, data: data.clone(), entries })
    }

    /// The fields at this build's version: as they stand, or migrated, with the unknown ones.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] where this build is too old, [`Error::Decode`] where it is too new,
    /// a field is missing or a migration fails.
    pub fn fields(&self, table: &'static Table) -> Result<Fields, Error> {
        self.check(table)?;
        let mut fields = if self.header.schema_version < table.schema.version {
            (table.migrate)(self)?
        } else {
            self.slices(table)?
        };
        fields.unknown = self.unknown(table);
        fields.version = self.header.schema_version;
        fields.min_reader = self.header.min_reader;
        Ok(fields)
    }

    /// Begins to read the fields into a value.
    ///
    /// # Errors
    /// As [`fields`](Self::fields), where the record's version cannot be read.
    pub(crate) fn reader(&self, table: &'static Table) -> Result<Reader<'_>, Error> {
        self.check(table)?;
        Ok(self.reader_unchecked(table))
    }

    fn reader_unchecked(&self, table: &'static Table) -> Reader<'_> {
        Reader {
            session: self.session,
            version: self.header.schema_version,
            shape: self.header.schema_version.min(table.schema.version),
            data: &self.data,
            keys: Keys::Stored(&self.entries),
            next: 0,
        }
    }

    /// Whether this build reads the record's version.
    fn check(&self, table: &'static Table) -> Result<(), Error> {
        let Header { schema_version: found, min_reader, .. } = self.header;
        let supported = table.schema.version;
        if min_reader > supported {
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

    fn slices(&self, table: &'static Table) -> Result<Fields, Error> {
        let mut reader = self.reader_unchecked(table);
        let mut spans = SmallVec::with_capacity(table.fields.len());
        for field in table.fields {
            spans.push(reader.span(field.name, field.key)?);
        }
        Ok(Fields::new(table, self.data.clone(), spans))
    }

    fn unknown(&self, table: &'static Table) -> Unknown {
        let is_unknown = |(index, entry): &(usize, &Entry)| {
            let key = entry.key.of(&self.data);
            table.find(*index, key).is_none() && !table.is_retired(key)
        };
        let entries = self.entries.iter().enumerate().filter(is_unknown).map(|(_, entry)| *entry);
        let entries: Vec<Entry> = entries.collect();
        let data = if entries.is_empty() { Bytes::new() } else { self.data.clone() };
        Unknown { data, entries }
    }
}

/// Reads fields one after another into a value, for generated code.
#[derive(Debug)]
pub struct Reader<'a> {
    session: &'static str,
    /// The record's version.
    version: u16,
    /// The version as which to read it: this build's if that is lower.
    shape: u16,
    data: &'a [u8],
    keys: Keys<'a>,
    /// The place behind the last one found: fields are mostly read in the order they stand in.
    next: usize,
}

/// Where a reader finds which field is where.
#[derive(Debug)]
enum Keys<'a> {
    Stored(&'a [Entry]),
    Table(&'static Table, &'a [Span]),
}

impl<'a> Reader<'a> {
    /// Reads fields that stand at the table's own version.
    pub(super) fn of_fields(table: &'static Table, data: &'a [u8], spans: &'a [Span]) -> Self {
        let Schema { name: session, version, .. } = *table.schema;
        let keys = Keys::Table(table, spans);
        Self { session, version, shape: version, data, keys, next: 0 }
    }

    /// The version as which to read: the record's, or this build's if that is lower.
    #[must_use]
    #[inline]
    pub fn version(&self) -> u16 {
        self.shape
    }

    /// The value that stands under `key`; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Decode`] where it is missing or is not a `T`.
    #[inline]
    pub fn get<T>(&mut self, value: &Value<T>, name: &'static str, key: &str) -> Result<T, Error> {
        let span = self.span(name, key)?;
        (value.decode)(span.of(self.data)).map_err(|error| self.at_fault(name, error))
    }

    /// Turns a converter's failure into an error that names the field.
    ///
    /// # Errors
    /// [`Error::Decode`] where the converter failed.
    pub fn converted<T, E: Into<Source>>(
        &self,
        name: &'static str,
        result: Result<T, E>,
    ) -> Result<T, Error> {
        result.map_err(|error| self.at_fault(name, error))
    }

    #[inline]
    fn span(&mut self, name: &'static str, key: &str) -> Result<Span, Error> {
        let Some(index) = self.position(key) else { return Err(self.missing(name, key)) };
        self.next = index + 1;
        Ok(match self.keys {
            Keys::Stored(entries) => entries[index].value,
            Keys::Table(_, spans) => spans[index],
        })
    }

    #[inline]
    fn position(&self, key: &str) -> Option<usize> {
        match self.keys {
            Keys::Stored(entries) => {
                let is_it = |entry: &Entry| entry.key.of(self.data) == key.as_bytes();
                if entries.get(self.next).is_some_and(is_it) {
                    return Some(self.next);
                }
                entries.iter().position(is_it)
            }
            Keys::Table(table, _) => table.find(self.next, key.as_bytes()),
        }
    }

    #[cold]
    fn missing(&self, name: &'static str, key: &str) -> Error {
        let text = format!("the record has no key `{key}`");
        self.at_fault(name, Malformed::Value(text.into()))
    }

    #[cold]
    fn at_fault(&self, field: &'static str, source: impl Into<Source>) -> Error {
        Error::Decode {
            session: Cow::Borrowed(self.session),
            field: Some(Cow::Borrowed(field)),
            version: self.version,
            source: source.into(),
        }
    }
}

/// What is wrong, and the key of the field it is wrong with.
type Fault<'a> = (Option<&'a str>, Malformed);

fn parse_entries<'a>(
    data: &'a [u8],
    at: usize,
    entries: &mut SmallVec<[Entry; 16]>,
) -> Result<(), Fault<'a>> {
    let head = wire::head(data, at).map_err(|source| (None, source))?;
    let (wire::MAP, Some(count)) = (head.major, head.argument) else {
        return Err((None, Malformed::Type("map", data[at])));
    };
    let mut at = head.end;
    for _ in 0..count {
        let (key, start) = parse_key(data, at).map_err(|source| (None, source))?;
        let name = || std::str::from_utf8(key.of(data)).ok();
        let end = wire::skip(data, start, wire::MAX_DEPTH).map_err(|source| (name(), source))?;
        entries.push(Entry { key, value: Span::new(start..end) });
        at = end;
    }
    if at != data.len() {
        return Err((None, Malformed::Trailing));
    }
    match twice(data, entries) {
        Some(key) => {
            let text = Malformed::Value("the record has this key twice".into());
            Err((std::str::from_utf8(key).ok(), text))
        }
        None => Ok(()),
    }
}

fn parse_key(data: &[u8], at: usize) -> Result<(Span, usize), Malformed> {
    let head = wire::head(data, at)?;
    match (head.major, head.argument) {
        (wire::TEXT, Some(length @ 1..=MAX_KEY)) => {
            // At most 64: it fits.
            let end = head.end + length as usize;
            if end > data.len() {
                return Err(Malformed::Truncated);
            }
            Ok((Span::new(head.end..end), end))
        }
        (wire::TEXT, _) => Err(Malformed::Value("a key is not 1 to 64 bytes long".into())),
        _ => Err(Malformed::Type("a string as key", data[at])),
    }
}

/// A key that occurs twice.
fn twice<'a>(data: &'a [u8], entries: &[Entry]) -> Option<&'a [u8]> {
    // Comparing each with each is fastest for the few fields a session has, but would let a long
    // record cost the square of its length.
    if entries.len() <= 16 {
        let mut rest = entries;
        while let Some((first, others)) = rest.split_first() {
            let key = first.key.of(data);
            if others.iter().any(|other| other.key.of(data) == key) {
                return Some(key);
            }
            rest = others;
        }
        return None;
    }
    let mut keys: Vec<&[u8]> = entries.iter().map(|entry| entry.key.of(data)).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

pub(super) fn too_long(length: usize) -> Malformed {
    Malformed::Value(format!("{length} bytes are above the limit of {MAX_RECORD}").into())
}
