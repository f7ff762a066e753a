//! What grows with the number of an owner's sessions: the calls of the provider by a straight line, and
//! the memory not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use http::HeaderMap;
use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved, async_trait};
use sessions::testing::{Call, Calls};
use sessions::{Error, MemoryProvider, Session, Store, StoreKey};
use sessions_tests::hooked::{Fault, Faults, Hook, Hooked, Watch, watched};
use tokio::runtime::{Builder, Runtime};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
}

const FEW: u32 = 1_000;
const MANY: u32 = 10_000;
/// As the store reads an owner's list.
const PAGE: u32 = 100;
const CAP: u32 = 5;

/// What one call costs an owner with so many sessions.
struct Cost {
    calls: Calls,
    /// The most bytes that were allocated at one time.
    bytes: u64,
}

/// A store whose user 7 has so many sessions.
struct World {
    store: Store,
    watch: Watch,
    runtime: Runtime,
    /// They stay in memory, so that what a call frees does not hide what it takes.
    _records: Vec<Record>,
}

impl World {
    fn new(sessions: u32) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let memory = MemoryProvider::new();
        let records = runtime.block_on(fill(&memory, sessions));
        let (provider, watch) = watched(memory);
        let store = Store::builder(provider).max_sessions_per_owner(CAP as usize).build().unwrap();
        // The first reads the key ring.
        runtime.block_on(log_in(&store, 8)).unwrap();
        let _ = watch.take();
        Self { store, watch, runtime, _records: records }
    }

    fn cost(&self, call: impl Future<Output = ()>) -> Cost {
        let bytes = measure(|| self.runtime.block_on(call)).bytes_max;
        Cost { calls: self.watch.take(), bytes }
    }
}

/// Logs in user 7 once, and stores this session so many times.
async fn fill(memory: &MemoryProvider, sessions: u32) -> Vec<Record> {
    let key = log_in(&Store::new(memory.clone()), 7).await.unwrap();
    let now = SystemTime::now();
    let first = memory.fetch(key.as_str(), now).await.unwrap().unwrap();
    memory.delete(&first.id, Expect::Any, now).await.unwrap();
    let mut records = Vec::new();
    for number in 0..sessions {
        let record = Record { id: id(&key, number), ..first.clone() };
        assert_eq!(memory.save(&record, Expect::Absent, now).await.unwrap(), Saved::Saved);
        records.push(record);
    }
    records
}

/// A key for each number: three letters near its end say it, by which the records spread in memory.
fn id(key: &StoreKey, number: u32) -> Arc<str> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |place: u32| char::from(LETTERS[(number >> (6 * place)) as usize % 64]);
    let mut id = key.as_str().to_owned();
    id.replace_range(38..41, &(0..3).map(letter).collect::<String>());
    id.into()
}

async fn log_in(store: &Store, user: u64) -> Result<StoreKey, Error> {
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await?;
    visitor.user = Some(user);
    let _ = visitor.commit().await?;
    Ok(visitor.key().unwrap().clone())
}

async fn count(store: &Store) -> u32 {
    let (mut count, mut page) = (0, Some(Page::first(PAGE)));
    while let Some(next) = page {
        let listed = store.list::<Visitor>(7, next).await.unwrap();
        count += u32::try_from(listed.items.len()).unwrap();
        page = listed.next;
    }
    count
}

/// Ten times the sessions take as much memory at a time.
fn assert_bounded(call: &str, few: &Cost, many: &Cost) {
    println!("{call}: {} bytes of {FEW} sessions, {} of {MANY}", few.bytes, many.bytes);
    assert!(many.bytes <= few.bytes + few.bytes / 10, "{call}: {} bytes", many.bytes);
    assert!(many.bytes <= 64 * 1024, "{call}: {} bytes", many.bytes);
}

#[test]
fn a_list_costs_a_call_and_the_memory_of_a_page() {
    let cost = |sessions| {
        let world = World::new(sessions);
        world.cost(async { assert_eq!(count(&world.store).await, sessions) })
    };
    let (few, many) = (cost(FEW), cost(MANY));
    for (cost, sessions) in [(&few, FEW), (&many, MANY)] {
        assert_eq!(cost.calls, Calls { list: sessions / PAGE, ..Calls::default() });
    }
    assert_bounded("list", &few, &many);
}

#[test]
fn revoke_all_costs_a_call_for_each_session_and_page() {
    let cost = |sessions| {
        let world = World::new(sessions);
        world.cost(async {
            let ended = world.store.revoke_all::<Visitor>(7).await.unwrap();
            assert_eq!(ended, u64::from(sessions));
        })
    };
    let (few, many) = (cost(FEW), cost(MANY));
    for (cost, sessions) in [(&few, FEW), (&many, MANY)] {
        // The fence, the pages, and one more list: that nothing is left.
        let list = sessions / PAGE + 1;
        assert_eq!(cost.calls, Calls { save: 1, delete: sessions, list, ..Calls::default() });
    }
    assert_bounded("revoke_all", &few, &many);
}

#[test]
fn a_cap_costs_a_call_for_each_session_above_it_and_two_for_each_page() {
    let cost = |sessions| {
        let world = World::new(sessions);
        let log_in = || world.cost(async { assert!(log_in(&world.store, 7).await.is_ok()) });
        let (first, second) = (log_in(), log_in());
        assert_eq!(second.calls, Calls { fetch: 1, save: 1, delete: 1, list: 2, ..NONE });
        assert_eq!(world.runtime.block_on(count(&world.store)), CAP);
        first
    };
    let (few, many) = (cost(FEW), cost(MANY));
    for (cost, sessions) in [(&few, FEW), (&many, MANY)] {
        // Before the login, and after it with one session more.
        let list = sessions / PAGE + (sessions + 1).div_ceil(PAGE);
        let delete = sessions + 1 - CAP;
        assert_eq!(cost.calls, Calls { fetch: 1, save: 1, delete, list, ..NONE });
    }
    assert_bounded("a login under a cap", &few, &many);
}

/// Each call takes a millisecond, and each thousandth session is saved just before it would end.
struct Slow {
    memory: MemoryProvider,
    deletes: AtomicU32,
}

#[async_trait]
impl Hook for Slow {
    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        tokio::time::advance(Duration::from_millis(1)).await;
        let is_delete = call == Call::Delete;
        if is_delete && self.deletes.fetch_add(1, Ordering::SeqCst).is_multiple_of(1_000) {
            let now = SystemTime::now();
            if let Some(mut record) = self.memory.fetch(id, now).await? {
                record.version += 1;
                self.memory.save(&record, Expect::Version(record.version - 1), now).await?;
            }
        }
        Ok(())
    }
}

async fn slow() -> Store {
    let memory = MemoryProvider::new();
    fill(&memory, MANY).await;
    let hook = Slow { memory: memory.clone(), deletes: AtomicU32::new(0) };
    let store = Store::builder(Hooked::new(memory, hook));
    store.max_sessions_per_owner(CAP as usize).build().unwrap()
}

/// It takes ten seconds, and a commit gives up a conflict after two.
#[tokio::test(start_paused = true)]
async fn revoke_all_goes_on_for_as_long_as_sessions_end() {
    let store = slow().await;
    assert_eq!(store.revoke_all::<Visitor>(7).await.unwrap(), u64::from(MANY));
    assert_eq!(count(&store).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cap_goes_on_for_as_long_as_sessions_end() {
    let store = slow().await;
    log_in(&store, 7).await.unwrap();
    assert_eq!(count(&store).await, CAP);
}

/// Three failures in a row are an outage; ten among ten thousand calls are not.
#[tokio::test(start_paused = true)]
async fn lost_answers_between_calls_that_take_place_are_no_outage() {
    for (call, each) in [(Call::Delete, 1_000), (Call::List, 10)] {
        let memory = MemoryProvider::new();
        fill(&memory, MANY).await;
        let faults = Faults::default();
        let store = Store::builder(Hooked::new(memory.clone(), faults.clone()));
        let store = store.max_sessions_per_owner(CAP as usize).build().unwrap();
        faults.set(Fault::LostEach(call, each));
        log_in(&store, 7).await.unwrap();
        faults.set(Fault::None);
        assert_eq!(count(&store).await, CAP);

        let more = fill(&memory, MANY).await;
        faults.set(Fault::LostEach(call, each));
        store.revoke_all::<Visitor>(7).await.unwrap();
        faults.set(Fault::None);
        assert_eq!((count(&store).await, more.len()), (0, MANY as usize));
    }
}

const NONE: Calls = Calls { fetch: 0, save: 0, touch: 0, delete: 0, list: 0, scan: 0, purge: 0 };
