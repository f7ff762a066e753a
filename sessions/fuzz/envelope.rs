//! What the fuzz target `envelope` does with its input, and the test that replays its corpus: reads
//! it as a record of a session with every kind of field, and takes it through a request.

#![allow(clippy::needless_pass_by_value)] // Converters take what they convert.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use sessions::__private::{Fields, Stored, diff, merge};
use sessions::provider::Bytes;
use sessions::{Error, Flash, Session, SessionData};

/// A field of every kind, two versions of history, and a type that nests as deep as its input.
#[derive(Debug, Session)]
#[session(name = "fuzzed", version = 3)]
#[session(removed(theme: String, before = 3), removed(size: u8, before = 3))]
pub(crate) struct Fuzzed {
    #[session(owner)]
    pub(crate) user: Option<u64>,
    #[session(group = "owner")]
    pub(crate) roles: BTreeSet<String>,
    #[session(was(before = 2, name = "hits"), merge = add)]
    pub(crate) visits: u64,
    #[session(was(before = 3, ty = String, try_with = str_to_number), merge = max)]
    pub(crate) total: i128,
    #[session(since = 3, from(theme, size), with = look)]
    pub(crate) look: Option<(String, u8)>,
    pub(crate) tree: Tree,
    pub(crate) cart: Vec<(String, f64)>,
    pub(crate) counts: HashMap<String, Vec<u8>>,
    #[session(merge = append)]
    pub(crate) log: Vec<char>,
    pub(crate) notices: Flash<Option<bool>>,
    #[session(merge = clear_wins)]
    pub(crate) token: Option<Vec<u8>>,
}

/// Nests as deep as somebody likes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    #[default]
    Leaf,
    Named {
        name: String,
        inner: Box<Tree>,
    },
    Many(Vec<Tree>),
    Maybe(Option<Box<Tree>>),
}

fn str_to_number(text: String) -> Result<i128, std::num::ParseIntError> {
    text.parse()
}

fn look(theme: String, size: u8) -> Option<(String, u8)> {
    Some((theme, size))
}

/// Takes a record through a request; the error is what reading it says.
pub(crate) fn run(data: &[u8]) -> Result<(), Error> {
    let stored = Stored::parse("fuzzed", &Bytes::copy_from_slice(data))?;
    let value = Fuzzed::load(&stored);
    let base = stored.fields(Fuzzed::TABLE);
    if value.is_ok() {
        // What can be read can be saved.
        assert!(base.is_ok(), "{:?}", base.err());
    }
    let (value, base) = (value?, base?);
    let mine = changed(value, &base, |value| {
        value.visits ^= 1;
        value.cart.pop();
        value.log.push('m');
    });
    let theirs = changed(base.decode()?, &base, |value| {
        value.visits = value.visits.wrapping_add(3);
        value.cart.push(("theirs".to_owned(), 0.5));
        value.counts.clear();
        value.log.push('t');
    });
    let merged = merge(Fuzzed::TABLE, &base, &mine, &theirs)?.fields;
    let data = merged.to_data(&stored.header()?)?;
    let again = Stored::parse("fuzzed", &data).and_then(|stored| stored.fields(Fuzzed::TABLE));
    again.and_then(|again| again.decode::<Fuzzed>()).expect("what was written is read");
    Ok(())
}

fn changed(mut value: Fuzzed, base: &Fields, change: impl FnOnce(&mut Fuzzed)) -> Fields {
    change(&mut value);
    let mut fields = value.fields().expect("what was read can be written");
    diff(Fuzzed::TABLE, base, &mut fields).expect("what was read is read again");
    fields
}
