//! Comparison and three-way merge, at the level of records.

#![allow(clippy::ptr_arg)] // A policy takes references to the field's type.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sessions::__private::{Diff, Fields, Header, Merged, Stored, diff, merge};
use sessions::{Error, Flash, Session, SessionData, schema::MergeConflict};

#[derive(Clone, Debug, Session)]
#[session(name = "visitor", version = 1)]
#[session(group("layout", merge = mine))]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "owner")]
    roles: Vec<String>,
    #[session(merge = add)]
    visits: u32,
    #[session(merge = max)]
    best: i64,
    #[session(merge = or)]
    seen: bool,
    #[session(merge = append)]
    log: Vec<String>,
    #[session(merge = clear_wins)]
    token: Option<String>,
    #[session(merge = conflict)]
    seat: String,
    #[session(merge(with = longer))]
    note: String,
    name: String,
    cart: Vec<String>,
    tags: HashSet<String>,
    sorted: BTreeSet<u32>,
    counts: HashMap<String, u32>,
    tree: BTreeMap<String, u32>,
    #[session(group = "plan")]
    plan: String,
    #[session(group = "plan")]
    limit: u32,
    #[session(group = "layout")]
    columns: u8,
    #[session(group = "layout")]
    rows: u8,
    bags: Vec<BTreeSet<u32>>,
    sacks: Vec<HashSet<u32>>,
    people: Vec<Person>,
    best_friend: Option<Person>,
    #[session(default = At { instant: 0, zone: 0 })]
    at: At,
    #[session(ordered)]
    ranking: HashMap<String, u32>,
    opaque: Vec<Opaque>,
    table: HashMap<String, Opaque>,
    notices: Flash<String>,
    #[session(merge = add)]
    basket: BTreeMap<String, u32>,
    #[session(merge = add)]
    balances: HashMap<u8, i64>,
    #[session(merge = add)]
    shelves: HashMap<String, BTreeMap<u8, std::time::Duration>>,
    #[session(skip)]
    cache: Option<String>,
}

/// Equal by id, whatever the rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Person {
    id: u32,
    name: String,
}

impl PartialEq for Person {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Equal where the instant is, whatever the time zone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct At {
    instant: i64,
    zone: i8,
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}

/// Without `PartialEq`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Opaque(u32, HashMap<u8, u8>);

fn longer(base: &String, mine: &String, theirs: &String) -> Result<String, MergeConflict> {
    match mine.len().cmp(&theirs.len()) {
        std::cmp::Ordering::Greater => Ok(mine.clone()),
        std::cmp::Ordering::Less => Ok(theirs.clone()),
        std::cmp::Ordering::Equal if base.is_empty() => Err(MergeConflict),
        std::cmp::Ordering::Equal => Ok(base.clone()),
    }
}

/// A change of a visitor.
type Change = fn(&mut Visitor);

/// Writes a record and reads it back, as the store does.
fn stored(fields: &Fields) -> Fields {
    let data = fields.to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap();
    Stored::parse("visitor", &data).unwrap().fields(Visitor::TABLE).unwrap()
}

fn changed(base: &Fields, change: Change) -> (Fields, Diff) {
    let mut visitor: Visitor = base.decode().unwrap();
    change(&mut visitor);
    let mut mine = visitor.fields().unwrap();
    let diff = diff(Visitor::TABLE, base, &mut mine).unwrap();
    (mine, diff)
}

/// Two requests loaded what `start` makes; each changed it, and theirs was saved first.
fn try_both(start: Change, mine: Change, theirs: Change) -> Result<Merged, Error> {
    let mut visitor = Visitor::fresh();
    start(&mut visitor);
    let base = stored(&visitor.fields().unwrap());
    let theirs = stored(&changed(&base, theirs).0);
    let (mine, _) = changed(&base, mine);
    merge(Visitor::TABLE, &base, &mine, &theirs)
}

fn both(start: Change, mine: Change, theirs: Change) -> (Visitor, Vec<&'static str>) {
    let merged = try_both(start, mine, theirs).unwrap();
    (stored(&merged.fields).decode().unwrap(), merged.overwritten.to_vec())
}

fn refused(start: Change, mine: Change, theirs: Change) -> String {
    match try_both(start, mine, theirs).unwrap_err() {
        Error::Conflict { field, .. } => field.into_owned(),
        other => panic!("{other}"),
    }
}

const NOTHING: Change = |_| {};

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let mut visitor = Visitor::fresh();
    visitor.user = Some(7);
    visitor.cart = strings(&["a", "b"]);
    visitor.counts.insert("x".into(), 1);
    visitor.cache = Some("not stored".into());
    let back: Visitor = stored(&visitor.fields().unwrap()).decode().unwrap();
    visitor.cache = None;
    assert_eq!(format!("{back:?}"), format!("{visitor:?}"));
}

#[test]
fn only_one_side_changed() {
    let (visitor, lost) = both(NOTHING, |v| v.name = "mine".into(), |v| v.seat = "1A".into());
    assert_eq!((visitor.name.as_str(), visitor.seat.as_str()), ("mine", "1A"));
    assert!(lost.is_empty());
}

#[test]
fn mine_overwrites_and_says_so() {
    let (visitor, lost) = both(NOTHING, |v| v.name = "m".into(), |v| v.name = "t".into());
    assert_eq!((visitor.name.as_str(), lost), ("m", vec!["name"]));
    let (_, lost) = both(NOTHING, |v| v.name = "same".into(), |v| v.name = "same".into());
    assert!(lost.is_empty());
}

#[test]
fn increments_add_up_even_when_they_are_equal() {
    let (visitor, lost) = both(|v| v.visits = 5, |v| v.visits += 1, |v| v.visits += 1);
    assert_eq!((visitor.visits, lost.len()), (7, 0));
    let (visitor, _) = both(|v| v.visits = 5, |v| v.visits -= 3, |v| v.visits += 4);
    assert_eq!(visitor.visits, 6);
    assert_eq!(refused(|v| v.visits = 5, |v| v.visits = 0, |v| v.visits = 1), "visits");
    assert_eq!(refused(NOTHING, |v| v.visits = u32::MAX, |v| v.visits = 1), "visits");
}

#[test]
fn the_other_scalar_policies() {
    assert_eq!(both(NOTHING, |v| v.best = 3, |v| v.best = 9).0.best, 9);
    assert_eq!(both(NOTHING, |v| v.best = 9, |v| v.best = 3).0.best, 9);
    assert!(both(NOTHING, |v| v.seen = true, |v| v.seen = true).0.seen);
    assert_eq!(refused(NOTHING, |v| v.seat = "1A".into(), |v| v.seat = "1B".into()), "seat");
    assert_eq!(refused(NOTHING, |v| v.seat = "1A".into(), |v| v.seat = "1A".into()), "seat");
    assert_eq!(both(NOTHING, |v| v.note = "ab".into(), |v| v.note = "c".into()).0.note, "ab");
    assert_eq!(refused(NOTHING, |v| v.note = "a".into(), |v| v.note = "b".into()), "note");
}

#[test]
fn clearing_wins() {
    let start: Change = |v| v.token = Some("t".into());
    assert_eq!(both(start, |v| v.token = None, |v| v.token = Some("n".into())).0.token, None);
    assert_eq!(both(start, |v| v.token = Some("n".into()), |v| v.token = None).0.token, None);
    let (visitor, lost) =
        both(start, |v| v.token = Some("m".into()), |v| v.token = Some("n".into()));
    assert_eq!((visitor.token.as_deref(), lost), (Some("m"), vec!["token"]));
}

#[test]
fn appends_follow_each_other() {
    let start: Change = |v| v.log = strings(&["a"]);
    let (visitor, _) = both(start, |v| v.log.push("m".into()), |v| v.log.push("t".into()));
    assert_eq!(visitor.log, ["a", "t", "m"]);
    let (visitor, _) = both(start, |v| v.log.push("x".into()), |v| v.log.push("x".into()));
    assert_eq!(visitor.log, ["a", "x", "x"]);
    assert_eq!(refused(start, |v| v.log.clear(), |v| v.log.push("t".into())), "log");
}

#[test]
fn lists_merge_as_multisets() {
    let start: Change = |v| v.cart = strings(&["a", "b", "b"]);
    let (visitor, lost) = both(
        start,
        |v| {
            v.cart.remove(1);
            v.cart.push("m".into());
        },
        |v| v.cart.insert(0, "t".into()),
    );
    assert_eq!((visitor.cart, lost.len()), (strings(&["t", "a", "b", "m"]), 0));
    let (visitor, _) = both(start, |v| v.cart.push("x".into()), |v| v.cart.push("x".into()));
    assert_eq!(visitor.cart, ["a", "b", "b", "x", "x"]);
    let (visitor, _) = both(start, |v| v.cart.clear(), |v| v.cart.clear());
    assert!(visitor.cart.is_empty());
}

fn person(id: u32, name: &str) -> Person {
    Person { id, name: name.to_owned() }
}

#[test]
fn a_change_that_equality_does_not_see_is_a_change() {
    let mut visitor = Visitor::fresh();
    visitor.best_friend = Some(person(1, "Ada"));
    visitor.people = vec![person(1, "Ada"), person(2, "Bob")];
    visitor.at = At { instant: 5, zone: 0 };
    let base = stored(&visitor.fields().unwrap());
    let changes: [Change; 3] = [
        |v| v.best_friend.as_mut().unwrap().name = "Ada Lovelace".into(),
        |v| v.people[1].name = "Robert".into(),
        |v| v.at.zone = 2,
    ];
    for change in changes {
        let (mine, diff) = changed(&base, change);
        assert!(diff.changed);
        let mut expected = visitor.clone();
        change(&mut expected);
        let back: Visitor = stored(&mine).decode().unwrap();
        assert_eq!(format!("{back:?}"), format!("{expected:?}"));
    }
    let zero: Change = |v| v.best_friend = None;
    assert!(changed(&base, zero).1.changed);
    assert!(!changed(&base, |v| v.at = At { instant: 5, zone: 0 }).1.changed);
}

#[test]
fn elements_that_are_equal_but_not_the_same_are_two() {
    let start: Change = |v| v.people = vec![person(1, "Ada"), person(2, "Bob")];
    let (visitor, _) =
        both(start, |v| v.people[0].name = "Ada L.".into(), |v| v.people.push(person(3, "Cy")));
    let names: Vec<_> = visitor.people.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(names, ["Bob", "Cy", "Ada L."]);
    // Two additions with the same id are two.
    let (visitor, _) =
        both(start, |v| v.people.push(person(7, "mine")), |v| v.people.push(person(7, "theirs")));
    assert_eq!(visitor.people.len(), 4);
}

#[test]
fn elements_that_differ_only_in_the_order_inside_them_are_not_doubled() {
    // Each sack is encoded in another order each time that it was decoded.
    let start: Change = |v| v.sacks = (0..9).map(|n| (n..n + 20).collect()).collect();
    let sacks = |range: std::ops::Range<u32>| -> Vec<HashSet<u32>> {
        range.map(|n| (n..n + 20).collect()).collect()
    };
    let (visitor, _) = both(start, |v| v.visits += 1, |v| v.visits += 1);
    assert_eq!((visitor.visits, visitor.sacks), (2, sacks(0..9)));
    let (visitor, _) = both(
        start,
        |v| {
            v.sacks.remove(3);
            v.sacks.push(HashSet::from([1, 2, 3]));
        },
        |v| {
            v.sacks[5].insert(99);
            v.sacks.insert(0, HashSet::from([4, 5, 6]));
        },
    );
    let mut expected = sacks(0..9);
    expected.remove(3);
    expected.insert(0, HashSet::from([4, 5, 6]));
    expected.push(HashSet::from([1, 2, 3]));
    assert_eq!(visitor.sacks.len(), expected.len());
    assert!(visitor.sacks.iter().any(|sack| sack.len() == 21 && sack.contains(&99)));
    assert_eq!(visitor.sacks.iter().filter(|sack| expected.contains(sack)).count(), 9);
}

#[test]
fn the_bits_of_a_number_decide() {
    #[derive(Debug, Session)]
    #[session(name = "floats", version = 1)]
    struct Floats {
        number: f64,
    }
    let differs = |was: f64, is: f64| {
        let base = Floats { number: was }.fields().unwrap();
        diff(Floats::TABLE, &base, &mut Floats { number: is }.fields().unwrap()).unwrap().changed
    };
    assert!(differs(0.0, -0.0));
    assert!(!differs(f64::NAN, f64::NAN));
    assert!(differs(1.0, 1.5));
}

#[test]
fn the_order_of_an_ordered_map_is_a_change() {
    let map = |range: std::ops::Range<u32>| range.map(|n| (n.to_string(), n)).collect();
    let mut visitor = Visitor::fresh();
    (visitor.counts, visitor.ranking) = (map(0..100), map(0..100));
    let base = stored(&visitor.fields().unwrap());
    // Another map of the same entries iterates in another order.
    visitor.counts = map(0..100);
    assert!(!diff(Visitor::TABLE, &base, &mut visitor.fields().unwrap()).unwrap().changed);
    visitor.ranking = map(0..100);
    assert!(diff(Visitor::TABLE, &base, &mut visitor.fields().unwrap()).unwrap().changed);
}

#[test]
fn elements_are_told_apart_by_value() {
    let start: Change = |v| v.bags = (0..9).map(|n| (n..n + 20).collect()).collect();
    let (visitor, _) = both(
        start,
        |v| {
            v.bags.remove(3);
            v.bags.push(BTreeSet::from([1, 2, 3]));
        },
        |v| v.bags.insert(0, BTreeSet::from([4, 5, 6])),
    );
    let mut expected: Vec<BTreeSet<u32>> = (0..9).map(|n| (n..n + 20).collect()).collect();
    expected.remove(3);
    expected.insert(0, BTreeSet::from([4, 5, 6]));
    expected.push(BTreeSet::from([1, 2, 3]));
    assert_eq!(visitor.bags, expected);
}

#[test]
fn elements_that_cannot_be_compared_merge_as_they_are_encoded() {
    let start: Change = |v| {
        v.opaque = (0..3).map(|n| Opaque(n, HashMap::new())).collect();
        v.table.extend((0..30).map(|n| (n.to_string(), Opaque(n, HashMap::new()))));
    };
    let (visitor, _) = both(
        start,
        |v| {
            v.opaque.remove(1);
            v.table.remove("7");
        },
        |v| {
            v.opaque.push(Opaque(9, HashMap::new()));
            v.table.insert("x".into(), Opaque(9, HashMap::new()));
        },
    );
    assert_eq!(visitor.opaque.iter().map(|opaque| opaque.0).collect::<Vec<_>>(), [0, 2, 9]);
    assert_eq!((visitor.table.len(), visitor.table.contains_key("7")), (30, false));
    // Another order of a map's entries is no change.
    let mut visitor = Visitor::fresh();
    start(&mut visitor);
    let base = stored(&visitor.fields().unwrap());
    assert_eq!(changed(&base, NOTHING).1, Diff::default());
}

#[test]
fn a_message_that_says_the_same_again_is_another() {
    let start: Change = |v| v.notices.push("saved".into());
    let again: Change = |v| {
        assert_eq!(v.notices.take(), ["saved"]);
        v.notices.push("saved".into());
    };
    let (mut visitor, _) = both(start, again, |v| drop(v.notices.take()));
    assert_eq!(visitor.notices.take(), ["saved"]);
    // Taken by both, and another pushed by each.
    let (mut visitor, _) = both(start, again, again);
    assert_eq!(visitor.notices.take(), ["saved", "saved"]);
    let (visitor, _) = both(start, |v| drop(v.notices.take()), |v| drop(v.notices.take()));
    assert!(visitor.notices.is_empty());
}

#[test]
fn sets_merge_by_element() {
    let start: Change = |v| {
        v.tags.extend(strings(&["a", "b"]));
        v.sorted.extend([5, 9]);
    };
    let (visitor, _) = both(
        start,
        |v| {
            v.tags.remove("a");
            v.tags.insert("x".into());
            v.sorted.insert(7);
        },
        |v| {
            v.tags.insert("x".into());
            v.tags.insert("t".into());
            v.sorted.insert(1);
            v.sorted.remove(&9);
        },
    );
    assert_eq!(visitor.tags, strings(&["b", "x", "t"]).into_iter().collect());
    assert_eq!(visitor.sorted, BTreeSet::from([1, 5, 7]));
}

#[test]
fn maps_merge_by_key() {
    let start: Change = |v| v.counts.extend([("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]);
    let (visitor, lost) = both(
        start,
        |v| {
            v.counts.remove("a");
            v.counts.insert("m".into(), 1);
            v.counts.insert("b".into(), 20);
        },
        |v| {
            v.counts.insert("t".into(), 1);
            v.counts.insert("c".into(), 30);
        },
    );
    let expected =
        [("m", 1), ("t", 1), ("b", 20), ("c", 30)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!((visitor.counts, lost.len()), (expected.into(), 0));

    let changes: [(Change, Change); 4] = [
        (|v| v.counts.extend([("a".into(), 8)]), |v| v.counts.extend([("a".into(), 9)])),
        (|v| v.counts.retain(|key, _| key != "a"), |v| v.counts.extend([("a".into(), 9)])),
        (|v| v.counts.extend([("a".into(), 8)]), |v| v.counts.retain(|key, _| key != "a")),
        (|v| v.counts.extend([("n".into(), 8)]), |v| v.counts.extend([("n".into(), 9)])),
    ];
    for (mine, theirs) in changes {
        let mut alone = Visitor::fresh();
        start(&mut alone);
        mine(&mut alone);
        let (visitor, lost) = both(start, mine, theirs);
        assert_eq!((visitor.counts, lost), (alone.counts, vec!["counts"]));
    }
    let (visitor, lost) =
        both(start, |v| v.tree.extend([("n".into(), 8)]), |v| v.tree.extend([("n".into(), 8)]));
    assert_eq!((visitor.tree.len(), lost.len()), (1, 0));
}

/// What a basket holds after both changes, from two of `a` and one of `b`.
fn basket(mine: Change, theirs: Change) -> Vec<(String, u32)> {
    let start: Change = |v| v.basket = [("a".into(), 2), ("b".into(), 1)].into();
    let (visitor, lost) = both(start, mine, theirs);
    assert!(lost.is_empty());
    visitor.basket.into_iter().collect()
}

#[test]
fn maps_of_numbers_add_up_key_by_key() {
    let items = |items: &[(&str, u32)]| {
        items.iter().map(|&(key, count)| (key.to_owned(), count)).collect::<Vec<_>>()
    };
    let more: Change = |v| *v.basket.entry("a".into()).or_default() += 1;
    let new: Change = |v| *v.basket.entry("new".into()).or_default() += 1;
    let less: Change = |v| *v.basket.get_mut("a").unwrap() -= 1;
    let removed: Change = |v| v.basket.retain(|key, _| key != "a");
    let zero: Change = |v| *v.basket.get_mut("a").unwrap() = 0;
    let other: Change = |v| *v.basket.get_mut("b").unwrap() += 5;
    // Two tabs add one product: there are two more of it.
    assert_eq!(basket(more, more), items(&[("a", 4), ("b", 1)]));
    assert_eq!(basket(new, new), items(&[("a", 2), ("b", 1), ("new", 2)]));
    assert_eq!(basket(new, more), items(&[("a", 3), ("b", 1), ("new", 1)]));
    assert_eq!(basket(less, less), items(&[("a", 0), ("b", 1)]));
    assert_eq!(basket(more, less), items(&[("a", 2), ("b", 1)]));
    for (one, two) in [(removed, removed), (removed, less), (removed, zero), (removed, other)] {
        for (mine, theirs) in [(one, two), (two, one)] {
            let left = basket(mine, theirs);
            assert!(left.iter().all(|(key, _)| key != "a"), "{left:?}");
        }
    }
    // What the other tab added meanwhile stays.
    assert_eq!(basket(removed, more), items(&[("a", 1), ("b", 1)]));
    assert_eq!(basket(more, removed), items(&[("a", 1), ("b", 1)]));
    // A number that the type cannot hold is a conflict.
    let all: Change = |v| *v.basket.get_mut("a").unwrap() = u32::MAX;
    assert_eq!(refused(|v| v.basket = [("a".into(), 2)].into(), all, all), "basket");
    let (visitor, _) = both(
        |v| v.balances = [(1, 5)].into(),
        |v| v.balances = [(1, -5), (2, 1)].into(),
        |v| v.balances = [(1, 0), (3, -1)].into(),
    );
    assert_eq!(visitor.balances, [(1, -10), (2, 1), (3, -1)].into());
    // Maps of maps, too.
    let shelf: Change = |v| {
        let shelf = v.shelves.entry("s".into()).or_default();
        *shelf.entry(1).or_default() += std::time::Duration::from_secs(3);
    };
    let (visitor, _) = both(NOTHING, shelf, shelf);
    assert_eq!(visitor.shelves["s"][&1].as_secs(), 6);
}

#[test]
fn groups_come_whole_from_one_side() {
    let start: Change = |v| v.plan = "free".into();
    assert_eq!(refused(start, |v| v.plan = "pro".into(), |v| v.limit = 3), "plan");
    let (visitor, lost) = both(start, |v| v.columns = 3, |v| v.rows = 4);
    assert_eq!((visitor.columns, visitor.rows, lost), (3, 0, vec!["rows"]));
    let (visitor, _) = both(start, NOTHING, |v| (v.plan, v.limit) = ("pro".into(), 9));
    assert_eq!((visitor.plan.as_str(), visitor.limit), ("pro", 9));
}

#[test]
fn login_takes_the_owner_group_from_mine_and_merges_the_rest() {
    let (visitor, _) = both(
        |v| v.cart = strings(&["a"]),
        |v| {
            v.user = Some(7);
            v.cart.push("m".into());
        },
        |v| {
            v.roles = strings(&["guest"]);
            v.cart.push("t".into());
        },
    );
    assert_eq!((visitor.user, visitor.roles.len()), (Some(7), 0));
    assert_eq!(visitor.cart, ["a", "t", "m"]);
}

#[test]
fn a_new_owner_takes_nothing_over() {
    for to in [|v: &mut Visitor| v.user = Some(2), |v: &mut Visitor| v.user = None] {
        let (visitor, lost) = both(|v| v.user = Some(1), to, |v| v.name = "secret".into());
        assert_eq!((visitor.name.as_str(), lost), ("", vec!["name"]));
    }
    // The record became another person's meanwhile.
    let start: Change = |v| v.user = Some(1);
    assert_eq!(refused(start, |v| v.name = "m".into(), |v| v.user = Some(2)), "user");
    assert_eq!(refused(NOTHING, |v| v.user = Some(1), |v| v.user = Some(2)), "user");
}

#[test]
fn nothing_changed_is_no_change_whatever_the_order() {
    let mut visitor = Visitor::fresh();
    visitor.tags.extend((0..1_000).map(|n| n.to_string()));
    visitor.counts.extend((0..1_000).map(|n| (n.to_string(), n)));
    let base = stored(&visitor.fields().unwrap());
    let (mine, diff) = changed(&base, NOTHING);
    assert_eq!(diff, Diff::default());
    let header = Header::new(SystemTime::UNIX_EPOCH);
    assert_eq!(mine.to_data(&header).unwrap(), base.to_data(&header).unwrap());
}

#[test]
fn a_diff_tells_what_kind_of_change_it_is() {
    let base = stored(&Visitor::fresh().fields().unwrap());
    let of = |change: Change| changed(&base, change).1;
    assert_eq!(of(|v| v.name = "x".into()), Diff { changed: true, renew: false, owner: false });
    assert_eq!(of(|v| v.roles = vec![]), Diff::default());
    assert_eq!(of(|v| v.roles.push("r".into())), Diff { changed: true, renew: true, owner: false });
    assert_eq!(of(|v| v.user = Some(1)), Diff { changed: true, renew: true, owner: true });
    assert_eq!(changed(&base, |v| v.user = Some(1)).0.owner(Visitor::TABLE).unwrap().unwrap(), "1");
    assert_eq!(base.owner(Visitor::TABLE).unwrap(), None);
}
