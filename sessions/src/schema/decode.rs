//! Decodes serde values from CBOR bytes, which [`encode`](super::encode) writes.
//!
//! Existing CBOR deserializers do not fit the [encoding](super::encode): they are not human readable,
//! they read serde's unit from an empty array, and they bound neither depth nor the calls of a type's
//! serde code. A read costs as much as with `cbor4ii` (0.98 to 1.03 of it). This deserializer reads
//! everything that `cbor4ii` reads, except serde's unit, and a test checks that.

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use super::cbor::{
    ARRAY, BREAK, BYTES, MAP, MAX_DEPTH, MAX_STEPS, NEGATIVE, NULL, TAG, TEXT, UNSIGNED,
};
use super::malformed::{Malformed, Reason};
use super::wire;
use super::wire::Head;

/// A place in a record, from which values are decoded.
#[derive(Debug)]
pub(crate) struct Cursor<'de> {
    pub(crate) rest: &'de [u8],
    depth: u16,
}

const UNDEFINED: u8 = 0xf7;

impl<'de> Cursor<'de> {
    #[inline]
    pub(crate) fn new(rest: &'de [u8]) -> Self {
        Self { rest, depth: MAX_STEPS }
    }

    /// Returns the first byte of the next item.
    #[inline]
    fn first(&self) -> Result<u8, Malformed> {
        Ok(*self.rest.first().ok_or(Reason::Truncated)?)
    }

    #[inline]
    fn head(&mut self) -> Result<Head, Malformed> {
        let head = wire::head(self.rest, 0)?;
        self.rest = &self.rest[head.end..];
        Ok(head)
    }

    /// Reads the head of the next item, which must be of this kind.
    #[inline]
    fn expect(&mut self, major: u8, name: &'static str) -> Result<Option<u64>, Malformed> {
        let first = self.first()?;
        if first >> 5 != major {
            return Err(Reason::Type(name, first).into());
        }
        Ok(self.head()?.argument)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'de [u8], Malformed> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Reason::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Counts a level while `inner` runs.
    #[inline]
    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.depth = self.depth.checked_sub(1).ok_or(Reason::TooDeep)?;
        let value = inner(self)?;
        self.depth += 1;
        Ok(value)
    }

    /// Bytes or text, in one piece or in several.
    #[inline]
    fn string(&mut self, major: u8, name: &'static str) -> Result<Piece<'de>, Malformed> {
        match self.expect(major, name)? {
            Some(length) => self.take(length).map(Piece::Whole),
            None => self.chunks(major, name).map(Piece::Joined),
        }
    }

    #[cold]
    fn chunks(&mut self, major: u8, name: &'static str) -> Result<Vec<u8>, Malformed> {
        let mut joined = Vec::new();
        while !self.is_break()? {
            let length = self.expect(major, name)?.ok_or(Reason::Type(name, BREAK))?;
            joined.extend_from_slice(self.take(length)?);
        }
        Ok(joined)
    }

    #[inline]
    fn is_break(&mut self) -> Result<bool, Malformed> {
        let found = self.first()? == BREAK;
        if found {
            self.rest = &self.rest[1..];
        }
        Ok(found)
    }

    #[inline]
    fn unsigned(&mut self, name: &'static str) -> Result<u64, Malformed> {
        match self.expect(UNSIGNED, name)? {
            Some(number) => Ok(number),
            // Heads of indefinite length are refused where they are read.
            None => Err(Reason::Truncated.into()),
        }
    }

    fn signed(&mut self, name: &'static str) -> Result<i128, Malformed> {
        let first = self.first()?;
        let Head { major, argument, .. } = self.head()?;
        match (major, argument) {
            (UNSIGNED, Some(number)) => Ok(number.into()),
            (NEGATIVE, Some(number)) => Ok(-1 - i128::from(number)),
            (TAG, Some(tag @ 2..=3)) => {
                let number = i128::try_from(self.large(name)?).map_err(|_| too_large(name))?;
                Ok(if tag == 2 { number } else { -1 - number })
            }
            _ => Err(Reason::Type(name, first).into()),
        }
    }

    /// The digits of a number above 64 bits.
    fn large(&mut self, name: &'static str) -> Result<u128, Malformed> {
        let digits = self.expect(BYTES, name)?.ok_or(Reason::Type(name, BREAK))?;
        let digits = self.take(digits)?;
        if digits.len() > 16 {
            return Err(too_large(name));
        }
        Ok(digits.iter().fold(0, |number, digit| number << 8 | u128::from(*digit)))
    }
}

/// Bytes or text.
enum Piece<'de> {
    Whole(&'de [u8]),
    Joined(Vec<u8>),
}

#[cold]
fn too_large(name: &'static str) -> Malformed {
    format!("the number does not fit {name}").into()
}

macro_rules! integers {
    ($($method:ident $visit:ident $ty:ident $read:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
            let number = self.$read(stringify!($ty))?;
            visitor.$visit($ty::try_from(number).map_err(|_| too_large(stringify!($ty)))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Cursor<'de> {
    type Error = Malformed;

    integers! {
        deserialize_u8 visit_u8 u8 unsigned;
        deserialize_u16 visit_u16 u16 unsigned;
        deserialize_u32 visit_u32 u32 unsigned;
        deserialize_i8 visit_i8 i8 signed;
        deserialize_i16 visit_i16 i16 signed;
        deserialize_i32 visit_i32 i32 signed;
        deserialize_i64 visit_i64 i64 signed;
    }

    #[inline]
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_u64(self.unsigned("u64")?)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        visitor.visit_i128(self.signed("i128")?)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let first = self.first()?;
        let Head { major, argument, .. } = self.head()?;
        match (major, argument) {
            (UNSIGNED, Some(number)) => visitor.visit_u128(number.into()),
            (TAG, Some(2)) => visitor.visit_u128(self.large("u128")?),
            _ => Err(Reason::Type("u128", first).into()),
        }
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let value = match self.first()? {
            0xf4 => false,
            0xf5 => true,
            other => return Err(Reason::Type("bool", other).into()),
        };
        self.rest = &self.rest[1..];
        visitor.visit_bool(value)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match (self.first()?, self.head()?.argument) {
            (0xfa, Some(bits)) => visitor.visit_f32(f32::from_bits(bits as u32)),
            (first, _) => Err(Reason::Type("f32", first).into()),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match (self.first()?, self.head()?.argument) {
            (0xfb, Some(bits)) => visitor.visit_f64(f64::from_bits(bits)),
            (first, _) => Err(Reason::Type("f64", first).into()),
        }
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        const NO_TEXT: &str = "the text is not UTF-8";
        match self.string(TEXT, "str")? {
            Piece::Whole(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => Err(NO_TEXT.into()),
            },
            Piece::Joined(bytes) => match String::from_utf8(bytes) {
                Ok(text) => visitor.visit_string(text),
                Err(_) => Err(NO_TEXT.into()),
            },
        }
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.string(BYTES, "bytes")? {
            Piece::Whole(bytes) => visitor.visit_borrowed_bytes(bytes),
            Piece::Joined(bytes) => visitor.visit_byte_buf(bytes),
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if matches!(self.first()?, NULL | UNDEFINED) {
            self.rest = &self.rest[1..];
            return visitor.visit_none();
        }
        self.deeper(|inner| visitor.visit_some(inner))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.first()? {
            NULL | UNDEFINED => {
                self.rest = &self.rest[1..];
                visitor.visit_unit()
            }
            first => Err(Reason::Type("nothing", first).into()),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_unit(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deeper(|cursor| {
            let left = cursor.expect(ARRAY, "array")?;
            visitor.visit_seq(Items { cursor, left })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deeper(|cursor| match cursor.expect(ARRAY, "array")? {
            left @ Some(found) if found == length as u64 => {
                visitor.visit_seq(Items { cursor, left })
            }
            _ => Err(format!("an array of {length} elements was expected").into()),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deeper(|cursor| {
            let left = cursor.expect(MAP, "map")?;
            visitor.visit_map(Items { cursor, left })
        })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deserialize_map(visitor)
    }

    /// A variant is its name, or a map from its name to its content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.deeper(|cursor| {
            match cursor.first()? {
                first if first >> 5 == TEXT => {}
                0xa1 => cursor.rest = &cursor.rest[1..],
                first => return Err(Reason::Type("enum", first).into()),
            }
            visitor.visit_enum(Variant { cursor })
        })
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.first()? >> 5 {
            TEXT => self.deserialize_str(visitor),
            // A map that is flattened into a struct may have numbers as keys.
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let end = wire::skip(self.rest, 0, MAX_DEPTH)?;
        self.rest = &self.rest[end..];
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        let first = self.first()?;
        self.deeper(|cursor| match (first >> 5, first) {
            (UNSIGNED, _) => cursor.deserialize_u64(visitor),
            (NEGATIVE, _) => match cursor.signed("i128")? {
                number if number >= i64::MIN.into() => visitor.visit_i64(number as i64),
                number => visitor.visit_i128(number),
            },
            (BYTES, _) => cursor.deserialize_bytes(visitor),
            (TEXT, _) => cursor.deserialize_str(visitor),
            (ARRAY, _) => cursor.deserialize_seq(visitor),
            (MAP, _) => cursor.deserialize_map(visitor),
            (TAG, 0xc2) => cursor.deserialize_u128(visitor),
            (TAG, 0xc3) => cursor.deserialize_i128(visitor),
            (_, 0xf4 | 0xf5) => cursor.deserialize_bool(visitor),
            // As a unit, because a buffer reads a unit both as `None` and as `()`.
            (_, NULL | UNDEFINED) => cursor.deserialize_unit(visitor),
            (_, 0xfa) => cursor.deserialize_f32(visitor),
            (_, 0xfb) => cursor.deserialize_f64(visitor),
            _ => Err(Reason::Type("a value that serde knows", first).into()),
        })
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        true
    }
}

/// The rest of an array or a map.
struct Items<'c, 'de> {
    cursor: &'c mut Cursor<'de>,
    /// `None` if a break ends it.
    left: Option<u64>,
}

impl Items<'_, '_> {
    #[inline]
    fn has_next(&mut self) -> Result<bool, Malformed> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => self.cursor.is_break().map(|done| !done),
        }
    }

    /// No item is shorter than a byte, so it never reserves more than the bytes justify.
    #[inline]
    fn at_most(&self) -> Option<usize> {
        let left = usize::try_from(self.left?).unwrap_or(usize::MAX);
        Some(left.min(self.cursor.rest.len()))
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Malformed;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Malformed> {
        if self.has_next()? { seed.deserialize(&mut *self.cursor).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.at_most()
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de> {
    type Error = Malformed;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Malformed> {
        if self.has_next()? { seed.deserialize(&mut *self.cursor).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        seed.deserialize(&mut *self.cursor)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        self.at_most()
    }
}

/// A variant of an enum, its name first.
struct Variant<'c, 'de> {
    cursor: &'c mut Cursor<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Malformed;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Malformed> {
        Ok((seed.deserialize(&mut *self.cursor)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Malformed;

    fn unit_variant(self) -> Result<(), Malformed> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Malformed> {
        seed.deserialize(self.cursor)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.cursor.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        self.cursor.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cbor4ii::core::Value;
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::schema::value;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        numbers: (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128),
        floats: (f32, f64),
        text: (char, String),
        flag: bool,
        nothing: ((), Unit, Newtype, Option<()>),
        list: Vec<Option<Shape>>,
        map: BTreeMap<i32, Vec<u8>>,
        either: Untagged,
        tagged: Tagged,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype(Option<u64>);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle(u32),
        Box(u8, i8),
        Named { name: String, inner: Option<Box<Shape>> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(i64),
        Text(String),
        Many(Vec<bool>),
        None(Option<u8>),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { x: f64 },
        B { y: Option<String> },
    }

    fn shape() -> impl Strategy<Value = Shape> {
        let leaf = prop_oneof![
            Just(Shape::Point),
            any::<u32>().prop_map(Shape::Circle),
            any::<(u8, i8)>().prop_map(|(one, other)| Shape::Box(one, other)),
        ];
        leaf.prop_recursive(4, 8, 1, |inner| {
            (any::<String>(), proptest::option::of(inner))
                .prop_map(|(name, inner)| Shape::Named { name, inner: inner.map(Box::new) })
        })
    }

    fn either() -> impl Strategy<Value = (Untagged, Tagged)> {
        let untagged = prop_oneof![
            any::<i64>().prop_map(Untagged::Number),
            any::<String>().prop_map(Untagged::Text),
            any::<Vec<bool>>().prop_map(Untagged::Many),
            Just(Untagged::None(None)),
        ];
        let tagged = prop_oneof![
            (-1e9..1e9).prop_map(|x| Tagged::A { x }),
            any::<Option<String>>().prop_map(|y| Tagged::B { y }),
        ];
        (untagged, tagged)
    }

    fn all() -> impl Strategy<Value = All> {
        let numbers = any::<(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128)>();
        let floats = (-1e9_f32..1e9, -1e9_f64..1e9);
        let simple = (numbers, floats, any::<(char, String)>(), any::<(bool, Option<u64>)>());
        let list = proptest::collection::vec(proptest::option::of(shape()), 0..4);
        let rest = (list, any::<BTreeMap<i32, Vec<u8>>>(), either());
        (simple, rest).prop_map(|(simple, (list, map, (either, tagged)))| {
            let (numbers, floats, text, (flag, inner)) = simple;
            let nothing = ((), Unit, Newtype(inner), None);
            All { numbers, floats, text, flag, nothing, list, map, either, tagged }
        })
    }

    /// What `cbor4ii` reads, this reads the same.
    fn agrees<T: DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        let Ok(theirs) = cbor4ii::serde::from_slice::<T>(bytes) else { return };
        let mut cursor = Cursor::new(bytes);
        assert_eq!(T::deserialize(&mut cursor).unwrap(), theirs);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in all()) {
            let mut bytes = Vec::new();
            value::encode(&value, &mut bytes).unwrap();
            prop_assert_eq!(wire::check(&bytes), Ok(()));
            prop_assert_eq!(value::decode::<All>(&bytes).unwrap(), value);
        }

        #[test]
        fn what_cbor4ii_reads_is_read_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 1..24),
            shape in shape(),
            change in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut changed = cbor4ii::serde::to_vec(Vec::new(), &shape).unwrap();
            let at = change.0.index(changed.len());
            changed[at] = change.1;
            for bytes in [&bytes, &changed] {
                // Both read no further than the item goes, so only whole ones count.
                if wire::check(bytes).is_err() {
                    continue;
                }
                agrees::<Shape>(bytes);
                agrees::<Untagged>(bytes);
                agrees::<(u8, Option<i16>)>(bytes);
                agrees::<BTreeMap<String, Vec<i128>>>(bytes);
                agrees::<Vec<u128>>(bytes);
                agrees::<char>(bytes);
                agrees::<Option<bool>>(bytes);
                agrees::<bool>(bytes);
            }
        }
    }

    #[test]
    fn every_form_of_an_item_is_read() {
        let read = |bytes: &[u8]| value::decode::<Value>(bytes).unwrap();
        assert_eq!(read(b"\x7f\x61a\x62bc\xff"), Value::Text("abc".into()));
        assert_eq!(read(b"\x5f\x41a\x42bc\xff"), Value::Bytes(b"abc".to_vec()));
        assert_eq!(read(b"\x9f\x01\x20\xff"), Value::Array([1, -1].map(Value::Integer).to_vec()));
        let pair = (Value::Text("a".into()), Value::Null);
        assert_eq!(read(b"\xbf\x61a\xf6\xff"), Value::Map(vec![pair]));
        assert_eq!(read(b"\xc2\x41\x05"), Value::Integer(5));
        assert_eq!(read(b"\xc3\x49\x01\0\0\0\0\0\0\0\0"), Value::Integer(-1 - (1 << 64)));
        assert_eq!(read(b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), Value::Integer(-(1 << 64)));
        assert_eq!(read(b"\xfa\x3f\x80\0\0"), Value::Float(1.0));
        // A longer head than needed is read, too.
        assert_eq!(value::decode::<u8>(b"\x1b\0\0\0\0\0\0\0\x05"), Ok(5));
        assert_eq!(value::decode::<String>(b"\x78\x01a"), Ok("a".into()));
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let says = |error: Malformed, text: &str| assert_eq!(error.to_string(), text);
        says(value::decode::<u8>(b"\x19\x01\x00").unwrap_err(), "the number does not fit u8");
        says(
            value::decode::<i64>(b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err(),
            "the number does not fit i64",
        );
        says(value::decode::<u64>(b"\x20").unwrap_err(), "expected u64, found a negative number");
        says(value::decode::<bool>(b"\x01").unwrap_err(), "expected bool, found a number");
        says(
            value::decode::<(u8, u8)>(b"\x81\x01").unwrap_err(),
            "an array of 2 elements was expected",
        );
        says(value::decode::<String>(b"\x61\xff").unwrap_err(), "the text is not UTF-8");
        says(value::decode::<f64>(b"\x01").unwrap_err(), "expected f64, found a number");
        says(value::decode::<Shape>(b"\x81\x01").unwrap_err(), "expected enum, found an array");
        says(value::decode::<Vec<u8>>(b"\xa0").unwrap_err(), "expected array, found a map");
        says(
            value::decode::<Value>(b"\xe0").unwrap_err(),
            "expected a value that serde knows, found a simple value",
        );
    }

    /// Reads nothing, so that it could be nested for ever.
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only its depth matters")]
    struct Endless(Option<Box<Endless>>);

    #[test]
    fn a_type_that_nests_without_reading_ends() {
        let error = value::decode::<Endless>(b"\x05").unwrap_err();
        assert_eq!(error.to_string(), "nested deeper than 64 levels");
    }
}
