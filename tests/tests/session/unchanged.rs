//! Nothing changed, nothing saved: whatever was read or borrowed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sessions::{MemoryProvider, Session, Store, commit::Outcome};
use sessions_tests::hooked::{Calls, Watch, watched};
use sessions_tests::jar::Jar;

const ENTRIES: u32 = 1_000;

/// Without `PartialEq`: two of them compare by what they encode to.
#[derive(Clone, Serialize, Deserialize)]
struct Opaque {
    name: String,
}

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    text: String,
    number: f64,
    list: Vec<String>,
    map: HashMap<String, u32>,
    opaque: HashMap<String, Opaque>,
    set: HashSet<u32>,
    nested: Vec<BTreeSet<u32>>,
    sorted: BTreeMap<u32, String>,
    #[session(skip)]
    cache: Option<String>,
}

fn filled(visitor: &mut Visitor) {
    visitor.user = Some(7);
    visitor.text = "text".to_owned();
    visitor.number = 0.0;
    visitor.list = vec!["tea".to_owned(), "milk".to_owned()];
    visitor.map = (0..ENTRIES).map(|entry| (format!("key {entry}"), entry)).collect();
    visitor.opaque = (0..ENTRIES).map(opaque).collect();
    visitor.set = (0..ENTRIES).collect();
    visitor.nested = vec![(0..ENTRIES).collect(), BTreeSet::new()];
    visitor.sorted = BTreeMap::from([(1, "one".to_owned())]);
}

fn opaque(entry: u32) -> (String, Opaque) {
    (format!("key {entry}"), Opaque { name: format!("name {entry}") })
}

struct Shop {
    store: Store,
    watch: Watch,
    jar: Jar,
}

/// A session with something in every field.
async fn shop() -> Shop {
    let (provider, watch) = watched(MemoryProvider::new());
    let store = Store::new(provider);
    let mut jar = Jar::new();
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    filled(&mut visitor);
    jar.keep(&visitor.commit().await.unwrap());
    let _ = watch.take();
    Shop { store, watch, jar }
}

impl Shop {
    /// Whether a request that does this saves anything.
    async fn saves(&self, handler: impl FnOnce(&mut Session<Visitor>)) -> bool {
        let mut visitor = self.store.load::<Visitor>(self.jar.headers()).await.unwrap();
        assert_eq!(visitor.map.len(), ENTRIES as usize);
        handler(&mut visitor);
        let commit = visitor.commit().await.unwrap();
        let Calls { fetch, save, touch, delete, list, scan, purge } = self.watch.take();
        assert_eq!((fetch, touch, delete, list, scan, purge), (1, 0, 0, 0, 0, 0));
        assert_eq!(commit.outcome() == Outcome::Saved, save > 0);
        assert_eq!(commit.outcome() == Outcome::Unchanged, save == 0);
        save > 0
    }
}

#[tokio::test]
async fn reading_saves_nothing() {
    let shop = shop().await;
    assert!(!shop.saves(|_| ()).await);
    let reads = |visitor: &mut Session<Visitor>| {
        let visitor = &*visitor;
        let sum: u32 = visitor.map.values().sum();
        assert_eq!(sum, (0..ENTRIES).sum::<u32>());
        assert!(visitor.set.contains(&3) && visitor.nested[0].contains(&3));
        assert_eq!((visitor.owner(), visitor.user), (Some("7"), Some(7)));
        assert_eq!(visitor.opaque["key 1"].name, "name 1");
    };
    assert!(!shop.saves(reads).await);
}

#[tokio::test]
async fn borrowing_mutably_saves_nothing() {
    let shop = shop().await;
    let borrow = |visitor: &mut Session<Visitor>| {
        let data: &mut Visitor = visitor;
        data.list.sort_unstable_by_key(|item| item == "milk");
        for value in data.map.values_mut() {
            *value += 0;
        }
    };
    assert!(!shop.saves(borrow).await);
    let back = |visitor: &mut Session<Visitor>| {
        visitor.list.push("bread".to_owned());
        visitor.user = None;
        visitor.list.pop();
        visitor.user = Some(7);
    };
    assert!(!shop.saves(back).await, "changed, and changed back");
    assert!(!shop.saves(|visitor| visitor.cache = Some("x".to_owned())).await, "not stored");
}

#[tokio::test]
async fn assigning_equal_values_saves_nothing() {
    let shop = shop().await;
    assert!(!shop.saves(|visitor| filled(visitor)).await);
    assert!(shop.saves(|visitor| visitor.number = -0.0).await, "what is stored decides");
}

#[tokio::test]
async fn hash_maps_and_sets_in_another_order_save_nothing() {
    let shop = shop().await;
    let order = |visitor: &Visitor| -> Vec<u32> { visitor.set.iter().copied().collect() };
    let rebuild = |visitor: &mut Session<Visitor>| {
        let before = order(visitor);
        // Tables of another size and hasher have another order.
        let mut set = HashSet::with_capacity(64 * ENTRIES as usize);
        set.extend((0..ENTRIES).rev());
        visitor.set = set;
        visitor.nested[0] = (0..ENTRIES).rev().collect();
        let mut map = HashMap::with_capacity(64 * ENTRIES as usize);
        map.extend((0..ENTRIES).rev().map(|entry| (format!("key {entry}"), entry)));
        visitor.map = map;
        let mut other = HashMap::with_capacity(64 * ENTRIES as usize);
        other.extend((0..ENTRIES).rev().map(opaque));
        visitor.opaque = other;
        assert_ne!(order(visitor), before, "the test wants another order");
    };
    assert!(!shop.saves(rebuild).await);
}

/// What shows that the counts above can be other than zero.
#[tokio::test]
async fn the_smallest_change_is_saved() {
    let shop = shop().await;
    assert!(shop.saves(|visitor| visitor.text.push(' ')).await);
    assert!(shop.saves(|visitor| *visitor.map.get_mut("key 999").unwrap() += 1).await);
    assert!(shop.saves(|visitor| visitor.number = f64::NAN).await);
    // It does not equal itself, but it is what was stored.
    assert!(!shop.saves(|visitor| visitor.number = f64::NAN).await);
    assert!(
        shop.saves(|visitor| assert!(visitor.set.remove(&1) && visitor.set.insert(1_000))).await
    );
    assert!(shop.saves(|visitor| assert!(visitor.nested[0].remove(&1))).await);
    let rename = |visitor: &mut Session<Visitor>| {
        "other".clone_into(&mut visitor.opaque.get_mut("key 5").unwrap().name);
    };
    assert!(shop.saves(rename).await);
    assert!(shop.saves(|visitor| visitor.list.swap(0, 1)).await, "a list has an order");
}

#[tokio::test]
async fn a_new_visitor_who_changes_nothing_has_no_record() {
    let (provider, watch) = watched(MemoryProvider::new());
    let store = Store::new(provider);
    let mut visitor = store.load::<Visitor>(Jar::new().headers()).await.unwrap();
    visitor.list.push("tea".to_owned());
    visitor.list.clear();
    visitor.map = HashMap::with_capacity(100);
    visitor.renew();
    visitor.set_label("phone");
    let commit = visitor.commit().await.unwrap();
    assert_eq!((commit.outcome(), commit.set_cookie()), (Outcome::Unchanged, None));
    assert_eq!(watch.take(), Calls::default());
}
