//! The session rules of an assurance level, at their boundaries.

use std::time::Duration;

use http::HeaderMap;
use sessions::clock::ManualClock;
use sessions::{Assurance, MemoryProvider, Session, Store};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Site {
    store: Store,
    clock: ManualClock,
    jar: Jar,
    cookie: String,
}

impl Site {
    /// Ada has just logged in.
    async fn new(level: Assurance, login: impl FnOnce(&mut Session<Visitor>)) -> Self {
        let clock = ManualClock::default();
        let builder = Store::builder(MemoryProvider::new()).assurance(level);
        let store = builder.clock(clock.clone()).build().unwrap();
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(7);
        login(&mut visitor);
        let commit = visitor.commit().await.unwrap();
        let cookie = commit.set_cookie().unwrap().to_str().unwrap().to_owned();
        Self { store, clock, jar: Jar::of(&commit), cookie }
    }

    async fn visit(&mut self) -> bool {
        let mut visitor = self.store.load::<Visitor>(self.jar.headers()).await.unwrap();
        let is_live = visitor.user.is_some();
        self.jar.keep(&visitor.commit().await.unwrap());
        is_live
    }
}

#[tokio::test]
async fn an_unused_session_ends_within_the_time_that_the_level_allows() {
    for (level, lives, limit) in
        [(Assurance::Aal2, 55 * MINUTE, HOUR), (Assurance::Aal3, 14 * MINUTE, 15 * MINUTE)]
    {
        let mut site = Site::new(level, |_| ()).await;
        site.clock.advance(lives);
        assert!(site.visit().await, "{level:?}");
        site.clock.advance(limit - SECOND);
        assert!(site.visit().await, "{level:?}");
        site.clock.advance(limit);
        assert!(!site.visit().await, "{level:?}");
    }
}

#[tokio::test]
async fn a_used_session_ends_after_the_overall_time() {
    for (level, limit) in
        [(Assurance::Aal1, 30 * DAY), (Assurance::Aal2, DAY), (Assurance::Aal3, DAY / 2)]
    {
        let step = if level == Assurance::Aal1 { DAY } else { 10 * MINUTE };
        let mut site = Site::new(level, |_| ()).await;
        let mut passed = Duration::ZERO;
        while passed + step < limit {
            site.clock.advance(step);
            passed += step;
            assert!(site.visit().await, "{level:?} after {passed:?}");
        }
        site.clock.advance(limit - passed - SECOND);
        assert!(site.visit().await, "{level:?}");
        site.clock.advance(SECOND);
        assert!(!site.visit().await, "{level:?}");
    }
}

#[tokio::test]
async fn no_session_gets_more_of_its_own() {
    let asks: [fn(&mut Session<Visitor>); 4] = [
        |visitor| visitor.remember(300 * DAY),
        |visitor| visitor.remember_while_used(300 * DAY),
        |visitor| visitor.set_idle_timeout(DAY),
        |visitor| visitor.set_lifetime(300 * DAY),
    ];
    for ask in asks {
        let mut site = Site::new(Assurance::Aal2, ask).await;
        site.clock.advance(HOUR);
        assert!(!site.visit().await, "an hour without a request");
        let mut site = Site::new(Assurance::Aal2, ask).await;
        for _ in 0..47 {
            site.clock.advance(HOUR / 2);
            assert!(site.visit().await);
        }
        site.clock.advance(HOUR / 2);
        assert!(!site.visit().await, "24 hours");
    }
    let mut site = Site::new(Assurance::Aal1, |visitor| visitor.remember(300 * DAY)).await;
    assert!(site.cookie.ends_with("Max-Age=2592000"), "{}", site.cookie);
    site.clock.advance(30 * DAY - SECOND);
    assert!(site.visit().await);
    site.clock.advance(SECOND);
    assert!(!site.visit().await);
    // Less is the app's choice.
    let mut site = Site::new(Assurance::Aal3, |visitor| visitor.set_lifetime(MINUTE)).await;
    site.clock.advance(MINUTE);
    assert!(!site.visit().await);
}

#[tokio::test]
async fn the_cookie_is_as_the_level_would_have_it() {
    for (level, end) in [
        (Assurance::Aal1, "SameSite=Lax; Secure; Path=/; Max-Age=2592000"),
        (Assurance::Aal2, "SameSite=Lax; Secure; Path=/"),
        (Assurance::Aal3, "SameSite=Strict; Secure; Path=/"),
    ] {
        let site = Site::new(level, |_| ()).await;
        assert!(site.cookie.ends_with(end), "{level:?} {}", site.cookie);
        assert!(site.cookie.contains("HttpOnly"));
    }
}
