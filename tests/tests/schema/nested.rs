//! What an older build keeps of a type whose inside a newer build has extended: every byte of what it
//! did not touch.

use std::time::SystemTime;

use sessions::__private::{Diff, Fields, Header, Stored, diff, merge};
use sessions::{Session, SessionData};

macro_rules! build {
    ($name:ident, $version:tt $(, unchanged($unchanged:tt))?; $($extra:ident: $ty:ty),*) => {
        mod $name {
            use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

            use serde::{Deserialize, Serialize};

            /// No `PartialEq`: bytes decide.
            #[derive(Clone, Debug, Default, Serialize, Deserialize)]
            pub(crate) struct Plain {
                pub(crate) a: u32,
                $(#[serde(default)] pub(crate) $extra: $ty,)*
            }

            #[derive(
                Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
            )]
            pub(crate) struct Full {
                pub(crate) a: u32,
                $(#[serde(default)] pub(crate) $extra: $ty,)*
            }

            #[derive(Clone, Debug, sessions::Session)]
            #[session(name = "nested", version = $version $(, unchanged($unchanged))?)]
            pub(crate) struct Visitor {
                #[session(owner)]
                pub(crate) user: Option<u64>,
                pub(crate) hits: u64,
                pub(crate) plain: Plain,
                pub(crate) full: Option<Full>,
                pub(crate) list: Vec<Plain>,
                pub(crate) queue: VecDeque<Full>,
                #[session(merge = append)]
                pub(crate) log: Vec<Plain>,
                #[session(merge = mine)]
                pub(crate) last: Vec<Plain>,
                pub(crate) set: HashSet<Full>,
                pub(crate) tree: BTreeSet<Full>,
                pub(crate) map: HashMap<String, Plain>,
                pub(crate) boxed: Box<Full>,
                #[session(group = "pair")]
                pub(crate) left: Plain,
                #[session(group = "pair")]
                pub(crate) right: Plain,
            }
        }
    };
}

build!(old, 1;);
build!(new, 2, unchanged(2); b: u32);

fn plain(a: u32, b: u32) -> new::Plain {
    new::Plain { a, b }
}

fn full(a: u32, b: u32) -> new::Full {
    new::Full { a, b }
}

fn start() -> new::Visitor {
    new::Visitor {
        user: None,
        hits: 1,
        plain: plain(1, 2),
        full: Some(full(3, 4)),
        list: (0..4).map(|n| plain(n, 100 + n)).collect(),
        queue: (0..4).map(|n| full(n, 100 + n)).collect(),
        log: vec![plain(1, 101)],
        last: vec![plain(1, 101), plain(2, 102)],
        set: (0..20).map(|n| full(n, 100 + n)).collect(),
        tree: (0..4).map(|n| full(n, 100 + n)).collect(),
        map: (0..20).map(|n| (n.to_string(), plain(n, 100 + n))).collect(),
        boxed: Box::new(full(5, 6)),
        left: plain(7, 8),
        right: plain(9, 10),
    }
}

/// Writes a record and reads it as a build does.
fn seen_by<T: SessionData>(fields: &Fields) -> Fields {
    let data = fields.to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap();
    Stored::parse("nested", &data).unwrap().fields(T::TABLE).unwrap()
}

fn record<T: SessionData>(fields: &Fields) -> Vec<u8> {
    seen_by::<T>(fields).to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap().to_vec()
}

fn change<T: SessionData>(base: &Fields, change: impl FnOnce(&mut T)) -> (Fields, Diff) {
    let mut value: T = base.decode().unwrap();
    change(&mut value);
    let mut mine = value.fields().unwrap();
    let diff = diff(T::TABLE, base, &mut mine).unwrap();
    (mine, diff)
}

fn read(fields: &Fields) -> new::Visitor {
    seen_by::<new::Visitor>(fields).decode().unwrap()
}

#[test]
fn an_older_build_that_changes_nothing_changes_nothing() {
    let fields = start().fields().unwrap();
    let base = seen_by::<old::Visitor>(&fields);
    let (mine, diff) = change(&base, |_: &mut old::Visitor| {});
    assert_eq!(diff, Diff::default());
    assert_eq!(record::<old::Visitor>(&mine), record::<old::Visitor>(&base));
}

#[test]
fn an_older_build_keeps_nested_fields_of_what_it_leaves_alone() {
    let base = seen_by::<old::Visitor>(&start().fields().unwrap());
    let (mine, diff) = change(&base, |v: &mut old::Visitor| v.hits += 1);
    assert!(diff.changed);
    let back = read(&mine);
    let expected = new::Visitor { hits: 2, ..start() };
    assert_eq!(format!("{:?}", sorted(back)), format!("{:?}", sorted(expected)));
}

/// With the hash map's entries in one, so that it prints the same each time.
fn sorted(mut visitor: new::Visitor) -> (String, Vec<String>, Vec<String>) {
    let map = std::mem::take(&mut visitor.map);
    let mut map: Vec<String> = map.iter().map(|entry| format!("{entry:?}")).collect();
    map.sort();
    let set = std::mem::take(&mut visitor.set);
    let mut set: Vec<String> = set.iter().map(|entry| format!("{entry:?}")).collect();
    set.sort();
    (format!("{visitor:?}"), map, set)
}

/// What an older build does to every collection.
fn touch(v: &mut old::Visitor) {
    v.list.remove(1);
    v.list[0].a = 50;
    v.list.push(old::Plain { a: 60 });
    v.queue.pop_front();
    v.log.push(old::Plain { a: 60 });
    v.last.remove(0);
    v.set.remove(&old::Full { a: 3 });
    v.set.insert(old::Full { a: 60 });
    v.tree.insert(old::Full { a: 60 });
    v.map.remove("3");
    v.map.get_mut("4").unwrap().a = 50;
    v.map.insert("new".to_owned(), old::Plain { a: 60 });
}

fn check_touched(v: &new::Visitor) {
    let bs = |list: &[new::Plain]| list.iter().map(|p| (p.a, p.b)).collect::<Vec<_>>();
    assert_eq!(bs(&v.log)[0], (1, 101));
    assert_eq!(bs(&v.last), [(2, 102)]);
    assert!(!v.set.contains(&full(3, 103)) && v.set.contains(&full(60, 0)));
    assert!((4..20).all(|n| v.set.contains(&full(n, 100 + n))));
    assert!((0..4).all(|n| v.tree.contains(&full(n, 100 + n))));
    let of_map = |key: &str| v.map.get(key).map(|p| (p.a, p.b));
    assert_eq!((of_map("3"), of_map("4")), (None, Some((50, 0))));
    assert!((5..20).all(|n| of_map(&n.to_string()) == Some((n, 100 + n))));
}

#[test]
fn an_older_build_keeps_the_elements_that_it_leaves_alone() {
    let base = seen_by::<old::Visitor>(&start().fields().unwrap());
    let back = read(&change(&base, touch).0);
    check_touched(&back);
    let list: Vec<_> = back.list.iter().map(|p| (p.a, p.b)).collect();
    assert_eq!(list, [(50, 0), (2, 102), (3, 103), (60, 0)]);
    assert_eq!(back.queue, [1, 2, 3].map(|n| full(n, 100 + n)));
}

#[test]
fn in_a_conflict_too() {
    let fields = start().fields().unwrap();
    let base = seen_by::<old::Visitor>(&fields);
    let (mine, _) = change(&base, touch);
    // A newer build saved first, and extended what the older one leaves alone.
    let (theirs, _) = change(&seen_by::<new::Visitor>(&fields), |v: &mut new::Visitor| {
        v.hits = 9;
        v.plain.b = 77;
        v.list[2].b = 77;
        v.list.push(plain(70, 71));
        v.queue.push_back(full(70, 71));
        v.log.push(plain(70, 71));
        v.set.insert(full(70, 71));
        v.tree.insert(full(70, 71));
        v.map.insert("5".to_owned(), plain(5, 77));
        v.map.insert("theirs".to_owned(), plain(70, 71));
        v.left.b = 77;
    });
    let theirs = seen_by::<old::Visitor>(&theirs);
    let merged = merge(old::Visitor::TABLE, &base, &mine, &theirs).unwrap();
    let v = read(&merged.fields);
    assert_eq!((v.hits, v.plain.b, v.left.b, v.right.b), (9, 77, 77, 10));
    let list: Vec<_> = v.list.iter().map(|p| (p.a, p.b)).collect();
    assert_eq!(list, [(2, 77), (3, 103), (70, 71), (50, 0), (60, 0)]);
    assert_eq!(v.queue, [(1, 101), (2, 102), (3, 103), (70, 71)].map(|(a, b)| full(a, b)));
    let log: Vec<_> = v.log.iter().map(|p| (p.a, p.b)).collect();
    assert_eq!(log, [(1, 101), (70, 71), (60, 0)]);
    assert!(v.set.contains(&full(70, 71)) && v.set.contains(&full(7, 107)));
    assert!(!v.set.contains(&full(3, 103)));
    assert!(v.tree.contains(&full(70, 71)) && v.tree.contains(&full(2, 102)));
    let of_map = |key: &str| v.map.get(key).map(|p| (p.a, p.b));
    assert_eq!((of_map("5"), of_map("theirs")), (Some((5, 77)), Some((70, 71))));
    assert_eq!((of_map("3"), of_map("4")), (None, Some((50, 0))));
}

#[test]
fn a_new_owner_takes_no_nested_field_over() {
    let base = seen_by::<old::Visitor>(&start().fields().unwrap());
    let (mine, diff) = change(&base, |v: &mut old::Visitor| v.user = Some(1));
    assert!(diff.owner);
    let without = |v: &new::Visitor| {
        (v.plain.b, v.left.b, v.full.clone().unwrap().b, v.list[1].b, v.map["7"].b)
            == (0, 0, 0, 0, 0)
            && v.set.iter().all(|full| full.b == 0)
    };
    assert!(without(&read(&mine)));
    // Nor in a conflict.
    let (theirs, _) =
        change(&seen_by::<new::Visitor>(&start().fields().unwrap()), |v: &mut new::Visitor| {
            v.plain.b = 77;
            v.list.push(plain(1, 2));
        });
    let theirs = seen_by::<old::Visitor>(&theirs);
    let merged = merge(old::Visitor::TABLE, &base, &mine, &theirs).unwrap();
    let merged = read(&merged.fields);
    assert!(without(&merged));
    assert_eq!((merged.user, merged.list.len()), (Some(1), 5));
}

/// Named by its number alone.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Account {
    number: u32,
    label: String,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}

#[test]
fn an_owner_is_who_the_field_names() {
    #[derive(Session)]
    #[session(name = "nested", version = 1)]
    struct Visitor {
        #[session(owner)]
        account: Option<Account>,
    }
    let account = |number, label: &str| Some(Account { number, label: label.to_owned() });
    let base = seen_by::<Visitor>(&Visitor { account: account(1, "one") }.fields().unwrap());
    let (_, diff) = change(&base, |v: &mut Visitor| v.account = account(1, "uno"));
    assert_eq!(diff, Diff { changed: true, renew: true, owner: false });
    let (_, diff) = change(&base, |v: &mut Visitor| v.account = account(2, "one"));
    assert!(diff.owner);
}
