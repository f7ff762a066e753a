//! Random histories of a struct: additions, renames, removals, changed types, fields made from
//! others. What is written at one version and read at another is what the steps between, composed
//! by hand, make of it; and the way back likewise. `build.rs` writes the structs.

#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::SystemTime;

use sessions::__private::{Header, Stored, diff};
use sessions::{Session, SessionData};

include!(concat!(env!("OUT_DIR"), "/ledgers.rs"));

/// What changed with a version.
#[derive(Debug)]
enum Step {
    /// A new field, with what older records have for it.
    Add(&'static str, Default),
    /// A number becomes a text, a text a number; with what records have from then on that are from
    /// before the field.
    Retype(&'static str, Default),
    /// A field goes.
    Remove(&'static str),
    /// The field that is about to go, and what an older version gets for it.
    Last(&'static str, Default),
    /// A field made from two that go; whether it is still there in the newest version.
    Join(&'static str, &'static str, &'static str, bool),
    /// A field made from one that stays.
    Copy(&'static str, &'static str),
}

#[derive(Clone, Copy, Debug)]
enum Default {
    Number(u64),
    Text(&'static str),
}

impl Default {
    fn value(self) -> Value {
        match self {
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::Text(text.to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u64),
    Text(String),
}

impl Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A type that the ledgers' fields have.
trait Kind: Display + Clone {
    fn wrap(self) -> Value;
    fn unwrap(value: &Value) -> Self;
    /// A value that stands for a text, and back.
    fn of_text(text: String) -> Self;
    fn to_text(self) -> String;
    /// What `of_text` made is beside this.
    fn mark() -> Self;
    fn parse(text: &str) -> Option<Self>;
}

impl Kind for u64 {
    fn wrap(self) -> Value {
        Value::Number(self)
    }

    fn unwrap(value: &Value) -> Self {
        match value {
            Value::Number(number) => *number,
            Value::Text(text) => panic!("{text} is no number"),
        }
    }

    fn of_text(text: String) -> Self {
        number(text)
    }

    fn to_text(self) -> String {
        text(self)
    }

    fn mark() -> Self {
        0xfeed_face_cafe_beef
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Kind for String {
    fn wrap(self) -> Value {
        Value::Text(self)
    }

    fn unwrap(value: &Value) -> Self {
        match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => panic!("{number} is no text"),
        }
    }

    fn of_text(text: String) -> Self {
        text
    }

    fn to_text(self) -> String {
        self
    }

    fn mark() -> Self {
        "\u{1}".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// The values of a struct, by the fields' names.
#[derive(Clone, Debug, PartialEq)]
struct Map(BTreeMap<&'static str, Value>);

#[expect(clippy::derivable_impls, reason = "`Default` is another name here")]
impl std::default::Default for Map {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl Map {
    fn put<K: Kind>(&mut self, name: &'static str, value: &K) {
        self.0.insert(name, value.clone().wrap());
    }

    fn take<K: Kind>(&self, name: &'static str) -> K {
        K::unwrap(&self.0[name])
    }
}

trait Values: SessionData {
    fn to_map(&self) -> Map;
    fn from_map(map: &Map) -> Self;
}

// The converters, which the steps by hand use, too.

// Each has an inverse, so that whatever goes to an older build and back must come back the same.

/// Texts that are no number, each with the number that stands for it.
static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

const FIRST_TEXT: u64 = 0xdead_beef_0000_0000;

fn text(number: u64) -> String {
    let texts = TEXTS.lock().unwrap();
    let known = number.checked_sub(FIRST_TEXT).and_then(|index| texts.get(index as usize));
    known.cloned().unwrap_or_else(|| format!("number {number}"))
}

fn number(text: String) -> u64 {
    let number = text.strip_prefix("number ").and_then(|number| number.parse().ok());
    if let Some(number) = number.filter(|number| text == format!("number {number}")) {
        return number;
    }
    let mut texts = TEXTS.lock().unwrap();
    let found = texts.iter().position(|known| *known == text);
    let index = found.unwrap_or_else(|| {
        texts.push(text);
        texts.len() - 1
    });
    FIRST_TEXT + index as u64
}

fn try_text(number: u64) -> Result<String, Infallible> {
    Ok(text(number))
}

fn try_number(text: String) -> Result<u64, Infallible> {
    Ok(number(text))
}

fn join<A: Kind, B: Kind>(one: A, other: B) -> String {
    if other.to_string() == B::mark().to_string() {
        return one.to_text();
    }
    let one = one.to_string();
    format!("{} {one} and {other}", one.len())
}

fn split<A: Kind, B: Kind>(joined: String) -> (A, B) {
    let parts = || {
        let (length, rest) = joined.split_once(' ')?;
        let (one, other) = rest.split_at_checked(length.parse().ok()?)?;
        Some((A::parse(one)?, B::parse(other.strip_prefix(" and ")?)?))
    };
    let parts = parts().filter(|(one, other)| join(one.clone(), other.clone()) == joined);
    parts.unwrap_or_else(|| (A::of_text(joined), B::mark()))
}

/// `join` of values.
fn joined(one: &Value, other: &Value) -> Value {
    let text = match (one.clone(), other.clone()) {
        (Value::Number(one), Value::Number(other)) => join(one, other),
        (Value::Number(one), Value::Text(other)) => join(one, other),
        (Value::Text(one), Value::Number(other)) => join(one, other),
        (Value::Text(one), Value::Text(other)) => join(one, other),
    };
    Value::Text(text)
}

/// `split` into values of the types of these.
fn split_as(joined: String, one: &Value, other: &Value) -> (Value, Value) {
    fn wrapped<A: Kind, B: Kind>(joined: String) -> (Value, Value) {
        let (one, other) = split::<A, B>(joined);
        (one.wrap(), other.wrap())
    }
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => wrapped::<u64, u64>(joined),
        (Value::Number(_), Value::Text(_)) => wrapped::<u64, String>(joined),
        (Value::Text(_), Value::Number(_)) => wrapped::<String, u64>(joined),
        (Value::Text(_), Value::Text(_)) => wrapped::<String, String>(joined),
    }
}

fn copy<A: Kind>(from: A) -> String {
    format!("copy of {from}")
}

fn retyped(value: &Value) -> Value {
    match value.clone() {
        Value::Number(number) => Value::Text(text(number)),
        Value::Text(text) => Value::Number(number(text)),
    }
}

/// Composes one version's steps on values of the version before. `added`: the fields that the
/// record is too old for; they have the default of the reading build, whatever their type was.
fn step_up(map: &mut Map, added: &mut BTreeSet<&'static str>, steps: &[Step]) {
    // What goes is still there for what is made from it.
    let before = map.clone();
    for step in steps {
        match step {
            Step::Add(name, default) => {
                map.0.insert(name, default.value());
                added.insert(name);
            }
            Step::Retype(name, default) => {
                let value = match added.contains(name) {
                    true => default.value(),
                    false => retyped(&before.0[name]),
                };
                map.0.insert(name, value);
            }
            Step::Remove(name) => drop(map.0.remove(name)),
            Step::Last(..) => {}
            Step::Join(made, one, other, _) => {
                map.0.insert(made, joined(&before.0[one], &before.0[other]));
                map.0.remove(one);
                map.0.remove(other);
            }
            Step::Copy(made, source) => {
                let copied = format!("copy of {}", before.0[source]);
                map.0.insert(made, Value::Text(copied));
            }
        }
    }
}

/// Composes the inverses of one version's steps on values of that version.
fn step_down(map: &mut Map, steps: &[Step]) {
    let after = map.clone();
    let last = |name: &str| {
        let default = steps.iter().find_map(|step| match step {
            Step::Last(last, default) if *last == name => Some(default.value()),
            _ => None,
        });
        default.unwrap()
    };
    for step in steps {
        match step {
            Step::Add(name, _) | Step::Copy(name, _) => drop(map.0.remove(name)),
            Step::Retype(name, _) => drop(map.0.insert(name, retyped(&after.0[name]))),
            Step::Remove(name) => drop(map.0.insert(name, last(name))),
            Step::Last(..) => {}
            Step::Join(made, one, other, false) => {
                map.0.remove(made);
                map.0.insert(one, last(one));
                map.0.insert(other, last(other));
            }
            Step::Join(made, one, other, true) => {
                let Some(Value::Text(joined)) = map.0.remove(made) else { panic!("{made}") };
                let (first, second) = split_as(joined, &last(one), &last(other));
                map.0.insert(one, first);
                map.0.insert(other, second);
            }
        }
    }
}

/// Compares what the derive does with what is composed by hand.
struct Check {
    pairs: u32,
    returns: u32,
    random: u64,
}

impl Check {
    fn random_values<T: Values>(&mut self) -> Map {
        let mut map = T::fresh().to_map();
        for value in map.0.values_mut() {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = self.random >> (self.random % 64);
            *value = match value {
                Value::Number(_) => Value::Number(number),
                Value::Text(_) => Value::Text(format!("{number:x}")),
            };
        }
        map
    }

    fn written<T: Values>(map: &Map) -> Stored {
        let fields = T::from_map(map).fields().unwrap();
        let data = fields.to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap();
        Stored::parse("ledger", &data).unwrap()
    }

    /// Written by `A` at one version, read by `B` at the same or a later one.
    fn up<A: Values, B: Values>(&mut self, ledger: &[&[Step]], from: usize, to: usize) {
        for _ in 0..8 {
            let mut map = self.random_values::<A>();
            let stored = Self::written::<A>(&map);
            let mut added = BTreeSet::new();
            for steps in &ledger[from - 1..to - 1] {
                step_up(&mut map, &mut added, steps);
            }
            assert_eq!(B::load(&stored).unwrap().to_map(), map, "{from} to {to}: {ledger:?}");
            let fields = stored.fields(B::TABLE).unwrap();
            assert_eq!(fields.decode::<B>().unwrap().to_map(), map);
        }
        self.pairs += 1;
    }

    /// Written by `A`, which is at one version and writes an older one; read by a build of that.
    fn down<A: Values, B: Values>(&mut self, ledger: &[&[Step]], from: usize, to: usize) {
        for _ in 0..8 {
            let mut map = self.random_values::<A>();
            let stored = Self::written::<A>(&map);
            assert_eq!(usize::from(stored.summary.schema_version), to);
            for steps in ledger[to - 1..from - 1].iter().rev() {
                step_down(&mut map, steps);
            }
            assert_eq!(B::load(&stored).unwrap().to_map(), map, "{from} to {to}: {ledger:?}");
        }
        self.pairs += 1;
    }
}

impl Check {
    /// Written by `A`, which writes an older version; loaded and saved by `B`, a build of that
    /// version, which may change a field of its own; read by `A` and by `C`, the build of the
    /// deploy after it. Nothing is lost.
    fn back<A: Values, B: Values, C: Values>(
        &mut self,
        ledger: &[&[Step]],
        from: usize,
        to: usize,
    ) {
        for _ in 0..8 {
            let map = self.random_values::<A>();
            let stored = Self::written::<A>(&map);
            let base = stored.fields(B::TABLE).unwrap();
            let mut mine = B::load(&stored).unwrap().fields().unwrap();
            diff(B::TABLE, &base, &mut mine).unwrap();
            let data = mine.to_data(&stored.header().unwrap()).unwrap();
            let stored = Stored::parse("ledger", &data).unwrap();
            for read in [A::load(&stored).unwrap().to_map(), C::load(&stored).unwrap().to_map()] {
                assert_eq!(read, map, "{from} to {to} and back: {ledger:?}");
            }
            // What `C` saves of it, `A` writes at its version.
            let base = stored.fields(C::TABLE).unwrap();
            let mut mine = C::from_map(&map).fields().unwrap();
            diff(C::TABLE, &base, &mut mine).unwrap();
            let data = mine.to_data(&stored.header().unwrap()).unwrap();
            let stored = Stored::parse("ledger", &data).unwrap();
            assert_eq!(A::load(&stored).unwrap().to_map(), map);
        }
        self.returns += 1;
    }
}

#[test]
fn any_version_reads_any_older_one_as_the_steps_between_say() {
    let mut check = Check { pairs: 0, returns: 0, random: 1 };
    check_all(&mut check);
    println!("{} pairs of versions, {} ways back", check.pairs, check.returns);
    assert!(check.pairs > 100 && check.returns > 15);
}
