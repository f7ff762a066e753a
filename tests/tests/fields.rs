//! Every field type that people keep in sessions comes back as it was stored.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use sessions::{MemoryProvider, Outcome, Session, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    Start,
    Address(String),
    Pay { cents: u64, card: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    street: String,
    zip: Option<u32>,
    tags: Vec<(String, i8)>,
}

/// Bytes as one CBOR byte string, by a serde crate of the user's choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bytes(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Clone, Debug, PartialEq, Session)]
#[session(name = "all", version = 1)]
struct All {
    flag: bool,
    small: i8,
    smaller: u8,
    short: i16,
    int: i32,
    long: i64,
    unsigned: u64,
    wide: u128,
    float: f64,
    single: f32,
    letter: char,
    text: String,
    unit: (),
    pair: (u8, String),
    array: [u16; 4],
    none: Option<u32>,
    some: Option<String>,
    list: Vec<u64>,
    nested: Vec<Vec<Option<String>>>,
    queue: VecDeque<i64>,
    map: HashMap<String, u32>,
    by_number: BTreeMap<i32, String>,
    set: HashSet<String>,
    ordered: BTreeSet<u8>,
    bytes: Vec<u8>,
    blob: Bytes,
    #[session(default = SystemTime::UNIX_EPOCH)]
    at: SystemTime,
    lasts: Duration,
    #[session(default = IpAddr::from([127, 0, 0, 1]))]
    from: IpAddr,
    #[session(default = Address { street: String::new(), zip: None, tags: Vec::new() })]
    address: Address,
    #[session(default = Step::Start)]
    step: Step,
    boxed: Box<u32>,
}

fn filled() -> All {
    All {
        flag: true,
        small: i8::MIN,
        smaller: u8::MAX,
        short: i16::MIN,
        int: i32::MIN,
        long: i64::MIN,
        unsigned: u64::MAX,
        wide: u128::from(u64::MAX),
        float: -0.1,
        single: f32::MAX,
        letter: '\u{1F980}',
        text: "grüße \u{0} \n".to_owned(),
        unit: (),
        pair: (1, "two".to_owned()),
        array: [0, 1, 2, u16::MAX],
        none: Some(0),
        some: Some(String::new()),
        list: (0..300).map(|n| n * n * n * n).collect(),
        nested: vec![vec![], vec![None, Some("x".to_owned())]],
        queue: VecDeque::from([-1, 0, 1]),
        map: HashMap::from([("a".to_owned(), 1), (String::new(), 2)]),
        by_number: BTreeMap::from([(-5, "minus".to_owned()), (5, "plus".to_owned())]),
        set: HashSet::from(["x".to_owned(), "y".to_owned()]),
        ordered: BTreeSet::from([3, 1, 2]),
        bytes: (0..=255).collect(),
        blob: Bytes((0..=255).rev().collect()),
        at: SystemTime::UNIX_EPOCH + Duration::new(1_767_225_600, 123_456_789),
        lasts: Duration::new(5, 6),
        from: IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
        address: Address {
            street: "1 Way".to_owned(),
            zip: Some(0),
            tags: vec![("t".to_owned(), -1)],
        },
        step: Step::Pay { cents: 1, card: true },
        boxed: Box::new(9),
    }
}

async fn stored(store: &Store, value: All) -> HeaderMap {
    let mut session = store.load::<All>(&HeaderMap::new()).await.unwrap();
    *session = value;
    let commit = session.commit().await.unwrap();
    let cookie = commit.set_cookie().unwrap().to_str().unwrap();
    let pair = cookie.split(';').next().unwrap();
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())])
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_stored() {
    let store = Store::new(MemoryProvider::new());
    let cookies = stored(&store, filled()).await;
    let mut session = store.load::<All>(&cookies).await.unwrap();
    assert!(!session.is_new());
    assert_eq!(*session, filled());

    // Borrowed mutably and assigned the same: nothing changed, whatever order a hash map has.
    *session = filled();
    assert_eq!(session.commit().await.unwrap().outcome(), Outcome::Unchanged);

    for step in [Step::Start, Step::Address("x".to_owned())] {
        session.step = step.clone();
        assert_eq!(session.commit().await.unwrap().outcome(), Outcome::Saved);
        assert_eq!(store.load::<All>(&cookies).await.unwrap().step, step);
    }
}

#[tokio::test]
async fn a_fresh_session_has_the_defaults() {
    let store = Store::new(MemoryProvider::new());
    let session = store.load::<All>(&HeaderMap::new()).await.unwrap();
    assert!(session.is_new());
    assert_eq!((session.step.clone(), session.at), (Step::Start, SystemTime::UNIX_EPOCH));
    assert_eq!((session.unsigned, session.text.as_str()), (0, ""));
}

/// Its own items have the names of those that the derive adds.
#[derive(Session)]
#[session(name = "namesake", version = 2)]
struct Namesake {
    #[session(since = 2)]
    count: u32,
}

impl Namesake {
    const SCHEMA: u32 = 40;
    const TABLE: u32 = 2;

    fn fields(&mut self) -> &mut u32 {
        &mut self.count
    }

    fn load(&self) -> u32 {
        self.count
    }

    fn fresh() {}

    fn read() {}
}

#[tokio::test]
async fn a_struct_may_use_the_names_of_the_trait() {
    Namesake::fresh();
    Namesake::read();
    let store = Store::new(MemoryProvider::new());
    let mut session = store.load::<Namesake>(&HeaderMap::new()).await.unwrap();
    *session.fields() = Namesake::SCHEMA + Namesake::TABLE;
    assert_eq!(session.commit().await.unwrap().outcome(), Outcome::Saved);
    assert_eq!(session.load(), 42);
}
