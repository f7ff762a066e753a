//! Every field type that people keep in sessions comes back as it was stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use sessions::{Error, MemoryProvider, Session, Store, commit::Outcome};
use sessions_tests::jar::Jar;

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
    Jar::of(&commit).into_headers()
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

/// What serde reads through a buffer of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Seen {
    Nowhere,
    At { ip: IpAddr, socket: SocketAddr },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Nothing,
    Ip(IpAddr),
    Wide(u128),
    Text(String),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Flat {
    own: u8,
    #[serde(flatten)]
    rest: BTreeMap<i32, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Alias(Option<u8>);

/// Five options a level.
type Five<T> = Option<Newtype<Option<Newtype<Option<T>>>>>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Newtype<T>(T);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Deep(Vec<Five<Deep>>);

/// The macro refuses what it sees, and it does not see this.
type Unit = ();

#[derive(Clone, Debug, PartialEq, Session)]
#[session(name = "awkward", version = 1)]
struct Awkward {
    #[session(default = Seen::Nowhere)]
    seen: Seen,
    #[session(default = Either::Nothing)]
    either: Either,
    flat: Flat,
    #[session(default = Skips { list: vec![1] })]
    skips: Skips,
    alias: Option<Alias>,
    json: serde_json::Value,
    maybe_json: Option<serde_json::Value>,
    nothing: Option<Unit>,
    deep: Deep,
}

async fn awkward(change: impl FnOnce(&mut Awkward)) -> Result<(Awkward, Awkward), Error> {
    let store = Store::new(MemoryProvider::new());
    let mut session = store.load::<Awkward>(&HeaderMap::new()).await?;
    change(&mut session);
    let commit = session.commit().await?;
    let cookies = Jar::of(&commit).into_headers();
    let again = store.load::<Awkward>(&cookies).await?;
    Ok((session.clone(), again.clone()))
}

#[tokio::test]
async fn what_serde_buffers_comes_back() {
    let address: IpAddr = "2001:db8::1".parse().unwrap();
    let changes: [&dyn Fn(&mut Awkward); 7] = [
        &|v| v.seen = Seen::At { ip: address, socket: (address, 443).into() },
        &|v| v.either = Either::Ip(address),
        &|v| (v.either, v.flat.own) = (Either::Text("x".into()), 1),
        &|v| v.flat.rest = BTreeMap::from([(1, "one".into()), (-1, "minus".into())]),
        &|v| v.json = serde_json::json!({ "null": null, "list": [null, [], {}], "number": 1.5 }),
        &|v| (v.json, v.flat.own) = (serde_json::Value::Null, 1),
        &|v| v.maybe_json = Some(serde_json::json!([null])),
    ];
    for change in changes {
        let (saved, again) = awkward(change).await.unwrap();
        assert_eq!(again, saved);
    }
}

#[tokio::test]
async fn what_could_not_be_read_is_not_saved() {
    fn deep(levels: u32) -> Deep {
        let inner = |deep| Deep(vec![Some(Newtype(Some(Newtype(Some(deep)))))]);
        (0..levels).fold(Deep::default(), |deep, _| inner(deep))
    }
    type Change<'c> = &'c dyn Fn(&mut Awkward);
    let changes: [(&str, &str, Change<'_>); 8] = [
        ("either", "a number above 64 bits", &|v| v.either = Either::Wide(u128::MAX)),
        ("either", "did not match any variant", &|v| v.either = Either::Wide(1)),
        ("skips", "missing field", &|v| v.skips.list.clear()),
        ("alias", "`Some` around nothing", &|v| v.alias = Some(Alias(None))),
        ("maybe_json", "`Some` around nothing", &|v| v.maybe_json = Some(serde_json::Value::Null)),
        ("nothing", "`Some` around nothing", &|v| v.nothing = Some(())),
        ("deep", "nested deeper", &|v| v.deep = deep(70)),
        ("deep", "nested deeper", &|v| v.deep = deep(4_000)),
    ];
    for (expected, text, change) in changes {
        let Error::Encode { field, source, .. } = awkward(change).await.unwrap_err() else {
            panic!("{expected}")
        };
        assert_eq!(field, expected);
        assert!(source.to_string().contains(text), "{source}");
    }
    let (saved, again) = awkward(|v| v.deep = deep(30)).await.unwrap();
    assert_eq!(again, saved);
}

#[derive(Session)]
#[session(name = "skips", version = 1)]
struct FreshSkips {
    skips: Skips,
    count: u8,
}

#[tokio::test]
async fn a_fresh_value_that_could_not_be_read_is_not_saved() {
    let store = Store::new(MemoryProvider::new());
    let mut session = store.load::<FreshSkips>(&HeaderMap::new()).await.unwrap();
    session.count = 1;
    let Error::Encode { field, .. } = session.commit().await.unwrap_err().into_error() else {
        panic!()
    };
    assert_eq!((field.as_ref(), session.skips.list.len()), ("skips", 0));
}
