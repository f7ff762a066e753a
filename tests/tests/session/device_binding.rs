//! Sessions bound to a device: registration, refresh, and what is asked of a request.

mod rules;

use std::sync::Arc;
use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sessions::clock::ManualClock;
use sessions::commit::Outcome;
use sessions::{
    Arrival, DeviceBinding, Error, MemoryProvider, Page, Proof, Session, SessionInfo, Store,
    StoreBuilder, Transport,
};
use sessions_tests::device::{Answer, Device, REFRESH, REGISTER, offered};
use sessions_tests::events::Events;
use sessions_tests::hooked::{Call, Fault, Faults, Hooked, Watch, watched};
use sessions_tests::jar::Jar;
use tracing::Level;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u32,
    note: String,
}

const ADA: u64 = 1;
const BOB: u64 = 2;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const BOUND: &str = "__Host-visitor-bound";
const RESPONSE: HeaderName = HeaderName::from_static("secure-session-response");
const SESSION_ID: HeaderName = HeaderName::from_static("sec-secure-session-id");
const SKIPPED: HeaderName = HeaderName::from_static("secure-session-skipped");

struct App {
    store: Store,
    clock: ManualClock,
    calls: Watch,
    provider: Arc<Hooked<MemoryProvider, Watch>>,
}

/// A browser in which somebody has logged in.
#[derive(Clone)]
struct Browser {
    device: Device,
    jar: Jar,
    offer: HeaderMap,
}

impl App {
    fn new(binding: DeviceBinding) -> Self {
        Self::with(|builder| builder.device_binding(binding))
    }

    fn with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let clock = ManualClock::default();
        let (provider, calls) = watched(MemoryProvider::new());
        let provider = Arc::new(provider);
        let builder = Store::builder(provider.clone()).clock(clock.clone());
        Self { store: settings(builder).build().unwrap(), clock, calls, provider }
    }

    /// Another host of the app.
    fn host(&self, binding: DeviceBinding) -> Store {
        let builder = Store::builder(self.provider.clone()).clock(self.clock.clone());
        builder.device_binding(binding).build().unwrap()
    }

    async fn load(&self, jar: &Jar) -> Session<Visitor> {
        self.store.load(jar.headers()).await.unwrap()
    }

    /// One request; its jar keeps what the response sets.
    async fn request(&self, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) {
        drop(self.respond(jar, change).await);
    }

    /// The same, with the headers of the response.
    async fn respond(
        &self,
        jar: &mut Jar,
        change: impl FnOnce(&mut Session<Visitor>),
    ) -> HeaderMap {
        let mut visitor = self.load(jar).await;
        change(&mut visitor);
        let headers = visitor.commit().await.unwrap().headers().collect();
        jar.keep_all(&headers);
        headers
    }

    /// Forgets the calls until now.
    fn forget_calls(&self) {
        let _ = self.calls.take();
    }

    async fn login(&self, user: u64) -> Browser {
        let mut jar = Jar::new();
        let offer = self.respond(&mut jar, |visitor| visitor.user = Some(user)).await;
        Browser { device: Device::new(7), jar, offer }
    }

    /// A browser whose session is bound.
    async fn bound(&self, user: u64) -> Browser {
        let mut browser = self.login(user).await;
        let answer = browser.register(&self.store).await;
        assert!(answer.is_proof(), "{answer:?}");
        browser
    }

    async fn list(&self, user: u64) -> Vec<SessionInfo> {
        self.store.list::<Visitor>(user, Page::first(100)).await.unwrap().items
    }

    async fn arrival(&self, jar: &Jar) -> Arrival {
        self.load(jar).await.arrival()
    }

    /// The count that is stored.
    async fn stored(&self, user: u64) -> u32 {
        let key = self.list(user).await[0].key.clone();
        let count = |visitor: &mut Visitor| visitor.count;
        self.store.update_any::<Visitor, _>(&key, count).await.unwrap().unwrap()
    }
}

impl Browser {
    async fn register(&mut self, store: &Store) -> Answer {
        self.device.register(store, &self.offer, &mut self.jar).await
    }

    async fn refresh(&mut self, store: &Store) -> Answer {
        self.device.refresh(store, &mut self.jar).await
    }

    fn challenge(&self) -> String {
        offered(&self.offer).expect("an offer").1
    }

    /// The jar without the cookie of the proof, as after its end.
    fn without_proof(&self) -> Jar {
        let mut jar = self.jar.clone();
        jar.keep_all(&HeaderMap::from_iter([(
            SET_COOKIE,
            HeaderValue::from_static("__Host-visitor-bound=; Path=/; Secure; Max-Age=0"),
        )]));
        jar
    }
}

#[tokio::test]
async fn a_login_offers_and_a_registration_binds() {
    let app = App::new(DeviceBinding::offer().exclude_path("/static"));
    let mut browser = app.login(ADA).await;
    assert!(!app.load(&browser.jar).await.device_bound());
    app.forget_calls();
    let answer = browser.register(&app.store).await;
    let calls = app.calls.take();
    assert_eq!((calls.fetch, calls.save, calls.touch, calls.delete), (1, 1, 0, 0), "{calls:?}");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.json,
        json!({
            "session_identifier": browser.device.identifier,
            "refresh_url": REFRESH,
            "scope": {
                "include_site": false,
                "scope_specification": [{ "type": "exclude", "domain": "*", "path": "/static" }],
            },
            "credentials": [{
                "type": "cookie",
                "name": BOUND,
                "attributes": "HttpOnly; SameSite=Lax; Secure; Path=/",
            }],
        })
    );
    let cookie = answer.headers[SET_COOKIE].to_str().unwrap();
    let value = browser.jar.value(BOUND);
    assert_eq!(
        cookie,
        format!("{BOUND}={value}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600")
    );
    assert!(app.load(&browser.jar).await.device_bound());
    assert!(app.list(ADA).await[0].device_bound);
    // The expiry is as it was.
    let expires_at = app.load(&browser.jar).await.expires_at();
    app.clock.advance(30 * MINUTE);
    app.forget_calls();
    let answer = browser.refresh(&app.store).await;
    // Half an hour later the first challenge is too old: one more round.
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(browser.refresh(&app.store).await.is_proof());
    let calls = app.calls.take();
    assert_eq!((calls.fetch, calls.save, calls.touch, calls.delete), (2, 0, 0, 0), "{calls:?}");
    assert_eq!(app.load(&browser.jar).await.expires_at(), expires_at);
}

#[tokio::test]
async fn a_refresh_needs_no_cookie_and_one_round_trip_while_its_challenge_is_good() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    for _ in 0..3 {
        app.clock.advance(10 * MINUTE);
        let mut nothing = Jar::new();
        let answer = browser.device.refresh(&app.store, &mut nothing).await;
        assert!(answer.is_proof(), "{answer:?}");
        assert_eq!(answer.json, Value::Null);
        browser.jar.keep_all(&answer.headers);
        assert_eq!(app.arrival(&browser.jar).await, Arrival::Live);
    }
}

#[tokio::test]
async fn a_host_that_has_never_seen_the_type_registers_and_refreshes() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.login(ADA).await;
    let other = app.host(DeviceBinding::enforce());
    assert!(browser.register(&other).await.is_proof());
    let other = app.host(DeviceBinding::enforce());
    assert!(browser.refresh(&other).await.is_proof());
    assert_eq!(app.arrival(&browser.jar).await, Arrival::Live);
}

#[tokio::test]
async fn only_an_answer_that_logs_somebody_in_offers() {
    let app = App::new(DeviceBinding::enforce());
    let mut jar = Jar::new();
    let offers = |headers: &HeaderMap| offered(headers).is_some();
    assert!(!offers(&app.respond(&mut jar, |visitor| visitor.count = 1).await));
    assert!(offers(&app.respond(&mut jar, |visitor| visitor.user = Some(ADA)).await));
    assert!(!offers(&app.respond(&mut jar, |visitor| visitor.count = 2).await));
    assert!(!offers(&app.respond(&mut jar, Session::renew).await));
    assert!(!offers(&app.respond(&mut jar, |visitor| visitor.act_as(BOB)).await));
    // Whoever proves again who they are may bind too.
    let proof = |visitor: &mut Session<Visitor>| visitor.authenticated(Proof::new("pwd"));
    assert!(offers(&app.respond(&mut jar, proof).await));
    assert!(offers(&app.respond(&mut jar, |visitor| visitor.user = Some(BOB)).await));
    assert!(!offers(&app.respond(&mut jar, |visitor| visitor.user = None).await));

    // A session that is bound needs no other binding.
    let mut browser = app.bound(ADA).await;
    assert!(!offers(&app.respond(&mut browser.jar, proof).await));
    let attempt = app.store.begin_login::<Visitor>(ADA).await.unwrap();
    assert!(!offers(&app.respond(&mut browser.jar, |visitor| visitor.log_in(attempt)).await));
    assert!(app.load(&browser.jar).await.device_bound());
}

#[tokio::test]
async fn without_a_binding_nothing_is_offered_and_no_path_is_taken() {
    for app in [App::with(|builder| builder), App::new(DeviceBinding::off())] {
        let browser = app.login(ADA).await;
        assert_eq!(offered(&browser.offer), None);
        let answer = app.store.answer_device(&Method::POST, REGISTER, &HeaderMap::new()).await;
        assert!(answer.is_none());
    }
    // A token in a header has no browser.
    let app = App::with(|builder| {
        builder.device_binding(DeviceBinding::offer()).transport(Transport::Either)
    });
    let mut visitor = app.load(&Jar::new()).await;
    visitor.use_header().unwrap();
    visitor.user = Some(ADA);
    let commit = visitor.commit().await.unwrap();
    assert_eq!(offered(&commit.headers().collect()), None);
}

#[tokio::test]
async fn a_browser_that_binds_nothing_notices_nothing() {
    let calls = async |binding: Option<DeviceBinding>| {
        let app = App::with(|builder| match binding {
            Some(binding) => builder.device_binding(binding),
            None => builder,
        });
        let mut browser = app.login(ADA).await;
        let mut seen = vec![format!("{:?}", app.calls.take())];
        for _ in 0..3 {
            app.clock.advance(20 * MINUTE);
            let headers = app.respond(&mut browser.jar, |visitor| visitor.count += 1).await;
            seen.push(format!("{:?} {:?}", app.calls.take(), headers.len()));
        }
        browser.offer.remove("secure-session-registration");
        (seen, browser.offer.len(), app.stored(ADA).await)
    };
    let without = calls(None).await;
    for binding in [DeviceBinding::offer(), DeviceBinding::observe(), DeviceBinding::enforce()] {
        assert_eq!(calls(Some(binding)).await, without);
    }
}

#[tokio::test]
async fn a_copied_cookie_works_until_its_proof_is_out() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    let thief = browser.jar.clone();
    let read = async |jar: &Jar| {
        let visitor = app.load(jar).await;
        (visitor.arrival(), visitor.user)
    };
    app.clock.advance(12 * MINUTE);
    assert_eq!(read(&thief).await, (Arrival::Live, Some(ADA)));
    app.clock.advance(SECOND);
    let events = Events::capture(Level::WARN);
    assert_eq!(read(&thief).await, (Arrival::DeviceUnproven, None));
    assert!(events.take()[0].contains("reason=\"expired\""));
    // Without the proof's cookie, too.
    assert_eq!(read(&browser.without_proof()).await, (Arrival::DeviceUnproven, None));
    assert!(events.take()[0].contains("reason=\"missing\""));
    assert!(browser.refresh(&app.store).await.is_proof());
    assert_eq!(read(&browser.jar).await, (Arrival::Live, Some(ADA)));
    assert_eq!(read(&thief).await, (Arrival::DeviceUnproven, None));
}

#[tokio::test]
async fn an_unproven_request_saves_nothing_and_clears_nothing() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    app.clock.advance(2 * MINUTE);
    let thief = browser.without_proof();
    app.forget_calls();

    // Reading, even when a touch and a token are due.
    let mut visitor = app.load(&thief).await;
    assert_eq!(visitor.key(), None);
    let commit = visitor.commit().await.unwrap();
    assert_eq!((commit.outcome(), commit.headers().count()), (Outcome::Unchanged, 0));
    let calls = app.calls.take();
    assert_eq!((calls.fetch, calls.save, calls.touch, calls.delete), (1, 0, 0, 0));

    for change in [
        (|visitor: &mut Session<Visitor>| visitor.count = 9) as fn(&mut Session<Visitor>),
        Session::renew,
        |visitor| visitor.set_label("mine"),
    ] {
        let mut visitor = app.load(&thief).await;
        change(&mut visitor);
        let error = visitor.commit().await.unwrap_err();
        assert_eq!(error.headers().count(), 0);
        assert!(matches!(error.error(), Error::DeviceUnproven), "{error}");
        assert!(error.error().is_not_authenticated());
    }
    let calls = app.calls.take();
    assert_eq!((calls.save, calls.touch, calls.delete), (0, 0, 0));
    assert_eq!(app.stored(ADA).await, 0);

    // Whoever logs in begins a session of their own.
    let mut other = thief.clone();
    let headers = app.respond(&mut other, |visitor| visitor.user = Some(BOB)).await;
    assert!(offered(&headers).is_some());
    assert_eq!((app.list(ADA).await.len(), app.list(BOB).await.len()), (1, 1));
    assert!(!app.load(&other).await.device_bound());
    assert!(browser.refresh(&app.store).await.is_proof());
    assert_eq!(app.load(&browser.jar).await.user, Some(ADA));

    // A logout works without the device, for the visitor whose browser cannot prove it any more.
    app.request(&mut thief.clone(), Session::destroy).await;
    assert!(app.list(ADA).await.is_empty());
}

#[tokio::test]
async fn other_policies_demand_nothing() {
    for (binding, observes) in [(DeviceBinding::offer(), 0), (DeviceBinding::observe(), 1)] {
        let app = App::new(binding);
        let browser = app.bound(ADA).await;
        app.clock.advance(2 * MINUTE);
        let events = Events::capture(Level::WARN);
        let mut jar = browser.without_proof();
        app.request(&mut jar, |visitor| visitor.count += 1).await;
        assert_eq!(app.stored(ADA).await, 1);
        let events = events.take();
        assert_eq!(events.len(), observes, "{events:?}");
        assert!(events.iter().all(|it| it.contains("device.unproven") && it.contains("observe")));
    }
    // A binding from before is not asked for, once binding is off.
    let app = App::new(DeviceBinding::enforce());
    let browser = app.bound(ADA).await;
    app.clock.advance(2 * MINUTE);
    let off = app.host(DeviceBinding::off());
    let visitor: Session<Visitor> = off.load(browser.without_proof().headers()).await.unwrap();
    assert_eq!((visitor.user, visitor.device_bound()), (Some(ADA), true));
}

#[tokio::test]
async fn a_minute_after_its_registration_a_session_needs_no_proof() {
    let app = App::new(DeviceBinding::enforce());
    let browser = app.bound(ADA).await;
    let first_page = browser.without_proof();
    app.clock.advance(MINUTE);
    assert_eq!(app.arrival(&first_page).await, Arrival::Live);
    app.clock.advance(SECOND);
    assert_eq!(app.arrival(&first_page).await, Arrival::DeviceUnproven);

    let app = App::new(DeviceBinding::enforce().grace(Duration::ZERO));
    let browser = app.bound(ADA).await;
    app.clock.advance(SECOND);
    assert_eq!(app.arrival(&browser.without_proof()).await, Arrival::DeviceUnproven);
}

#[tokio::test]
async fn the_proof_of_another_session_proves_nothing() {
    let app = App::new(DeviceBinding::enforce());
    let (mut ada, bob) = (app.bound(ADA).await, app.bound(BOB).await);
    app.clock.advance(2 * MINUTE);
    ada.jar.insert(BOUND, bob.jar.value(BOUND));
    let events = Events::capture(Level::WARN);
    assert_eq!(app.arrival(&ada.jar).await, Arrival::DeviceUnproven);
    assert!(events.take()[0].contains("reason=\"foreign\""));
    for forged in ["", "x", "AQAHq80FBQUFBQUFBQUF", ada.jar.value("__Host-visitor")] {
        let mut jar = ada.jar.clone();
        jar.insert(BOUND, forged);
        assert_eq!(app.arrival(&jar).await, Arrival::DeviceUnproven, "{forged}");
    }
    // An app of the same name elsewhere has other keys, and other identifiers prove nothing either.
    for forged in [&ada.device.identifier, &ada.device.challenge] {
        let mut jar = ada.jar.clone();
        jar.insert(BOUND, forged);
        assert_eq!(app.arrival(&jar).await, Arrival::DeviceUnproven);
    }
}

#[tokio::test]
async fn the_reason_that_a_browser_gives_is_reported_and_excuses_nothing() {
    let app = App::new(DeviceBinding::enforce());
    let browser = app.bound(ADA).await;
    app.clock.advance(2 * MINUTE);
    let events = Events::capture(Level::WARN);
    for (value, reason) in [
        ("quota_exceeded", "skipped_quota_exceeded"),
        ("unreachable;session_identifier=\"a\", server_error", "skipped_unreachable"),
        ("server_error", "skipped_server_error"),
        ("nonsense", "missing"),
        ("(((", "missing"),
    ] {
        let mut headers = browser.without_proof().into_headers();
        headers.insert(SKIPPED, HeaderValue::from_static(value));
        let visitor: Session<Visitor> = app.store.load(&headers).await.unwrap();
        assert_eq!(visitor.arrival(), Arrival::DeviceUnproven);
        let event = events.take().remove(0);
        assert!(event.contains(&format!("reason=\"{reason}\"")), "{event}");
    }
}

#[tokio::test]
async fn a_binding_lives_and_dies_with_its_owners_session() {
    let app = App::new(DeviceBinding::enforce());
    // Renewals keep it.
    let mut browser = app.bound(ADA).await;
    app.request(&mut browser.jar, Session::renew).await;
    app.request(&mut browser.jar, |visitor| visitor.authenticated(Proof::new("pwd"))).await;
    app.request(&mut browser.jar, |visitor| visitor.act_as(BOB)).await;
    assert!(app.load(&browser.jar).await.device_bound());
    app.clock.advance(8 * MINUTE);
    assert!(browser.refresh(&app.store).await.is_proof());
    // Another owner does not.
    let old = browser.clone();
    app.request(&mut browser.jar, |visitor| visitor.user = Some(BOB)).await;
    assert!(!app.load(&browser.jar).await.device_bound());
    assert!(browser.refresh(&app.store).await.is_end());
    assert!(old.clone().refresh(&app.store).await.is_end());
    // Neither does nobody.
    let mut browser = app.bound(ADA).await;
    app.request(&mut browser.jar, |visitor| (visitor.user, visitor.count) = (None, 1)).await;
    assert!(!app.load(&browser.jar).await.device_bound());
    assert!(browser.refresh(&app.store).await.is_end());

    for end in [End::Logout, End::RevokeAll, End::Everybody, End::Expire] {
        // After the fence of the one before.
        app.clock.advance(MINUTE);
        let mut browser = app.bound(ADA).await;
        match end {
            End::Logout => {
                app.request(&mut browser.jar, Session::destroy).await;
            }
            End::RevokeAll => {
                app.store.revoke_all::<Visitor>(ADA).await.unwrap();
            }
            End::Everybody => app.store.end_all().await.unwrap(),
            End::Expire => app.clock.advance(8 * 24 * 60 * MINUTE),
        }
        assert!(browser.refresh(&app.store).await.is_end(), "{end:?}");
    }
}

/// A way in which a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Logout,
    RevokeAll,
    Everybody,
    Expire,
}

#[tokio::test]
async fn a_registration_after_one_renewal_binds_and_after_two_does_not() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.login(ADA).await;
    app.request(&mut browser.jar, Session::renew).await;
    assert!(browser.clone().register(&app.store).await.is_proof());

    let mut browser = app.login(BOB).await;
    app.request(&mut browser.jar, Session::renew).await;
    app.request(&mut browser.jar, Session::renew).await;
    let events = Events::capture(Level::DEBUG);
    assert_eq!(browser.register(&app.store).await.status, StatusCode::BAD_REQUEST);
    assert!(events.take().iter().any(|it| it.contains("reason=\"gone\"")));
}

#[tokio::test]
async fn only_a_post_is_answered() {
    let app = App::new(DeviceBinding::offer());
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
        let answer = app.store.answer_device(&method, REGISTER, &HeaderMap::new()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "POST");
    }
}

#[tokio::test]
async fn a_browser_that_went_on_to_another_session_ends_the_first() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    let bob = app.login(BOB).await;
    let mut jar = bob.jar.clone();
    assert!(browser.device.refresh(&app.store, &mut jar).await.is_end());
    // A cookie that names no live session is no other session.
    app.store.revoke_all::<Visitor>(BOB).await.unwrap();
    assert!(browser.device.refresh(&app.store, &mut jar).await.is_proof());
    browser.jar.insert("__Host-visitor", "nonsense");
    assert!(browser.refresh(&app.store).await.is_proof());
}

#[tokio::test]
async fn a_store_that_is_down_ends_no_session() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    let unbound = app.login(BOB).await;
    app.calls.set_down(true);
    for answer in [
        browser.clone().refresh(&app.store).await,
        browser.device.clone().ask(&app.store, &mut Jar::new()).await,
        unbound.clone().register(&app.store).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(!answer.is_end());
    }
    app.calls.set_down(false);
    assert!(browser.refresh(&app.store).await.is_proof());
    assert!(unbound.clone().register(&app.store).await.is_proof());
}

#[tokio::test]
async fn a_registration_whose_answer_was_lost_binds_once() {
    for fault in [Fault::Lost(Call::Save, 1), Fault::Next(2)] {
        let faults = Faults::default();
        let provider = Hooked::new(MemoryProvider::new(), faults.clone());
        let builder = Store::builder(provider).device_binding(DeviceBinding::enforce());
        let store = builder.build().unwrap();
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(ADA);
        let commit = visitor.commit().await.unwrap();
        let (mut device, mut jar) = (Device::new(7), Jar::of(&commit));
        faults.set(fault);
        let answer = device.register(&store, &commit.headers().collect(), &mut jar).await;
        assert!(answer.is_proof(), "{fault:?}: {answer:?}");
        faults.heal();
        let visitor: Session<Visitor> = store.load(jar.headers()).await.unwrap();
        assert!(visitor.device_bound());
        assert!(device.refresh(&store, &mut jar).await.is_proof());
    }
}

#[tokio::test]
async fn a_save_beside_the_registration_keeps_it() {
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.login(ADA).await;
    let mut beside = app.load(&browser.jar).await;
    beside.count += 5;
    assert!(browser.register(&app.store).await.is_proof());
    let _ = beside.commit().await.unwrap();
    let visitor = app.load(&browser.jar).await;
    assert_eq!((visitor.count, visitor.device_bound()), (5, true));
    // And an owner who leaves beside it takes it along.
    let mut browser = app.login(BOB).await;
    let mut beside = app.load(&browser.jar).await;
    (beside.user, beside.count) = (None, 7);
    assert!(browser.register(&app.store).await.is_proof());
    let commit = beside.commit().await.unwrap();
    let visitor = app.load(&Jar::of(&commit)).await;
    assert_eq!((visitor.owner(), visitor.device_bound()), (None, false));
    assert!(browser.refresh(&app.store).await.is_end());
}

#[tokio::test]
async fn a_record_without_room_stays_unbound() {
    let app =
        App::with(|builder| builder.device_binding(DeviceBinding::enforce()).max_record_size(1024));
    let events = Events::capture(Level::WARN);
    let mut registered = 0;
    let mut refused = 0;
    for length in (700..).step_by(20) {
        let mut visitor = app.load(&Jar::new()).await;
        (visitor.user, visitor.note) = (Some(ADA), "x".repeat(length));
        let Ok(commit) = visitor.commit().await else { break };
        let (offer, mut jar) = (commit.headers().collect(), Jar::of(&commit));
        let answer = Device::new(7).register(&app.store, &offer, &mut jar).await;
        let visitor = app.load(&jar).await;
        assert_eq!(visitor.device_bound(), answer.is_proof());
        assert_eq!(visitor.note.len(), length);
        registered += usize::from(answer.is_proof());
        refused += events.take().iter().filter(|it| it.contains("reason=\"no_room\"")).count();
    }
    assert!(registered > 0 && refused > 0, "{registered}, {refused}");
}

#[test]
fn settings_that_bind_nothing_say_so() {
    let offer = || Store::builder(MemoryProvider::new()).device_binding(DeviceBinding::offer());
    let cookie = sessions::CookieConfig::new;
    for (builder, word) in [
        (offer().client_side().danger_plain_keys(), "client_side()"),
        (offer().transport(Transport::Header), "Transport::Header"),
        (offer().cookie(cookie().danger_plain_http()), "HTTPS"),
        (offer().cookie(cookie().domain("shop.example")), "domain()"),
        (offer().cookie(cookie().domains(["shop.example"])), "domains()"),
        (offer().cookie(cookie().path("/app")), "path()"),
        (
            offer().cookie(cookie().same_site(sessions::SameSite::None).partitioned()),
            "partitioned()",
        ),
        (
            Store::builder(MemoryProvider::new())
                .session::<Visitor>(|it| it.device_binding(DeviceBinding::offer().path("x"))),
            "session type \"visitor\"",
        ),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let off = offer().device_binding(DeviceBinding::off());
    assert!(off.client_side().danger_plain_keys().build().is_ok());
}

#[tokio::test]
async fn a_type_may_have_a_binding_of_its_own() {
    #[derive(Session)]
    #[session(name = "admin", version = 1)]
    struct Admin {
        #[session(owner)]
        user: Option<u64>,
    }
    let app = App::with(|builder| {
        builder
            .device_binding(DeviceBinding::off())
            .session::<Admin>(|it| it.device_binding(DeviceBinding::enforce().path("/auth")))
    });
    assert_eq!(offered(&app.login(ADA).await.offer), None);
    let mut admin = app.store.load::<Admin>(&HeaderMap::new()).await.unwrap();
    admin.user = Some(ADA);
    let offer: HeaderMap = admin.commit().await.unwrap().headers().collect();
    assert_eq!(offered(&offer).unwrap().0, "/auth/register");
    let (mut device, mut jar) = (Device::new(7), Jar::new());
    assert!(device.register(&app.store, &offer, &mut jar).await.is_proof());
    assert!(app.store.answer_device(&Method::POST, REFRESH, &HeaderMap::new()).await.is_none());
}

#[tokio::test]
async fn an_older_build_keeps_the_binding() {
    // A build that binds nothing writes over the record, and merges with it.
    let app = App::new(DeviceBinding::enforce());
    let mut browser = app.bound(ADA).await;
    let older = Store::builder(app.provider.clone()).clock(app.clock.clone()).build().unwrap();
    let mut visitor: Session<Visitor> = older.load(browser.jar.headers()).await.unwrap();
    visitor.count += 1;
    let _ = visitor.commit().await.unwrap();
    assert!(app.load(&browser.jar).await.device_bound());
    assert!(browser.refresh(&app.store).await.is_proof());
}

#[tokio::test]
async fn two_cookies_of_one_name_are_both_read() {
    let app = App::new(DeviceBinding::enforce());
    let browser = app.bound(ADA).await;
    app.clock.advance(2 * MINUTE);
    let session = browser.jar.value("__Host-visitor");
    let cookie =
        format!("__Host-visitor={session}; {BOUND}=x; {BOUND}={}", browser.jar.value(BOUND));
    let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookie).unwrap())]);
    let visitor: Session<Visitor> = app.store.load(&headers).await.unwrap();
    assert_eq!(visitor.arrival(), Arrival::Live);
}
