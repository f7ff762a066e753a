//! A move that may not begin, sessions while it runs, and going back.

use std::time::Duration;

use http::HeaderMap;
use http::header::COOKIE;
use sessions::clock::{Clock as _, ManualClock};
use sessions::moving::Moving;
use sessions::provider::{Expect, Page, Provider, Record, Saved};
use sessions::{MemoryProvider, Session, Store};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    visits: u64,
}

struct Site {
    old: MemoryProvider,
    new: MemoryProvider,
    moving: Moving,
    store: Store,
    clock: ManualClock,
}

impl Site {
    fn new() -> Self {
        Self::over(MemoryProvider::new(), MemoryProvider::new(), ManualClock::default())
    }

    fn over(old: MemoryProvider, new: MemoryProvider, clock: ManualClock) -> Self {
        let moving = Moving::new(old.clone(), new.clone());
        let store = Store::builder(moving.clone()).clock(clock.clone()).build().unwrap();
        Self { old, new, moving, store, clock }
    }

    /// The hosts after the deploy that goes back.
    fn back(&self) -> Self {
        Self::over(self.new.clone(), self.old.clone(), self.clock.clone())
    }

    async fn run(&self) -> Result<u64, String> {
        let done = self.moving.mover().clock(self.clock.clone()).run().await;
        let done = done.map_err(|error| error.to_string())?;
        assert_eq!(done.left, 0);
        Ok(done.moved)
    }

    async fn log_in(&self, user: u64) -> HeaderMap {
        let mut visitor = self.store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.user = Some(user);
        let commit = visitor.commit().await.unwrap();
        let cookie = commit.set_cookie().unwrap().to_str().unwrap().to_owned();
        HeaderMap::from_iter([(COOKIE, cookie.split(';').next().unwrap().parse().unwrap())])
    }

    async fn user(&self, cookies: &HeaderMap) -> Option<u64> {
        self.store.load::<Visitor>(cookies).await.unwrap().user
    }
}

/// The formats of what is stored.
async fn formats(provider: &MemoryProvider, clock: &ManualClock) -> Vec<String> {
    let listed = provider.scan(Page::first(100), clock.now()).await.unwrap();
    let mut formats: Vec<_> = listed.records.iter().map(|it| it.format.to_string()).collect();
    formats.sort();
    formats
}

#[tokio::test(start_paused = true)]
async fn sessions_move_with_the_keys_and_go_back() {
    let site = Site::new();
    let before = site.log_in(1).await;
    assert!(formats(&site.new, &site.clock).await.is_empty(), "nothing moves by itself");
    // The session, and the key ring.
    assert_eq!(site.run().await.unwrap(), 2);
    assert_eq!(formats(&site.old, &site.clock).await, ["moving:gone", "moving:marker"]);
    let during = site.log_in(2).await;
    for (cookies, user) in [(&before, 1), (&during, 2)] {
        assert_eq!(site.user(cookies).await, Some(user));
    }
    let alone = Store::builder(site.new.clone()).clock(site.clock.clone()).build().unwrap();
    assert_eq!(alone.load::<Visitor>(&before).await.unwrap().user, Some(1));

    let back = site.back();
    let error = back.run().await.unwrap_err();
    assert!(error.contains("another direction") || error.contains("other direction"), "{error}");
    site.clock.advance(Duration::from_secs(61));
    back.run().await.unwrap();
    for (cookies, user) in [(&before, 1), (&during, 2)] {
        assert_eq!(back.user(cookies).await, Some(user));
    }
    assert!(!formats(&site.new, &site.clock).await.contains(&"visitor/1".to_owned()));
    let error = site.moving.mover().clock(site.clock.clone()).run().await.unwrap_err();
    assert!(error.to_string().contains("other direction"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_move_is_finished_once_the_old_database_is_empty() {
    let site = Site::new();
    site.log_in(1).await;
    let error = site.moving.finish().await.unwrap_err();
    assert!(error.to_string().contains("run the mover"), "{error}");
    site.run().await.unwrap();
    site.moving.finish().await.unwrap();
    site.moving.finish().await.unwrap();
    // So the new one can be the source of the next move.
    let third = Site::over(site.new.clone(), MemoryProvider::new(), site.clock.clone());
    assert_eq!(third.run().await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_makes_no_sense_writes_nothing() {
    let says = |result: Result<u64, String>, text: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(text), "{error}");
    };
    let clock = ManualClock::default();
    let same = MemoryProvider::new();
    says(Site::over(same.clone(), same.clone(), clock.clone()).run().await, "give two");
    assert!(same.is_empty());

    // With sessions in it, the same database is not empty.
    let store = Site::over(same.clone(), MemoryProvider::new(), clock.clone());
    store.log_in(1).await;
    let before = formats(&same, &clock).await;
    says(Site::over(same.clone(), same.clone(), clock.clone()).run().await, "not empty");
    assert_eq!(formats(&same, &clock).await, before);

    let (site, other) = (Site::new(), Site::new());
    site.log_in(1).await;
    other.log_in(2).await;
    let onto = Site::over(site.old.clone(), other.old.clone(), clock.clone());
    says(onto.run().await, "the new database is not empty");
    assert!(!formats(&site.old, &clock).await.contains(&"moving:marker".to_owned()));

    site.run().await.unwrap();
    let elsewhere = Site::over(site.old.clone(), MemoryProvider::new(), clock.clone());
    says(elsewhere.run().await, "not the target of that move");
    let onward = Site::over(site.new.clone(), MemoryProvider::new(), clock.clone());
    says(onward.run().await, "finish() that one first");
    let from_nothing = Site::over(MemoryProvider::new(), site.old.clone(), clock.clone());
    says(from_nothing.run().await, "the source of another move");
    let error = Moving::new(MemoryProvider::new(), MemoryProvider::new()).finish().await;
    assert!(error.unwrap_err().to_string().contains("has begun"));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wrote_into_the_new_database_is_not_overwritten() {
    let site = Site::new();
    site.run().await.unwrap();
    let now = site.clock.now();
    let record = |data: &'static [u8]| {
        let mut record = Record::new("rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k", 1, data);
        record.format = "visitor/1".into();
        record
    };
    // Past `Moving`, as by a host that was not deployed.
    let (ours, strangers) = (record(b"ours"), record(b"a stranger's"));
    for (provider, record) in [(&site.old, &ours), (&site.new, &strangers)] {
        assert_eq!(provider.save(record, Expect::Absent, now).await.unwrap(), Saved::Saved);
    }
    let done = site.moving.mover().clock(site.clock.clone()).run().await.unwrap();
    assert_eq!((done.moved, done.left), (0, 1));
    assert_eq!(site.old.fetch(&ours.id, now).await.unwrap(), Some(ours.clone()));
    assert_eq!(site.new.fetch(&ours.id, now).await.unwrap(), Some(strangers));
    assert_eq!(site.moving.fetch(&ours.id, now).await.unwrap(), Some(ours.clone()));
    let error = site.moving.finish().await.unwrap_err();
    assert!(error.to_string().contains("still has records"), "{error}");

    site.new.delete(&ours.id, Expect::Any, now).await.unwrap();
    assert_eq!(site.run().await.unwrap(), 1);
    assert_eq!(site.new.fetch(&ours.id, now).await.unwrap(), Some(ours));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_ended_stays_ended_wherever_it_was() {
    let site = Site::new();
    let (first, second) = (site.log_in(1).await, site.log_in(2).await);
    assert_eq!(site.store.revoke_all::<Visitor>(1).await.unwrap(), 1);
    site.run().await.unwrap();
    assert_eq!(site.store.revoke_all::<Visitor>(2).await.unwrap(), 1);
    site.run().await.unwrap();
    for cookies in [&first, &second] {
        assert_eq!(site.user(cookies).await, None);
    }
    assert_eq!(
        formats(&site.new, &site.clock).await.iter().filter(|it| *it == "visitor/1").count(),
        0
    );
}

#[tokio::test]
async fn a_database_that_does_not_scan_cannot_be_moved() {
    struct NoScan(MemoryProvider);

    #[async_trait::async_trait]
    impl Provider for NoScan {
        async fn fetch(
            &self,
            id: &str,
            now: std::time::SystemTime,
        ) -> Result<Option<Record>, sessions::provider::ProviderError> {
            self.0.fetch(id, now).await
        }

        async fn save(
            &self,
            record: &Record,
            expect: Expect,
            now: std::time::SystemTime,
        ) -> Result<Saved, sessions::provider::ProviderError> {
            self.0.save(record, expect, now).await
        }

        async fn delete(
            &self,
            id: &str,
            expect: Expect,
            now: std::time::SystemTime,
        ) -> Result<sessions::provider::Deleted, sessions::provider::ProviderError> {
            self.0.delete(id, expect, now).await
        }
    }

    let moving = Moving::new(MemoryProvider::new(), NoScan(MemoryProvider::new()));
    assert!(moving.mover().run().await.unwrap_err().is_unsupported());
}
