//! One record for a session's whole life: what a login, a renewal and an end do to it, and what a
//! cookie or a handle from before may do afterwards. Each test is a rule of its own.

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

// A change is applied once, whoever tries again.

/// Saves whose answers are lost, with the provider down until the commit has given up.
#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_was_lost_is_applied_once_whoever_tries_again() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.points += 10;
    visitor.cart.push("milk".to_owned());
    life.faults.set(Fault::LostThenDown(Call::Save));
    assert!(visitor.save().await.unwrap_err().is_unavailable());
    assert!(visitor.save().await.unwrap_err().is_unavailable(), "nothing is sent meanwhile");
    life.faults.set(Fault::None);
    // Another change of the same handle, which is applied too.
    visitor.points += 1;
    assert_eq!(visitor.commit().await.unwrap().outcome(), Outcome::Saved);
    assert_eq!(visitor.commit().await.unwrap().outcome(), Outcome::Unchanged);
    let cart = vec!["tea".to_owned(), "milk".to_owned()];
    assert_eq!(life.stored(&key).await.unwrap(), (111, cart.clone()));
    assert_eq!((visitor.points, visitor.cart.clone()), (111, cart));
}

#[tokio::test(start_paused = true)]
async fn it_is_applied_once_also_where_others_saved_and_renewed_meanwhile() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.points += 10;
    life.faults.set(Fault::LostThenDown(Call::Save));
    assert!(visitor.save().await.unwrap_err().is_unavailable());
    life.faults.set(Fault::None);
    for _ in 0..5 {
        let mut other = life.load(&jar).await;
        other.points += 100;
        let _ = other.commit().await.unwrap();
    }
    visitor.points += 1;
    visitor.save().await.unwrap();
    assert_eq!(life.stored(&key).await.unwrap().0, 611);
}

#[tokio::test(start_paused = true)]
async fn after_more_than_eight_saves_nobody_can_tell_until_reload() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.points += 10;
    life.faults.set(Fault::LostThenDown(Call::Save));
    assert!(visitor.save().await.unwrap_err().is_unavailable());
    life.faults.set(Fault::None);
    for _ in 0..9 {
        let mut other = life.load(&jar).await;
        other.points += 100;
        let _ = other.commit().await.unwrap();
    }
    for _ in 0..2 {
        assert!(visitor.save().await.unwrap_err().is_unavailable());
    }
    visitor.reload().await.unwrap();
    assert_eq!(visitor.points, 1010);
    visitor.points += 1;
    visitor.save().await.unwrap();
    assert_eq!(life.stored(&key).await.unwrap().0, 1011);
}

#[tokio::test]
async fn a_save_whose_future_was_dropped_is_waited_for() {
    let (memory, gate) = (MemoryProvider::new(), Gate::new(Call::Save));
    let store = Store::new(Hooked::new(memory, gate.clone()));
    let mut jar = Jar::new();
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.points = 100;
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    gate.close();
    visitor.points += 10;
    {
        let mut save = std::pin::pin!(visitor.save());
        let waker = std::task::Waker::noop();
        assert!(save.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    visitor.points += 1;
    gate.open();
    visitor.save().await.unwrap();
    // Whatever still runs in the background ends.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let again = store.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.points, again.points), (111, 111));
}

#[tokio::test(start_paused = true)]
async fn a_new_visitors_login_that_is_redone_leaves_one_session() {
    for fault in [
        Fault::LostThenDown(Call::Save),
        Fault::LostThenNext(Call::Save, 3),
        Fault::Lost(Call::Save, 1),
        Fault::Next(4),
    ] {
        let life = Life::new();
        let mut jar = Jar::new();
        let mut visitor = life.load(&jar).await;
        visitor.user = Some(USER);
        life.faults.set(fault);
        let first = visitor.commit().await;
        life.faults.set(Fault::None);
        let commit = match first {
            Ok(commit) => commit,
            Err(error) => {
                assert!(error.error().is_unavailable() && error.set_cookie().is_none());
                visitor.commit().await.unwrap()
            }
        };
        assert!(jar.keep(&commit), "{fault:?}");
        assert_eq!(life.load(&jar).await.user, Some(USER));
        assert_eq!(life.listed().await.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_given_up_leaves_no_session_without_a_browser() {
    for had in [false, true] {
        for fault in [Fault::LostThenDown(Call::Save), Fault::Down] {
            let life = Life::new();
            let old = if had { life.visitor().await.0 } else { Jar::new() };
            let mut visitor = life.load(&old).await;
            visitor.user = Some(USER);
            life.faults.set(fault);
            let failed = visitor.commit().await;
            assert!(is_down(&failed));
            assert!(failed.unwrap_err().set_cookie().is_none(), "the 503 leaves the cookie alone");
            drop(visitor);
            life.faults.set(Fault::None);
            // The next try works at once.
            let mut jar = old.clone();
            log_in(&life.store, &mut jar).await.unwrap();
            life.store.shutdown().await;
            assert_eq!(life.load(&jar).await.user, Some(USER));
            assert_eq!(life.listed().await.len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_answer_is_lost_while_the_session_is_renewed_is_applied_once() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    let (store, mut jar) = (life.host(0).0, jar);
    // While the update waits for its next try, the visitor renews twice.
    let renewals = async move {
        for _ in 0..2 {
            let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
            visitor.renew();
            jar.keep(&visitor.commit().await.unwrap());
        }
    };
    let add = |visitor: &mut Visitor| visitor.points += 1;
    let (updated, ()) = tokio::join!(life.store.update_any::<Visitor, _>(&key, add), renewals);
    assert!(updated.unwrap().is_some());
    assert_eq!(life.stored(&key).await.unwrap().0, 101);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_took_place_and_was_ended_before_its_answer_came_is_not_begun_again() {
    let life = Life::new();
    let (jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    // While the commit waits for its next try, the owner logs out everywhere.
    let store = life.host(0).0;
    let (committed, ended) = tokio::join!(visitor.commit(), store.revoke::<Visitor>(USER, &key));
    assert!(ended.unwrap());
    assert!(is_gone(&committed));
    assert_eq!(life.listed().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_answer_was_lost_is_found_by_its_secret_after_many_saves() {
    let life = Life::new();
    let (mut jar, key) = life.visitor().await;
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    life.faults.set(Fault::LostThenNext(Call::Save, 1));
    let store = life.host(0).0;
    // More saves than a record remembers.
    let updates = async {
        for _ in 0..9 {
            let add = |visitor: &mut Visitor| visitor.points += 1;
            assert!(store.update_any::<Visitor, _>(&key, add).await.unwrap().is_some());
        }
    };
    let (committed, ()) = tokio::join!(visitor.commit(), updates);
    assert!(jar.keep(&committed.unwrap()));
    let visitor = life.load(&jar).await;
    assert_eq!((visitor.user, visitor.points), (Some(USER), 109));
    assert_eq!(life.listed().await, [key]);
}

// Failures that are no outage, and outages.

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_break_no_login_and_no_change_of_role() {
    for calls in 1..=6 {
        for fault in [Fault::Next(calls), Fault::LostThenNext(Call::Save, calls)] {
            let life = Life::new();
            let (mut jar, key) = life.visitor().await;
            let mut visitor = life.load(&jar).await;
            visitor.user = Some(USER);
            life.faults.set(fault);
            assert!(jar.keep(&visitor.commit().await.unwrap()), "{fault:?}");
            let mut visitor = life.load(&jar).await;
            assert_eq!((visitor.user, visitor.points), (Some(USER), 100));
            visitor.role = 2;
            life.faults.set(fault);
            assert!(jar.keep(&visitor.commit().await.unwrap()), "{fault:?}");
            assert_eq!(life.load(&jar).await.role, 2);
            assert_eq!(life.listed().await, [key]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_unknown_outcome_gives_a_cookie_that_opens_either_way() {
    for (fault, taken) in [(Fault::LostThenDown(Call::Save), true), (Fault::Down, false)] {
        let life = Life::new();
        let (mut jar, key) = life.member().await;
        let mut visitor = life.load(&jar).await;
        visitor.role = 2;
        life.faults.set(fault);
        let failed = visitor.commit().await.unwrap_err();
        assert!(failed.error().is_unavailable());
        assert!(jar.keep_error(&failed), "a cookie with both secrets");
        drop(visitor);
        life.faults.set(Fault::None);
        let visitor = life.load(&jar).await;
        assert_eq!((visitor.user, visitor.key()), (Some(USER), Some(&key)));
        assert_eq!(visitor.role == 2, taken);
        // It is one again once no renewal's cookie can be on its way.
        life.clock.advance(13 * MINUTE);
        let length = |jar: &Jar| jar.headers()[http::header::COOKIE].len();
        let both = length(&jar);
        let mut visitor = life.load(&jar).await;
        visitor.points += 1;
        assert!(jar.keep(&visitor.commit().await.unwrap()));
        assert!(length(&jar) < both);
        assert_eq!(life.load(&jar).await.key(), Some(&key));
    }
}

#[tokio::test(start_paused = true)]
async fn no_outage_during_a_renewal_ends_a_session() {
    for calls in 0..80 {
        let life = Life::new();
        let (mut jar, key) = life.member().await;
        let mut visitor = life.load(&jar).await;
        visitor.renew();
        life.faults.set(Fault::LostThenNext(Call::Save, calls));
        match visitor.commit().await {
            Ok(commit) => jar.keep(&commit),
            Err(error) => jar.keep_error(&error),
        };
        life.faults.set(Fault::None);
        assert_eq!(life.load(&jar).await.key(), Some(&key), "{calls}");
    }
}

// Log out everywhere, the cap, and clocks.

#[tokio::test]
async fn revoke_asks_whose_session_it_is_and_no_key_names_a_fence() {
    let life = Life::new();
    let (jar, key) = life.member().await;
    assert!(!life.store.revoke::<Visitor>(8, &key).await.unwrap());
    assert!(life.store.update::<Visitor, _>(Some(8), &key, |_| {}).await.unwrap().is_none());
    assert!(life.store.update::<Visitor, _>(None::<u64>, &key, |_| {}).await.unwrap().is_none());
    assert_eq!(life.load(&jar).await.user, Some(USER));
    assert!(life.store.revoke::<Visitor>(USER, &key).await.unwrap());
    assert!(!life.store.revoke::<Visitor>(USER, &key).await.unwrap());
    let (_, anonymous) = life.visitor().await;
    assert!(
        life.store.update::<Visitor, _>(None::<u64>, &anonymous, |_| {}).await.unwrap().is_some()
    );
    // What a fence is filed under is no store key.
    life.store.revoke_all::<Visitor>(USER).await.unwrap();
    let fences = fence_ids(&life).await;
    assert!(fences.iter().all(|id| id.parse::<StoreKey>().is_err()), "{fences:?}");
}

/// The ids of what the store saves for `revoke_all`.
async fn fence_ids(life: &Life) -> Vec<String> {
    let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let store = Store::new(Hooked::new(life.memory.clone(), Spy(ids.clone())));
    store.revoke_all::<Visitor>(USER).await.unwrap();
    let ids = ids.lock().unwrap();
    assert!(!ids.is_empty());
    ids.clone()
}

/// Notes the ids of what is saved.
struct Spy(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

#[sessions::provider::async_trait]
impl Hook for Spy {
    async fn before(&self, call: Call, id: &str) -> Result<(), sessions::provider::ProviderError> {
        if call == Call::Save {
            self.0.lock().unwrap().push(id.to_owned());
        }
        Ok(())
    }
}

#[tokio::test]
async fn with_begin_login_revoke_all_undoes_what_began_before_whatever_the_clocks_say() {
    for skew in [-600, -5, 0, 5, 90, 300, 600] {
        for before in [true, false] {
            let life = Life::new();
            let (old, _) = life.visitor().await;
            let (other, _) = life.host(skew);
            let begin = async || life.store.begin_login::<Visitor>(USER).await.unwrap();
            let attempt = if before { Some(begin().await) } else { None };
            other.revoke_all::<Visitor>(USER).await.unwrap();
            life.clock.advance(SECOND);
            let attempt = match attempt {
                Some(attempt) => attempt,
                None => begin().await,
            };
            let mut visitor = life.load(&old).await;
            visitor.user = Some(USER);
            visitor.log_in(attempt);
            let result = visitor.commit().await;
            assert_eq!(is_undone(&result), before, "{skew} s: {result:?}");
            assert_eq!(life.listed().await.len(), usize::from(!before));
        }
    }
}

#[tokio::test]
async fn without_begin_login_the_clocks_decide() {
    for skew in [-5, 0, 5] {
        let life = Life::new();
        let (old, _) = life.visitor().await;
        let (other, clock) = life.host(skew);
        let mut visitor = life.load(&old).await;
        visitor.user = Some(USER);
        // The request takes longer than the clocks differ.
        life.clock.advance(10 * SECOND);
        clock.advance(10 * SECOND);
        other.revoke_all::<Visitor>(USER).await.unwrap();
        let result = visitor.commit().await;
        assert!(is_undone(&result), "an error that the app sees: {skew}");
        assert!(life.listed().await.is_empty());
    }
}

#[tokio::test]
async fn a_fence_from_far_ahead_counts_as_raised_now_and_stops_nobody_for_long() {
    let life = Life::new();
    let (other, _) = life.host(24 * 60 * 60);
    other.revoke_all::<Visitor>(USER).await.unwrap();
    let (mut jar, _) = life.visitor().await;
    assert!(is_undone(&log_in(&life.store, &mut jar).await));
    life.clock.advance(SECOND);
    let (mut jar, _) = life.visitor().await;
    life.clock.advance(SECOND);
    log_in(&life.store, &mut jar).await.unwrap();
}

#[tokio::test]
async fn an_attempt_is_refused_for_another_owner_and_after_half_an_hour() {
    let life = Life::new();
    let (jar, _) = life.visitor().await;
    let attempt = life.store.begin_login::<Visitor>(8).await.unwrap();
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    visitor.log_in(attempt);
    let refused = visitor.commit().await.unwrap_err();
    assert!(matches!(refused.error(), Error::Misuse(text) if text.contains("begin_login()")));

    let attempt = life.store.begin_login::<Visitor>(USER).await.unwrap();
    let attempt = serde_json::to_string(&attempt).unwrap();
    life.clock.advance(30 * MINUTE + SECOND);
    let attempt: LoginAttempt = serde_json::from_str(&attempt).unwrap();
    let mut visitor = life.load(&jar).await;
    visitor.user = Some(USER);
    visitor.log_in(attempt);
    assert!(is_undone(&visitor.commit().await));
    assert!(life.listed().await.is_empty());
}

#[tokio::test]
async fn revoke_all_spares_what_began_with_its_own_mark_and_revoke_others_its_own() {
    let life = Life::new();
    let (jar, _) = life.member().await;
    let (_, _) = life.member().await;
    let visitor = life.load(&jar).await;
    assert_eq!(life.store.revoke_others(&visitor).await.unwrap(), 1);
    assert_eq!(life.load(&jar).await.user, Some(USER));
    assert_eq!(life.listed().await.len(), 1);
    let nobody = life.load(&Jar::new()).await;
    assert_eq!(life.store.revoke_others(&nobody).await.unwrap(), 0);
    assert_eq!(life.store.revoke_all::<Visitor>(USER).await.unwrap(), 1);
}

/// What another host does once a call of one kind has taken place.
#[derive(Clone)]
struct Meanwhile(Call, std::sync::Arc<std::sync::Mutex<Option<Other>>>);

type Other = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Meanwhile {
    fn new(call: Call) -> Self {
        Self(call, std::sync::Arc::default())
    }

    fn set(&self, other: impl Future<Output = ()> + Send + 'static) {
        *self.1.lock().unwrap() = Some(Box::pin(other));
    }
}

#[sessions::provider::async_trait]
impl Hook for Meanwhile {
    async fn after(
        &self,
        call: Call,
        _: &str,
        _: bool,
    ) -> Result<(), sessions::provider::ProviderError> {
        let other = if call == self.0 { self.1.lock().unwrap().take() } else { None };
        if let Some(other) = other {
            other.await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_login_that_begins_while_revoke_all_is_under_way_stands() {
    let (memory, meanwhile) = (MemoryProvider::new(), Meanwhile::new(Call::Save));
    let other = Store::new(memory.clone());
    let store = Store::new(Hooked::new(memory, meanwhile.clone()));
    log_in(&other, &mut Jar::new()).await.unwrap();
    let host = other.clone();
    // The fence has been raised, nothing is listed yet.
    meanwhile.set(async move {
        let attempt = host.begin_login::<Visitor>(USER).await.unwrap();
        let mut visitor = host.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(USER);
        visitor.log_in(attempt);
        let _ = visitor.commit().await.unwrap();
    });
    assert_eq!(store.revoke_all::<Visitor>(USER).await.unwrap(), 1);
    let left = other.list::<Visitor>(USER, Page::first(9)).await.unwrap().items;
    assert_eq!(left.len(), 1, "the one that began after it");
}

#[tokio::test]
async fn an_update_takes_back_no_expiry_that_a_touch_moved_meanwhile_and_is_no_activity() {
    let (memory, meanwhile) = (MemoryProvider::new(), Meanwhile::new(Call::Fetch));
    let clock = ManualClock::default();
    let host = |builder: StoreBuilder| builder.clock(clock.clone()).build().unwrap();
    let other = host(Store::builder(memory.clone()));
    let store = host(Store::builder(Hooked::new(memory, meanwhile.clone())));
    let mut jar = Jar::new();
    let mut visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.points = 1;
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    let key = visitor.key().unwrap().clone();
    let expires_at = visitor.expires_at();

    clock.advance(5 * 60 * MINUTE);
    let add = |visitor: &mut Visitor| visitor.points += 1;
    store.update_any::<Visitor, _>(&key, add).await.unwrap().unwrap();
    let visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.points, visitor.expires_at()), (2, expires_at), "no activity");

    meanwhile.set({
        let other = other.clone();
        let jar = jar.clone();
        async move {
            let mut visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
            let _ = visitor.commit().await.unwrap();
        }
    });
    store.update_any::<Visitor, _>(&key, add).await.unwrap().unwrap();
    let visitor = other.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(visitor.points, 3);
    assert_eq!(visitor.expires_at(), expires_at.map(|at| at + 5 * 60 * MINUTE), "the touch holds");
}

/// The handler answers while a task still saves the login that it was given.
#[tokio::test]
async fn a_save_that_is_overtaken_by_the_end_of_its_request_still_sets_its_cookie() {
    use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

    let (memory, gate) = (MemoryProvider::new(), Gate::new(Call::Save));
    let store = Store::new(Hooked::new(memory, gate.clone()));
    let handler = service_fn(async |request: http::Request<()>| {
        let sessions =
            request.extensions().get::<sessions::request::RequestSessions>().unwrap().clone();
        let mut visitor = sessions.load::<Visitor>(request.headers()).await.unwrap();
        visitor.user = Some(USER);
        let (begun, begins) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut save = std::pin::pin!(visitor.save());
            {
                let waker = std::task::Waker::noop();
                let mut context = std::task::Context::from_waker(waker);
                assert!(save.as_mut().poll(&mut context).is_pending());
            }
            begun.send(()).unwrap();
            save.await.unwrap();
        });
        begins.await.unwrap();
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let mut service = sessions::axum::SessionLayer::new(store.clone()).layer(handler);
    gate.close();
    let response = service.ready().await.unwrap().call(http::Request::new(()));
    let opened = async {
        gate.arrived(1).await;
        tokio::task::yield_now().await;
        gate.open();
    };
    let (response, ()) = tokio::join!(response, opened);
    let response = response.unwrap();
    let cookie = response.headers()[http::header::SET_COOKIE].to_str().unwrap();
    let pair = cookie.split(';').next().unwrap();
    let headers = HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())]);
    assert_eq!(store.load::<Visitor>(&headers).await.unwrap().user, Some(USER));
}

#[tokio::test]
async fn a_login_restarts_the_lifetime_and_a_renewal_does_not() {
    let life = Life::new();
    let (mut jar, _) = life.visitor().await;
    life.clock.advance(20 * MINUTE);
    log_in(&life.store, &mut jar).await.unwrap();
    let began = life.clock.now();
    assert_eq!(life.load(&jar).await.created_at(), Some(began));
    life.clock.advance(20 * MINUTE);
    let mut visitor = life.load(&jar).await;
    visitor.renew();
    assert!(jar.keep(&visitor.commit().await.unwrap()));
    assert_eq!(life.load(&jar).await.created_at(), Some(began));
}

#[tokio::test]
async fn a_change_of_role_beside_a_login_ends_no_device_under_the_cap() {
    let life = Life::with(|builder| builder.max_sessions_per_owner(2));
    let (phone, _) = life.member().await;
    let (mut laptop, _) = life.visitor().await;
    let (mut promoted, mut login) = (life.load(&phone).await, life.load(&laptop).await);
    promoted.role = 1;
    login.user = Some(USER);
    let mut phone = phone;
    let (one, two) = tokio::join!(promoted.commit(), login.commit());
    assert!(phone.keep(&one.unwrap()) && laptop.keep(&two.unwrap()));
    assert_eq!(life.load(&phone).await.user, Some(USER));
    assert_eq!(life.load(&laptop).await.user, Some(USER));
}

#[tokio::test(start_paused = true)]
async fn the_cap_holds_where_the_answer_to_a_login_was_lost() {
    let life = Life::with(|builder| builder.max_sessions_per_owner(3));
    for number in 1..6 {
        let mut jar = Jar::new();
        life.faults.set(Fault::Lost(Call::Save, 1));
        log_in(&life.store, &mut jar).await.unwrap();
        assert_eq!(life.listed().await.len(), number.min(3));
        assert_eq!(life.load(&jar).await.user, Some(USER));
    }
}

#[tokio::test]
async fn the_cap_ends_the_oldest_login_whatever_the_hosts_clocks_say() {
    let life = Life::new();
    let mut jars = Vec::new();
    for skew in [0, -300, 300, -600, 600] {
        let (_, clock) = life.host(skew);
        let store = Store::builder(life.memory.clone()).clock(clock);
        let store = store.max_sessions_per_owner(2).build().unwrap();
        let mut jar = Jar::new();
        log_in(&store, &mut jar).await.unwrap();
        jars.push(jar);
    }
    assert_eq!(life.listed().await.len(), 2);
    for (at, jar) in jars.iter().enumerate() {
        assert_eq!(life.load(jar).await.user.is_some(), at >= 3, "login {at}");
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
