//! Every time of a session's life at its exact boundary, under a clock that the test moves.

use std::time::Duration;

use sessions::{
    Error, MemoryProvider, Session, Store, StoreBuilder,
    clock::{Clock as _, ManualClock},
    commit::Outcome,
};
use sessions_tests::hooked::{Call, Calls, Fault, Faults, Hooked, Watch, watched};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    count: u64,
}

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const IDLE: Duration = Duration::from_secs(30 * 60);
const TOUCH: Duration = Duration::from_secs(60);
const LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// For how long a browser may still send the cookie from before a renewal.
const SUPERSEDED: Duration = Duration::from_secs(12 * 60);

struct Life {
    store: Store,
    clock: ManualClock,
    watch: Watch,
    faults: Faults,
    jar: Jar,
}

impl Life {
    /// A visitor who stored something just now.
    async fn begin() -> Self {
        Self::begin_with(|builder| builder).await
    }

    async fn begin_with(settings: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Self {
        let clock = ManualClock::default();
        let faults = Faults::default();
        let (provider, watch) = watched(Hooked::new(MemoryProvider::new(), faults.clone()));
        let builder = Store::builder(provider)
            .clock(clock.clone())
            .idle_timeout(IDLE)
            .touch_interval(TOUCH)
            .lifetime(LIFETIME)
            .longest_remember(LIFETIME);
        let store = settings(builder).build().unwrap();
        let mut life = Self { store, clock, watch, faults, jar: Jar::new() };
        assert_eq!(life.request(|visitor| visitor.count = 1).await, Outcome::Saved);
        life
    }

    /// One request; the cookie is kept, as a browser does.
    async fn request(&mut self, handler: impl FnOnce(&mut Session<Visitor>)) -> Outcome {
        let _ = self.watch.take();
        let mut session = self.load().await;
        handler(&mut session);
        let commit = session.commit().await.unwrap();
        self.jar.keep(&commit);
        commit.outcome()
    }

    async fn load(&self) -> Session<Visitor> {
        self.store.load(self.jar.headers()).await.unwrap()
    }

    /// Whether a request that comes now finds the session; it leaves no trace.
    async fn is_live(&self) -> bool {
        !self.load().await.is_new()
    }

    /// Moves the clock to this long after `start`.
    fn at(&self, start: std::time::SystemTime, after: Duration) {
        self.clock.set(start + after);
    }
}

#[tokio::test]
async fn idle_timeout() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    assert_eq!(life.load().await.expires_at(), Some(start + IDLE + TOUCH));
    // The last request that is not worth a touch ...
    life.at(start, TOUCH - MILLI);
    assert_eq!(life.request(|_| ()).await, Outcome::Unchanged);
    assert_eq!(life.watch.take().touch, 0);
    // ... does not end the session before the idle timeout has passed since.
    life.at(start, TOUCH - MILLI + IDLE);
    assert!(life.is_live().await);
    life.at(start, IDLE + TOUCH - MILLI);
    assert!(life.is_live().await);
    life.at(start, IDLE + TOUCH);
    assert!(!life.is_live().await);
}

#[tokio::test]
async fn touch() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.at(start, TOUCH - MILLI);
    life.request(|_| ()).await;
    assert_eq!(life.watch.take(), Calls { fetch: 1, ..Calls::default() });
    life.at(start, TOUCH);
    life.request(|_| ()).await;
    assert_eq!(life.watch.take(), Calls { fetch: 1, touch: 1, ..Calls::default() });
    assert_eq!(life.load().await.expires_at(), Some(start + TOUCH + IDLE + TOUCH));
    // The next interval begins with the touch.
    life.at(start, 2 * TOUCH - MILLI);
    life.request(|_| ()).await;
    assert_eq!(life.watch.take().touch, 0);
    // A save moves the expiry as well, and spares the touch.
    life.at(start, 2 * TOUCH);
    life.request(|visitor| visitor.count += 1).await;
    assert_eq!(life.watch.take(), Calls { fetch: 1, save: 1, ..Calls::default() });
    assert_eq!(life.load().await.expires_at(), Some(start + 3 * TOUCH + IDLE));
}

#[tokio::test]
async fn absolute_lifetime() {
    for renews in [false, true] {
        let mut life = Life::begin().await;
        let start = life.clock.now();
        let mut after = Duration::ZERO;
        while after + IDLE < LIFETIME {
            after += IDLE;
            life.at(start, after);
            let renew = |visitor: &mut Session<Visitor>| {
                visitor.count += 1;
                if renews {
                    visitor.renew();
                }
            };
            assert_eq!(life.request(renew).await, Outcome::Saved);
        }
        assert_eq!(life.load().await.created_at(), Some(start));
        assert_eq!(life.load().await.expires_at(), Some(start + LIFETIME));
        life.at(start, LIFETIME - MILLI);
        assert!(life.is_live().await);
        // Nothing is left to gain by a touch.
        life.request(|_| ()).await;
        assert_eq!(life.watch.take().touch, 0);
        life.at(start, LIFETIME);
        assert!(!life.is_live().await, "renewed: {renews}");
    }
}

#[tokio::test]
async fn a_new_owner_restarts_the_lifetime() {
    let mut life = Life::begin_with(|builder| builder.idle_timeout(LIFETIME)).await;
    let start = life.clock.now();
    life.at(start, LIFETIME - MILLI);
    assert_eq!(life.request(|visitor| visitor.user = Some(1)).await, Outcome::Saved);
    assert_eq!(life.load().await.created_at(), Some(start + LIFETIME - MILLI));
    life.at(start, 2 * LIFETIME - 2 * MILLI);
    assert!(life.is_live().await);
    life.at(start, 2 * LIFETIME - MILLI);
    assert!(!life.is_live().await);
}

#[tokio::test]
async fn a_save_cannot_revive_what_has_expired_since_it_was_loaded() {
    for last in [true, false] {
        let life = Life::begin().await;
        let mut slow = life.load().await;
        slow.count += 1;
        life.clock.advance(if last { IDLE + TOUCH - MILLI } else { IDLE + TOUCH });
        match slow.commit().await {
            Ok(commit) => assert!(last && commit.outcome() == Outcome::Saved),
            Err(refused) => assert!(!last && matches!(refused.error(), Error::Gone)),
        }
        assert_eq!(life.is_live().await, last);
    }
}

#[tokio::test]
async fn remember_sets_a_sessions_own_times() {
    let longest = 10 * DAY;
    let mut life = Life::begin_with(|builder| builder.longest_remember(longest)).await;
    let start = life.clock.now();
    // More than the store grants.
    life.request(|visitor| visitor.remember(longest + SECOND)).await;
    life.at(start, longest - MILLI);
    assert!(life.is_live().await);
    life.at(start, longest);
    assert!(!life.is_live().await);
}

/// The token's age is told in whole seconds, and its `max_age` is the lifetime and a touch interval
/// here.
#[tokio::test]
async fn a_token_is_issued_again_past_half_its_age() {
    let half = (LIFETIME + TOUCH) / 2;
    let settings = |builder: StoreBuilder| builder.idle_timeout(LIFETIME);
    let mut life = Life::begin_with(settings).await;
    let start = life.clock.now();
    let before = life.jar.clone();
    life.at(start, half);
    life.request(|_| ()).await;
    life.request(|visitor| visitor.count += 1).await;
    assert_eq!(life.jar, before, "at half its age it is still good");
    life.at(start, half + SECOND);
    life.request(|_| ()).await;
    assert_ne!(life.jar, before);
    // The same session, and both tokens open it.
    let key = life.load().await.key().cloned();
    let old = life.store.load::<Visitor>(before.headers()).await.unwrap();
    assert_eq!((old.key().cloned(), old.count), (key, 2));
    // The new token is as good as new.
    let fresh = life.jar.clone();
    life.request(|visitor| visitor.count += 1).await;
    assert_eq!(life.jar, fresh);
    // Another save with the old token gets a new one too.
    life.jar = before.clone();
    life.request(|visitor| visitor.count += 1).await;
    assert_ne!(life.jar, before);
}

#[tokio::test]
async fn a_token_is_not_issued_again_when_the_touch_failed() {
    let settings = |builder: StoreBuilder| builder.idle_timeout(LIFETIME).lifetime(2 * LIFETIME);
    let mut life = Life::begin_with(settings).await;
    let before = life.jar.clone();
    life.clock.advance(LIFETIME);
    life.faults.set(Fault::Lost(Call::Touch, 1));
    assert_eq!(life.request(|_| ()).await, Outcome::Unchanged, "a failed touch is no error");
    assert_eq!(life.watch.take().touch, 1);
    assert_eq!(life.jar, before);
    life.faults.set(Fault::None);
    life.clock.advance(TOUCH);
    life.request(|_| ()).await;
    assert_ne!(life.jar, before);
}

#[tokio::test]
async fn a_token_under_a_retired_key_is_issued_again() {
    let rotation = 7 * DAY;
    let settings = |builder: StoreBuilder| {
        builder.lifetime(60 * DAY).idle_timeout(50 * DAY).key_rotation(rotation)
    };
    let mut life = Life::begin_with(settings).await;
    let start = life.clock.now();
    let before = life.jar.clone();
    life.at(start, rotation - DAY);
    life.request(|_| ()).await;
    assert_eq!(life.jar, before);
    // Hosts look at the ring from time to time, and a token is sealed with its newest key.
    for hour in 0..72 {
        life.at(start, rotation - DAY + hour * HOUR);
        life.request(|_| ()).await;
        if hour < 24 {
            assert_eq!(life.jar, before, "its key still seals after {hour} hours");
        }
    }
    assert_ne!(life.jar, before);
    assert_eq!(life.load().await.count, 1);
}

#[tokio::test]
async fn a_superseded_cookie_reads_as_empty_for_twelve_minutes() {
    let mut life = Life::begin().await;
    let old = life.jar.clone();
    life.request(Session::renew).await;
    let renewed = life.clock.now();
    assert_ne!(life.jar, old);
    let load_old = async || life.store.load::<Visitor>(old.headers()).await.unwrap();
    // Whoever brings the old cookie meanwhile has an empty session that cannot be saved.
    life.at(renewed, SUPERSEDED - MILLI);
    let mut late = load_old().await;
    assert!(late.is_new() && late.count == 0);
    late.count = 9;
    let refused = late.commit().await.unwrap_err();
    assert!(matches!(refused.error(), Error::Gone) && refused.set_cookie().is_none());
    drop(late);
    // Afterwards, a new session under an id of its own.
    life.at(renewed, SUPERSEDED);
    let mut anew = load_old().await;
    assert!(anew.is_new() && anew.count == 0);
    anew.count = 9;
    let commit = anew.commit().await.unwrap();
    assert_eq!(commit.outcome(), Outcome::Saved);
    assert!(commit.set_cookie().is_some());
    assert_ne!(anew.key(), life.load().await.key());
    assert_eq!(life.load().await.count, 1);
}

/// Two hosts' clocks differ: a renewal that seems to come from the future happened just now.
#[tokio::test]
async fn a_renewal_from_the_future_counts_as_of_now() {
    let mut life = Life::begin().await;
    let old = life.jar.clone();
    let start = life.clock.now();
    life.at(start, MINUTE);
    life.request(Session::renew).await;
    life.at(start, Duration::ZERO);
    let mut late = life.store.load::<Visitor>(old.headers()).await.unwrap();
    late.count = 9;
    assert!(matches!(late.save().await, Err(Error::Gone)));
}

/// A request that was loaded before the renewal and only reads does not keep alive what the session
/// is by then.
#[tokio::test]
async fn a_touch_that_meets_a_renewed_session_moves_nothing() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.at(start, TOUCH);
    let mut slow = life.load().await;
    life.request(Session::renew).await;
    let expires_at = life.load().await.expires_at();
    life.at(start, 2 * TOUCH);
    let _ = life.watch.take();
    assert_eq!(slow.commit().await.unwrap().outcome(), Outcome::Unchanged);
    assert_eq!(life.watch.take(), Calls { touch: 1, ..Calls::default() });
    assert_eq!(life.load().await.expires_at(), expires_at);
}

/// The cookie of a renewal may still be on its way: one that holds the old secret must not come
/// after it.
#[tokio::test]
async fn a_token_is_not_issued_again_within_twelve_minutes_of_a_renewal() {
    let lifetime = 20 * MINUTE;
    let settings = |builder: StoreBuilder| {
        builder.idle_timeout(lifetime).lifetime(lifetime).longest_remember(lifetime)
    };
    let read: fn(&mut Session<Visitor>) = |_| ();
    for handler in [read, |visitor| visitor.count += 1] {
        for (after, again) in [(SUPERSEDED - MILLI, false), (SUPERSEDED, true)] {
            let mut life = Life::begin_with(settings).await;
            life.clock.advance(MINUTE);
            life.request(Session::renew).await;
            let renewed = life.jar.clone();
            // Past half of the token's age.
            life.clock.advance(after);
            life.request(handler).await;
            assert_eq!(life.jar != renewed, again, "{after:?}");
        }
    }
}

#[tokio::test]
async fn a_token_is_not_issued_again_beside_a_renewal_that_its_request_did_not_see() {
    let mut life = Life::begin_with(|builder| builder.idle_timeout(LIFETIME)).await;
    life.clock.advance(LIFETIME / 2 + SECOND);
    let (mut reads, mut saves) = (life.load().await, life.load().await);
    life.request(Session::renew).await;
    life.clock.advance(SUPERSEDED);
    assert!(reads.commit().await.unwrap().set_cookie().is_none());
    saves.count += 1;
    let refused = saves.commit().await.unwrap_err();
    assert!(matches!(refused.error(), Error::Gone) && refused.set_cookie().is_none());
}

#[tokio::test]
async fn a_longer_remember_sets_the_cookie_again() {
    let mut life = Life::begin_with(|builder| builder.longest_remember(10 * DAY)).await;
    for (time, again) in [(2 * DAY, true), (2 * DAY, false), (3 * DAY, true), (DAY, true)] {
        let mut session = life.load().await;
        session.remember(time);
        let commit = session.commit().await.unwrap();
        let age = commit.set_cookie().map(|cookie| {
            let cookie = cookie.to_str().unwrap();
            cookie.rsplit_once("Max-Age=").unwrap().1.parse::<u64>().unwrap()
        });
        assert_eq!(age, again.then_some(time.as_secs()));
        life.jar.keep(&commit);
    }
}

#[tokio::test]
async fn a_fence_undoes_logins_that_were_loaded_before_it() {
    for (loaded_after, stands) in [(Duration::ZERO, false), (MILLI, true)] {
        let mut life = Life::begin().await;
        life.store.revoke_all::<Visitor>(1).await.unwrap();
        life.clock.advance(loaded_after);
        let mut session = life.load().await;
        session.user = Some(1);
        match session.commit().await {
            Ok(commit) => {
                assert!(stands && commit.outcome() == Outcome::Saved);
                life.jar.keep(&commit);
            }
            Err(undone) => {
                assert!(!stands && matches!(undone.error(), Error::LoginUndone));
                assert!(undone.set_cookie().is_none());
            }
        }
        drop(session);
        let page = sessions::provider::Page::first(9);
        let live = life.store.list::<Visitor>(1, page).await.unwrap().items.len();
        assert_eq!(live, usize::from(stands));
        // The visitor's session became the login's, and ended with it.
        assert_eq!(life.is_live().await, stands);
        // Another owner's login is not concerned.
        life.store.revoke_all::<Visitor>(1).await.unwrap();
        if !stands {
            assert_eq!(life.request(|visitor| visitor.user = Some(2)).await, Outcome::Saved);
        }
    }
}

#[tokio::test]
async fn a_fence_stands_for_an_hour() {
    for (after, stands) in [(HOUR - MILLI, false), (HOUR, true)] {
        let life = Life::begin_with(|builder| builder.idle_timeout(LIFETIME)).await;
        // A visitor with a session, and one without.
        let mut known = life.load().await;
        let mut new = life.store.load::<Visitor>(Jar::new().headers()).await.unwrap();
        life.store.revoke_all::<Visitor>(1).await.unwrap();
        life.clock.advance(after);
        for session in [&mut known, &mut new] {
            session.user = Some(1);
            match session.commit().await {
                Ok(_) => assert!(stands),
                Err(undone) => assert!(!stands && matches!(undone.error(), Error::LoginUndone)),
            }
        }
        let page = sessions::Page::first(9);
        let live = life.store.list::<Visitor>(1, page).await.unwrap().items.len();
        assert_eq!(live, if stands { 2 } else { 0 });
    }
}

/// With an attempt the fence itself decides, not when the session was loaded.
#[tokio::test]
async fn a_fence_undoes_attempts_that_began_before_it_and_no_others() {
    for before in [true, false] {
        let life = Life::begin().await;
        let mut session = life.load().await;
        let begin = async || life.store.begin_login::<Visitor>(1).await.unwrap();
        let attempt = if before {
            let attempt = begin().await;
            life.store.revoke_all::<Visitor>(1).await.unwrap();
            attempt
        } else {
            life.store.revoke_all::<Visitor>(1).await.unwrap();
            begin().await
        };
        session.user = Some(1);
        session.log_in(attempt);
        match session.commit().await {
            Ok(_) => assert!(!before),
            Err(undone) => assert!(before && matches!(undone.error(), Error::LoginUndone)),
        }
    }
}

#[tokio::test]
async fn an_attempt_is_good_for_half_an_hour() {
    for (after, good) in [(30 * MINUTE, true), (30 * MINUTE + SECOND, false)] {
        let mut life = Life::begin_with(|builder| builder.idle_timeout(LIFETIME)).await;
        let attempt = life.store.begin_login::<Visitor>(1).await.unwrap();
        life.clock.advance(after);
        let mut session = life.load().await;
        session.user = Some(1);
        session.log_in(attempt);
        match session.commit().await {
            Ok(commit) => assert!(good && life.jar.keep(&commit)),
            Err(undone) => assert!(!good && matches!(undone.error(), Error::LoginUndone)),
        }
        assert_eq!(life.load().await.owner(), good.then_some("1"));
    }
}

#[tokio::test]
async fn last_seen_is_told_to_within_the_touch_interval() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.at(start, TOUCH - MILLI);
    life.request(|_| ()).await;
    assert_eq!(life.load().await.last_seen(), Some(start));
    life.at(start, TOUCH);
    life.request(|_| ()).await;
    assert_eq!(life.load().await.last_seen(), Some(start + TOUCH));
}

#[tokio::test]
async fn an_idle_timeout_of_its_own_goes_on_while_the_session_is_used() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.request(|visitor| visitor.set_idle_timeout(10 * MINUTE)).await;
    let touch = MINUTE;
    assert_eq!(life.load().await.expires_at(), Some(start + 10 * MINUTE + touch));
    for minutes in (5..=235).step_by(5) {
        life.at(start, minutes * MINUTE);
        life.request(|_| ()).await;
        assert!(life.is_live().await, "{minutes}");
    }
    life.at(start, LIFETIME);
    assert!(!life.is_live().await, "the lifetime is its type's");

    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.request(|visitor| visitor.set_idle_timeout(10 * MINUTE)).await;
    life.at(start, 10 * MINUTE + touch - MILLI);
    assert!(life.is_live().await);
    life.at(start, 10 * MINUTE + touch);
    assert!(!life.is_live().await);
}

#[tokio::test]
async fn a_lifetime_of_its_own_ends_a_session_in_use_and_another_login_drops_it() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.request(|visitor| visitor.set_lifetime(20 * MINUTE)).await;
    assert_eq!(life.load().await.expires_at(), Some(start + 20 * MINUTE));
    life.at(start, 10 * MINUTE);
    life.request(|_| ()).await;
    life.at(start, 20 * MINUTE - MILLI);
    assert!(life.is_live().await);
    // A login is another session's beginning, with its type's times.
    life.request(|visitor| visitor.user = Some(7)).await;
    let login = life.clock.now();
    assert_eq!(life.load().await.expires_at(), Some(login + IDLE + TOUCH));
    life.at(start, 21 * MINUTE);
    assert!(life.is_live().await);
}

/// Ninety days at a time, for three years: the expiry, the cookie and its keys move along.
#[tokio::test]
async fn remembered_while_used_has_no_end_but_the_time_without_a_visit() {
    let with = |builder: StoreBuilder| builder.longest_remember(90 * DAY);
    let mut life = Life::begin_with(with).await;
    life.request(|visitor| visitor.remember_while_used(90 * DAY)).await;
    let mut last = life.clock.now();
    for visit in 0..12 {
        // The first request of a visit sets the cookie again, the next one is too soon for that.
        life.at(last, 90 * DAY);
        assert!(life.is_live().await, "visit {visit}");
        // Some visits only read, and some write.
        life.request(|visitor| visitor.count += visit % 2).await;
        life.clock.advance(TOUCH - MILLI);
        life.request(|_| ()).await;
        last = life.clock.now();
    }
    life.at(last, 90 * DAY + TOUCH);
    assert!(!life.is_live().await);
}

#[tokio::test]
async fn forget_takes_back_what_a_session_was_given() {
    let mut life = Life::begin_with(|builder| {
        builder
            .longest_remember(90 * DAY)
            .cookie(sessions::CookieConfig::new().until_browser_closes())
    })
    .await;
    let start = life.clock.now();
    let set_cookie = async |life: &mut Life, ask: fn(&mut Session<Visitor>)| {
        let mut session = life.load().await;
        ask(&mut session);
        let commit = session.commit().await.unwrap();
        life.jar.keep(&commit);
        commit.set_cookie().map(|cookie| cookie.to_str().unwrap().contains("Max-Age"))
    };
    let remembered = set_cookie(&mut life, |visitor| visitor.remember(60 * DAY)).await;
    assert_eq!(remembered, Some(true));
    assert_eq!(life.load().await.expires_at(), Some(start + 60 * DAY));
    assert_eq!(set_cookie(&mut life, |visitor| visitor.remember(60 * DAY)).await, None);
    // In one request, the last one counts.
    let both = set_cookie(&mut life, |visitor| {
        visitor.set_lifetime(2 * HOUR);
        visitor.forget();
        visitor.set_idle_timeout(HOUR);
    });
    assert_eq!(both.await, Some(false));
    let expires_at = life.load().await.expires_at();
    assert_eq!(expires_at, Some(start + HOUR + TOUCH));
    assert_eq!(set_cookie(&mut life, Session::forget).await, Some(false));
    assert_eq!(life.load().await.expires_at(), Some(start + IDLE + TOUCH));
}

#[tokio::test]
async fn a_request_that_is_no_activity_moves_no_expiry() {
    let mut life = Life::begin().await;
    let start = life.clock.now();
    life.at(start, 20 * MINUTE);
    assert_eq!(life.request(Session::skip_touch).await, Outcome::Unchanged);
    assert_eq!(life.watch.take(), Calls { fetch: 1, ..Calls::default() });
    assert_eq!(life.load().await.expires_at(), Some(start + IDLE + TOUCH));
    // A save is activity.
    let saved = life.request(|visitor| {
        visitor.skip_touch();
        visitor.count += 1;
    });
    assert_eq!(saved.await, Outcome::Saved);
    assert_eq!(life.load().await.expires_at(), Some(start + 20 * MINUTE + IDLE + TOUCH));
}

/// A touch does not encrypt a record anew, so its key has to last.
#[tokio::test]
async fn an_encrypted_session_that_is_only_read_ends_in_order_however_it_is_remembered() {
    let longest = 90 * DAY;
    let mut life = Life::begin_with(|builder| {
        builder.longest_remember(longest).encrypt_records().danger_plain_keys()
    })
    .await;
    life.request(|visitor| visitor.remember_while_used(longest)).await;
    let start = life.clock.now();
    for day in 1..90 {
        life.at(start, day * DAY);
        life.request(|_| ()).await;
        assert!(life.is_live().await, "day {day}");
    }
    life.at(start, longest);
    assert!(!life.is_live().await);
    // Where keys are only for cookies, it goes on.
    let mut life = Life::begin_with(|builder| builder.longest_remember(longest)).await;
    life.request(|visitor| visitor.remember_while_used(longest)).await;
    let start = life.clock.now();
    for day in 1..400 {
        life.at(start, day * DAY);
        life.request(|_| ()).await;
        assert!(life.is_live().await, "day {day}");
    }
}
