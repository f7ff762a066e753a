//! The map from storage key to value: the position of each field in a record.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::malformed::{Malformed, Reason};
use super::{cbor, wire};

/// The longest storage key.
const MAX_KEY: u64 = 64;

/// The position of a field in the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// All fields of a record. Most records need no allocation.
pub(super) type Entries = SmallVec<[Entry; 8]>;

/// The position of each field of a table, in the table's order.
pub(super) type Spans = SmallVec<[Span; 8]>;

/// A range of a buffer of at most [`MAX_RECORD`](super::limits::MAX_RECORD) bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    pub(super) fn new(range: Range<usize>) -> Self {
        // No caller passes data longer than `MAX_RECORD`. Longer data would only read as empty.
        let short = |at: usize| u32::try_from(at).unwrap_or(0);
        Self { start: short(range.start), end: short(range.end) }
    }

    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A value's fields, encoded one after another.
#[derive(Debug)]
pub struct Encoded {
    pub(super) data: Bytes,
    pub(super) spans: Spans,
}

/// The fault, and the key of its field.
pub(super) struct Fault<'a> {
    pub(super) key: Option<&'a str>,
    pub(super) source: Malformed,
}

impl From<Malformed> for Fault<'_> {
    fn from(source: Malformed) -> Self {
        Self { key: None, source }
    }
}

/// Reads the head of the map at `at`. Returns the number of entries and where they begin.
#[inline]
pub(super) fn count(data: &[u8], at: usize) -> Result<(u64, usize), Malformed> {
    let head = wire::head(data, at)?;
    match (head.major, head.argument) {
        (cbor::MAP, Some(count)) => Ok((count, head.end)),
        _ => Err(Reason::Type("map", data[at]).into()),
    }
}

/// Finds every entry of the map at `at`, which must extend to the end of the data.
pub(super) fn parse(data: &[u8], at: usize) -> Result<Entries, Fault<'_>> {
    let (count, mut at) = count(data, at)?;
    // An entry has at least two bytes, so the count cannot request more memory than the data
    // justifies.
    let room = count.min(data.len() as u64 / 2).min(64);
    let mut entries = Entries::with_capacity(room as usize);
    for _ in 0..count {
        let (key, start) = parse_key(data, at)?;
        let end = wire::skip(data, start, cbor::MAX_DEPTH)
            .map_err(|source| Fault { key: text(data, key), source })?;
        entries.push(Entry { key, value: Span::new(start..end) });
        at = end;
    }
    if at != data.len() {
        return Err(Malformed::from(Reason::Trailing).into());
    }
    match twice(data, &entries) {
        None => Ok(entries),
        Some(key) => {
            let source = Malformed::from("the record has this key twice");
            Err(Fault { key: text(data, key), source })
        }
    }
}

fn parse_key(data: &[u8], at: usize) -> Result<(Span, usize), Malformed> {
    let head = wire::head(data, at)?;
    match (head.major, head.argument) {
        (cbor::TEXT, Some(length @ 1..=MAX_KEY)) => {
            // At most 64: it fits.
            let end = head.end + length as usize;
            if end > data.len() {
                return Err(Reason::Truncated.into());
            }
            Ok((Span::new(head.end..end), end))
        }
        (cbor::TEXT, _) => Err("a key is not 1 to 64 bytes long".into()),
        _ => Err(Reason::Type("a string as key", data[at]).into()),
    }
}

fn text(data: &[u8], key: Span) -> Option<&str> {
    std::str::from_utf8(key.of(data)).ok()
}

/// Returns a key that occurs twice, if there is one.
fn twice(data: &[u8], entries: &[Entry]) -> Option<Span> {
    // Comparing all pairs is fastest for the few fields of a session, but a long record would cost
    // the square of its length.
    if entries.len() <= 16 {
        let mut rest = entries;
        while let Some((first, others)) = rest.split_first() {
            let key = first.key.of(data);
            if others.iter().any(|other| other.key.of(data) == key) {
                return Some(first.key);
            }
            rest = others;
        }
        return None;
    }
    let mut keys: Vec<Span> = entries.iter().map(|entry| entry.key).collect();
    keys.sort_unstable_by_key(|key| key.of(data));
    keys.windows(2).find(|pair| pair[0].of(data) == pair[1].of(data)).map(|pair| pair[0])
}
