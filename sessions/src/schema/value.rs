//! How values are read and written: serde types as bytes, and the pair of functions that generated
//! code holds of each.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::decode::Cursor;
use super::encode::Encoder;
use super::malformed::{Malformed, Reason};

/// A type that a field may have.
#[diagnostic::on_unimplemented(
    message = "a session cannot store the type `{Self}`: it lacks serde's traits",
    label = "not both `Serialize` and `DeserializeOwned`",
    note = "derive them on the type, or on the one that it holds, \
            `#[derive(serde::Serialize, serde::Deserialize)]`, or leave the field out of the \
            record with `#[session(skip)]`"
)]
pub trait FieldType: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> FieldType for T {}

/// The functions that read and write values of a type. Generated code uses serde only through them,
/// so a type without serde's traits is one compile error in one place.
#[derive(Debug)]
pub struct Value<T> {
    pub(super) decode: for<'de> fn(&mut Cursor<'de>) -> Result<T, Malformed>,
    pub(super) encode: fn(&T, &mut Vec<u8>) -> Result<(), Malformed>,
}

impl<T> Value<T> {
    /// Decodes bytes that must contain exactly one value.
    #[inline]
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<T, Malformed> {
        exactly(bytes, self.decode)
    }
}

/// Returns the functions that read and write values of a field's type.
#[must_use]
pub const fn value<T: FieldType>() -> Value<T> {
    Value { decode: decode_next, encode }
}

/// Decodes a value, and encodes it again if there is a buffer.
///
/// # Errors
/// If the bytes are not a `T`, or `T` cannot be encoded.
pub fn again<T>(
    value: &Value<T>,
    bytes: &[u8],
    out: Option<&mut Vec<u8>>,
) -> Result<(), Malformed> {
    let decoded = value.decode(bytes)?;
    out.map_or(Ok(()), |out| (value.encode)(&decoded, out))
}

/// Decodes a value, which must use all bytes.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    exactly(bytes, decode_next::<T>)
}

/// Runs a decoder, which must use all bytes.
#[inline]
pub(crate) fn exactly<T>(
    bytes: &[u8],
    decode: impl FnOnce(&mut Cursor<'_>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let value = decode(&mut cursor)?;
    if cursor.rest.is_empty() { Ok(value) } else { Err(Reason::Trailing.into()) }
}

/// Decodes the value at the cursor.
#[inline]
pub(crate) fn decode_next<T: DeserializeOwned>(cursor: &mut Cursor<'_>) -> Result<T, Malformed> {
    T::deserialize(cursor)
}

/// Appends a value's bytes.
#[inline]
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), Malformed> {
    value.serialize(&mut Encoder::new(out))
}
