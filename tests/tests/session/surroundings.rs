//! From where a session is used, and sessions that lock when they are not.

use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, USER_AGENT};
use sessions::{
    Device, Error, MemoryProvider, Proof, Session, SessionInfo, Store, StoreBuilder,
    clock::{Clock as _, ManualClock},
    provider::Page,
};
use sessions_tests::hooked::{Calls, Faults, Hooked, Watch, watched};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u32,
}

const ADA: u64 = 1;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const MILLI: Duration = Duration::from_millis(1);

struct App {
    store: Store,
    clock: ManualClock,
    watch: Watch,
}

impl App {
    fn with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let clock = ManualClock::default();
        let (provider, watch) = watched(Hooked::new(MemoryProvider::new(), Faults::default()));
        let builder = Store::builder(provider).clock(clock.clone());
        Self { store: settings(builder).build().unwrap(), clock, watch }
    }

    /// Idle for an hour, locked after fifteen minutes, touched each minute.
    fn locking() -> Self {
        Self::with(|builder| {
            builder.session::<Visitor>(|it| {
                let it = it.idle_timeout(HOUR).lifetime(12 * HOUR);
                it.lock_after(15 * MINUTE).touch_interval(MINUTE)
            })
        })
    }

    async fn load(&self, jar: &Jar) -> Session<Visitor> {
        self.store.load(jar.headers()).await.unwrap()
    }

    /// One request, whose response sets cookies. Returns what it cost.
    async fn request(&self, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) -> Calls {
        let _ = self.watch.take();
        let mut visitor = self.load(jar).await;
        change(&mut visitor);
        jar.keep(&visitor.commit().await.unwrap());
        self.watch.take()
    }

    async fn login(&self) -> Jar {
        let mut jar = Jar::new();
        self.request(&mut jar, |visitor| visitor.user = Some(ADA)).await;
        jar
    }

    async fn is_locked(&self, jar: &Jar) -> bool {
        self.load(jar).await.is_locked()
    }

    async fn listed(&self) -> SessionInfo {
        let mut items = self.store.list::<Visitor>(ADA, Page::first(9)).await.unwrap().items;
        assert_eq!(items.len(), 1);
        items.remove(0)
    }
}

fn device(user_agent: &'static str, address: &str) -> Device {
    let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(user_agent))]);
    Device::of(&headers).address(address.parse().unwrap())
}

#[tokio::test]
async fn a_session_locks_when_it_is_not_used_and_not_before() {
    let app = App::locking();
    let mut jar = app.login().await;
    // Used just within the time, as often as it is, also at the end of its life.
    for _ in 0..44 {
        app.clock.advance(15 * MINUTE + 59 * SECOND);
        assert!(!app.is_locked(&jar).await);
        app.request(&mut jar, |_| ()).await;
    }
    app.clock.advance(16 * MINUTE - MILLI);
    assert!(!app.is_locked(&jar).await);
    app.clock.advance(MILLI);
    assert!(app.is_locked(&jar).await);
    assert!(app.listed().await.is_locked);
}

#[tokio::test]
async fn what_is_done_to_a_locked_session_neither_unlocks_it_nor_keeps_it_alive() {
    let app = App::locking();
    let mut jar = app.login().await;
    app.clock.advance(16 * MINUTE);
    for minute in 17..61 {
        // A read, a write, a renewal, a background change: none is a proof.
        app.request(&mut jar, |_| ()).await;
        app.request(&mut jar, |visitor| visitor.count += 1).await;
        app.request(&mut jar, Session::renew).await;
        let key = app.load(&jar).await.key().unwrap().clone();
        let update = app.store.update::<Visitor, _>(Some(ADA), &key, |it| it.count += 1).await;
        assert_eq!(update.unwrap(), Some(()));
        let visitor = app.load(&jar).await;
        assert!(visitor.is_locked() && visitor.user == Some(ADA), "at minute {minute}");
        assert!(!visitor.authenticated_within(Duration::MAX));
        assert!(visitor.require_authentication(Duration::MAX, None).await.is_err());
        app.clock.advance(MINUTE);
    }
    app.clock.advance(MINUTE - MILLI);
    assert!(!app.load(&jar).await.is_new());
    app.clock.advance(MILLI);
    assert!(app.load(&jar).await.is_new(), "an hour and a touch after it was last used");
}

#[tokio::test]
async fn one_factor_unlocks_and_the_session_goes_on() {
    let app = App::locking();
    let mut jar = app.login().await;
    app.request(&mut jar, |visitor| visitor.count = 5).await;
    app.clock.advance(30 * MINUTE);
    assert!(app.is_locked(&jar).await);
    let old = jar.clone();
    app.request(&mut jar, |visitor| visitor.authenticated(Proof::new("pin"))).await;
    assert!(app.load(&old).await.is_new(), "it renews");
    let visitor = app.load(&jar).await;
    assert!(!visitor.is_locked() && visitor.authenticated_within(MINUTE));
    assert_eq!(visitor.count, 5);
    app.clock.advance(15 * MINUTE);
    assert!(!app.is_locked(&jar).await);
    app.clock.advance(MINUTE);
    assert!(app.is_locked(&jar).await);
    // A login of the same owner, and another owner, unlock as well.
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| visitor.log_in(attempt)).await;
    assert!(!app.is_locked(&jar).await);
    app.clock.advance(16 * MINUTE);
    app.request(&mut jar, |visitor| visitor.user = Some(2)).await;
    assert!(!app.is_locked(&jar).await);
}

#[tokio::test]
async fn nobodys_session_is_never_locked() {
    let app = App::locking();
    let mut jar = Jar::new();
    app.request(&mut jar, |visitor| visitor.count = 1).await;
    for _ in 0..5 {
        app.clock.advance(40 * MINUTE);
        assert!(!app.is_locked(&jar).await);
        app.request(&mut jar, |_| ()).await;
    }
    assert_eq!(app.load(&jar).await.count, 1);
    // Who logs in on it starts unlocked.
    app.clock.advance(40 * MINUTE);
    app.request(&mut jar, |visitor| visitor.user = Some(ADA)).await;
    assert!(!app.is_locked(&jar).await);
}

#[tokio::test]
async fn polling_does_not_keep_a_session_unlocked() {
    let app = App::locking();
    let mut jar = app.login().await;
    for _ in 0..16 {
        assert!(!app.is_locked(&jar).await);
        app.clock.advance(MINUTE);
        app.request(&mut jar, Session::skip_touch).await;
    }
    assert!(app.is_locked(&jar).await);
}

#[tokio::test]
async fn a_background_change_does_not_keep_a_session_unlocked() {
    let app = App::locking();
    let jar = app.login().await;
    let key = app.load(&jar).await.key().unwrap().clone();
    app.clock.advance(10 * MINUTE);
    let update = app.store.update::<Visitor, _>(Some(ADA), &key, |it| it.count += 1).await;
    assert_eq!(update.unwrap(), Some(()));
    app.clock.advance(6 * MINUTE);
    assert!(app.is_locked(&jar).await);
}

#[tokio::test]
async fn a_touch_of_a_type_that_locks_is_a_save_and_no_other_costs_more() {
    let app = App::locking();
    let mut jar = app.login().await;
    app.clock.advance(MINUTE);
    let once = Calls { fetch: 1, save: 1, ..Calls::default() };
    assert_eq!(app.request(&mut jar, |_| ()).await, once);
    assert_eq!(app.request(&mut jar, |_| ()).await, Calls { fetch: 1, ..Calls::default() });
    assert_eq!(app.listed().await.last_seen, app.clock.now());
    assert_eq!(app.load(&jar).await.last_seen(), Some(app.clock.now()));

    let app = App::with(|builder| builder);
    let mut jar = app.login().await;
    app.clock.advance(HOUR);
    let touch = Calls { fetch: 1, touch: 1, ..Calls::default() };
    assert_eq!(app.request(&mut jar, |_| ()).await, touch);
}

#[tokio::test]
async fn a_visitor_locks_their_session_themselves() {
    let app = App::with(|builder| builder);
    let mut jar = app.login().await;
    app.request(&mut jar, Session::lock).await;
    assert!(app.is_locked(&jar).await);
    let cost = app.request(&mut jar, Session::lock).await;
    assert_eq!(cost, Calls { fetch: 1, ..Calls::default() }, "it is locked already");
    app.clock.advance(3 * HOUR);
    let cost = app.request(&mut jar, |_| ()).await;
    assert_eq!(cost, Calls { fetch: 1, ..Calls::default() }, "no use, no touch");
    app.request(&mut jar, |visitor| visitor.count = 1).await;
    app.clock.advance(7 * 24 * HOUR - 2 * HOUR - MILLI);
    assert!(app.is_locked(&jar).await);
    app.clock.advance(MILLI);
    assert!(app.load(&jar).await.is_new());
}

#[tokio::test]
async fn a_write_that_meets_another_stays_locked() {
    let app = App::locking();
    let jar = app.login().await;
    app.clock.advance(16 * MINUTE);
    let (mut one, mut two) = (app.load(&jar).await, app.load(&jar).await);
    one.count = 1;
    two.lock();
    two.count = 2;
    let _ = two.commit().await.unwrap();
    let _ = one.commit().await.unwrap();
    assert!(app.is_locked(&jar).await);
}

#[tokio::test]
async fn settings_that_cannot_lock_are_refused() {
    for (lock, touch) in
        [(Duration::ZERO, None), (HOUR, None), (2 * HOUR, None), (10 * MINUTE, Some(11 * MINUTE))]
    {
        let build = |builder: StoreBuilder| {
            builder.session::<Visitor>(|it| {
                let it = it.idle_timeout(HOUR).lock_after(lock);
                match touch {
                    Some(touch) => it.touch_interval(touch),
                    None => it,
                }
            })
        };
        let error = build(Store::builder(MemoryProvider::new())).build().unwrap_err();
        assert!(error.to_string().contains("lock_after"), "{error}");
    }
    let builder = Store::builder(MemoryProvider::new()).client_side().danger_plain_keys();
    let error = builder.session::<Visitor>(|it| it.lock_after(MINUTE)).build().unwrap_err();
    assert!(matches!(&error, Error::Config(text) if text.contains("lock_after()")), "{error}");
}

#[tokio::test]
async fn the_first_and_the_last_device_are_in_the_list() {
    let app = App::with(|builder| builder.touch_interval(MINUTE));
    let mut jar = Jar::new();
    let home = device("Firefox", "203.0.113.7");
    app.request(&mut jar, |visitor| {
        visitor.user = Some(ADA);
        assert!(!visitor.seen_from(device("Firefox", "203.0.113.7")), "nothing is known yet");
    })
    .await;
    let devices = app.listed().await.devices.unwrap();
    assert_eq!((&devices.first, &devices.last), (&home, &home));

    // The same network: nothing new, and nothing is saved.
    let cost = app
        .request(&mut jar, |visitor| {
            assert!(!visitor.seen_from(device("Firefox", "203.0.113.99")));
        })
        .await;
    assert_eq!(cost, Calls { fetch: 1, ..Calls::default() });

    // Elsewhere: it is told at once, and written with the next touch.
    let away = device("Firefox", "198.51.100.7");
    let cost = app.request(&mut jar, |visitor| assert!(visitor.seen_from(away.clone()))).await;
    assert_eq!(cost, Calls { fetch: 1, ..Calls::default() });
    app.clock.advance(MINUTE);
    let cost = app.request(&mut jar, |visitor| assert!(visitor.seen_from(away.clone()))).await;
    assert_eq!(cost, Calls { fetch: 1, save: 1, ..Calls::default() });
    let devices = app.listed().await.devices.unwrap();
    assert_eq!((&devices.first, &devices.last), (&home, &away));
    app.clock.advance(MINUTE);
    let cost = app.request(&mut jar, |visitor| assert!(!visitor.seen_from(away.clone()))).await;
    assert_eq!(cost, Calls { fetch: 1, touch: 1, ..Calls::default() });

    // A write takes it along; polling does not count; a step-up keeps what is known.
    let third = device("Chromium", "192.0.2.1");
    app.request(&mut jar, |visitor| {
        visitor.skip_touch();
        visitor.seen_from(third.clone());
        visitor.count = 1;
    })
    .await;
    assert_eq!(app.listed().await.devices.unwrap().last, away);
    app.request(&mut jar, |visitor| {
        visitor.seen_from(third.clone());
        visitor.authenticated(Proof::new("pwd"));
    })
    .await;
    let devices = app.load(&jar).await.devices().unwrap();
    assert_eq!((&devices.first, &devices.last), (&home, &third));

    // A login begins again.
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    app.request(&mut jar, |visitor| {
        visitor.seen_from(third.clone());
        visitor.log_in(attempt);
    })
    .await;
    assert_eq!(app.listed().await.devices.unwrap().first, third);
    app.request(&mut jar, |visitor| visitor.user = Some(2)).await;
    assert_eq!(app.load(&jar).await.devices(), None, "another's devices are not theirs");
}

#[tokio::test]
async fn a_device_that_changes_may_lock_or_end_the_session() {
    let app = App::with(|builder| builder);
    let mut jar = Jar::new();
    app.request(&mut jar, |visitor| {
        visitor.user = Some(ADA);
        visitor.seen_from(device("Firefox", "203.0.113.7"));
    })
    .await;
    let decide = |visitor: &mut Session<Visitor>, agent: &'static str| {
        if visitor.seen_from(device(agent, "198.51.100.7")) {
            match agent {
                "Firefox" => visitor.lock(),
                _ => visitor.destroy(),
            }
        }
    };
    app.request(&mut jar, |visitor| decide(visitor, "Firefox")).await;
    assert!(app.is_locked(&jar).await);
    let at = app.listed().await.devices.unwrap().last;
    assert_eq!(at.network.as_deref(), Some("198.51.100.0/24"), "the lock says from where");
    app.request(&mut jar, |visitor| decide(visitor, "curl")).await;
    assert!(app.load(&jar).await.is_new());
}

#[tokio::test]
async fn a_device_that_does_not_fit_into_the_record_fails_no_request() {
    let app = App::with(|builder| builder.touch_interval(MINUTE).max_record_size(1 << 10));
    let mut jar = Jar::new();
    app.request(&mut jar, |visitor| {
        visitor.user = Some(ADA);
        visitor.set_label("x".repeat(256));
        visitor.seen_from(device("a", "203.0.113.7"));
    })
    .await;
    let long: &'static str = Box::leak("x".repeat(250).into_boxed_str());
    app.request(&mut jar, |visitor| {
        visitor.count = 1;
        visitor.authenticated(Proof::new("x".repeat(64)).credential("x".repeat(255)));
    })
    .await;
    for _ in 0..2 {
        app.clock.advance(MINUTE);
        let mut visitor = app.load(&jar).await;
        visitor.seen_from(device(long, "203.0.113.7"));
        let commit = visitor.commit().await.unwrap();
        assert_eq!(commit.outcome(), sessions::commit::Outcome::Unchanged);
    }
    assert_eq!(app.load(&jar).await.last_seen(), Some(app.clock.now()), "it was touched");
}

#[tokio::test]
async fn a_session_that_is_locked_by_a_poll_is_not_kept_alive() {
    let app = App::with(|builder| builder.idle_timeout(HOUR).touch_interval(MINUTE));
    let mut jar = app.login().await;
    app.request(&mut jar, |visitor| {
        visitor.skip_touch();
        visitor.lock();
    })
    .await;
    for _ in 0..4 {
        app.clock.advance(30 * MINUTE);
        let mut visitor = app.load(&jar).await;
        visitor.count += 1;
        let _ = visitor.commit().await;
    }
    assert!(app.load(&jar).await.is_new());
}
