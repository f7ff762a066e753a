//! What happens to sessions besides their own requests: updates in the background, a cap on an
//! owner's sessions, and the purge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::header::HeaderMap;
use sessions::provider::{
    Deleted, Expect, Page, Provider, ProviderError, Record, Saved, async_trait, from_unix_millis,
};
use sessions::{
    Error, MemoryProvider, Session, Store, StoreKey,
    clock::{Clock as _, ManualClock},
    commit::Outcome,
};
use sessions_tests::hooked::{Calls, Hooked, watched};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "owner")]
    roles: Vec<String>,
    #[session(merge = add)]
    count: u64,
    notices: Vec<String>,
}

const HOUR: Duration = Duration::from_secs(3_600);

async fn saved(store: &Store, user: Option<u64>) -> (StoreKey, HeaderMap) {
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.user = user;
    visitor.count = 1;
    let commit = visitor.commit().await.unwrap();
    assert_eq!(commit.outcome(), Outcome::Saved);
    (visitor.key().unwrap().clone(), Jar::of(&commit).into_headers())
}

#[tokio::test]
async fn an_update_reaches_the_session_and_is_no_activity() {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build().unwrap();
    let (key, cookies) = saved(&store, Some(7)).await;
    let before = store.list::<Visitor>(7, Page::first(1)).await.unwrap().items;
    clock.advance(HOUR);
    let count = store
        .update_any::<Visitor, _>(&key, |visitor| {
            visitor.count += 1;
            visitor.roles.push("admin".to_owned());
            visitor.count
        })
        .await;
    assert_eq!(count.unwrap(), Some(2));
    assert_eq!(store.list::<Visitor>(7, Page::first(1)).await.unwrap().items, before);
    let visitor = store.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!((visitor.count, visitor.roles.len()), (2, 1));
}

#[tokio::test]
async fn an_update_that_changes_nothing_saves_nothing() {
    let (provider, watch) = watched(MemoryProvider::new());
    let store = Store::new(provider);
    let (key, _) = saved(&store, None).await;
    let _ = watch.take();
    assert_eq!(store.update_any::<Visitor, _>(&key, |it| it.count).await.unwrap(), Some(1));
    assert_eq!(watch.take(), Calls { fetch: 1, ..Calls::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn updates_beside_each_other_and_a_request_all_count() {
    let store = Store::new(MemoryProvider::new());
    let (key, cookies) = saved(&store, None).await;
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let (store, key, cookies) = (store.clone(), key.clone(), cookies.clone());
            tokio::spawn(async move {
                if task % 2 == 0 {
                    store
                        .update_any::<Visitor, _>(&key, |it| it.count += 1)
                        .await
                        .unwrap()
                        .unwrap();
                } else {
                    let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
                    visitor.count += 1;
                    visitor.save().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.load::<Visitor>(&cookies).await.unwrap().count, 21);
}

#[tokio::test]
async fn an_update_reaches_the_session_after_a_login_and_revives_nothing() {
    let store = Store::new(MemoryProvider::new());
    let (key, cookies) = saved(&store, None).await;
    let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
    visitor.user = Some(7);
    visitor.save().await.unwrap();
    assert_eq!(visitor.key(), Some(&key));
    let told = store.update_any::<Visitor, _>(&key, |it| it.notices.push("hi".to_owned())).await;
    assert_eq!(told.unwrap(), Some(()));
    visitor.count += 1;
    visitor.save().await.unwrap();
    assert_eq!(visitor.notices, ["hi"]);

    visitor.destroy();
    visitor.save().await.unwrap();
    assert_eq!(store.update_any::<Visitor, _>(&key, |it| it.count += 1).await.unwrap(), None);
}

#[tokio::test]
async fn an_update_asks_whose_session_it_is() {
    let store = Store::new(MemoryProvider::new());
    let (sevens, seven) = saved(&store, Some(7)).await;
    let (nobodys, nobody) = saved(&store, None).await;
    let add = |it: &mut Visitor| it.count += 1;
    for (owner, key, reaches) in [
        (Some(7), &sevens, true),
        (Some(8), &sevens, false),
        (None, &sevens, false),
        (None, &nobodys, true),
        (Some(7), &nobodys, false),
    ] {
        let updated = store.update::<Visitor, _>(owner, key, add).await.unwrap();
        assert_eq!(updated.is_some(), reaches, "{owner:?}");
    }
    assert_eq!(store.load::<Visitor>(&seven).await.unwrap().count, 2);
    assert_eq!(store.load::<Visitor>(&nobody).await.unwrap().count, 2);
}

#[tokio::test]
async fn an_update_cannot_change_the_owner() {
    let store = Store::new(MemoryProvider::new());
    let (key, cookies) = saved(&store, Some(7)).await;
    let error = store.update_any::<Visitor, _>(&key, |it| it.user = Some(8)).await.unwrap_err();
    assert!(error.to_string().contains("revoke()"), "{error}");
    assert_eq!(store.load::<Visitor>(&cookies).await.unwrap().user, Some(7));
}

#[derive(Session)]
#[session(name = "admin", version = 1)]
struct Admin {
    #[session(merge = add)]
    count: u64,
}

#[tokio::test]
async fn an_update_refuses_a_key_of_another_type() {
    let store = Store::new(MemoryProvider::new());
    let (key, cookies) = saved(&store, None).await;
    let error = store.update_any::<Admin, _>(&key, |it| it.count = 99).await.unwrap_err();
    assert!(error.to_string().contains("of type \"visitor\", not of type \"admin\""), "{error}");
    assert_eq!(store.load::<Visitor>(&cookies).await.unwrap().count, 1);
}

#[tokio::test]
async fn a_login_above_the_cap_ends_the_oldest() {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new())
        .clock(clock.clone())
        .max_sessions_per_owner(2)
        .build()
        .unwrap();
    let mut all = Vec::new();
    for _ in 0..4 {
        clock.advance(Duration::from_secs(1));
        all.push(saved(&store, Some(7)).await);
        let others = saved(&store, Some(8)).await;
        assert!(store.revoke_any(&others.0).await.unwrap());
    }
    let mut live = Vec::new();
    for (_, cookies) in &all {
        live.push(!store.load::<Visitor>(cookies).await.unwrap().is_new());
    }
    assert_eq!(live, [false, false, true, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_at_the_same_time_agree_on_who_stays() {
    for _ in 0..20 {
        let store =
            Store::builder(MemoryProvider::new()).max_sessions_per_owner(1).build().unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
                    visitor.user = Some(7);
                    match visitor.commit().await {
                        Ok(_) => true,
                        Err(undone) => {
                            assert!(matches!(undone.error(), Error::LoginUndone));
                            assert!(undone.set_cookie().is_none());
                            false
                        }
                    }
                })
            })
            .collect();
        let mut stood = 0;
        for task in tasks {
            stood += u32::from(task.await.unwrap());
        }
        assert!(stood > 0, "none of them stays");
        let left = store.list::<Visitor>(7, Page::first(10)).await.unwrap().items;
        assert_eq!(left.len(), 1);
    }
}

/// A clock as fine as a host's own.
struct Micros(AtomicU64);

impl sessions::clock::Clock for Micros {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_login_is_undone_by_a_revoke_all_within_its_millisecond() {
    const START: u64 = 1_767_225_600_000_000;
    let clock = Arc::new(Micros(AtomicU64::new(START)));
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build().unwrap();
    let (_, cookies) = saved(&store, None).await;
    clock.0.store(START + 700, Ordering::SeqCst);
    let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
    clock.0.store(START + 900, Ordering::SeqCst);
    store.revoke_all::<Visitor>(7).await.unwrap();
    clock.0.store(START + 1_100, Ordering::SeqCst);
    visitor.user = Some(7);
    let undone = visitor.commit().await.unwrap_err();
    assert!(matches!(undone.error(), Error::LoginUndone));
    // One that begins after it is none that was under way, however soon.
    clock.0.store(START + 901, Ordering::SeqCst);
    assert_eq!(saved(&store, Some(7)).await.1.len(), 1);
}

#[tokio::test]
async fn the_purge_spares_what_another_hosts_clock_may_see_alive() {
    let memory = MemoryProvider::new();
    let clock = ManualClock::default();
    let store = Store::builder(memory.clone()).clock(clock.clone()).build().unwrap();
    let start = clock.now();
    let mut record = Record::new("old", 1, Vec::new());
    record.expires_at = Some(start + HOUR);
    memory.save(&record, Expect::Absent, start).await.unwrap();
    clock.set(start + HOUR + Duration::from_secs(600) - Duration::from_millis(1));
    assert_eq!(store.purge_expired(10).await.unwrap(), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.purge_expired(10).await.unwrap(), 1);
    assert!(memory.is_empty());
}

/// A host whose clock is a year ahead; the database's own clock is right.
#[tokio::test]
async fn a_host_whose_clock_is_a_year_ahead_purges_only_what_has_expired_for_the_database() {
    let (memory, right) = (MemoryProvider::new(), ManualClock::default());
    let ahead = ManualClock::new(right.now() + 365 * 24 * HOUR);
    let host = |clock: &ManualClock| {
        let provider = Hooked::new(memory.clone(), right.clone());
        Store::builder(provider).clock(clock.clone()).build().unwrap()
    };
    let (store, wrong) = (host(&right), host(&ahead));
    let (_, cookie) = saved(&store, Some(7)).await;
    let mut dead = Record::new("dead", 1, Vec::new());
    dead.expires_at = Some(right.now() - Duration::from_secs(600));
    memory.save(&dead, Expect::Any, right.now() - HOUR).await.unwrap();

    assert_eq!(wrong.purge_expired(1_000).await.unwrap(), 1);
    assert!(!store.load::<Visitor>(&cookie).await.unwrap().is_new());
    // A database whose clock is ahead does no harm either.
    let fast = Hooked::new(memory.clone(), ahead.clone());
    let fast = Store::builder(fast).clock(right.clone()).build().unwrap();
    assert_eq!(fast.purge_expired(1_000).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_purge_task_survives_errors_and_ends_at_the_shutdown() {
    let memory = MemoryProvider::new();
    let (provider, watch) = watched(memory.clone());
    let clock = ManualClock::default();
    let store = Store::builder(provider).clock(clock.clone()).build().unwrap();
    for id in 0..2_500 {
        let mut record = Record::new(format!("old {id}"), 1, Vec::new());
        record.expires_at = Some(clock.now() + HOUR);
        memory.save(&record, Expect::Absent, clock.now()).await.unwrap();
    }
    clock.advance(2 * HOUR);
    watch.set_down(true);
    let task = tokio::spawn(store.purge_task(HOUR));
    tokio::time::sleep(3 * HOUR).await;
    assert_eq!(memory.len(), 2_500, "the store is down");
    watch.set_down(false);
    tokio::time::sleep(2 * HOUR).await;
    assert!(memory.is_empty(), "all batches in one round");
    assert!(!task.is_finished());
    store.shutdown().await;
    task.await.unwrap();
}

/// A database that removes expired records by itself.
struct Native;

#[async_trait]
impl Provider for Native {
    async fn fetch(&self, _: &str, _: SystemTime) -> Result<Option<Record>, ProviderError> {
        Ok(None)
    }

    async fn save(&self, _: &Record, _: Expect, _: SystemTime) -> Result<Saved, ProviderError> {
        Ok(Saved::Saved)
    }

    async fn delete(&self, _: &str, _: Expect, _: SystemTime) -> Result<Deleted, ProviderError> {
        Ok(Deleted::Deleted(None))
    }
}

#[tokio::test(start_paused = true)]
async fn the_purge_task_ends_where_the_database_purges_by_itself() {
    let store = Store::new(Native);
    tokio::spawn(store.purge_task(HOUR)).await.unwrap();
    let error = store.purge_expired(1).await.unwrap_err();
    assert!(matches!(error, Error::Provider(ref error) if error.is_unsupported()), "{error:?}");
    assert!(from_unix_millis(0) < SystemTime::now());
}
