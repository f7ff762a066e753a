//! Every setting at least once, in the combinations that the guide shows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use sessions::{Session, SessionData, schema::MergeConflict};

#[derive(Session)]
#[session(name = "all_of_it", version = 7, oldest = 2, write = 4, compat = 4)]
#[session(unchanged(7), merge = conflict)]
#[session(group("plan", merge = mine), group("owner", merge = mine))]
#[session(removed(first: String, since = 3, before = 6, was(before = 4, name = "given")))]
#[session(removed(last: String, before = 6), removed(age: u8, before = 3))]
#[session(removed(gone: u16, since = 4, before = 6, default = 7))]
pub struct AllOfIt {
    #[session(owner)]
    user: String,
    #[session(group = "owner")]
    roles: BTreeSet<String>,
    #[session(group = "plan")]
    plan: String,
    #[session(group = "plan", default = 3)]
    limit: u8,
    #[session(key = "n", merge = add)]
    count: i64,
    #[session(merge = add)]
    time: Duration,
    #[session(merge = max)]
    best: Option<u8>,
    #[session(merge = or)]
    seen: bool,
    #[session(merge = append)]
    log: VecDeque<u8>,
    #[session(merge = union)]
    tree: BTreeMap<u8, u8>,
    #[session(merge = mine)]
    map: HashMap<u8, Vec<Option<u8>>>,
    #[session(merge = conflict)]
    set: HashSet<(u8, u8)>,
    #[session(merge = clear_wins)]
    token: Option<String>,
    #[session(merge(with = Self::newer))]
    stamp: u64,
    #[session(since = 6, from(first, last), with = Name::join, back = Name::split)]
    name: Name,
    #[session(since = 4, from(user), with = str_len)]
    length: usize,
    #[session(since = 3, was(before = 4, ty = u8, with = u16::from))]
    #[session(was(before = 5, ty = u16, with = u32::from, try_back = u16::try_from))]
    #[session(was(before = 6, name = "old_size", ty = u32, with = u64::from, try_back = u32::try_from))]
    size: u64,
    #[session(skip)]
    cache: Option<std::sync::Weak<u8>>,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Name(String);

impl Name {
    fn join(first: String, last: String) -> Self {
        Self(first + " " + &last)
    }

    fn split(self) -> (String, String) {
        let (first, last) = self.0.split_once(' ').unwrap_or((&self.0, ""));
        (first.to_owned(), last.to_owned())
    }
}

fn str_len(text: String) -> usize {
    text.len()
}

impl AllOfIt {
    fn newer(_base: &u64, mine: &u64, theirs: &u64) -> Result<u64, MergeConflict> {
        if mine == theirs { Err(MergeConflict) } else { Ok(*mine.max(theirs)) }
    }
}

fn main() {
    let fresh = AllOfIt::fresh();
    assert_eq!(fresh.limit, 3);
    assert_eq!(AllOfIt::SCHEMA.write, 4);
    print!("{}", AllOfIt::SCHEMA);
}
