//! CBOR (RFC 8949) as this crate uses it: item heads, a bounded walk over untrusted bytes, and
//! serde values to and from bytes.

use std::convert::Infallible;
use std::fmt;

use cbor4ii::core::dec::{Error as DecError, Read};
use cbor4ii::core::enc::Write;
use cbor4ii::core::utils::SliceReader;
use cbor4ii::serde::{DecodeError, Deserializer, EncodeError, Serializer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deep a field's value may nest.
///
/// `cbor4ii` allows 256 of its own steps, of which one level takes up to four: what passes the
/// walk can therefore be decoded, whatever the type.
pub(crate) const MAX_DEPTH: usize = 64;

pub(crate) const UNSIGNED: u8 = 0;
pub(crate) const BYTES: u8 = 2;
pub(crate) const TEXT: u8 = 3;
pub(crate) const ARRAY: u8 = 4;
pub(crate) const MAP: u8 = 5;

/// `None`, as every serde `Option` is encoded.
pub(crate) const NULL: u8 = 0xf6;

const BREAK: u8 = 0xff;

/// The head of an item: what it is, and its number or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) major: u8,
    /// `None` for an item of indefinite length.
    pub(crate) argument: Option<u64>,
    /// Where the head ends.
    pub(crate) end: usize,
}

/// Reads the head of the item at `at`.
#[inline]
pub(crate) fn head(bytes: &[u8], at: usize) -> Result<Head, Malformed> {
    let first = *bytes.get(at).ok_or(Malformed::Truncated)?;
    let (major, info) = (first >> 5, first & 0x1f);
    let start = at + 1;
    match info {
        0..=23 => Ok(Head { major, argument: Some(u64::from(info)), end: start }),
        24..=27 => {
            let end = start + (1 << (info - 24));
            let digits = bytes.get(start..end).ok_or(Malformed::Truncated)?;
            let number = digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit));
            Ok(Head { major, argument: Some(number), end })
        }
        31 if (BYTES..=MAP).contains(&major) => Ok(Head { major, argument: None, end: start }),
        _ => Err(Malformed::NotCbor(first)),
    }
}

/// Walks over the item at `at` and returns where it ends.
///
/// Checks that every length the item declares is really there, so that whoever decodes it later
/// cannot be made to reserve more than the bytes justify.
pub(crate) fn skip(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Malformed> {
    let Head { major, argument, end } = head(bytes, at)?;
    match (major, argument) {
        (BYTES | TEXT, Some(length)) => advance(bytes, end, length),
        (BYTES | TEXT, None) => skip_chunks(bytes, end, major),
        (ARRAY | MAP, _) => skip_items(bytes, end, major, argument, inner(depth)?),
        (6, _) => skip(bytes, end, inner(depth)?),
        _ => Ok(end),
    }
}

fn inner(depth: usize) -> Result<usize, Malformed> {
    depth.checked_sub(1).ok_or(Malformed::TooDeep)
}

#[inline]
fn advance(bytes: &[u8], at: usize, length: u64) -> Result<usize, Malformed> {
    let left = bytes.len() - at;
    match usize::try_from(length) {
        Ok(length) if length <= left => Ok(at + length),
        _ => Err(Malformed::Truncated),
    }
}

fn skip_items(
    bytes: &[u8],
    mut at: usize,
    major: u8,
    count: Option<u64>,
    depth: usize,
) -> Result<usize, Malformed> {
    let each = if major == MAP { 2 } else { 1 };
    let Some(count) = count else {
        while *bytes.get(at).ok_or(Malformed::Truncated)? != BREAK {
            for _ in 0..each {
                at = skip(bytes, at, depth)?;
            }
        }
        return Ok(at + 1);
    };
    let count = count.checked_mul(each).ok_or(Malformed::Truncated)?;
    // No item is shorter than a byte.
    advance(bytes, at, count)?;
    for _ in 0..count {
        at = skip(bytes, at, depth)?;
    }
    Ok(at)
}

fn skip_chunks(bytes: &[u8], mut at: usize, major: u8) -> Result<usize, Malformed> {
    loop {
        let first = *bytes.get(at).ok_or(Malformed::Truncated)?;
        if first == BREAK {
            return Ok(at + 1);
        }
        match head(bytes, at)? {
            Head { major: chunk, argument: Some(length), end } if chunk == major => {
                at = advance(bytes, end, length)?;
            }
            _ => return Err(Malformed::NotCbor(first)),
        }
    }
}

/// Checks that `bytes` are exactly one item within the bounds.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    if skip(bytes, 0, MAX_DEPTH)? == bytes.len() { Ok(()) } else { Err(Malformed::Trailing) }
}

/// Where bytes go: a buffer, or a count of them.
pub(crate) trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts what would be written, so that a buffer can be made to measure.
#[derive(Debug, Default)]
pub(crate) struct Count(pub(crate) usize);

impl Out for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes the head of an item in its shortest form.
#[inline]
pub(crate) fn put_head(out: &mut (impl Out + ?Sized), major: u8, argument: u64) {
    let major = major << 5;
    let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
    match argument {
        0..=23 => out.put(&[major | h]),
        24..=0xff => out.put(&[major | 24, h]),
        0x100..=0xffff => out.put(&[major | 25, g, h]),
        0x1_0000..=0xffff_ffff => out.put(&[major | 26, e, f, g, h]),
        _ => out.put(&[major | 27, a, b, c, d, e, f, g, h]),
    }
}

/// Writes a text string.
#[inline]
pub(crate) fn put_text(out: &mut (impl Out + ?Sized), text: &str) {
    put_head(out, TEXT, text.len() as u64);
    out.put(text.as_bytes());
}

/// Decodes a value from bytes of which it must use every one.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut deserializer = Deserializer::new(SliceReader::new(bytes));
    let value = T::deserialize(&mut deserializer).map_err(Malformed::from_decode)?;
    match deserializer.into_inner().fill(1) {
        Ok(rest) if rest.as_ref().is_empty() => Ok(value),
        _ => Err(Malformed::Trailing),
    }
}

/// Appends a value's bytes.
#[inline]
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Malformed> {
    value.serialize(&mut Serializer::new(Buffer(out))).map_err(Malformed::from_encode)
}

struct Buffer<'a>(&'a mut Vec<u8>);

impl Write for Buffer<'_> {
    type Error = Infallible;

    #[inline]
    fn push(&mut self, input: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(input);
        Ok(())
    }
}

/// Why bytes are not the value they should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    Truncated,
    TooDeep,
    Trailing,
    NotCbor(u8),
    /// Another type than expected: the expected one, and the first byte of what is there.
    Type(&'static str, u8),
    /// What the type's own serde code says.
    Value(Box<str>),
}

impl Malformed {
    #[cold]
    fn from_decode(error: DecodeError<Infallible>) -> Self {
        match error {
            DecodeError::Custom(text) => Self::Value(text),
            DecodeError::Core(
                DecError::Mismatch { name, found } | DecError::Unsupported { name, found },
            ) => Self::Type(name, found),
            DecodeError::Core(DecError::DepthOverflow { .. }) => Self::TooDeep,
            DecodeError::Core(DecError::Eof { .. }) => Self::Truncated,
            DecodeError::Core(DecError::CastOverflow { name }) => {
                Self::Value(format!("the number does not fit {name}").into())
            }
            DecodeError::Core(other) => Self::Value(other.to_string().into()),
        }
    }

    #[cold]
    fn from_encode(error: EncodeError<Infallible>) -> Self {
        match error {
            EncodeError::Custom(text) => Self::Value(text),
            EncodeError::Core(other) => Self::Value(other.to_string().into()),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end early"),
            Self::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Self::Trailing => f.write_str("bytes are left over"),
            Self::NotCbor(byte) => write!(f, "byte 0x{byte:02x} does not begin a CBOR item here"),
            Self::Type(expected, found) => {
                write!(f, "expected {expected}, found {}", kind(*found))
            }
            Self::Value(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Malformed {}

/// What the item that begins with this byte is.
fn kind(first: u8) -> &'static str {
    match first {
        0xf4 | 0xf5 => "a boolean",
        NULL | 0xf7 => "nothing",
        0xf9..=0xfb => "a floating point number",
        _ => match first >> 5 {
            UNSIGNED => "a number",
            1 => "a negative number",
            BYTES => "bytes",
            TEXT => "a string",
            ARRAY => "an array",
            MAP => "a map",
            6 => "a tagged value",
            _ => "a simple value",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_written_in_their_shortest_form_and_read_back() {
        for (number, bytes) in [
            (0, &[0x00][..]),
            (23, &[0x17]),
            (24, &[0x18, 24]),
            (256, &[0x19, 1, 0]),
            (65_536, &[0x1a, 0, 1, 0, 0]),
            (1 << 32, &[0x1b, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_head(&mut out, UNSIGNED, number);
            assert_eq!(out, bytes);
            let head = head(&out, 0).unwrap();
            assert_eq!((head.argument, head.end), (Some(number), bytes.len()));
        }
    }

    #[test]
    fn the_walk_refuses_what_is_not_there() {
        for bytes in [
            &b""[..],
            b"\x18",
            b"\x62a",
            b"\x82\x00",
            b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00",
            b"\x9f\x00",
            b"\x7f\x61a",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(check(bytes), Err(Malformed::Truncated), "{bytes:x?}");
        }
        assert_eq!(check(b"\x00\x00"), Err(Malformed::Trailing));
        assert_eq!(check(b"\xff"), Err(Malformed::NotCbor(0xff)));
        assert_eq!(check(b"\x1c"), Err(Malformed::NotCbor(0x1c)));
        assert_eq!(check(b"\x7f\x41a\xff"), Err(Malformed::NotCbor(0x41)));
    }

    #[test]
    fn the_walk_accepts_every_kind_of_item() {
        for bytes in [
            &b"\x17"[..],
            b"\x38\x20",
            b"\x42ab",
            b"\x5f\x41a\x41b\xff",
            b"\x9f\x00\x01\xff",
            b"\xa1\x61a\x80",
            b"\xbf\x61a\x80\xff",
            b"\xc2\x41\x01",
            b"\xf5",
            b"\xf8\x20",
            b"\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
        ] {
            assert_eq!(check(bytes), Ok(()), "{bytes:x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x81; depth];
            bytes.push(0x00);
            bytes
        };
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(Malformed::TooDeep));
        assert_eq!(check(&nested(10_000)), Err(Malformed::TooDeep));
        assert_eq!(check(&[0xc1; 10_000]), Err(Malformed::TooDeep));
    }

    #[test]
    fn a_value_that_is_another_type_says_which() {
        let error = decode::<u64>(b"\x61a").unwrap_err();
        assert_eq!(error.to_string(), "expected u64, found a string");
        assert_eq!(decode::<u8>(b"\x00\x00"), Err(Malformed::Trailing));
    }
}
