//! What the fuzz target `shapes` does with its input, and a property test with random bytes: makes
//! of it values of every shape that serde has, saves them, and reads them back.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use sessions::__private::{Fields, Header, Stored, diff};
use sessions::{Error, Session, SessionData};

/// Bytes that become values; zeros where they end.
pub(crate) struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        // Short numbers are as interesting as long ones.
        let length = usize::from(self.byte()) % (N + 1);
        let mut bytes = [0; N];
        bytes[..length].iter_mut().for_each(|byte| *byte = self.byte());
        bytes
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }
}

/// A type whose values are made from bytes; `depth` is how deep they may still nest.
trait Make: Sized {
    fn make(source: &mut Source<'_>, depth: u8) -> Self;
}

macro_rules! make_numbers {
    ($($number:ident)*) => {$(
        impl Make for $number {
            fn make(source: &mut Source<'_>, _: u8) -> Self {
                let negative = source.byte() & 1 == 1;
                let number = Self::from_le_bytes(source.bytes());
                if negative { !number } else { number }
            }
        }
    )*};
}

make_numbers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 }

impl Make for f32 {
    fn make(source: &mut Source<'_>, _: u8) -> Self {
        Self::from_le_bytes(source.bytes())
    }
}

impl Make for f64 {
    fn make(source: &mut Source<'_>, _: u8) -> Self {
        Self::from_le_bytes(source.bytes())
    }
}

impl Make for bool {
    fn make(source: &mut Source<'_>, _: u8) -> Self {
        source.byte() & 1 == 1
    }
}

impl Make for char {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        Self::from_u32(u32::make(source, depth)).unwrap_or('x')
    }
}

impl Make for String {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        (0..source.below(40)).map(|_| char::make(source, depth)).collect()
    }
}

impl Make for () {
    fn make(_: &mut Source<'_>, _: u8) -> Self {}
}

impl<A: Make, B: Make> Make for (A, B) {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        (A::make(source, depth), B::make(source, depth))
    }
}

impl<T: Make> Make for Option<T> {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        (source.below(3) > 0).then(|| T::make(source, depth))
    }
}

impl<T: Make> Make for Box<T> {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        Self::new(T::make(source, depth))
    }
}

impl<T: Make> Make for Vec<T> {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        (0..source.below(4)).map(|_| T::make(source, depth)).collect()
    }
}

impl<K: Make + Ord, V: Make> Make for BTreeMap<K, V> {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        (0..source.below(4)).map(|_| (K::make(source, depth), V::make(source, depth))).collect()
    }
}

impl<V: Make> Make for HashMap<String, V> {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        BTreeMap::make(source, depth).into_iter().collect()
    }
}

impl Make for IpAddr {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        match bool::make(source, depth) {
            true => Ipv4Addr::from(u32::make(source, depth)).into(),
            false => Ipv6Addr::from(u128::make(source, depth)).into(),
        }
    }
}

impl Make for SocketAddr {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        Self::new(IpAddr::make(source, depth), u16::make(source, depth))
    }
}

impl Make for Duration {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        Self::new(u32::make(source, depth).into(), u32::make(source, depth) % 1_000_000_000)
    }
}

impl Make for SystemTime {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        Self::UNIX_EPOCH + Duration::make(source, depth)
    }
}

impl Make for serde_json::Value {
    fn make(source: &mut Source<'_>, depth: u8) -> Self {
        let inner = depth.saturating_sub(1);
        match source.below(if depth == 0 { 6 } else { 8 }) {
            0 => Self::Null,
            1 => bool::make(source, depth).into(),
            2 => u64::make(source, depth).into(),
            3 => i64::make(source, depth).into(),
            4 => f64::make(source, depth).into(),
            5 => String::make(source, depth).into(),
            6 => Vec::<Self>::make(source, inner).into(),
            _ => BTreeMap::<String, Self>::make(source, inner).into_iter().collect(),
        }
    }
}

/// Bytes as serde's own byte strings.
#[derive(Clone, Debug, PartialEq)]
struct Blob(Vec<u8>);

impl Make for Blob {
    fn make(source: &mut Source<'_>, _: u8) -> Self {
        Self((0..source.byte()).map(|_| source.byte()).collect())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// A type and how its values are made: one constructor for each of its forms, those behind the `;`
/// only where it may still nest.
macro_rules! forms {
    ($ty:ident: $($leaf:expr),*; $($deep:expr),*) => {
        impl Make for $ty {
            fn make(source: &mut Source<'_>, depth: u8) -> Self {
                let leaves: &[fn(&mut Source<'_>, u8) -> Self] = &[$($leaf),*];
                let deep: &[fn(&mut Source<'_>, u8) -> Self] = &[$($deep),*];
                let all = leaves.len() + if depth == 0 { 0 } else { deep.len() };
                let chosen = usize::from(source.byte()) % all;
                let form = leaves.iter().chain(deep).nth(chosen).expect("there are as many");
                form(source, depth.saturating_sub(1))
            }
        }
    };
}

/// Makes a value of whatever type is asked for.
fn m<T: Make>(source: &mut Source<'_>, depth: u8) -> T {
    T::make(source, depth)
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Leaf {
    Unit,
    Bool(bool),
    Unsigned(u8, u16, u32, u64),
    Signed(i8, i16, i32, i64),
    Wide(u128),
    WideSigned(i128),
    Float(f32, f64),
    Letter(char),
    Text(String),
    Blob(Blob),
    Ip(IpAddr),
    Socket { addr: SocketAddr },
    At(SystemTime),
    Lasts(Duration),
    Json(serde_json::Value),
    Nothing(()),
    UnitStruct(UnitStruct),
    MaybeNothing(Option<()>),
    MaybeJson(Option<serde_json::Value>),
    Twice(Option<Option<u8>>),
    Alias(Option<Alias>),
    Skips(Skips),
    Positional(Positional),
}

forms! { Leaf:
    |_, _| Self::Unit,
    |s, d| Self::Bool(m(s, d)),
    |s, d| Self::Unsigned(m(s, d), m(s, d), m(s, d), m(s, d)),
    |s, d| Self::Signed(m(s, d), m(s, d), m(s, d), m(s, d)),
    |s, d| Self::Wide(m(s, d)),
    |s, d| Self::WideSigned(m(s, d)),
    |s, d| Self::Float(m(s, d), m(s, d)),
    |s, d| Self::Letter(m(s, d)),
    |s, d| Self::Text(m(s, d)),
    |s, d| Self::Blob(m(s, d)),
    |s, d| Self::Ip(m(s, d)),
    |s, d| Self::Socket { addr: m(s, d) },
    |s, d| Self::At(m(s, d)),
    |s, d| Self::Lasts(m(s, d)),
    |s, d| Self::Json(m(s, d)),
    |_, _| Self::Nothing(()),
    |_, _| Self::UnitStruct(UnitStruct),
    |s, d| Self::MaybeNothing(m(s, d)),
    |s, d| Self::MaybeJson(m(s, d)),
    |s, d| Self::Twice(m(s, d)),
    |s, d| Self::Alias(m(s, d)),
    |s, d| Self::Skips(m(s, d)),
    |s, d| Self::Positional(m(s, d));
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct UnitStruct;

/// What looks like no `Option`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Alias(Option<u8>);

forms! { Alias: |s, d| Self(m(s, d)); }

/// Leaves out what cannot be missing.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    required: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maybe: Option<u8>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    defaulted: String,
}

forms! { Skips: |s, d| Self { required: m(s, d), maybe: m(s, d), defaulted: m(s, d) }; }

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Positional(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8);

// Without its first element it is none of its own, and inside an untagged enum another variant.
forms! { Positional: |s, d| Self(Some(m(s, d)), m(s, d)); }

/// No value of one variant is one of an earlier variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Bare {
    Nothing,
    Number(i64),
    Unsigned(u64),
    Wide(u128),
    Float(f64),
    Ip(IpAddr),
    Tuple(bool, Option<Box<Shape>>),
    // In front of the structs: for serde, a number may name a field by its place.
    Map(BTreeMap<i16, Shape>),
    Json(Marked),
    Named { socket: SocketAddr, inner: Option<Box<Shape>> },
}

forms! { Bare:
    |_, _| Self::Nothing,
    |s, d| Self::Number(m(s, d)),
    |s, d| Self::Unsigned(u64::make(s, d) | 1 << 63),
    |s, d| Self::Wide(u128::make(s, d) | 1 << 64),
    |s, d| Self::Float(m(s, d)),
    |s, d| Self::Ip(m(s, d)),
    |s, d| Self::Json(m(s, d));
    |s, d| Self::Tuple(m(s, d), m(s, d)),
    // Small keys are the places of a struct's fields, where the map itself cannot be read.
    |s, d| Self::Map(BTreeMap::<i16, _>::make(s, d).into_iter().map(|(k, v)| (k | 0x1000, v)).collect()),
    |s, d| Self::Named { socket: m(s, d), inner: m(s, d) }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    json: serde_json::Value,
}

forms! { Marked: |s, d| Self { json: m(s, d) }; }

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Inside {
    Unit,
    Newtype(Marked),
    Named { ip: IpAddr, leaf: Leaf },
    Deep { at: Duration, inner: Vec<Shape> },
}

forms! { Inside:
    |_, _| Self::Unit,
    |s, d| Self::Newtype(m(s, d)),
    |s, d| Self::Named { ip: m(s, d), leaf: m(s, d) };
    |s, d| Self::Deep { at: m(s, d), inner: m(s, d) }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", content = "content")]
enum Beside {
    Unit,
    Newtype(Leaf),
    Maybe(Option<IpAddr>),
    Tuple(u8, Box<Shape>),
    Named { socket: SocketAddr, inner: Option<Box<Shape>> },
}

forms! { Beside:
    |_, _| Self::Unit,
    |s, d| Self::Newtype(m(s, d)),
    |s, d| Self::Maybe(m(s, d));
    |s, d| Self::Tuple(m(s, d), m(s, d)),
    |s, d| Self::Named { socket: m(s, d), inner: m(s, d) }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flat {
    own: u8,
    #[serde(flatten)]
    inner: FlatInner,
    #[serde(flatten)]
    rest: BTreeMap<i32, Shape>,
}

forms! { Flat: |s, d| Self { own: m(s, d), inner: m(s, d), rest: m(s, d) }; }

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FlatEnum {
    own: Option<IpAddr>,
    #[serde(flatten)]
    either: Inside,
}

forms! { FlatEnum: |s, d| Self { own: m(s, d), either: m(s, d) }; }

#[derive(Clone, Debug, Serialize, Deserialize)]
struct FlatInner {
    address: IpAddr,
    nothing: (),
    maybe: Option<u64>,
    beside: Beside,
}

forms! { FlatInner: |s, d| Self {
    address: m(s, d),
    nothing: (),
    maybe: m(s, d),
    beside: m(s, d),
}; }

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Shape {
    Leaf(Leaf),
    Bare(Bare),
    Inside(Inside),
    Beside(Beside),
    Flat(Box<Flat>),
    FlatEnum(FlatEnum),
    Map(BTreeMap<String, Shape>),
    Keys(BTreeMap<(u8, char), Option<Shape>>),
    Tuple(u8, Option<Box<Shape>>),
    Named { leaf: Leaf, inner: Box<Shape> },
    Maybe(Option<Option<Box<Shape>>>),
}

forms! { Shape:
    |s, d| Self::Leaf(m(s, d)),
    |s, d| Self::Bare(m(s, d)),
    |s, d| Self::Inside(m(s, d));
    |s, d| Self::Beside(m(s, d)),
    |s, d| Self::Flat(m(s, d)),
    |s, d| Self::FlatEnum(m(s, d)),
    |s, d| Self::Map(m(s, d)),
    |s, d| Self::Keys(m(s, d)),
    |s, d| Self::Tuple(m(s, d), m(s, d)),
    |s, d| Self::Named { leaf: m(s, d), inner: m(s, d) },
    |s, d| Self::Maybe(m(s, d))
}

impl Default for Shape {
    fn default() -> Self {
        Self::Leaf(Leaf::Unit)
    }
}

#[derive(Clone, Debug, Session)]
#[session(name = "shaped", version = 2, unchanged(2))]
struct Shaped {
    #[session(merge = add)]
    count: u64,
    shape: Shape,
    #[session(merge = conflict)]
    other: Shape,
    list: Vec<Shape>,
    #[session(merge = append)]
    log: Vec<Shape>,
    map: HashMap<String, Shape>,
    json: serde_json::Value,
    maybe: Option<Leaf>,
    #[session(default = Bare::Nothing)]
    bare: Bare,
}

impl Make for Shaped {
    fn make(s: &mut Source<'_>, d: u8) -> Self {
        Self {
            count: m(s, d),
            shape: m(s, d),
            other: m(s, d),
            list: m(s, d),
            log: m(s, d),
            map: m(s, d),
            json: m(s, d),
            maybe: m(s, d),
            bare: m(s, d),
        }
    }
}

/// Whatever it was, nothing of it is known.
#[derive(Clone, Debug, Default)]
struct Unknown;

impl Serialize for Unknown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(0)
    }
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// An older build of [`Shaped`], which knows none of its types.
#[derive(Clone, Debug, Session)]
#[session(name = "shaped", version = 1)]
struct Older {
    #[session(merge = add)]
    count: u64,
    shape: Unknown,
    other: Unknown,
    list: Vec<Unknown>,
    #[session(merge = append)]
    log: Vec<Unknown>,
    map: HashMap<String, Unknown>,
    json: Unknown,
    maybe: Unknown,
    bare: Unknown,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Saved,
    Refused,
}

/// The reasons for which a value may be refused: what serde's buffers cannot hold, what cannot be
/// told from nothing, and what the type's own serde code could not read.
const REASONS: &[&str] = &[
    "`Some` around nothing",
    "128 is not supported",
    "did not match any variant of untagged enum",
    "missing field `required`",
    "an array of 2 elements was expected",
    "expected tuple struct Positional with 2 elements",
    "a number, expected field identifier", // A negative key, flattened and in a buffer.
    "a number above 64 bits, expected any value",
];

/// Makes values of the input, saves them and reads them back.
pub(crate) fn run(data: &[u8]) -> Outcome {
    let mut source = Source(data);
    let value = Shaped::make(&mut source, 4);
    let fresh = Shaped::fresh().fields().expect("a fresh value is encoded");
    let Some(mine) = saved(&fresh, &value) else { return Outcome::Refused };
    let base = stored::<Shaped>(&mine);
    let again: Shaped = base.decode().expect("what was saved is read");
    same(&again, &value);

    // Nothing changed, whatever order a map has.
    let mut unchanged = again.fields().expect("what was read is encoded");
    let outcome = diff(Shaped::TABLE, &base, &mut unchanged).expect("it was read before");
    assert!(!outcome.changed);
    assert_eq!(data_of(&unchanged), data_of(&base));

    // A change is a change, whatever it is, and touches nothing else.
    let mut changed = again.clone();
    changed.other = m(&mut source, 3);
    let differs = format!("{:?}", changed.other) != format!("{:?}", again.other);
    if let Some(mine) = saved(&base, &changed) {
        same(&stored::<Shaped>(&mine).decode::<Shaped>().expect("it is read"), &changed);
        if differs {
            assert_ne!(data_of(&mine), data_of(&base));
        }
    }

    // An older build leaves alone what it leaves alone.
    let base = stored::<Older>(&mine);
    let mut older: Older = base.decode().expect("an older build reads what it does not know");
    older.count ^= 1;
    let mut expected = value.clone();
    expected.count ^= 1;
    if older.list.pop().is_some() {
        expected.list.pop();
    }
    let mine = saved(&base, &older).expect("an older build saves");
    same(&stored::<Shaped>(&mine).decode::<Shaped>().expect("it is read"), &expected);
    Outcome::Saved
}

/// The fields as they are saved, unless they are refused, which must be for a known reason.
fn saved<T: SessionData>(base: &Fields, value: &T) -> Option<Fields> {
    let saved = value.fields().and_then(|mut mine| {
        diff(T::TABLE, base, &mut mine)?;
        Ok(mine)
    });
    match saved {
        Ok(mine) => Some(mine),
        Err(Error::Encode { source, .. }) => {
            let text = source.to_string();
            let known = REASONS.iter().any(|reason| text.contains(reason));
            assert!(known, "{text}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn stored<T: SessionData>(fields: &Fields) -> Fields {
    let stored = Stored::parse("shaped", &data_of(fields).into()).expect("a record is parsed");
    stored.fields(T::TABLE).expect("its fields are there")
}

fn data_of(fields: &Fields) -> Vec<u8> {
    fields.to_data(&Header::new(SystemTime::UNIX_EPOCH)).expect("it is short enough").to_vec()
}

/// Compared as they print: NaN is NaN, and zero is not its negative. A hash map is compared by entry.
#[track_caller]
fn same(one: &Shaped, other: &Shaped) {
    let text = |shaped: &Shaped| {
        let mut shaped = shaped.clone();
        let map: BTreeMap<_, _> = std::mem::take(&mut shaped.map).into_iter().collect();
        format!("{shaped:?} {map:?}")
    };
    assert_eq!(text(one), text(other));
}
