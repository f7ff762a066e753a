//! The cache of records: it spares round trips, and serves nothing that has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sessions::provider::{ChangeListener, ProviderError, async_trait};
use sessions::testing::Calls;
use sessions::{
    Arrival, Cache, Error, MemoryProvider, Session, Store, StoreBuilder, clock::ManualClock,
    keys::LocalKey,
};
use sessions_tests::fed::{Fed, Feed};
use sessions_tests::hooked::{Call, Fault, Faults, Gate, Hook, Hooked, Watch, watched};
use sessions_tests::jar::Jar;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{advance, timeout};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u32,
    #[session(merge = add)]
    visits: u64,
}

const SECOND: Duration = Duration::from_secs(1);
const NONE: Calls = Calls { fetch: 0, save: 0, touch: 0, delete: 0, list: 0, scan: 0, purge: 0 };
const FETCH: Calls = Calls { fetch: 1, ..NONE };

/// A host with a cache and a feed of the test's own, and another host without, on one database.
struct Hosts {
    cached: Store,
    calls: Watch,
    feed: Feed,
    other: Store,
    clock: ManualClock,
}

impl Hosts {
    fn new() -> Self {
        Self::with(Cache::new(), |builder| builder)
    }

    fn with(cache: Cache, settings: impl Fn(StoreBuilder) -> StoreBuilder) -> Self {
        let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
        let (provider, calls) = watched(memory.clone());
        let (provider, feed) = Fed::new(provider);
        let build = |builder: StoreBuilder| settings(builder.clock(clock.clone()));
        let cached = build(Store::builder(provider)).cache(cache).build().unwrap();
        let other = build(Store::builder(memory)).build().unwrap();
        Self { cached, calls, feed, other, clock }
    }

    /// A logged-in browser whose session the cache holds, and the feed that vouches for it.
    async fn warm(&self) -> (Jar, ChangeListener) {
        let mut jar = Jar::new();
        request(&self.other, &mut jar, |visitor| visitor.user = Some(7)).await;
        // The first read begins the feed.
        self.read(&jar).await;
        let listener = self.feed.begin().await;
        self.read(&jar).await;
        let _ = self.calls.take();
        (jar, listener)
    }

    /// Reads on the host with the cache, and returns the arrival and the calls.
    async fn read(&self, jar: &Jar) -> (Arrival, Calls) {
        let visitor = self.cached.load::<Visitor>(jar.headers()).await.unwrap();
        (visitor.arrival(), self.calls.take())
    }

    async fn is_cached(&self, jar: &Jar) -> bool {
        match self.read(jar).await {
            (Arrival::Live, NONE) => true,
            (Arrival::Live, FETCH) => false,
            other => panic!("{other:?}"),
        }
    }

    /// Time passes, for every clock.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        advance(time).await;
    }
}

async fn request(store: &Store, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) {
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    change(&mut visitor);
    jar.keep(&visitor.commit().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_cached_read_makes_no_call() {
    let hosts = Hosts::new();
    let (jar, _listener) = hosts.warm().await;
    for _ in 0..3 {
        assert!(hosts.is_cached(&jar).await);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_cached_before_the_feed_is_alive() {
    let hosts = Hosts::new();
    let mut jar = Jar::new();
    request(&hosts.other, &mut jar, |visitor| visitor.user = Some(7)).await;
    for _ in 0..2 {
        assert!(!hosts.is_cached(&jar).await, "no feed");
    }
    let listener = hosts.feed.listener().await;
    listener.began();
    for _ in 0..2 {
        assert!(!hosts.is_cached(&jar).await, "no proof");
    }
    listener.proved(listener.ping());
    assert!(!hosts.is_cached(&jar).await);
    assert!(hosts.is_cached(&jar).await);
}

#[tokio::test(start_paused = true)]
async fn what_another_host_ends_or_changes_is_read_again_once_it_is_named() {
    let hosts = Hosts::new();
    let (mut jar, listener) = hosts.warm().await;
    let key = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap().key().unwrap().clone();

    request(&hosts.other, &mut jar, |visitor| visitor.count = 5).await;
    listener.changed(key.as_str());
    let visitor = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.count, hosts.calls.take()), (5, FETCH));

    assert!(hosts.other.revoke_any(&key).await.unwrap());
    assert!(hosts.is_cached(&jar).await, "not told yet");
    listener.ended(key.as_str());
    assert_eq!(hosts.read(&jar).await, (Arrival::Ended, FETCH));
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_stalls_is_trusted_for_three_seconds_from_the_last_ping_that_was_answered() {
    let hosts = Hosts::new();
    let (jar, listener) = hosts.warm().await;
    let sent = listener.ping();
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    hosts.pass(3 * SECOND).await;
    assert!(hosts.is_cached(&jar).await);
    hosts.pass(Duration::from_millis(1)).await;
    assert_eq!(hosts.read(&jar).await, (Arrival::Ended, FETCH));

    // An answer that waited in a buffer proves nothing about now.
    listener.proved(sent);
    assert_eq!(hosts.read(&jar).await, (Arrival::Ended, FETCH));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_trusts_nothing() {
    let hosts = Hosts::new();
    let (jar, _listener) = hosts.warm().await;
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    // Only the wall clock has moved.
    hosts.clock.advance(4 * SECOND);
    assert_eq!(hosts.read(&jar).await, (Arrival::Ended, FETCH));
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_or_a_loss_everything_is_forgotten() {
    let hosts = Hosts::new();
    let (jar, listener) = hosts.warm().await;
    listener.gap();
    assert!(!hosts.is_cached(&jar).await);
    assert!(hosts.is_cached(&jar).await, "the feed goes on");

    hosts.feed.lose();
    let listener = hosts.feed.listener().await;
    for _ in 0..2 {
        assert!(!hosts.is_cached(&jar).await, "lost");
    }
    listener.began();
    listener.proved(listener.ping());
    assert!(!hosts.is_cached(&jar).await, "from before the loss");
    assert!(hosts.is_cached(&jar).await);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_began_before_a_notice_is_not_kept_after_it() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let gate = Gate::new(Call::Fetch);
    let (provider, feed) = Fed::new(Hooked::new(memory.clone(), After(gate.clone())));
    let cached = Store::builder(provider).clock(clock.clone()).cache(Cache::new()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    let _ = cached.load::<Visitor>(jar.headers()).await.unwrap();
    let listener = feed.begin().await;

    // The database has answered, and the answer is on its way.
    gate.close();
    let reading = tokio::spawn({
        let (cached, headers) = (cached.clone(), jar.headers().clone());
        async move { cached.load::<Visitor>(&headers).await.unwrap().arrival() }
    });
    gate.arrived(1).await;
    let key =
        other.list::<Visitor>(7, sessions::Page::first(1)).await.unwrap().items[0].key.clone();
    assert!(other.revoke_any(&key).await.unwrap());
    listener.ended(key.as_str());
    gate.open();
    assert_eq!(reading.await.unwrap(), Arrival::Live, "it asked before the end");
    let visitor = cached.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(visitor.arrival(), Arrival::Ended);
}

/// A gate that answers wait at, after the call took place.
struct After(Gate);

#[async_trait]
impl Hook for After {
    async fn after(&self, call: Call, id: &str, _: bool) -> Result<(), ProviderError> {
        self.0.before(call, id).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_cached_record_only_confirms() {
    let hosts = Hosts::with(Cache::new(), |it| it.idle_timeout(60 * SECOND));
    let (mut jar, listener) = hosts.warm().await;
    let old = Jar::clone(&jar);

    // Another secret: the cookie is newer than what is cached.
    request(&hosts.other, &mut jar, Session::renew).await;
    assert_eq!(hosts.read(&jar).await, (Arrival::Live, FETCH));
    // And from here on the old cookie is not confirmed any more, though nothing was named.
    assert_eq!(hosts.read(&old).await, (Arrival::Superseded, FETCH));
    assert!(hosts.is_cached(&jar).await);

    // An expiry that has passed, and that another host has moved.
    for _ in 0..2 {
        hosts.pass(30 * SECOND).await;
        request(&hosts.other, &mut jar, |visitor| visitor.visits += 1).await;
        listener.proved(listener.ping());
    }
    hosts.pass(10 * SECOND).await;
    listener.proved(listener.ping());
    assert_eq!(hosts.read(&jar).await, (Arrival::Live, FETCH));
}

#[tokio::test(start_paused = true)]
async fn a_cached_record_from_before_end_all_is_asked_about() {
    let hosts = Hosts::new();
    let (jar, _listener) = hosts.warm().await;
    hosts.cached.end_all().await.unwrap();
    let _ = hosts.calls.take();
    assert_eq!(hosts.read(&jar).await, (Arrival::Ended, FETCH));
}

#[tokio::test(start_paused = true)]
async fn reload_asks_the_database() {
    let hosts = Hosts::new();
    let (jar, _listener) = hosts.warm().await;
    let mut visitor = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap();
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    assert!(matches!(visitor.reload().await, Err(Error::Gone)));
    assert_eq!(hosts.calls.take(), FETCH);
}

#[tokio::test(start_paused = true)]
async fn this_hosts_own_changes_are_seen_at_once() {
    let hosts = Hosts::new();
    let (mut jar, _listener) = hosts.warm().await;
    for count in 1..4 {
        request(&hosts.cached, &mut jar, |visitor| visitor.count = count).await;
        let visitor = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap();
        assert_eq!(visitor.count, count);
    }
    let old = Jar::clone(&jar);
    request(&hosts.cached, &mut jar, Session::renew).await;
    assert_eq!(hosts.read(&old).await.0, Arrival::Superseded);
    assert_eq!(hosts.read(&jar).await.0, Arrival::Live);
    hosts.cached.revoke_all::<Visitor>(7).await.unwrap();
    assert_eq!(hosts.read(&jar).await.0, Arrival::Ended);
}

#[tokio::test(start_paused = true)]
async fn a_save_over_something_old_merges_and_loses_nothing() {
    let hosts = Hosts::new();
    let (mut jar, _listener) = hosts.warm().await;
    request(&hosts.other, &mut jar, |visitor| visitor.visits += 10).await;
    // From the cache: what the other host has saved is not in it.
    request(&hosts.cached, &mut jar, |visitor| {
        assert_eq!(visitor.visits, 0);
        visitor.visits += 1;
    })
    .await;
    let visitor = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(visitor.visits, 11);
}

#[tokio::test(start_paused = true)]
async fn saves_are_announced_and_renewals_with_the_save() {
    let hosts = Hosts::new();
    let (mut jar, _listener) = hosts.warm().await;
    let key = hosts.cached.load::<Visitor>(jar.headers()).await.unwrap().key().unwrap().to_string();
    request(&hosts.cached, &mut jar, |visitor| visitor.count = 1).await;
    settle().await;
    assert_eq!(hosts.feed.announced(), [key.as_str()]);
    request(&hosts.cached, &mut jar, Session::renew).await;
    settle().await;
    assert_eq!(hosts.feed.announced(), [format!("with the save: {key}")]);
    // Nobody has read a session that begins.
    request(&hosts.cached, &mut Jar::new(), |visitor| visitor.count = 1).await;
    settle().await;
    assert!(hosts.feed.announced().is_empty());
}

/// Lets other tasks run.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_feed_records_are_trusted_for_five_seconds() {
    for (cache, trusted) in
        [(Cache::new(), 5 * SECOND), (Cache::new().max_age(2 * SECOND), 2 * SECOND)]
    {
        let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
        let (provider, calls) = watched(Fed::silent(memory.clone()));
        let store = Store::builder(provider).clock(clock.clone()).cache(cache).build().unwrap();
        let other = Store::builder(memory).clock(clock.clone()).build().unwrap();
        let mut jar = Jar::new();
        request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
        let read = async || {
            let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
            (visitor.arrival(), calls.take())
        };
        read().await;
        settle().await;
        assert_eq!(read().await, (Arrival::Live, FETCH));
        other.revoke_all::<Visitor>(7).await.unwrap();
        clock.advance(trusted);
        advance(trusted).await;
        assert_eq!(read().await, (Arrival::Live, NONE));
        clock.advance(Duration::from_millis(1));
        assert_eq!(read().await, (Arrival::Ended, FETCH));
    }
}

#[tokio::test(start_paused = true)]
async fn no_record_is_trusted_for_longer_than_a_minute() {
    let hosts = Hosts::new();
    let (jar, listener) = hosts.warm().await;
    for _ in 0..60 {
        hosts.pass(SECOND).await;
        listener.proved(listener.ping());
        assert!(hosts.is_cached(&jar).await);
    }
    hosts.pass(SECOND).await;
    listener.proved(listener.ping());
    assert!(!hosts.is_cached(&jar).await);
}

#[tokio::test(start_paused = true)]
async fn parallel_requests_share_one_fetch() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let gate = Gate::new(Call::Fetch);
    let (provider, calls) = watched(Hooked::new(memory.clone(), gate.clone()));
    let (provider, feed) = Fed::new(provider);
    let cached = Store::builder(provider).clock(clock.clone()).cache(Cache::new()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    let _ = cached.load::<Visitor>(jar.headers()).await.unwrap();
    let _listener = feed.begin().await;
    let _ = calls.take();
    gate.close();
    let reads = join_all((0..50).map(|_| cached.load::<Visitor>(jar.headers())));
    let (reads, ()) = tokio::join!(reads, async {
        gate.arrived(1).await;
        settle().await;
        gate.open();
    });
    assert!(reads.into_iter().all(|read| read.unwrap().arrival() == Arrival::Live));
    assert_eq!(calls.take(), FETCH);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_fails_parallel_requests_together() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let (gate, faults) = (Gate::new(Call::Fetch), Faults::default());
    let hooked = Hooked::new(Hooked::new(memory.clone(), faults.clone()), gate.clone());
    let (provider, feed) = Fed::new(hooked);
    let cached = Store::builder(provider).clock(clock.clone()).cache(Cache::new()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    let _ = cached.load::<Visitor>(jar.headers()).await.unwrap();
    let _listener = feed.begin().await;
    faults.set(Fault::Down);
    gate.close();
    let reads = join_all((0..50).map(|_| cached.load::<Visitor>(jar.headers())));
    let (reads, ()) = tokio::join!(reads, async {
        gate.arrived(1).await;
        gate.open();
    });
    assert!(reads.into_iter().all(|read| read.is_err_and(|error| error.is_unavailable())));
    faults.set(Fault::None);
    assert!(cached.load::<Visitor>(jar.headers()).await.is_ok());
}

/// Fetches that wait for a permit each, and their number.
#[derive(Clone)]
struct Turns(Arc<Semaphore>, Arc<AtomicU32>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)), Arc::default())
    }
}

#[async_trait]
impl Hook for Turns {
    async fn before(&self, call: Call, _: &str) -> Result<(), ProviderError> {
        if call == Call::Fetch {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.acquire().await.unwrap().forget();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_nothing_asks_at_the_same_time_as_the_others() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let turns = Turns::default();
    let (provider, feed) = Fed::new(Hooked::new(memory.clone(), turns.clone()));
    let cached = Store::builder(provider).clock(clock.clone()).cache(Cache::new()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    turns.0.add_permits(1);
    let _ = cached.load::<Visitor>(jar.headers()).await.unwrap();
    let _listener = feed.begin().await;
    other.revoke_all::<Visitor>(7).await.unwrap();
    let reads = join_all((0..50).map(|_| cached.load::<Visitor>(jar.headers())));
    let (reads, ()) = tokio::join!(reads, async {
        settle().await;
        assert_eq!(turns.1.load(Ordering::Relaxed), 2, "one fetch before, and one for all");
        // The first finds nothing, and the others ask.
        turns.0.add_permits(1);
        settle().await;
        assert_eq!(turns.1.load(Ordering::Relaxed), 51);
        turns.0.add_permits(50);
    });
    assert!(reads.into_iter().all(|read| read.unwrap().arrival() == Arrival::Ended));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_others_their_read() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let gate = Gate::new(Call::Fetch);
    let (provider, feed) = Fed::new(Hooked::new(memory.clone(), gate.clone()));
    let cached = Store::builder(provider).clock(clock.clone()).cache(Cache::new()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    let _ = cached.load::<Visitor>(jar.headers()).await.unwrap();
    let _listener = feed.begin().await;
    gate.close();
    let first = tokio::spawn({
        let (cached, headers) = (cached.clone(), jar.headers().clone());
        async move { cached.load::<Visitor>(&headers).await.map(|it| it.arrival()) }
    });
    gate.arrived(1).await;
    let second = cached.load::<Visitor>(jar.headers());
    let (second, ()) = tokio::join!(second, async {
        settle().await;
        first.abort();
        gate.arrived(2).await;
        gate.open();
    });
    assert_eq!(second.unwrap().arrival(), Arrival::Live);
}

#[tokio::test(start_paused = true)]
async fn a_cache_of_nothing_or_a_record_that_does_not_fit_asks_each_time() {
    for bytes in [0, 100] {
        let hosts = Hosts::with(Cache::new().max_bytes(bytes), |it| it);
        let (jar, _listener) = hosts.warm().await;
        for _ in 0..3 {
            assert!(!hosts.is_cached(&jar).await, "{bytes} bytes");
        }
    }
}

/// A runtime whose clock the test moves.
fn paused() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

#[test]
fn memory_stays_within_its_bound_and_what_is_in_use_stays_in_it() {
    const BYTES: u64 = 1 << 20;
    let runtime = paused();
    // Encrypted, so that a record is the cache's alone.
    let hosts = Hosts::with(Cache::new().max_bytes(BYTES), |it| {
        it.encrypt_records().key_encryption(LocalKey::from_bytes([7; 32]))
    });
    let jars = runtime.block_on(async {
        let (_, listener) = hosts.warm().await;
        let mut jars = Vec::new();
        for user in 0..10_000 {
            let mut jar = Jar::new();
            request(&hosts.other, &mut jar, |visitor| visitor.user = Some(user)).await;
            jars.push(jar);
        }
        listener.proved(listener.ping());
        jars
    });
    let read = || {
        runtime.block_on(async {
            for (number, jar) in jars.iter().enumerate() {
                hosts.read(jar).await;
                // Some are in use all the time.
                hosts.read(&jars[number % 100]).await;
            }
        });
    };
    let memory = allocation_counter::measure(read);
    let kept = u64::try_from(memory.bytes_current).unwrap();
    // A little is the store's own.
    assert!((BYTES / 2..=BYTES + BYTES / 50).contains(&kept), "{kept} bytes");
    runtime.block_on(async {
        let mut used = 0;
        for jar in &jars[..100] {
            used += u32::from(hosts.is_cached(jar).await);
        }
        assert!(used > 90, "{used} of 100");
    });
}

#[tokio::test(start_paused = true)]
async fn garbage_floods_and_unknown_ids_do_no_harm() {
    let hosts = Hosts::new();
    let (jar, listener) = hosts.warm().await;
    for id in ["", "\0", "é", "not a key", &"a".repeat(43), &"-".repeat(100_000)] {
        listener.changed(id);
        listener.ended(id);
    }
    for number in 0..100_000 {
        listener.changed(&format!("{number:0>43}"));
    }
    assert!(hosts.is_cached(&jar).await);
    // A listener of a connection that was lost tells nothing any more, and proves nothing.
    hosts.feed.lose();
    let _again = hosts.feed.listener().await;
    listener.began();
    listener.proved(listener.ping());
    assert!(!hosts.is_cached(&jar).await);
}

#[tokio::test(start_paused = true)]
async fn encrypted_records_are_cached_as_they_are_read() {
    let hosts = Hosts::with(Cache::new(), |it| {
        it.encrypt_records().key_encryption(LocalKey::from_bytes([7; 32]))
    });
    let (jar, _listener) = hosts.warm().await;
    assert!(hosts.is_cached(&jar).await);
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_every_read_asks() {
    let hosts = Hosts::new();
    let (jar, listener) = hosts.warm().await;
    hosts.cached.shutdown().await;
    settle().await;
    listener.proved(listener.ping());
    assert!(!hosts.is_cached(&jar).await);
}

#[test]
fn a_store_that_outlives_its_runtime_follows_the_feed_in_the_next() {
    let hosts = Hosts::new();
    let jar = paused().block_on(async { hosts.warm().await.0 });
    hosts.feed.lose();
    paused().block_on(async {
        assert!(!hosts.is_cached(&jar).await, "nobody listened");
        timeout(SECOND, hosts.feed.begin()).await.unwrap();
        assert!(!hosts.is_cached(&jar).await);
        assert!(hosts.is_cached(&jar).await);
    });
}
