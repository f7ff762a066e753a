//! Waiting for the end of a session: who is told of what, how soon, and at what cost.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sessions::provider::{ProviderError, async_trait};
use sessions::testing::{Calls, TestStore};
use sessions::{
    EndedBy, Error, MemoryProvider, Session, SessionEnd, Store, StoreBuilder, Watch,
    clock::{Clock as _, ManualClock},
    keys::LocalKey,
};
use sessions_tests::fed::{Fed, Feed};
use sessions_tests::hooked;
use sessions_tests::hooked::{Call, Gate, Hook, Hooked, watched};
use sessions_tests::jar::Jar;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u32,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A host whose feed a test holds, and another, on one database.
struct Hosts {
    one: Store,
    calls: hooked::Watch,
    feed: Feed,
    other: Store,
    clock: ManualClock,
}

impl Hosts {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl Fn(StoreBuilder) -> StoreBuilder) -> Self {
        let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
        let (provider, calls) = watched(memory.clone());
        let (provider, feed) = Fed::new(provider);
        let build = |builder: StoreBuilder| settings(builder.clock(clock.clone())).build().unwrap();
        let (one, other) = (build(Store::builder(provider)), build(Store::builder(memory)));
        Self { one, calls, feed, other, clock }
    }

    /// A session of this owner, and its handle on the first host.
    async fn logged_in(&self, user: u64) -> (Jar, Session<Visitor>) {
        let mut jar = Jar::new();
        request(&self.other, &mut jar, |visitor| visitor.user = Some(user)).await;
        let visitor = self.one.load::<Visitor>(jar.headers()).await.unwrap();
        (jar, visitor)
    }

    /// Time passes, for every clock, a second at a time.
    async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(SECOND);
            advance(SECOND).await;
            settle().await;
        }
    }
}

async fn request(store: &Store, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) {
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    change(&mut visitor);
    jar.keep(&visitor.commit().await.unwrap());
}

/// Lets other tasks run.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// How it has ended by now.
fn now(watch: &mut Watch) -> Option<SessionEnd> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(watch).poll(&mut context) {
        Poll::Ready(end) => Some(end),
        Poll::Pending => None,
    }
}

const fn by(by: EndedBy) -> Option<SessionEnd> {
    Some(SessionEnd::Ended { by: Some(by) })
}

const ENDED: Option<SessionEnd> = Some(SessionEnd::Ended { by: None });

#[tokio::test(start_paused = true)]
async fn this_hosts_own_acts_are_told_at_once_and_by_whom() {
    for (number, expected) in [
        by(EndedBy::Logout),
        by(EndedBy::Revoke),
        by(EndedBy::Revoke),
        by(EndedBy::RevokeAll),
        by(EndedBy::RevokeAll),
        by(EndedBy::NewOwner),
        by(EndedBy::Limit),
    ]
    .into_iter()
    .enumerate()
    {
        let hosts = Hosts::with(|it| if number == 6 { it.max_sessions_per_owner(1) } else { it });
        let (mut jar, visitor) = hosts.logged_in(7).await;
        let key = visitor.key().unwrap().clone();
        let (mut ended, mut watch) = (visitor.ended(), hosts.one.watch(&key));
        settle().await;
        assert_eq!((now(&mut ended), now(&mut watch)), (None, None));
        match number {
            0 => request(&hosts.one, &mut jar, Session::destroy).await,
            1 => assert!(hosts.one.revoke::<Visitor>(7, &key).await.unwrap()),
            2 => assert!(hosts.one.revoke_any(&key).await.unwrap()),
            3 => assert_eq!(hosts.one.revoke_all::<Visitor>(7).await.unwrap(), 1),
            4 => {
                let (_, other) = hosts.logged_in(7).await;
                assert_eq!(hosts.one.revoke_others(&other).await.unwrap(), 1);
            }
            5 => request(&hosts.one, &mut jar, |visitor| visitor.user = Some(8)).await,
            _ => request(&hosts.one, &mut Jar::new(), |visitor| visitor.user = Some(7)).await,
        }
        assert_eq!((now(&mut ended), now(&mut watch)), (expected, expected), "act {number}");
        assert_eq!(now(&mut ended), expected, "again");
    }
}

#[tokio::test(start_paused = true)]
async fn another_hosts_acts_are_told_with_the_feed() {
    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    let listener = hosts.feed.begin().await;
    settle().await;
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    listener.ended(visitor.key().unwrap().as_str());
    settle().await;
    assert_eq!(now(&mut ended), ENDED);
    // What is not so is not believed.
    let (_, visitor) = hosts.logged_in(10).await;
    let mut ended = visitor.ended();
    listener.ended(visitor.key().unwrap().as_str());
    settle().await;
    assert_eq!(now(&mut ended), None);

    // From a feed that does not say what happened.
    let (_, visitor) = hosts.logged_in(8).await;
    let mut ended = visitor.ended();
    hosts.other.revoke_all::<Visitor>(8).await.unwrap();
    listener.changed(visitor.key().unwrap().as_str());
    settle().await;
    assert_eq!(now(&mut ended), ENDED);

    // And from one that has missed something.
    let (_, visitor) = hosts.logged_in(9).await;
    let mut ended = visitor.ended();
    hosts.other.revoke_all::<Visitor>(9).await.unwrap();
    listener.gap();
    settle().await;
    assert_eq!(now(&mut ended), ENDED);
}

#[tokio::test(start_paused = true)]
async fn without_a_feed_it_is_told_within_one_poll() {
    for seconds in [30, 5] {
        let memory = MemoryProvider::new();
        let clock = ManualClock::default();
        let provider = Fed::silent(memory.clone());
        let interval = Duration::from_secs(seconds);
        let one = Store::builder(provider).clock(clock.clone()).watch_interval(interval);
        let (one, other) = (one.build().unwrap(), Store::builder(memory).clock(clock));
        let other = other.build().unwrap();
        let mut latest = Duration::ZERO;
        for user in 0..10 {
            let mut jar = Jar::new();
            request(&other, &mut jar, |visitor| visitor.user = Some(user)).await;
            let ended = one.load::<Visitor>(jar.headers()).await.unwrap().ended();
            // It is asked about once at first.
            settle().await;
            other.revoke_all::<Visitor>(user).await.unwrap();
            let began = Instant::now();
            assert_eq!(Some(ended.await), ENDED);
            latest = latest.max(began.elapsed());
        }
        assert!(latest <= interval, "{latest:?}");
        assert!(latest > interval / 10, "{latest:?}: it did not wait for the poll");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_by_another_request_supersedes_and_ones_own_does_not() {
    let hosts = Hosts::new();
    let (mut jar, mut visitor) = hosts.logged_in(7).await;
    let key = visitor.key().unwrap().clone();
    let (mut ended, mut watch) = (visitor.ended(), hosts.one.watch(&key));
    let listener = hosts.feed.begin().await;

    visitor.renew();
    jar.keep(&visitor.commit().await.unwrap());
    listener.changed(key.as_str());
    settle().await;
    assert_eq!((now(&mut ended), now(&mut watch)), (None, None), "the handle's own");

    // Also after a reload, and after many.
    for _ in 0..20 {
        visitor.reload().await.unwrap();
        visitor.renew();
        jar.keep(&visitor.commit().await.unwrap());
    }
    let mut again = visitor.ended();
    listener.changed(key.as_str());
    settle().await;
    assert_eq!((now(&mut ended), now(&mut again)), (None, None));

    request(&hosts.one, &mut jar, Session::renew).await;
    let superseded = Some(SessionEnd::Superseded);
    assert_eq!((now(&mut ended), now(&mut watch)), (superseded, None), "on this host");

    let (mut jar, visitor) = hosts.logged_in(8).await;
    let mut ended = visitor.ended();
    request(&hosts.other, &mut jar, Session::renew).await;
    listener.changed(visitor.key().unwrap().as_str());
    settle().await;
    assert_eq!(now(&mut ended), superseded, "on another");
}

#[tokio::test(start_paused = true)]
async fn an_end_between_the_load_and_the_watch_is_told_at_once() {
    let hosts = Hosts::new();
    let (_, first) = hosts.logged_in(1).await;
    let _first = first.ended();
    let _listener = hosts.feed.begin().await;
    settle().await;
    for (user, host) in [(7, &hosts.one), (8, &hosts.other)] {
        let (_, visitor) = hosts.logged_in(user).await;
        host.revoke_all::<Visitor>(user).await.unwrap();
        let mut ended = visitor.ended();
        settle().await;
        assert!(matches!(now(&mut ended), Some(SessionEnd::Ended { .. })));
    }
}

#[tokio::test]
async fn a_requests_other_handle_supersedes_nothing() {
    use axum::extract::State;
    use axum::routing::{get, post};
    use sessions_tests::browser::Browser;
    use sessions_tests::server::Server;
    use std::sync::{Arc, Mutex};

    type Kept = Arc<Mutex<Vec<Watch>>>;

    async fn two(kept: State<Kept>, one: Session<Visitor>, mut two: Session<Visitor>) {
        kept.lock().unwrap().extend([one.ended(), two.ended()]);
        drop(one);
        two.renew();
    }

    async fn one_by_one(
        kept: State<Kept>,
        one: Session<Visitor>,
        mut two: Session<Visitor>,
    ) -> Result<(), Error> {
        kept.lock().unwrap().push(one.ended());
        two.renew();
        two.save().await
    }

    let store = Store::new(MemoryProvider::new());
    let kept = Kept::default();
    let app = axum::Router::new()
        .route("/begin", post(async |mut visitor: Session<Visitor>| visitor.user = Some(7)))
        .route("/two", post(two))
        .route("/one-by-one", post(one_by_one))
        .route("/", get(async |visitor: Session<Visitor>| visitor.count.to_string()))
        .layer(sessions::axum::SessionLayer::new(store.clone()))
        .with_state(kept.clone());
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    for path in ["/begin", "/two", "/one-by-one"] {
        assert_eq!(browser.post(path, "").await.status, 200, "{path}");
        assert!(kept.lock().unwrap().iter_mut().all(|watch| now(watch).is_none()), "{path}");
        if path == "/two" {
            kept.lock().unwrap().clear();
        }
    }
    // Another request's renewal does.
    let mut old = std::mem::take(&mut *kept.lock().unwrap());
    assert_eq!((browser.post("/two", "").await.status, old.len()), (200.try_into().unwrap(), 1));
    assert_eq!(now(&mut old[0]), Some(SessionEnd::Superseded));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_renewal_supersedes_nobody_who_came_after_it() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let gate = Gate::new(Call::Fetch);
    let provider =
        Fed::silent(Hooked::new(memory.clone(), AfterMany(gate.clone(), AtomicBool::new(false))));
    let store = Store::builder(provider).clock(clock.clone()).build().unwrap();
    let other = Store::builder(memory).clock(clock).build().unwrap();
    let mut jar = Jar::new();
    request(&other, &mut jar, |visitor| visitor.user = Some(7)).await;
    let old = store.load::<Visitor>(jar.headers()).await.unwrap();
    // The poll has read the record, and its answer is on its way.
    gate.close();
    let watch = store.watch(old.key().unwrap());
    gate.arrived(1).await;
    request(&other, &mut jar, Session::renew).await;
    let mut ended = store.load::<Visitor>(jar.headers()).await.unwrap().ended();
    gate.open();
    settle().await;
    assert_eq!(now(&mut ended), None);
    drop(watch);
}

/// A gate that the answers of fetches of many records wait at.
struct AfterMany(Gate, AtomicBool);

#[async_trait]
impl Hook for AfterMany {
    async fn before_many(&self, _: &[&str]) -> Result<(), ProviderError> {
        self.1.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn after(&self, call: Call, id: &str, _: bool) -> Result<(), ProviderError> {
        if self.1.swap(false, Ordering::Relaxed) {
            self.0.before(call, id).await?;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_come_and_go_while_the_database_is_down_take_no_memory() {
    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(7).await;
    let key = visitor.key().unwrap().clone();
    let kept = hosts.one.watch(&key);
    hosts.calls.set_down(true);
    for _ in 0..1_000 {
        drop(hosts.one.watch(&key));
        let unknown = format!("A{}", &key.as_str()[1..]).parse().unwrap();
        drop(hosts.one.watch(&unknown));
    }
    hosts.calls.set_down(false);
    let _ = hosts.calls.take();
    hosts.pass(11).await;
    let calls = hosts.calls.take();
    assert!(calls.fetch < 30, "{calls:?}: a key is in the queue once");
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_hides_no_other() {
    let (memory, clock) = (MemoryProvider::new(), ManualClock::default());
    let other = Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
    let (mut bad, mut good) = (Jar::new(), Jar::new());
    request(&other, &mut bad, |visitor| visitor.user = Some(7)).await;
    request(&other, &mut good, |visitor| visitor.user = Some(8)).await;
    let key = async |jar: &Jar| {
        other.load::<Visitor>(jar.headers()).await.unwrap().key().unwrap().clone()
    };
    let (bad, good) = (key(&bad).await, key(&good).await);
    let provider = Fed::silent(Hooked::new(memory, Damaged(bad.to_string())));
    let store = Store::builder(provider).clock(clock).build().unwrap();
    let (mut unreadable, mut ended) = (store.watch(&bad), store.watch(&good));
    settle().await;
    other.revoke_all::<Visitor>(8).await.unwrap();
    for _ in 0..31 {
        advance(SECOND).await;
        settle().await;
    }
    assert_eq!((now(&mut unreadable), now(&mut ended)), (None, ENDED));
}

/// Fetches of this id, also among others, fail for good.
struct Damaged(String);

#[async_trait]
impl Hook for Damaged {
    async fn before_many(&self, ids: &[&str]) -> Result<(), ProviderError> {
        match ids.contains(&self.0.as_str()) {
            true => Err(ProviderError::permanent("the record is damaged")),
            false => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_delays_no_expiry() {
    let hosts = Hosts::with(|it| it.idle_timeout(MINUTE));
    let (_, busy) = hosts.logged_in(1).await;
    let _busy = busy.ended();
    let (_, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    let listener = hosts.feed.begin().await;
    for _ in 0..80 * 20 {
        hosts.clock.advance(SECOND / 20);
        advance(SECOND / 20).await;
        listener.changed(busy.key().unwrap().as_str());
        yield_now().await;
        listener.changed(busy.key().unwrap().as_str());
        settle().await;
    }
    assert_eq!(now(&mut ended), Some(SessionEnd::Expired));
}

#[tokio::test(start_paused = true)]
async fn plain_changes_end_nothing() {
    let hosts = Hosts::new();
    let (mut jar, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    let listener = hosts.feed.begin().await;
    for host in [&hosts.one, &hosts.other] {
        request(host, &mut jar, |visitor| visitor.count += 1).await;
        listener.changed(visitor.key().unwrap().as_str());
        settle().await;
    }
    assert_eq!(now(&mut ended), None);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_told_and_one_that_was_moved_is_not() {
    let hosts = Hosts::with(|it| it.idle_timeout(MINUTE));
    let (mut jar, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    hosts.pass(50).await;
    // Another host moves it.
    request(&hosts.other, &mut jar, |_| {}).await;
    hosts.pass(50).await;
    assert_eq!(now(&mut ended), None);
    hosts.pass(20).await;
    assert_eq!(now(&mut ended), Some(SessionEnd::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_watch_keeps_nothing_alive_and_a_touch_does() {
    let hosts = Hosts::with(|it| it.idle_timeout(MINUTE));
    let (jar, visitor) = hosts.logged_in(7).await;
    let ended = visitor.ended();
    for _ in 0..10 {
        hosts.pass(30).await;
        assert!(ended.touch().await.unwrap());
    }
    let visitor = hosts.other.load::<Visitor>(jar.headers()).await.unwrap();
    assert!(!visitor.is_new());
    hosts.pass(70).await;
    assert!(!ended.touch().await.unwrap());
    assert_eq!(ended.await, SessionEnd::Expired);
}

#[tokio::test(start_paused = true)]
async fn a_touch_of_what_is_not_the_handles_any_more_moves_nothing() {
    let hosts = Hosts::with(|it| it.idle_timeout(MINUTE));
    let (mut jar, visitor) = hosts.logged_in(7).await;
    let (ended, watch) = (visitor.ended(), hosts.one.watch(visitor.key().unwrap()));
    request(&hosts.other, &mut jar, Session::renew).await;
    hosts.pass(30).await;
    let expiry =
        async || hosts.other.load::<Visitor>(jar.headers()).await.unwrap().expires_at().unwrap();
    let before = expiry().await;
    assert!(!ended.touch().await.unwrap());
    assert_eq!(expiry().await, before);
    assert!(watch.touch().await.unwrap());
    assert!(expiry().await > before);
}

#[tokio::test(start_paused = true)]
async fn end_all_is_told_on_both_hosts() {
    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    hosts.one.end_all().await.unwrap();
    settle().await;
    assert_eq!(now(&mut ended), Some(SessionEnd::EndedAll));

    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(8).await;
    let mut ended = visitor.ended();
    hosts.other.end_all().await.unwrap();
    hosts.pass(11 * 60).await;
    assert_eq!(now(&mut ended), Some(SessionEnd::EndedAll));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_undone_ends_what_it_had_opened() {
    let hosts = Hosts::new();
    let mut jar = Jar::new();
    request(&hosts.one, &mut jar, |visitor| visitor.count = 1).await;
    let mut visitor = hosts.one.load::<Visitor>(jar.headers()).await.unwrap();
    let attempt = hosts.one.begin_login::<Visitor>(7).await.unwrap();
    let mut ended = visitor.ended();
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    visitor.user = Some(7);
    visitor.log_in(attempt);
    let error = visitor.commit().await.unwrap_err();
    assert!(matches!(error.error(), Error::LoginUndone));
    assert_eq!(now(&mut ended), by(EndedBy::RevokeAll));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_session_has_ended_already() {
    let hosts = Hosts::new();
    let visitor = hosts.one.load::<Visitor>(Jar::new().headers()).await.unwrap();
    assert_eq!(now(&mut visitor.ended()), ENDED);
    assert_eq!(visitor.ended().key(), None);
    assert!(!visitor.ended().touch().await.unwrap());

    let (mut jar, visitor) = hosts.logged_in(7).await;
    let (old, key) = (Jar::clone(&jar), visitor.key().unwrap().clone());
    request(&hosts.one, &mut jar, Session::renew).await;
    let visitor = hosts.one.load::<Visitor>(old.headers()).await.unwrap();
    assert_eq!(now(&mut visitor.ended()), Some(SessionEnd::Superseded));

    hosts.one.revoke_any(&key).await.unwrap();
    let mut watch = hosts.one.watch(&key);
    settle().await;
    assert_eq!(now(&mut watch), by(EndedBy::Revoke));
    let unknown = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse().unwrap();
    let mut watch = hosts.one.watch(&unknown);
    settle().await;
    assert_eq!(now(&mut watch), ENDED);
}

#[tokio::test(start_paused = true)]
async fn a_client_side_session_ends_when_its_cookie_expires() {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).client_side();
    let store = store.key_encryption(LocalKey::from_bytes([7; 32])).build().unwrap();
    let mut jar = Jar::new();
    request(&store, &mut jar, |visitor| visitor.count = 1).await;
    let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    let left = visitor.expires_at().unwrap().duration_since(clock.now()).unwrap();
    let mut ended = visitor.ended();
    advance(left - SECOND).await;
    settle().await;
    assert_eq!(now(&mut ended), None);
    advance(SECOND).await;
    settle().await;
    assert_eq!(now(&mut ended), Some(SessionEnd::Expired));
    let mut watch = store.watch(&"rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse().unwrap());
    assert_eq!(now(&mut watch), ENDED);
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_down_it_waits() {
    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(7).await;
    let mut ended = visitor.ended();
    hosts.calls.set_down(true);
    hosts.other.revoke_all::<Visitor>(7).await.unwrap();
    hosts.pass(120).await;
    assert_eq!(now(&mut ended), None);
    assert!(matches!(ended.touch().await, Err(Error::Unavailable(_))));
    hosts.calls.set_down(false);
    hosts.pass(11).await;
    assert_eq!(now(&mut ended), ENDED);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_watches_cost_a_bounded_number_of_calls() {
    const WATCHES: u32 = 100_000;
    let hosts = Hosts::new();
    let (_, visitor) = hosts.logged_in(7).await;
    // Distinct keys, as text: hashes have even characters.
    let key = |number: u32| format!("{number:0>5}{}", &visitor.key().unwrap().as_str()[5..]);
    let keys: Vec<_> = (0..WATCHES).map(|number| key(number).parse().unwrap()).collect();
    let listener = hosts.feed.listener();
    let watches: Vec<_> = keys.iter().map(|key| hosts.one.watch(key)).collect();
    let _listener = listener.await;
    drop(watches);
    settle().await;

    // Those of a live session stay.
    let mut live: Vec<_> = (0..1_000).map(|_| visitor.ended()).collect();
    settle().await;
    let _ = hosts.calls.take();
    // Each second is one step of the poll, of which a round has 32.
    hosts.pass(33).await;
    let calls = hosts.calls.take();
    assert!((1..=2).contains(&calls.fetch), "{calls:?} for a thousand watches of one session");
    assert_eq!(now(&mut live[999]), None);
}

#[tokio::test(start_paused = true)]
async fn many_sessions_are_asked_about_a_hundred_at_a_time() {
    const SESSIONS: u32 = 3_200;
    let hosts = Hosts::new();
    let mut watches = Vec::new();
    for user in 0..SESSIONS {
        let (_, visitor) = hosts.logged_in(user.into()).await;
        watches.push(visitor.ended());
    }
    settle().await;
    let _ = hosts.calls.take();
    hosts.pass(30).await;
    let calls = hosts.calls.take();
    // A call for each part of the whole, of which most have more than a hundred by chance.
    assert!((32..=64).contains(&calls.fetch), "{calls:?}");
    assert_eq!(Calls { fetch: 0, ..calls }, Calls::default());
    assert!(watches.iter_mut().all(|watch| now(watch).is_none()));

    drop(watches);
    hosts.pass(30).await;
    assert_eq!(hosts.calls.take(), Calls::default(), "nobody watches");
}

#[tokio::test]
async fn the_test_kit_tells_of_ends() {
    let test = TestStore::new();
    let store = test.store();
    let mut jar = Jar::new();
    request(&store, &mut jar, |visitor| visitor.user = Some(7)).await;
    let ended = store.load::<Visitor>(jar.headers()).await.unwrap().ended();
    let on_another_host = test.store().load::<Visitor>(jar.headers()).await.unwrap().ended();
    store.revoke_all::<Visitor>(7).await.unwrap();
    assert_eq!(Some(ended.await), by(EndedBy::RevokeAll));
    assert!(matches!(on_another_host.await, SessionEnd::Ended { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_host_that_ends_a_session_always_knows_by_what() {
    // The memory provider tells before its call returns.
    let store = Store::new(MemoryProvider::new());
    for user in 0..2_000 {
        let mut jar = Jar::new();
        request(&store, &mut jar, |visitor| visitor.user = Some(user)).await;
        let ended = store.load::<Visitor>(jar.headers()).await.unwrap().ended();
        let ended = tokio::spawn(ended);
        store.revoke_all::<Visitor>(user).await.unwrap();
        assert_eq!(Some(ended.await.unwrap()), by(EndedBy::RevokeAll));
    }
}

#[tokio::test]
async fn an_interval_of_less_than_a_second_is_refused() {
    let builder = Store::builder(MemoryProvider::new()).watch_interval(Duration::from_millis(999));
    let error = builder.build().unwrap_err().to_string();
    assert!(error.contains("at least one second"), "{error}");
}
