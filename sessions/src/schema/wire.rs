//! CBOR (RFC 8949) as this crate uses it: item heads, and a bounded walk over untrusted bytes.

use super::cbor::{ARRAY, BREAK, BYTES, MAP, NEGATIVE, TAG, TEXT, UNSIGNED};
use super::malformed::{Malformed, Reason};

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
    let first = *bytes.get(at).ok_or(Reason::Truncated)?;
    let (major, info) = (first >> 5, first & 0x1f);
    let start = at + 1;
    match info {
        0..=23 => Ok(Head { major, argument: Some(u64::from(info)), end: start }),
        24..=27 => {
            let (argument, length) = number(&bytes[start..], info).ok_or(Reason::Truncated)?;
            Ok(Head { major, argument: Some(argument), end: start + length })
        }
        31 if (BYTES..=MAP).contains(&major) => Ok(Head { major, argument: None, end: start }),
        _ => Err(Reason::NotCbor(first).into()),
    }
}

/// Returns the number in the digits after a head of this kind, and how many digits there are.
#[inline]
fn number(digits: &[u8], info: u8) -> Option<(u64, usize)> {
    Some(match info {
        24 => ((*digits.first()?).into(), 1),
        25 => (u16::from_be_bytes(*digits.first_chunk()?).into(), 2),
        26 => (u32::from_be_bytes(*digits.first_chunk()?).into(), 4),
        _ => (u64::from_be_bytes(*digits.first_chunk()?), 8),
    })
}

/// Skips the item at `at`, and returns where it ends.
///
/// Checks that every length that the item declares is really there, so that decoding it later
/// cannot reserve more memory than the bytes justify.
#[inline]
pub(crate) fn skip(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Malformed> {
    // Most items are numbers and short strings.
    let first = *bytes.get(at).ok_or(Reason::Truncated)?;
    let (major, info) = (first >> 5, usize::from(first & 0x1f));
    let end = match (major, info) {
        (UNSIGNED | NEGATIVE, 0..=23) => at + 1,
        (UNSIGNED | NEGATIVE, 24..=27) => at + 1 + (1 << (info - 24)),
        (BYTES | TEXT, 0..=23) => at + 1 + info,
        _ => return skip_any(bytes, at, depth),
    };
    if end <= bytes.len() { Ok(end) } else { Err(Reason::Truncated.into()) }
}

fn skip_any(bytes: &[u8], at: usize, depth: usize) -> Result<usize, Malformed> {
    let Head { major, argument, end } = head(bytes, at)?;
    match (major, argument) {
        (BYTES | TEXT, Some(length)) => advance(bytes, end, length),
        (BYTES | TEXT, None) => skip_chunks(bytes, end, major),
        (ARRAY | MAP, _) => skip_items(bytes, end, major, argument, inner(depth)?),
        (TAG, _) => skip_any(bytes, end, inner(depth)?),
        _ => Ok(end),
    }
}

fn inner(depth: usize) -> Result<usize, Malformed> {
    Ok(depth.checked_sub(1).ok_or(Reason::TooDeep)?)
}

#[inline]
fn advance(bytes: &[u8], at: usize, length: u64) -> Result<usize, Malformed> {
    let left = bytes.len() - at;
    match usize::try_from(length) {
        Ok(length) if length <= left => Ok(at + length),
        _ => Err(Reason::Truncated.into()),
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
        while *bytes.get(at).ok_or(Reason::Truncated)? != BREAK {
            for _ in 0..each {
                at = skip(bytes, at, depth)?;
            }
        }
        return Ok(at + 1);
    };
    let count = count.checked_mul(each).ok_or(Reason::Truncated)?;
    // No item is shorter than a byte.
    advance(bytes, at, count)?;
    for _ in 0..count {
        at = skip(bytes, at, depth)?;
    }
    Ok(at)
}

fn skip_chunks(bytes: &[u8], mut at: usize, major: u8) -> Result<usize, Malformed> {
    loop {
        let first = *bytes.get(at).ok_or(Reason::Truncated)?;
        if first == BREAK {
            return Ok(at + 1);
        }
        match head(bytes, at)? {
            Head { major: chunk, argument: Some(length), end } if chunk == major => {
                at = advance(bytes, end, length)?;
            }
            _ => return Err(Reason::NotCbor(first).into()),
        }
    }
}

/// Whether there is a break at `at`, which ends an item of indefinite length.
pub(crate) fn is_break(bytes: &[u8], at: usize) -> Result<bool, Malformed> {
    Ok(*bytes.get(at).ok_or(Reason::Truncated)? == BREAK)
}

/// Checks that `bytes` are exactly one item within the bounds.
#[cfg(test)]
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    if skip(bytes, 0, super::cbor::MAX_DEPTH)? == bytes.len() {
        Ok(())
    } else {
        Err(Reason::Trailing.into())
    }
}

/// A destination for bytes: a buffer, or a counter.
pub(crate) trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts the bytes, to allocate a buffer of the exact size.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::cbor::MAX_DEPTH;
    use crate::schema::value::decode;

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
            assert_eq!(check(bytes), Err(Reason::Truncated.into()), "{bytes:x?}");
        }
        assert_eq!(check(b"\x00\x00"), Err(Reason::Trailing.into()));
        assert_eq!(check(b"\xff"), Err(Reason::NotCbor(0xff).into()));
        assert_eq!(check(b"\x1c"), Err(Reason::NotCbor(0x1c).into()));
        assert_eq!(check(b"\x7f\x41a\xff"), Err(Reason::NotCbor(0x41).into()));
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
        assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(Reason::TooDeep.into()));
        assert_eq!(check(&nested(10_000)), Err(Reason::TooDeep.into()));
        assert_eq!(check(&[0xc1; 10_000]), Err(Reason::TooDeep.into()));
    }

    #[test]
    fn a_value_that_is_another_type_says_which() {
        let error = decode::<u64>(b"\x61a").unwrap_err();
        assert_eq!(error.to_string(), "expected u64, found a string");
        assert_eq!(decode::<u8>(b"\x00\x00"), Err(Reason::Trailing.into()));
    }
}
