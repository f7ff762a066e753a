//! Why bytes are not the value they should be.

use std::fmt;

use serde::de;

use super::cbor;
use super::cbor::MAX_DEPTH;

/// The reason why bytes are not the expected value. It is a pointer, because errors are rare and
/// their results are returned everywhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(Box<Reason>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Truncated,
    TooDeep,
    Trailing,
    NotCbor(u8),
    /// The type is wrong: the expected type, and the first byte that was found.
    Type(&'static str, u8),
    /// The message of the type's own serde code.
    Value(Box<str>),
}

impl From<Reason> for Malformed {
    #[cold]
    fn from(reason: Reason) -> Self {
        Self(Box::new(reason))
    }
}

impl From<&str> for Malformed {
    #[cold]
    fn from(text: &str) -> Self {
        Reason::Value(text.into()).into()
    }
}

impl From<String> for Malformed {
    #[cold]
    fn from(text: String) -> Self {
        Reason::Value(text.into()).into()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Reason::Truncated => f.write_str("the bytes end early"),
            Reason::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Reason::Trailing => f.write_str("bytes are left over"),
            Reason::NotCbor(byte) => write!(f, "byte 0x{byte:02x} does not begin a CBOR item here"),
            Reason::Type(expected, found) => {
                write!(f, "expected {expected}, found {}", kind(*found))
            }
            Reason::Value(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Malformed {}

impl de::Error for Malformed {
    #[cold]
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        text.to_string().into()
    }

    // serde's own messages for these quote the value, which may be secret and would be logged.

    #[cold]
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        format!("invalid type: {}, expected {expected}", what(found)).into()
    }

    #[cold]
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        format!("invalid value: {}, expected {expected}", what(found)).into()
    }

    #[cold]
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        format!("unknown variant, expected one of {expected:?}").into()
    }

    #[cold]
    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        format!("unknown field, expected one of {expected:?}").into()
    }
}

/// Returns the kind of the item that begins with this byte.
fn kind(first: u8) -> &'static str {
    match first {
        0xf4 | 0xf5 => "a boolean",
        cbor::NULL | 0xf7 => "nothing",
        0xf9..=0xfb => "a floating point number",
        _ => match first >> 5 {
            cbor::UNSIGNED => "a number",
            1 => "a negative number",
            cbor::BYTES => "bytes",
            cbor::TEXT => "a string",
            cbor::ARRAY => "an array",
            cbor::MAP => "a map",
            6 => "a tagged value",
            _ => "a simple value",
        },
    }
}

/// Returns the kind of value that was found.
fn what(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "a number",
        de::Unexpected::Float(_) => "a floating point number",
        de::Unexpected::Char(_) => "a character",
        de::Unexpected::Str(_) => "a string",
        de::Unexpected::Bytes(_) => "bytes",
        de::Unexpected::Unit | de::Unexpected::Option => "nothing",
        de::Unexpected::Seq => "an array",
        de::Unexpected::Map => "a map",
        // The name that serde's visitors use for a value that they reject.
        de::Unexpected::Other(text) if text.starts_with("integer") => "a number above 64 bits",
        _ => "another value",
    }
}
