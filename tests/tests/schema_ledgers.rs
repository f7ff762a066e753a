//! Random histories of a struct: additions, renames, removals, changed types, fields made from
//! others. What is written at one version and read at another is what the steps between, composed
//! by hand, make of it; and the way back likewise. `build.rs` writes the structs.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.
#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Display;
use std::time::SystemTime;

use sessions::__private::{Header, Stored};
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
    fn of_length(length: u64) -> Self;
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

    fn of_length(length: u64) -> Self {
        length
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

    fn of_length(length: u64) -> Self {
        format!("of length {length}")
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

fn text(number: u64) -> String {
    format!("number {number}")
}

fn length(text: String) -> u64 {
    text.len() as u64
}

fn try_text(number: u64) -> Result<String, Infallible> {
    Ok(text(number))
}

fn try_length(text: String) -> Result<u64, Infallible> {
    Ok(length(text))
}

fn join<A: Kind, B: Kind>(one: A, other: B) -> String {
    format!("{one} and {other}")
}

fn split<A: Kind, B: Kind>(joined: String) -> (A, B) {
    let length = joined.len() as u64;
    (A::of_length(length), B::of_length(length + 1))
}

fn copy<A: Kind>(from: A) -> String {
    format!("copy of {from}")
}

fn retyped(value: &Value) -> Value {
    match value.clone() {
        Value::Number(number) => Value::Text(text(number)),
        Value::Text(text) => Value::Number(length(text)),
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
                let joined = format!("{} and {}", before.0[one], before.0[other]);
                map.0.insert(made, Value::Text(joined));
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
                for (name, more) in [(one, 0), (other, 1)] {
                    let length = joined.len() as u64 + more;
                    let value = match last(name) {
                        Value::Number(_) => u64::of_length(length).wrap(),
                        Value::Text(_) => String::of_length(length).wrap(),
                    };
                    map.0.insert(name, value);
                }
            }
        }
    }
}

/// Compares what the derive does with what is composed by hand.
struct Check {
    pairs: u32,
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

#[test]
fn any_version_reads_any_older_one_as_the_steps_between_say() {
    let mut check = Check { pairs: 0, random: 1 };
    check_all(&mut check);
    println!("{} pairs of versions", check.pairs);
    assert!(check.pairs > 100);
}
