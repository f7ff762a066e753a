//! One record for a session's whole life: what a login, a renewal and an end do to it, and what a
//! cookie or a handle from before may do afterwards. Each test is a rule of its own.

mod everywhere;
mod outages;

use std::time::Duration;

use http::header::HeaderMap;
use sessions::provider::{Expect, Provider as _, Record};
use sessions::{
    Error, LoginAttempt, MemoryProvider, Page, Session, Store, StoreBuilder, StoreKey,
    clock::{Clock as _, ManualClock},
    commit::{CommitError, Outcome},
};
use sessions_tests::events::Events;
use sessions_tests::hooked::{Call, Calls, Fault, Faults, Gate, Hook, Hooked, watched};
use sessions_tests::jar::Jar;
use tracing::Level;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "owner")]
    role: u8,
    #[session(merge = add)]
    points: u64,
    cart: Vec<String>,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const USER: u64 = 7;

struct Life {
    store: Store,
    memory: MemoryProvider,
    clock: ManualClock,
    faults: Faults,
}

impl Life {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let (memory, clock, faults) =
            (MemoryProvider::new(), ManualClock::default(), Faults::default());
        let provider = Hooked::new(memory.clone(), faults.clone());
        let store = settings(Store::builder(provider).clock(clock.clone())).build().unwrap();
        Self { store, memory, clock, faults }
    }

    /// A host of the same app whose clock differs.
    fn host(&self, ahead: i64) -> (Store, ManualClock) {
        let seconds = Duration::from_secs(ahead.unsigned_abs());
        let now = self.clock.now();
        let clock = ManualClock::new(if ahead < 0 { now - seconds } else { now + seconds });
        let store = Store::builder(self.memory.clone()).clock(clock.clone()).build().unwrap();
        (store, clock)
    }

    async fn load(&self, jar: &Jar) -> Session<Visitor> {
        self.store.load(jar.headers()).await.unwrap()
    }

    /// An anonymous visitor with tea in their cart.
    async fn visitor(&self) -> (Jar, StoreKey) {
        let mut jar = Jar::new();
        let mut visitor = self.load(&jar).await;
        visitor.cart.push("tea".to_owned());
        visitor.points = 100;
        assert!(jar.keep(&visitor.commit().await.unwrap()));
        let key = visitor.key().unwrap().clone();
        (jar, key)
    }

    /// The same, logged in.
    async fn member(&self) -> (Jar, StoreKey) {
        let (mut jar, key) = self.visitor().await;
        let mut visitor = self.load(&jar).await;
        visitor.user = Some(USER);
        assert!(jar.keep(&visitor.commit().await.unwrap()));
        // The login is long ago.
        self.clock.advance(20 * MINUTE);
        (jar, key)
    }

    async fn listed(&self) -> Vec<StoreKey> {
        let page = self.store.list::<Visitor>(USER, Page::first(50)).await.unwrap();
        page.items.into_iter().map(|item| item.key).collect()
    }

    async fn record(&self, key: &StoreKey) -> Option<Record> {
        self.memory.fetch(key.as_str(), self.clock.now()).await.unwrap()
    }

    /// What is stored: points and cart.
    async fn stored(&self, key: &StoreKey) -> Option<(u64, Vec<String>)> {
        let read = |visitor: &mut Visitor| (visitor.points, visitor.cart.clone());
        self.store.update_any::<Visitor, _>(key, read).await.unwrap()
    }
}

fn is_gone<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(error) if matches!(error.error(), Error::Gone))
}

fn is_undone<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(error) if matches!(error.error(), Error::LoginUndone))
}

fn is_down<T>(result: &Result<T, CommitError>) -> bool {
    matches!(result, Err(error) if error.error().is_unavailable())
}

/// Makes user 7 the owner.
async fn log_in(store: &Store, jar: &mut Jar) -> Result<StoreKey, CommitError> {
    let mut visitor = store.load::<Visitor>(jar.headers()).await?;
    visitor.user = Some(USER);
    let commit = visitor.commit().await?;
    jar.keep(&commit);
    Ok(visitor.key().unwrap().clone())
}

// One record, one key.

#[tokio::test]
async fn a_login_keeps_the_record_and_its_key_and_kills_the_old_cookie() {
    let life = Life::new();
    let (old, key) = life.visitor().await;
    let mut jar = old.clone();
    assert_eq!(log_in(&life.store, &mut jar).await.unwrap(), key);
    assert_eq!(life.memory.len(), 2, "the session and the keys");
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, &*visitor.cart), (Some(USER), &["tea".to_owned()][..]));
    assert!(life.load(&old).await.is_new());
    assert_eq!(life.load(&old).await.cart, [""; 0]);
}

#[tokio::test]
async fn a_key_that_an_app_kept_works_across_logins_and_renewals() {
    let life = Life::new();
    let (mut jar, key) = life.visitor().await;
    log_in(&life.store, &mut jar).await.unwrap();
    for _ in 0..3 {
        life.clock.advance(20 * MINUTE);
        let mut visitor = life.load(&jar).await;
        visitor.renew();
        assert!(jar.keep(&visitor.commit().await.unwrap()));
    }
    let add = |visitor: &mut Visitor| visitor.points += 1;
    assert!(life.store.update::<Visitor, _>(Some(USER), &key, add).await.unwrap().is_some());
    assert!(life.store.revoke::<Visitor>(USER, &key).await.unwrap());
    assert!(life.load(&jar).await.is_new());
}

#[tokio::test]
async fn the_token_is_110_characters_and_146_with_two_secrets_at_most() {
    let life = Life::new();
    let (jar, _) = life.visitor().await;
    let cookie = jar.headers()[http::header::COOKIE].to_str().unwrap().to_owned();
    assert_eq!(cookie.strip_prefix("__Host-visitor=").unwrap().len(), 110);
}

#[tokio::test]
async fn binding_changes_with_each_renewal_and_the_key_does_not() {
    let life = Life::new();
    let (mut jar, key) = life.visitor().await;
    let before = life.load(&jar).await.binding().unwrap();
    assert_eq!(life.load(&jar).await.binding(), Some(before), "it is the same at each request");
    log_in(&life.store, &mut jar).await.unwrap();
    let after = life.load(&jar).await.binding().unwrap();
    assert_ne!(before, after);
    assert_eq!(life.load(&jar).await.key(), Some(&key));
    assert_eq!(life.load(&Jar::new()).await.binding(), None);
}

#[tokio::test]
async fn what_an_owner_who_leaves_had_in_a_record_that_is_gone_is_not_begun_again() {
    let life = Life::new();
    let (jar, key) = life.member().await;
    let mut visitor = life.load(&jar).await;
    assert!(life.store.revoke::<Visitor>(USER, &key).await.unwrap());

    // A logout by assignment, which would go on as an anonymous session with the same cart.
    visitor.user = None;
    assert!(is_gone(&visitor.commit().await));
    assert_eq!(visitor.key(), None, "no other session has begun");
    assert!(life.load(&jar).await.is_new());
}

#[tokio::test]
async fn another_owner_gets_another_record_and_the_first_is_dead() {
    let life = Life::new();
    let (mut jar, key) = life.member().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(8);
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    assert_ne!(visitor.key(), Some(&key));
    assert!(life.record(&key).await.is_none());
    assert_eq!(life.load(&jar).await.user, Some(8));
}

#[tokio::test]
async fn an_owner_who_leaves_ends_the_record() {
    let life = Life::new();
    let (mut jar, key) = life.member().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = None;
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    assert!(life.record(&key).await.is_none());
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, visitor.points), (None, 100), "the rest is the handler's");
}

#[tokio::test]
async fn a_login_resets_label_and_remember_unless_the_request_sets_them() {
    let life = Life::new();
    let (mut jar, _) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.set_label("kiosk");
    visitor.remember(80 * 24 * 60 * MINUTE);
    assert!(jar.keep(&visitor.commit().await.unwrap()), "a longer cookie");
    log_in(&life.store, &mut jar).await.unwrap();
    let item = &life.store.list::<Visitor>(USER, Page::first(9)).await.unwrap().items[0];
    assert_eq!(item.label, None);
    assert!(item.expires_at.unwrap() < life.clock.now() + Duration::from_secs(8 * 24 * 3600));
}

// A login that is sent again.

#[tokio::test]
async fn a_login_sent_again_with_the_old_cookie_logs_its_browser_in_each_time() {
    for later in [0, 5, 30, 60 * 60] {
        let life = Life::new();
        let (old, key) = life.visitor().await;
        let mut first = old.clone();
        log_in(&life.store, &mut first).await.unwrap();
        life.clock.advance(later * SECOND);
        let mut second = old.clone();
        let again = log_in(&life.store, &mut second).await.unwrap();
        assert_ne!(again, key);
        assert_eq!(life.load(&first).await.user, Some(USER), "{later} s");
        let visitor = life.load(&second).await;
        assert_eq!(visitor.user, Some(USER), "{later} s");
        assert!(visitor.cart.is_empty() && visitor.points == 0, "no second copy of the cart");
    }
}

#[tokio::test]
async fn two_logins_at_once_both_log_in_and_neither_copies_the_other() {
    let life = Life::new();
    let (old, key) = life.visitor().await;
    let (mut one, mut two) = (life.load(&old).await, life.load(&old).await);
    for visitor in [&mut one, &mut two] {
        visitor.user = Some(USER);
        visitor.points += 5;
        visitor.cart.push("milk".to_owned());
    }
    let [mut first, mut second] = [old.clone(), old];
    assert!(first.keep(&one.commit().await.unwrap()));
    assert!(second.keep(&two.commit().await.unwrap()));
    assert_eq!(life.stored(&key).await.unwrap(), (105, vec!["tea".to_owned(), "milk".to_owned()]));
    let other = life.load(&second).await;
    assert_eq!((other.user, other.points), (Some(USER), 5));
    assert_eq!(other.cart, ["milk"]);
    assert_eq!((two.points, &*two.cart), (5, &["milk".to_owned()][..]), "the handle shows it");
}

#[tokio::test]
async fn a_login_on_a_record_that_is_gone_by_then_keeps_the_handlers_value() {
    let life = Life::new();
    let (mut jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    assert!(life.store.revoke_any(&key).await.unwrap());
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, visitor.points), (Some(USER), 100));
}

#[tokio::test]
async fn a_member_who_proves_anew_who_they_are_is_renewed_also_on_a_superseded_cookie() {
    let life = Life::new();
    let (old, key) = life.member().await;
    for (jar, expected) in [(old.clone(), Some(&key)), (old, None)] {
        let mut jar = jar;
        let attempt = life.store.begin_login::<Visitor>(USER).await.unwrap();
        let mut visitor = life.load(&jar).await;
        visitor.user = Some(USER);
        visitor.log_in(attempt);
        assert!(jar.keep(&visitor.commit().await.unwrap()));
        if let Some(expected) = expected {
            assert_eq!(visitor.key(), Some(expected));
        }
        assert_eq!(life.load(&jar).await.user, Some(USER));
    }
    assert_eq!(life.listed().await.len(), 2);
}

#[tokio::test]
async fn a_proof_that_meets_another_renewal_begins_a_session_without_a_copy() {
    let life = Life::new();
    let (old, key) = life.member().await;
    let attempt = life.store.begin_login::<Visitor>(USER).await.unwrap();
    let mut late = life.load(&old).await;
    late.log_in(attempt);
    late.points += 1;
    let mut renewed = life.load(&old).await;
    renewed.renew();
    let _ = renewed.commit().await.unwrap();
    let mut jar = old;
    assert!(jar.keep(&late.commit().await.unwrap()));
    assert_ne!(late.key(), Some(&key));
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, visitor.points, visitor.cart.len()), (Some(USER), 1, 0));
}

// Superseded.

#[tokio::test]
async fn for_twelve_minutes_a_superseded_cookie_reads_as_empty_and_saves_nothing() {
    let life = Life::new();
    let (old, key) = life.visitor().await;
    let mut jar = old.clone();
    log_in(&life.store, &mut jar).await.unwrap();
    let renewed_at = life.clock.now();
    let events = Events::capture(Level::WARN);
    for after in [Duration::ZERO, 12 * MINUTE - Duration::from_millis(1)] {
        life.clock.set(renewed_at + after);
        let mut late = life.load(&old).await;
        assert!(late.is_new() && late.cart.is_empty() && late.key().is_none());
        assert_eq!(late.commit().await.unwrap().outcome(), Outcome::Unchanged);
        late.points += 1;
        let refused = late.commit().await;
        assert!(is_gone(&refused));
        assert!(refused.unwrap_err().set_cookie().is_none(), "neither set nor cleared");
        assert!(matches!(late.save().await, Err(Error::Gone)));
    }
    drop(events.take());
    life.clock.set(renewed_at + 12 * MINUTE);
    let mut later = life.load(&old).await;
    later.points += 1;
    let commit = later.commit().await.unwrap();
    assert!(commit.set_cookie().is_some(), "a request without a session");
    assert_ne!(later.key(), Some(&key));
    assert!(life.load(&old).await.is_new());
    let lines = events.take();
    let told = lines.iter().filter(|line| line.contains("superseded_long_ago"));
    assert_eq!(told.count(), 1, "once for each record: {lines:?}");
}

#[tokio::test]
async fn a_renewal_from_a_host_that_is_ahead_counts_as_now() {
    let life = Life::new();
    let (old, _) = life.visitor().await;
    let (ahead, _) = life.host(9 * 60);
    log_in(&ahead, &mut old.clone()).await.unwrap();
    // Twelve minutes from now, by this host, the other's renewal is three minutes old.
    life.clock.advance(12 * MINUTE);
    let mut late = life.load(&old).await;
    late.points += 1;
    assert!(is_gone(&late.commit().await));
}

// What a handle or a cookie from before a renewal may do: nothing.

#[tokio::test]
async fn a_handle_from_before_a_login_can_do_nothing_to_what_came_of_it() {
    let life = Life::new();
    let (old, key) = life.visitor().await;
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(life.load(&old).await);
    }
    let mut jar = old.clone();
    log_in(&life.store, &mut jar).await.unwrap();
    let before = life.record(&key).await.unwrap();

    let mut save = handles.pop().unwrap();
    save.points += 1;
    assert!(matches!(save.save().await, Err(Error::Gone)));
    assert!(is_gone(&save.commit().await), "the same contract");

    let mut destroy = handles.pop().unwrap();
    destroy.destroy();
    let refused = destroy.commit().await;
    assert!(is_gone(&refused), "never Ok");
    let cookie = refused.unwrap_err().set_cookie().cloned().unwrap();
    assert!(cookie.to_str().unwrap().ends_with("Max-Age=0"), "it clears its sender's cookie");

    let mut reload = handles.pop().unwrap();
    assert!(matches!(reload.reload().await, Err(Error::Gone)));
    assert_eq!((reload.user, reload.points), (None, 0), "it reads nothing");

    let mut renew = handles.pop().unwrap();
    renew.renew();
    assert!(is_gone(&renew.commit().await));

    let mut label = handles.pop().unwrap();
    label.set_label("mine");
    assert!(is_gone(&label.commit().await));

    // A touch that is due.
    let mut touch = handles.pop().unwrap();
    life.clock.advance(2 * 60 * MINUTE);
    assert_eq!(touch.commit().await.unwrap().outcome(), Outcome::Unchanged);

    assert_eq!(life.record(&key).await.unwrap(), before, "version, expiry and content");
    assert_eq!(life.load(&jar).await.user, Some(USER));
}

#[tokio::test]
async fn a_logout_with_a_cookie_from_before_the_login_ends_nothing_whenever_it_comes() {
    for later in [0, 5 * 60, 60 * 60] {
        let life = Life::new();
        let (old, _) = life.visitor().await;
        let mut jar = old.clone();
        log_in(&life.store, &mut jar).await.unwrap();
        life.clock.advance(later * SECOND);
        let refused = life.store.destroy::<Visitor>(old.headers()).await;
        assert!(is_gone(&refused), "{later} s");
        assert!(refused.unwrap_err().set_cookie().is_some());
        assert_eq!(life.load(&jar).await.user, Some(USER), "{later} s");
    }
}

#[tokio::test]
async fn a_logout_beside_a_change_of_role_ends_the_session() {
    let life = Life::new();
    let (old, key) = life.member().await;
    let mut logout = life.load(&old).await;
    let mut promoted = life.load(&old).await;
    promoted.role = 1;
    let mut jar = old.clone();
    assert!(jar.keep(&promoted.commit().await.unwrap()));
    logout.destroy();
    assert_eq!(logout.commit().await.unwrap().outcome(), Outcome::Destroyed);
    assert!(life.record(&key).await.is_none());
    // Nor does the cookie from two renewals ago reach it.
    let (old, key) = life.member().await;
    let mut jar = old.clone();
    for role in [1, 2] {
        let mut promoted = life.load(&jar).await;
        promoted.role = role;
        assert!(jar.keep(&promoted.commit().await.unwrap()));
    }
    assert!(is_gone(&life.store.destroy::<Visitor>(old.headers()).await));
    assert!(life.record(&key).await.is_some());
}

// Cookies again.

#[tokio::test]
async fn a_read_beside_a_login_never_hands_the_old_cookie_back() {
    let life = Life::with(|builder| builder.lifetime(Duration::from_secs(90 * 24 * 3600)));
    let (old, _) = life.visitor().await;
    // Half of a token's age, so that it is due to be set again; kept alive by its visits.
    for _ in 0..10 {
        life.clock.advance(Duration::from_secs(5 * 24 * 3600));
        let _ = life.load(&old).await.commit().await.unwrap();
    }
    let mut slow = life.load(&old).await;
    let mut jar = old.clone();
    log_in(&life.store, &mut jar).await.unwrap();
    assert!(slow.commit().await.unwrap().set_cookie().is_none(), "a response that only read");
    assert_eq!(life.load(&jar).await.user, Some(USER));
}

#[tokio::test]
async fn a_token_that_is_due_is_set_again() {
    let life = Life::with(|builder| builder.lifetime(Duration::from_secs(90 * 24 * 3600)));
    let (mut jar, _) = life.visitor().await;
    let mut set = 0;
    for _ in 0..12 {
        life.clock.advance(Duration::from_secs(5 * 24 * 3600));
        let commit = life.load(&jar).await.commit().await.unwrap();
        set += u32::from(jar.keep(&commit));
    }
    assert!(set > 0, "keys are rotated each week");
}

/// One of these tokens is due because its key has retired a moment ago; with a touch beside it, and
/// without.
#[tokio::test]
async fn a_token_that_is_due_is_not_set_again_within_twelve_minutes_of_a_renewal() {
    for touches in [5 * MINUTE, 60 * MINUTE] {
        let life = Life::with(|builder| {
            let lifetime = Duration::from_secs(90 * 24 * 3600);
            builder.lifetime(lifetime).touch_interval(touches)
        });
        let (mut jar, _) = life.visitor().await;
        for _ in 0..1_000 {
            let mut visitor = life.load(&jar).await;
            visitor.renew();
            assert!(jar.keep(&visitor.commit().await.unwrap()));
            life.clock.advance(11 * MINUTE);
            assert!(life.load(&jar).await.commit().await.unwrap().set_cookie().is_none());
        }
    }
}

#[tokio::test]
async fn remember_sets_the_cookie_when_its_length_changes() {
    let life = Life::new();
    let (mut jar, _) = life.visitor().await;
    for (days, set) in [(10, true), (10, false), (60, true), (5, true)] {
        let mut visitor = life.load(&jar).await;
        visitor.remember(Duration::from_secs(days * 24 * 3600));
        assert_eq!(jar.keep(&visitor.commit().await.unwrap()), set, "{days}");
    }
}

// What a record may hold, and what a handle leaves behind.

#[tokio::test]
async fn a_record_without_a_secret_or_damaged_is_no_session_and_stays_as_it_was() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let whole = life.record(&key).await.unwrap();
    for at in 0..whole.data.len() {
        for flip in [0x01, 0x40, 0xff] {
            let mut data = whole.data.to_vec();
            data[at] ^= flip;
            let record = Record { data: data.into(), ..whole.clone() };
            life.memory.save(&record, Expect::Any, life.clock.now()).await.unwrap();
            let _ = life.store.load::<Visitor>(jar.headers()).await;
            assert_eq!(life.record(&key).await.unwrap(), record, "byte {at}");
        }
    }
    // The secret's length stands behind versions, time and save ids.
    let secret = whole.data.windows(2).position(|it| it[0] == 0x50).unwrap();
    let mut data = whole.data[..secret].to_vec();
    data.push(0x40);
    data.extend_from_slice(&whole.data[secret + 17..]);
    let record = Record { data: data.into(), ..whole.clone() };
    life.memory.save(&record, Expect::Any, life.clock.now()).await.unwrap();
    let refused = life.store.load::<Visitor>(jar.headers()).await.map(drop);
    assert!(matches!(refused, Err(Error::Decode { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_right_id_with_the_secret_of_another_session_opens_nothing() {
    let life = Life::new();
    let (one, key) = life.visitor().await;
    let (two, _) = life.visitor().await;
    // Put one session's record in the other's place.
    let record = life.record(&key).await.unwrap();
    let other = life.load(&two).await.key().unwrap().clone();
    let swapped = Record { id: other.as_str().into(), ..record };
    life.memory.save(&swapped, Expect::Any, life.clock.now()).await.unwrap();
    assert!(life.load(&two).await.is_new());
    assert!(!life.load(&one).await.is_new());
}

#[tokio::test]
async fn the_first_of_several_cookies_that_names_a_live_session_counts() {
    let life = Life::new();
    let (dead, key) = life.visitor().await;
    let (alive, _) = life.member().await;
    life.store.revoke_any(&key).await.unwrap();
    let mut headers = HeaderMap::new();
    for jar in [&dead, &alive] {
        headers.append(http::header::COOKIE, jar.headers()[http::header::COOKIE].clone());
    }
    let mut visitor = life.store.load::<Visitor>(&headers).await.unwrap();
    assert_eq!(visitor.user, Some(USER));
    visitor.points += 1;
    let _ = visitor.commit().await.unwrap();
}

#[tokio::test]
async fn a_changed_handle_that_is_dropped_outside_a_request_is_an_event() {
    let life = Life::new();
    let (jar, _) = life.visitor().await;
    let events = Events::capture(Level::WARN);
    let mut visitor = life.load(&jar).await;
    visitor.points += 0;
    drop(visitor);
    assert_eq!(events.take(), [""; 0], "nothing changed");
    let mut visitor = life.load(&jar).await;
    visitor.points += 1;
    drop(visitor);
    let lines = events.take();
    assert!(lines.len() == 1 && lines[0].contains("call commit()"), "{lines:?}");
}

#[tokio::test]
async fn save_with_nothing_to_save_makes_no_call_and_reload_asks() {
    let (provider, watch) = watched(MemoryProvider::new());
    let store = Store::new(provider);
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.points = 1;
    visitor.save().await.unwrap();
    let _ = watch.take();
    visitor.save().await.unwrap();
    visitor.points += 0;
    visitor.save().await.unwrap();
    assert_eq!(watch.take(), Calls::default());
    visitor.points = 9;
    visitor.reload().await.unwrap();
    assert_eq!((watch.take().fetch, visitor.points), (1, 1));
    assert!(visitor.commit().await.unwrap().set_cookie().is_some(), "the cookie of save()");
}

#[tokio::test]
async fn keys_and_pages_go_through_serde() {
    let life = Life::new();
    let (_, key) = life.member().await;
    let text = serde_json::to_string(&key).unwrap();
    assert_eq!(text, format!("\"{key}\""));
    assert_eq!(serde_json::from_str::<StoreKey>(&text).unwrap(), key);
    assert!(serde_json::from_str::<StoreKey>("\"../x\"").is_err());
    let (_, _) = life.member().await;
    let first = life.store.list::<Visitor>(USER, Page::first(1)).await.unwrap();
    let second = life.store.list::<Visitor>(USER, first.next.unwrap()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len()), (1, 1));
    assert_ne!(first.items[0].key, second.items[0].key);
}
