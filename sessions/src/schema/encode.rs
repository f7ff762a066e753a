//! Encodes serde values as CBOR bytes, which [`decode`](super::decode) reads.
//!
//! Both sides report that they are human readable, as serde's own buffers do (behind `flatten`,
//! untagged and internally tagged enums). So a type whose form depends on that, such as an IP
//! address, is read from a buffer as it was written. serde's unit is a null, so a buffer can read
//! it back.

use serde::ser::{self, Serialize};

use super::cbor::{ARRAY, BYTES, MAP, MAX_DEPTH, MAX_STEPS, NEGATIVE, NULL, TAG, UNSIGNED};
use super::malformed::{Malformed, Reason};
use super::{cbor, wire};

/// Appends values to a buffer.
pub(crate) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// How many more levels of arrays and maps may open.
    levels: u16,
    /// How many more levels of calls of the types' serde code may follow.
    steps: u16,
}

impl<'a> Encoder<'a> {
    #[inline]
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, levels: MAX_DEPTH as u16, steps: MAX_STEPS }
    }

    /// Encodes a value that is inside this one, without an array or a map around it.
    #[inline]
    fn step<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Malformed> {
        self.steps = self.steps.checked_sub(1).ok_or(Reason::TooDeep)?;
        value.serialize(&mut *self)?;
        self.steps += 1;
        Ok(())
    }

    #[inline]
    fn enter(&mut self, levels: u16) -> Result<(), Malformed> {
        self.levels = self.levels.checked_sub(levels).ok_or(Reason::TooDeep)?;
        self.steps = self.steps.checked_sub(levels).ok_or(Reason::TooDeep)?;
        Ok(())
    }

    #[inline]
    fn leave(&mut self, levels: u16) {
        self.levels += levels;
        self.steps += levels;
    }

    /// Begins an array or a map, which is the last of `levels` around its items.
    #[inline]
    fn open(
        &mut self,
        levels: u16,
        major: u8,
        length: Option<usize>,
    ) -> Result<Items<'_, 'a>, Malformed> {
        self.enter(levels)?;
        match length {
            Some(length) => wire::put_head(self.out, major, length as u64),
            None => self.out.push(major << 5 | 31),
        }
        Ok(Items { encoder: self, levels, left: length })
    }

    /// Begins a map whose only key is a variant's name.
    #[inline]
    fn variant(&mut self, name: &str) {
        wire::put_head(self.out, MAP, 1);
        wire::put_text(self.out, name);
    }

    /// A number above 64 bits.
    fn large(&mut self, tag: u8, number: u128) -> Result<(), Malformed> {
        if self.levels == 0 {
            return Err(Reason::TooDeep.into());
        }
        self.out.push(TAG << 5 | tag);
        let digits = number.to_be_bytes();
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
        wire::put_head(self.out, BYTES, (digits.len() - first) as u64);
        self.out.extend_from_slice(&digits[first..]);
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident $ty:ident $wide:ident;)*) => {$(
        #[inline]
        fn $method(self, number: $ty) -> Result<(), Malformed> {
            self.$wide(number.into())
        }
    )*};
}

impl<'e, 'a> ser::Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = Malformed;
    type SerializeSeq = Items<'e, 'a>;
    type SerializeTuple = Items<'e, 'a>;
    type SerializeTupleStruct = Items<'e, 'a>;
    type SerializeTupleVariant = Items<'e, 'a>;
    type SerializeMap = Items<'e, 'a>;
    type SerializeStruct = Items<'e, 'a>;
    type SerializeStructVariant = Items<'e, 'a>;

    integers! {
        serialize_i8 i8 serialize_i64;
        serialize_i16 i16 serialize_i64;
        serialize_i32 i32 serialize_i64;
        serialize_u8 u8 serialize_u64;
        serialize_u16 u16 serialize_u64;
        serialize_u32 u32 serialize_u64;
    }

    #[inline]
    fn serialize_u64(self, number: u64) -> Result<(), Malformed> {
        wire::put_head(self.out, UNSIGNED, number);
        Ok(())
    }

    #[inline]
    fn serialize_i64(self, number: i64) -> Result<(), Malformed> {
        match u64::try_from(number) {
            Ok(number) => wire::put_head(self.out, UNSIGNED, number),
            // -1 - number, which is all bits turned.
            Err(_) => wire::put_head(self.out, NEGATIVE, !number as u64),
        }
        Ok(())
    }

    fn serialize_u128(self, number: u128) -> Result<(), Malformed> {
        match u64::try_from(number) {
            Ok(number) => self.serialize_u64(number),
            Err(_) => self.large(2, number),
        }
    }

    fn serialize_i128(self, number: i128) -> Result<(), Malformed> {
        if let Ok(number) = u128::try_from(number) {
            return self.serialize_u128(number);
        }
        let turned = !number as u128;
        match u64::try_from(turned) {
            Ok(turned) => {
                wire::put_head(self.out, NEGATIVE, turned);
                Ok(())
            }
            Err(_) => self.large(3, turned),
        }
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Malformed> {
        self.out.push(if value { 0xf5 } else { 0xf4 });
        Ok(())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Malformed> {
        self.out.push(0xfa);
        self.out.extend_from_slice(&number.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Malformed> {
        self.out.push(0xfb);
        self.out.extend_from_slice(&number.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, letter: char) -> Result<(), Malformed> {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Malformed> {
        wire::put_text(self.out, text);
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Malformed> {
        wire::put_head(self.out, BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Malformed> {
        self.out.push(NULL);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Malformed> {
        let start = self.out.len();
        self.step(value)?;
        if self.out.get(start) == Some(&NULL) {
            return Err(
                "`Some` around nothing (a `None`, a unit or a null) would be read back as \
                        `None`: use one `Option`, a `bool`, or an enum of your own"
                    .into(),
            );
        }
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Malformed> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Malformed> {
        self.serialize_none()
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Malformed> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Malformed> {
        self.step(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Malformed> {
        self.enter(1)?;
        self.variant(variant);
        value.serialize(&mut *self)?;
        self.leave(1);
        Ok(())
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Items<'e, 'a>, Malformed> {
        self.open(1, ARRAY, length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Items<'e, 'a>, Malformed> {
        self.open(1, ARRAY, Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<Items<'e, 'a>, Malformed> {
        self.open(1, ARRAY, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items<'e, 'a>, Malformed> {
        self.variant(variant);
        self.open(2, ARRAY, Some(length))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Items<'e, 'a>, Malformed> {
        self.open(1, MAP, length)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Items<'e, 'a>, Malformed> {
        self.open(1, MAP, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items<'e, 'a>, Malformed> {
        self.variant(variant);
        self.open(2, MAP, Some(length))
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        true
    }
}

/// The rest of an array or a map.
pub(crate) struct Items<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    levels: u16,
    /// How many of the announced items are missing. `None` if a break ends them.
    left: Option<usize>,
}

impl Items<'_, '_> {
    #[inline]
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Malformed> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1).ok_or_else(miscounted)?;
        }
        value.serialize(&mut *self.encoder)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Malformed> {
        wire::put_text(self.encoder.out, name);
        self.item(value)
    }

    #[inline]
    fn close(self) -> Result<(), Malformed> {
        match self.left {
            Some(0) => {}
            Some(_) => return Err(miscounted()),
            None => self.encoder.out.push(cbor::BREAK),
        }
        self.encoder.leave(self.levels);
        Ok(())
    }
}

#[cold]
fn miscounted() -> Malformed {
    "the type's serde code announces another number of items than it writes".into()
}

macro_rules! items {
    ($($collection:ident $method:ident;)*) => {$(
        impl ser::$collection for Items<'_, '_> {
            type Ok = ();
            type Error = Malformed;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Malformed> {
                self.item(value)
            }

            #[inline]
            fn end(self) -> Result<(), Malformed> {
                self.close()
            }
        }
    )*};
}

items! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($collection:ident)*) => {$(
        impl ser::$collection for Items<'_, '_> {
            type Ok = ();
            type Error = Malformed;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Malformed> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<(), Malformed> {
                self.close()
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Items<'_, '_> {
    type Ok = ();
    type Error = Malformed;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Malformed> {
        self.item(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Malformed> {
        value.serialize(&mut *self.encoder)
    }

    #[inline]
    fn end(self) -> Result<(), Malformed> {
        self.close()
    }
}

impl ser::Error for Malformed {
    #[cold]
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        text.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::schema::value;

    fn encoded<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        value::encode(value, &mut out)?;
        wire::check(&out)?;
        Ok(out)
    }

    fn says<T: Serialize + ?Sized>(value: &T) -> String {
        encoded(value).unwrap_err().to_string()
    }

    type Numbers = (u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

    proptest! {
        #[test]
        fn numbers_and_texts_are_written_as_cbor4ii_writes_them(
            numbers in any::<Numbers>(),
            shift in 0..128_u32,
            floats in any::<(f32, f64)>(),
            rest in any::<(bool, char, String, Option<u8>, BTreeMap<i32, Vec<u8>>)>(),
        ) {
            let narrow = (numbers.4 >> shift, numbers.9 >> shift, numbers.8 >> (shift % 64));
            let value = (numbers, narrow, floats, rest);
            let theirs = cbor4ii::serde::to_vec(Vec::new(), &value).unwrap();
            prop_assert_eq!(encoded(&value).unwrap(), theirs);
        }
    }

    #[test]
    fn nothing_is_a_null() {
        assert_eq!(encoded(&()).unwrap(), [NULL]);
        assert_eq!(encoded(&None::<u8>).unwrap(), [NULL]);
    }

    #[test]
    fn some_around_nothing_is_refused() {
        #[derive(serde::Serialize)]
        #[serde(transparent)]
        struct Alias(Option<u8>);

        for text in [says(&Some(None::<u8>)), says(&Some(())), says(&vec![Some(Alias(None))])] {
            assert!(text.starts_with("`Some` around nothing"), "{text}");
        }
        assert_eq!(encoded(&Some(Alias(Some(1)))).unwrap(), [1]);
    }

    /// Announces one number of items, and writes another.
    struct Liar(usize, usize);

    impl Serialize for Liar {
        fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use ser::SerializeSeq as _;
            let mut seq = serializer.serialize_seq(Some(self.0))?;
            (0..self.1).try_for_each(|item| seq.serialize_element(&item))?;
            seq.end()
        }
    }

    #[test]
    fn a_type_that_counts_wrong_is_refused() {
        // Together they would be well-formed.
        for liar in [&[Liar(2, 1), Liar(0, 1)][..], &[Liar(1, 2)], &[Liar(0, 1), Liar(2, 1)]] {
            assert!(says(liar).contains("another number of items"));
        }
        assert_eq!(encoded(&Liar(1, 1)).unwrap(), [0x81, 0]);
    }

    /// What a recursive type nests by.
    enum Nest {
        Array,
        Map,
        Some,
        Newtype,
        Variant,
        TupleVariant,
    }

    /// Nested so many times.
    struct Deep<'a>(&'a Nest, usize);

    impl Serialize for Deep<'_> {
        fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use ser::SerializeTupleVariant as _;
            let Some(depth) = self.1.checked_sub(1) else { return serializer.serialize_u8(0) };
            let inner = Deep(self.0, depth);
            match self.0 {
                Nest::Array => serializer.collect_seq([inner]),
                Nest::Map => serializer.collect_map([("x", inner)]),
                Nest::Some => serializer.serialize_some(&inner),
                Nest::Newtype => serializer.serialize_newtype_struct("x", &inner),
                Nest::Variant => serializer.serialize_newtype_variant("x", 0, "x", &inner),
                Nest::TupleVariant => {
                    let mut tuple = serializer.serialize_tuple_variant("x", 0, "x", 1)?;
                    tuple.serialize_field(&inner)?;
                    tuple.end()
                }
            }
        }
    }

    #[test]
    fn nesting_is_bounded_while_it_is_encoded() {
        for (nest, most) in [
            (Nest::Array, MAX_DEPTH),
            (Nest::Map, MAX_DEPTH),
            (Nest::Variant, MAX_DEPTH),
            (Nest::TupleVariant, MAX_DEPTH / 2),
            (Nest::Some, MAX_STEPS.into()),
            (Nest::Newtype, MAX_STEPS.into()),
        ] {
            assert!(encoded(&Deep(&nest, most)).is_ok());
            for depth in [most + 1, 4_000, 1_000_000] {
                assert_eq!(says(&Deep(&nest, depth)), "nested deeper than 64 levels");
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_counts_as_a_level() {
        #[derive(serde::Serialize)]
        #[serde(untagged)]
        enum Tree {
            Leaf(u128),
            Node([Box<Tree>; 1]),
        }
        let tree =
            |depth| (0..depth).fold(Tree::Leaf(u128::MAX), |tree, _| Tree::Node([Box::new(tree)]));
        assert!(encoded(&tree(MAX_DEPTH - 1)).is_ok());
        assert_eq!(says(&tree(MAX_DEPTH)), "nested deeper than 64 levels");
    }
}
