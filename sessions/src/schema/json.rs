//! A record's fields as JSON, whatever build wrote them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

use super::cbor::{ARRAY, BYTES, MAP, MAX_DEPTH, NEGATIVE, TAG, TEXT, UNSIGNED};
use super::malformed::{Malformed, Reason};
use super::wire;

/// The tags of integers that need more than 64 bits.
const BIG: u64 = 2;
const BIG_NEGATIVE: u64 = 3;

/// Converts an encoded value.
///
/// JSON has less than CBOR, so these become text: bytes (base64), integers beyond 64 bits
/// (decimal), and numbers that are not finite (`NaN`, `Infinity`, `-Infinity`). A map that has
/// another key than text becomes an array of pairs.
pub(super) fn convert(bytes: &[u8]) -> Result<Value, Malformed> {
    // Checks every length and the depth first.
    if wire::skip(bytes, 0, MAX_DEPTH)? != bytes.len() {
        return Err(Reason::Trailing.into());
    }
    Ok(item(bytes, 0)?.0)
}

/// Converts the item at `at`. Returns it and where it ends.
fn item(bytes: &[u8], at: usize) -> Result<(Value, usize), Malformed> {
    let head = wire::head(bytes, at)?;
    let end = head.end;
    Ok(match (head.major, head.argument) {
        (UNSIGNED, Some(number)) => (number.into(), end),
        (NEGATIVE, Some(number)) => {
            let number = -1 - i128::from(number);
            (i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from), end)
        }
        (BYTES, _) => {
            let (bytes, end) = string(bytes, at)?;
            (STANDARD.encode(bytes).into(), end)
        }
        (TEXT, _) => {
            let (text, end) = text(bytes, at)?;
            (text.into(), end)
        }
        (ARRAY, count) => {
            let mut items = Vec::new();
            let end = each(bytes, end, count, |at| {
                let (value, end) = item(bytes, at)?;
                items.push(value);
                Ok(end)
            })?;
            (Value::Array(items), end)
        }
        (MAP, count) => {
            let mut pairs = Vec::new();
            let end = each(bytes, end, count, |at| {
                let (key, at) = item_of_key(bytes, at)?;
                let (value, end) = item(bytes, at)?;
                pairs.push((key, value));
                Ok(end)
            })?;
            (map(pairs), end)
        }
        (TAG, Some(tag @ (BIG | BIG_NEGATIVE))) => {
            let (digits, after) = string(bytes, end)?;
            match big(tag, &digits) {
                Some(text) => (text.into(), after),
                None => item(bytes, end)?,
            }
        }
        // What a tag adds to a value has no place in JSON.
        (TAG, Some(_)) => item(bytes, end)?,
        _ => (simple(bytes, at, end)?, end),
    })
}

/// A key, and whether it is text.
fn item_of_key(bytes: &[u8], at: usize) -> Result<((Value, bool), usize), Malformed> {
    let is_text = wire::head(bytes, at)?.major == TEXT;
    let (key, end) = item(bytes, at)?;
    Ok(((key, is_text), end))
}

fn map(pairs: Vec<((Value, bool), Value)>) -> Value {
    let mut keys = BTreeSet::new();
    // An object has no other keys, and no key twice.
    let is_object = pairs.iter().all(|((key, is_text), _)| match key {
        Value::String(key) if *is_text => keys.insert(key),
        _ => false,
    });
    if is_object {
        let text = |key: Value| match key {
            Value::String(key) => key,
            key => key.to_string(),
        };
        return Value::Object(pairs.into_iter().map(|((key, _), it)| (text(key), it)).collect());
    }
    pairs.into_iter().map(|((key, _), value)| Value::Array(vec![key, value])).collect()
}

/// Calls `read` at each item of an array, or at each entry of a map. Returns where it ends.
fn each(
    bytes: &[u8],
    mut at: usize,
    count: Option<u64>,
    mut read: impl FnMut(usize) -> Result<usize, Malformed>,
) -> Result<usize, Malformed> {
    let Some(count) = count else {
        while !wire::is_break(bytes, at)? {
            at = read(at)?;
        }
        return Ok(at + 1);
    };
    for _ in 0..count {
        at = read(at)?;
    }
    Ok(at)
}

/// The bytes of a byte or text string, also of one in chunks.
fn string(bytes: &[u8], at: usize) -> Result<(Vec<u8>, usize), Malformed> {
    let head = wire::head(bytes, at)?;
    let end = wire::skip(bytes, at, 1)?;
    let whole = matches!(head.major, BYTES | TEXT) && head.argument.is_some();
    if whole {
        return Ok((bytes[head.end..end].to_vec(), end));
    }
    let (mut joined, mut at) = (Vec::new(), head.end);
    while !wire::is_break(bytes, at)? {
        let chunk = wire::head(bytes, at)?;
        at = wire::skip(bytes, at, 1)?;
        joined.extend_from_slice(&bytes[chunk.end..at]);
    }
    Ok((joined, end))
}

fn text(bytes: &[u8], at: usize) -> Result<(String, usize), Malformed> {
    let (bytes, end) = string(bytes, at)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, end)),
        Err(_) => Err("a text is not UTF-8".into()),
    }
}

/// The digits of an integer of at most 128 bits.
fn big(tag: u64, digits: &[u8]) -> Option<String> {
    if digits.len() > 16 {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number << 8 | u128::from(*digit));
    if tag == BIG {
        return Some(number.to_string());
    }
    number.checked_add(1).map(|number| format!("-{number}"))
}

/// A float, a truth value, or nothing.
fn simple(bytes: &[u8], at: usize, end: usize) -> Result<Value, Malformed> {
    let first = bytes[at];
    let digits = &bytes[at + 1..end];
    let number = match (first, digits) {
        (0xf4, _) => return Ok(Value::Bool(false)),
        (0xf5, _) => return Ok(Value::Bool(true)),
        (0xf6 | 0xf7, _) => return Ok(Value::Null),
        (0xf9, &[a, b]) => half(u16::from_be_bytes([a, b])),
        (0xfa, &[a, b, c, d]) => return Ok(single(f32::from_be_bytes([a, b, c, d]))),
        (0xfb, digits) => match digits.try_into() {
            Ok(digits) => f64::from_be_bytes(digits),
            Err(_) => return Err(Reason::Truncated.into()),
        },
        _ => return Err(Reason::NotCbor(first).into()),
    };
    Ok(double(number))
}

fn double(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// With the digits that an `f32` needs: 0.1, and not 0.10000000149011612.
fn single(number: f32) -> Value {
    let shortest = number.to_string().parse().ok().filter(|_| number.is_finite());
    double(shortest.unwrap_or_else(|| f64::from(number)))
}

/// A float of 16 bits (RFC 8949, appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (bits >> 10 & 0x1f, f64::from(bits & 0x3ff));
    let number = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits & 0x8000 == 0 { number } else { -number }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::json;

    use super::*;
    use crate::schema::value;

    fn of(value: &(impl Serialize + ?Sized)) -> Value {
        let mut bytes = Vec::new();
        value::encode(value, &mut bytes).unwrap();
        convert(&bytes).unwrap()
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(of(&u64::MAX).to_string(), "18446744073709551615");
        assert_eq!(of(&i64::MIN).to_string(), "-9223372036854775808");
        assert_eq!(of(&((1_u64 << 53) + 1)).to_string(), "9007199254740993");
        assert_eq!(of(&u128::MAX), json!("340282366920938463463374607431768211455"));
        assert_eq!(of(&i128::MIN), json!("-170141183460469231731687303715884105728"));
        assert_eq!(of(&(i128::from(i64::MIN) - 1)), json!("-9223372036854775809"));
        assert_eq!(of(&0.1_f32), json!(0.1));
        assert_eq!(of(&-1.5e300), json!(-1.5e300));
        for (number, text) in
            [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")]
        {
            assert_eq!(of(&number), json!(text));
        }
        for (bits, number) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2_f64.powi(-24))] {
            let [a, b] = u16::to_be_bytes(bits);
            assert_eq!(convert(&[0xf9, a, b]).unwrap(), json!(number));
        }
        assert_eq!(convert(&[0xf9, 0x7e, 0]).unwrap(), json!("NaN"));
    }

    #[test]
    fn maps_are_objects_if_all_keys_are_texts() {
        assert_eq!(of(&BTreeMap::from([("a", 1), ("b", 2)])), json!({"a": 1, "b": 2}));
        assert_eq!(of(&BTreeMap::from([(1, "a"), (2, "b")])), json!([[1, "a"], [2, "b"]]));
        assert_eq!(of(&BTreeMap::<u8, u8>::new()), json!({}));
        // A text and bytes of the same form.
        assert_eq!(convert(b"\xa2\x61a\x01\x41a\x02").unwrap(), json!([["a", 1], ["YQ==", 2]]));
        assert_eq!(convert(b"\xa2\x61a\x01\x61a\x02").unwrap(), json!([["a", 1], ["a", 2]]));
    }

    #[test]
    fn values_nest() {
        #[derive(Serialize)]
        struct Order<'a> {
            lines: Vec<(u8, Option<&'a str>)>,
            paid: bool,
            by: By,
        }
        #[derive(Serialize)]
        enum By {
            Card { number: u64 },
        }
        let order = Order {
            lines: vec![(1, Some("tea")), (2, None)],
            paid: true,
            by: By::Card { number: 4 },
        };
        assert_eq!(
            of(&order),
            json!({"lines": [[1, "tea"], [2, null]], "paid": true, "by": {"Card": {"number": 4}}})
        );
        // Of indefinite length, tagged, in chunks.
        assert_eq!(convert(b"\x9f\x01\xbf\x61a\xf7\xff\xff").unwrap(), json!([1, {"a": null}]));
        assert_eq!(convert(b"\xc1\x05").unwrap(), json!(5));
        assert_eq!(convert(b"\x7f\x61a\x61b\xff").unwrap(), json!("ab"));
        assert_eq!(convert(b"\x5f\x41\x00\x41\x01\xff").unwrap(), json!("AAE="));
    }

    #[test]
    fn what_is_no_cbor_is_an_error() {
        for bytes in
            [&b""[..], b"\x61", b"\x61\xff", b"\x9f\x01", b"\xff", b"\x01\x01", b"\xf8\x01"]
        {
            assert!(convert(bytes).is_err(), "{bytes:?}");
        }
        assert!(convert(&[0x81; 100]).is_err(), "too deep");
        let full = b"\xa2\x61a\x82\x01\xfb\x40\x09\x21\xfb\x54\x44\x2d\x18\x61b\xc2\x42\x01\x00";
        for end in 0..full.len() {
            assert!(convert(&full[..end]).is_err(), "{end}");
        }
        for at in 0..full.len() {
            for flip in 1..=255 {
                let mut bytes = full.to_vec();
                bytes[at] ^= flip;
                let _ = convert(&bytes);
            }
        }
    }
}
