//! Ending everybody's sessions, on several hosts whose clocks differ.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use sessions::clock::{Clock as _, ManualClock};
use sessions::codec::{Codec, Purpose};
use sessions::keys::LocalKey;
use sessions::provider::{Expect, Page, Provider, ProviderError, Record, async_trait};
use sessions::{Arrival, Error, MemoryProvider, Session, Store, StoreBuilder, StoreKey};
use sessions_tests::events::Events;
use sessions_tests::hooked::{Call, Hook, Hooked, Watch, watched};
use sessions_tests::jar::Jar;
use tracing::Level;

#[derive(Session, Debug)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    visits: u32,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const RECORD: &str = "app:epoch";

struct Host {
    store: Store,
    clock: ManualClock,
    watch: Watch,
}

/// The database, with which hosts start.
struct World(Arc<MemoryProvider>);

impl World {
    fn new() -> Self {
        Self(Arc::new(MemoryProvider::new()))
    }

    fn host(&self) -> Host {
        self.host_with(Duration::ZERO, |builder| builder)
    }

    /// A host whose clock is ahead.
    fn host_with(&self, ahead: Duration, build: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Host {
        let clock = ManualClock::default();
        clock.advance(ahead);
        let (provider, watch) = watched(self.0.clone());
        let store = build(Store::builder(provider).clock(clock.clone())).build().unwrap();
        Host { store, clock, watch }
    }

    async fn record(&self) -> Option<Record> {
        self.0.fetch(RECORD, SystemTime::UNIX_EPOCH).await.unwrap()
    }

    /// As somebody who restores a backup does.
    async fn restore(&self, data: Option<Vec<u8>>) {
        self.0.delete(RECORD, Expect::Any, SystemTime::UNIX_EPOCH).await.unwrap();
        if let Some(data) = data {
            let record = Record::new(RECORD, 1, data);
            self.0.save(&record, Expect::Absent, SystemTime::UNIX_EPOCH).await.unwrap();
        }
    }
}

impl Host {
    async fn login(&self, user: u64) -> Jar {
        let mut visitor = self.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(user);
        Jar::of(&visitor.commit().await.unwrap())
    }

    async fn load(&self, jar: &Jar) -> Session<Visitor> {
        self.store.load(jar.headers()).await.unwrap()
    }

    async fn arrival(&self, jar: &Jar) -> Arrival {
        self.load(jar).await.arrival()
    }

    /// What arrives once a refresh that was due has ended.
    async fn arrival_later(&self, jar: &Jar) -> Arrival {
        self.arrival(jar).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.arrival(jar).await
    }

    async fn listed(&self, user: u64) -> usize {
        self.store.list::<Visitor>(user, Page::first(100)).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn everybodys_sessions_end_on_every_host_and_later_ones_stay() {
    let world = World::new();
    let (one, two) = (world.host(), world.host());
    let ada = two.login(7).await;
    let mut anonymous = two.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    anonymous.visits = 1;
    let anonymous = Jar::of(&anonymous.commit().await.unwrap());
    assert_eq!(one.arrival(&ada).await, Arrival::Live);

    one.store.end_all().await.unwrap();
    for jar in [&ada, &anonymous] {
        assert_eq!(one.arrival(jar).await, Arrival::Ended, "here at once");
        assert_eq!(two.arrival(jar).await, Arrival::Live, "it does not know yet");
    }
    // A refresh is due after five minutes at most, and runs in the background.
    two.clock.advance(5 * MINUTE);
    assert_eq!(two.arrival_later(&ada).await, Arrival::Ended);
    assert_eq!(two.arrival(&anonymous).await, Arrival::Ended);

    let again = two.login(7).await;
    let mut anonymous = one.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    anonymous.visits = 1;
    let anonymous = Jar::of(&anonymous.commit().await.unwrap());
    for host in [&one, &two, &world.host()] {
        assert_eq!(host.arrival(&again).await, Arrival::Live);
        assert_eq!(host.arrival(&anonymous).await, Arrival::Live);
        assert_eq!(host.arrival(&ada).await, Arrival::Ended);
    }
    assert_eq!(one.load(&ada).await.visits, 0);
    // And once more.
    two.store.end_all().await.unwrap();
    assert_eq!(two.arrival(&again).await, Arrival::Ended);
}

#[tokio::test]
async fn a_host_that_was_unused_for_ten_minutes_knows_before_it_serves() {
    let world = World::new();
    let (one, two) = (world.host(), world.host());
    let jar = two.login(7).await;
    one.store.end_all().await.unwrap();
    two.clock.advance(10 * MINUTE + Duration::from_secs(1));
    assert_eq!(two.arrival(&jar).await, Arrival::Ended);
    // As one that starts does, also with a list and without any cookie.
    let jar = one.login(8).await;
    one.store.end_all().await.unwrap();
    assert_eq!(world.host().arrival(&jar).await, Arrival::Ended);
    assert_eq!(world.host().listed(8).await, 0);
    let three = world.host();
    let jar = three.login(9).await;
    assert_eq!(three.arrival(&jar).await, Arrival::Live);
    assert_eq!(one.arrival(&jar).await, Arrival::Live);
}

#[tokio::test]
async fn a_host_that_is_cut_off_accepts_until_it_can_read() {
    let world = World::new();
    let sealed = |it: StoreBuilder| it.client_side().key_encryption(LocalKey::from_bytes([7; 32]));
    let (one, two) =
        (world.host_with(Duration::ZERO, sealed), world.host_with(Duration::ZERO, sealed));
    let jar = two.login(7).await;
    one.store.end_all().await.unwrap();
    assert_eq!(one.arrival(&jar).await, Arrival::Ended, "its cookie holds the session");
    two.watch.set_down(true);
    two.clock.advance(HOUR);
    assert_eq!(two.arrival(&jar).await, Arrival::Live);
    two.watch.set_down(false);
    two.clock.advance(2 * MINUTE);
    assert_eq!(two.arrival_later(&jar).await, Arrival::Ended);
    one.clock.advance(HOUR + 2 * MINUTE);
    let jar = two.login(7).await;
    assert_eq!(one.arrival(&jar).await, Arrival::Live);
    assert_eq!(two.arrival(&jar).await, Arrival::Live);
    let mut visitor = two.load(&jar).await;
    visitor.visits += 1;
    let jar = Jar::of(&visitor.commit().await.unwrap());
    assert_eq!(one.arrival(&jar).await, Arrival::Live, "a change keeps the number");

    let down = world.host();
    down.watch.set_down(true);
    assert!(matches!(down.store.end_all().await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn sessions_before_a_time_end_with_ten_minutes_for_the_clocks() {
    let world = World::new();
    let ahead = world.host_with(10 * MINUTE, |it| it);
    let host = world.host();
    let old = ahead.login(1).await;
    host.clock.advance(Duration::from_secs(1));
    // By a clock that is ten minutes ahead it began after this.
    let time = host.store.now();
    host.clock.advance(10 * MINUTE - Duration::from_secs(1));
    let near = host.login(2).await;
    host.clock.advance(Duration::from_secs(1));
    let new = host.login(3).await;
    host.clock.advance(HOUR);
    host.store.end_all_before(time).await.unwrap();
    assert_eq!(host.arrival(&old).await, Arrival::Ended);
    assert_eq!(host.arrival(&near).await, Arrival::Ended, "a second less than ten minutes");
    assert_eq!(host.arrival(&new).await, Arrival::Live);

    // An earlier time brings nothing back, and ends nothing more.
    host.store.end_all_before(time - HOUR).await.unwrap();
    assert_eq!(host.arrival(&old).await, Arrival::Ended);
    assert_eq!(host.arrival(&new).await, Arrival::Live);
    // Who logs in after the call stays, however near the time is.
    host.store.end_all_before(host.store.now()).await.unwrap();
    assert_eq!(host.arrival(&new).await, Arrival::Ended);
    let after = host.login(3).await;
    assert_eq!(host.arrival(&after).await, Arrival::Live);

    let soon = host.store.now() + 10 * MINUTE;
    assert!(host.store.end_all_before(soon).await.is_ok());
    let refused = host.store.end_all_before(soon + Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&refused, Error::Misuse(text) if text.contains("end_all()")), "{refused}");
}

#[tokio::test]
async fn what_has_ended_is_gone_for_every_call() {
    let world = World::new();
    let host = world.host_with(Duration::ZERO, |it| it.max_sessions_per_owner(2));
    let (first, second) = (host.login(7).await, host.login(7).await);
    let key: StoreKey = host.load(&first).await.key().unwrap().clone();
    let mut writes = host.load(&first).await;
    let mut ends = host.load(&second).await;
    host.store.end_all().await.unwrap();

    assert_eq!(host.listed(7).await, 0);
    let update = host.store.update_any::<Visitor, _>(&key, |visitor| visitor.visits = 9).await;
    assert!(update.unwrap().is_none());
    assert!(!host.store.revoke::<Visitor>(7, &key).await.unwrap());
    writes.visits = 9;
    assert!(matches!(writes.save().await, Err(Error::Gone)));
    drop(writes);
    ends.destroy();
    assert!(ends.commit().await.unwrap().set_cookie().is_some(), "a logout clears the cookie");

    // The cap counts neither of the two.
    let (three, four) = (host.login(7).await, host.login(7).await);
    assert_eq!(
        (host.arrival(&three).await, host.arrival(&four).await),
        (Arrival::Live, Arrival::Live)
    );
    assert_eq!(host.listed(7).await, 2);
    assert!(!host.store.revoke_any(&key).await.unwrap(), "it removes the record, and no session");
    assert!(world.0.fetch(key.as_str(), host.clock.now()).await.unwrap().is_none());
    assert_eq!(host.store.revoke_all::<Visitor>(7).await.unwrap(), 2);
}

#[tokio::test]
async fn a_login_that_is_under_way_is_undone() {
    let world = World::new();
    let host = world.host();
    let mut visitor = host.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    let mut proves = host.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    let attempt = host.store.begin_login::<Visitor>(8).await.unwrap();
    host.login(1).await;
    host.clock.advance(Duration::from_secs(1));
    host.store.end_all().await.unwrap();

    visitor.user = Some(7);
    let error = visitor.commit().await.unwrap_err();
    assert!(matches!(error.error(), Error::LoginUndone));
    assert_eq!(host.listed(7).await, 0);
    // On any host: the attempt says what its host knew.
    let elsewhere = world.host();
    let mut second = elsewhere.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    second.user = Some(8);
    second.log_in(attempt);
    assert!(matches!(second.commit().await.unwrap_err().error(), Error::LoginUndone));
    // And that it began afterwards, whenever the session was loaded.
    let attempt = host.store.begin_login::<Visitor>(8).await.unwrap();
    proves.user = Some(8);
    proves.log_in(attempt);
    let jar = Jar::of(&proves.commit().await.unwrap());
    assert_eq!(host.arrival(&jar).await, Arrival::Live);
}

#[tokio::test]
async fn a_login_on_a_live_session_that_ended_meanwhile_begins_another() {
    let world = World::new();
    let host = world.host();
    let mut visitor = host.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.visits = 3;
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let key = visitor.key().unwrap().clone();
    let mut visitor = host.load(&jar).await;
    host.store.end_all().await.unwrap();
    let attempt = host.store.begin_login::<Visitor>(8).await.unwrap();
    visitor.user = Some(8);
    visitor.log_in(attempt);
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let visitor = host.load(&jar).await;
    assert_eq!((visitor.arrival(), visitor.user), (Arrival::Live, Some(8)));
    assert_ne!(visitor.key(), Some(&key));
}

#[tokio::test]
async fn a_login_on_a_host_that_does_not_know_yet_ends_when_it_does() {
    let world = World::new();
    let (one, two) = (world.host(), world.host());
    two.login(1).await;
    one.store.end_all().await.unwrap();
    let jar = two.login(7).await;
    assert_eq!(two.arrival(&jar).await, Arrival::Live);
    assert_eq!(one.arrival(&jar).await, Arrival::Ended);
    two.clock.advance(5 * MINUTE);
    assert_eq!(two.arrival_later(&jar).await, Arrival::Ended);
}

#[tokio::test]
async fn a_record_that_was_lost_or_restored_is_written_again() {
    let world = World::new();
    let host = world.host();
    let jar = host.login(7).await;
    host.store.end_all_before(host.store.now() - HOUR).await.unwrap();
    let backup = world.record().await.unwrap().data.to_vec();
    host.store.end_all().await.unwrap();
    let now = world.record().await.unwrap().data.to_vec();
    for (data, reason) in [
        (None, "missing"),
        (Some(backup), "older"),
        (Some(vec![0xff]), "newer"),
        (Some(vec![1; 3]), "damaged"),
    ] {
        let events = Events::capture(Level::WARN);
        world.restore(data.clone()).await;
        host.clock.advance(5 * MINUTE);
        assert_eq!(host.arrival_later(&jar).await, Arrival::Ended, "{reason}");
        let taken = events.take();
        if reason == "newer" {
            assert!(taken.iter().any(|it| it.contains("epoch.unusable")), "{taken:?}");
            assert_eq!(world.record().await.unwrap().data.to_vec(), [0xff], "it stays");
            continue;
        }
        let repaired = |it: &String| it.contains("epoch.repaired") && it.contains(reason);
        assert!(taken.iter().any(repaired), "{taken:?}");
        assert_eq!(world.record().await.unwrap().data.to_vec(), now, "{reason}");
        assert_eq!(world.host().arrival(&jar).await, Arrival::Ended, "{reason}");
    }
}

#[tokio::test]
async fn a_damaged_record_stops_a_host_that_starts_and_says_what_to_do() {
    let world = World::new();
    let running = world.host();
    let jar = running.login(7).await;
    world.restore(Some(b"\x01garbage".to_vec())).await;
    let error = world.host().store.load::<Visitor>(jar.headers()).await.unwrap_err();
    assert!(!error.is_unavailable());
    let text = format!("{error:?}");
    assert!(text.contains("call end_all() to replace it"), "{text}");
    let error = world.host().store.list::<Visitor>(7, Page::first(1)).await.unwrap_err();
    assert!(matches!(error, Error::Provider(_)), "{error}");

    // A running host goes on, and says so.
    let events = Events::capture(Level::ERROR);
    running.clock.advance(5 * MINUTE);
    assert_eq!(running.arrival_later(&jar).await, Arrival::Live);
    assert!(events.take().iter().any(|it| it.contains("epoch.unusable")));
    world.host().store.end_all().await.unwrap();
    assert_eq!(world.host().arrival(&jar).await, Arrival::Ended);
    running.clock.advance(5 * MINUTE);
    assert_eq!(running.arrival_later(&jar).await, Arrival::Ended);
}

#[tokio::test]
async fn a_call_after_a_lost_record_ends_what_began_before_the_loss() {
    let world = World::new();
    let host = world.host();
    for _ in 0..20 {
        host.store.end_all().await.unwrap();
    }
    let jar = host.login(7).await;
    world.restore(None).await;
    // No host knows of it.
    let later = world.host_with(MINUTE, |it| it);
    assert_eq!(later.arrival(&jar).await, Arrival::Live);
    later.store.end_all().await.unwrap();
    assert_eq!(later.arrival(&jar).await, Arrival::Ended);
}

#[tokio::test]
async fn no_ring_takes_the_epoch_with_it() {
    let world = World::new();
    let host = world.host();
    let jar = host.login(7).await;
    host.store.end_all().await.unwrap();
    // Lost, and joined.
    world.0.delete("app:keys", Expect::Any, host.clock.now()).await.unwrap();
    host.clock.advance(5 * MINUTE);
    assert_eq!(host.arrival_later(&jar).await, Arrival::Ended);
    // Erased.
    host.store.codec().rotate_now().await.unwrap();
    let again = host.login(7).await;
    assert_eq!(host.arrival(&again).await, Arrival::Live);
    assert_eq!(world.host().listed(7).await, 1);
}

#[tokio::test]
async fn hosts_that_end_all_at_once_agree() {
    let world = World::new();
    let hosts: Vec<Host> = (0..20).map(|_| world.host()).collect();
    let jar = hosts[0].login(7).await;
    let calls = hosts.iter().map(|host| host.store.end_all());
    for ended in futures_util::future::join_all(calls).await {
        ended.unwrap();
    }
    let later = world.host().login(8).await;
    for host in &hosts {
        host.clock.advance(10 * MINUTE + Duration::from_secs(1));
        assert_eq!(host.arrival(&jar).await, Arrival::Ended);
        assert_eq!(host.arrival(&later).await, Arrival::Live);
    }
}

/// Counts the calls that reach the epoch's record.
#[derive(Clone, Default)]
struct Reads(Arc<Mutex<u32>>);

#[async_trait]
impl Hook for Reads {
    fn hears(&self, _: Call, id: &str) -> bool {
        id == RECORD
    }

    async fn before(&self, _: Call, _: &str) -> Result<(), ProviderError> {
        *self.0.lock().unwrap() += 1;
        Ok(())
    }
}

impl Reads {
    fn take(&self) -> u32 {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn it_is_read_with_the_key_ring_and_by_no_request() {
    let (reads, clock) = (Reads::default(), ManualClock::default());
    let provider = Arc::new(Hooked::new(MemoryProvider::new(), reads.clone()));
    let store = Store::builder(provider.clone()).clock(clock.clone()).build().unwrap();
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.visits = 1;
    let jar = Jar::of(&visitor.commit().await.unwrap());
    assert_eq!(reads.take(), 1);
    for used in [false, true] {
        for _ in 0..100 {
            let _ = store.load::<Visitor>(jar.headers()).await.unwrap();
            store.list::<Visitor>(7, Page::first(1)).await.unwrap();
            store.begin_login::<Visitor>(7).await.unwrap();
        }
        assert_eq!(reads.take(), 0, "{used}");
        store.end_all().await.unwrap();
        assert_eq!(reads.take(), 2, "a fetch and a save");
    }
    // A list alone reads it as often.
    clock.advance(5 * MINUTE + Duration::from_secs(1));
    store.list::<Visitor>(7, Page::first(1)).await.unwrap();
    store.list::<Visitor>(7, Page::first(1)).await.unwrap();
    assert_eq!(reads.take(), 1);
    // A codec of its own has no sessions to end.
    let codec = Codec::builder(provider).app("mail").danger_plain_keys().build().unwrap();
    codec.seal(&Purpose::new("reset"), b"7").await.unwrap();
    assert_eq!(reads.take(), 0);
}

/// Ends everybody's sessions, on the host that calls, before its call of this number.
#[derive(Clone, Default)]
struct EndsAll(Arc<Mutex<(Option<Store>, ManualClock, u32)>>);

#[async_trait]
impl Hook for EndsAll {
    async fn before(&self, _: Call, _: &str) -> Result<(), ProviderError> {
        let store = {
            let mut state = self.0.lock().unwrap();
            let (store, clock, left) = &mut *state;
            *left = left.wrapping_sub(1);
            if *left != 0 {
                return Ok(());
            }
            // The clock of a host goes on.
            clock.advance(Duration::from_millis(1));
            store.clone()
        };
        store.unwrap().end_all().await.unwrap();
        Ok(())
    }
}

#[tokio::test]
async fn a_login_does_not_stand_at_whichever_of_its_calls_all_end() {
    for (capped, had, attempt) in
        [(false, false, false), (true, false, true), (false, true, false), (true, true, true)]
    {
        let mut undone = 0;
        for number in 1_u32.. {
            let hook = EndsAll::default();
            let memory = Arc::new(MemoryProvider::new());
            let clock = hook.0.lock().unwrap().1.clone();
            let provider = Hooked::new(memory.clone(), hook.clone());
            let builder = Store::builder(provider).clock(clock.clone());
            let builder = if capped { builder.max_sessions_per_owner(1) } else { builder };
            let store = builder.build().unwrap();
            let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
            visitor.visits = 1;
            let jar = if had { Jar::of(&visitor.commit().await.unwrap()) } else { Jar::new() };
            drop(visitor);

            let attempt = if attempt {
                Some(store.begin_login::<Visitor>(7).await.unwrap())
            } else {
                store.codec().refresh().await.unwrap();
                None
            };
            let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
            visitor.user = Some(7);
            if let Some(attempt) = attempt {
                visitor.log_in(attempt);
            }
            *hook.0.lock().unwrap() = (Some(store.clone()), clock.clone(), number);
            let result = visitor.commit().await;
            if hook.0.lock().unwrap().2 < u32::MAX / 2 && hook.0.lock().unwrap().2 > 0 {
                assert!(number > 2, "a login has calls");
                break;
            }
            match result {
                Ok(commit) => {
                    let again = store.load::<Visitor>(Jar::of(&commit).headers()).await.unwrap();
                    assert_eq!(again.arrival(), Arrival::Ended, "{number}");
                }
                Err(error) => {
                    assert!(matches!(error.error(), Error::LoginUndone), "{number} {error:?}");
                    undone += 1;
                }
            }
            let listed = store.list::<Visitor>(7, Page::first(9)).await.unwrap();
            assert!(listed.items.is_empty(), "{number}");
        }
        assert!(undone > 0);
    }
}
