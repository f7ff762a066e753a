//! What is stored, counted by type and version, and saved again in the newest version.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use sessions::provider::{Expect, Page, Provider, ProviderError, Record};
use sessions::testing::Call;
use sessions::{Error, MemoryProvider, Session, SessionData, Store, StoreKey, Upgraded};
use sessions_tests::hooked::{Hook, Hooked};
use tokio::time::Instant;

mod v1 {
    use super::*;

    #[derive(Session, Default)]
    #[session(name = "visitor", version = 1)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        pub(super) name: String,
    }
}

mod v2 {
    use super::*;

    #[derive(Session, Default)]
    #[session(name = "visitor", version = 2)]
    pub(super) struct Visitor {
        #[session(owner)]
        pub(super) user: Option<u64>,
        pub(super) name: String,
        #[session(since = 2)]
        pub(super) visits: u32,
    }
}

/// Version 2, which files sessions by their name.
mod by_name {
    use super::*;

    #[derive(Session, Default)]
    #[session(name = "visitor", version = 2)]
    pub(super) struct Visitor {
        pub(super) user: Option<u64>,
        #[session(owner)]
        pub(super) name: String,
        #[session(since = 2)]
        pub(super) visits: u32,
    }
}

/// Saves a session and returns its cookies.
async fn open<T: SessionData>(store: &Store, change: impl FnOnce(&mut T)) -> HeaderMap {
    let mut session = store.load::<T>(&HeaderMap::new()).await.unwrap();
    change(&mut session);
    let commit = session.commit().await.unwrap();
    let cookie = commit.set_cookie().unwrap().to_str().unwrap().to_owned();
    let pair = cookie.split(';').next().unwrap();
    HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())])
}

fn store(provider: &MemoryProvider) -> Store {
    Store::new(provider.clone())
}

/// The versions in which sessions are stored, with how many are owned and how many are not.
async fn versions(store: &Store) -> Vec<(u16, u64, u64)> {
    let stats = store.stats().await.unwrap();
    stats.sessions.iter().map(|it| (it.version, it.owned, it.anonymous)).collect()
}

#[tokio::test]
async fn sessions_are_counted_by_type_and_version() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    assert_eq!(old.stats().await.unwrap().oldest::<v2::Visitor>(), None);
    for user in 0..3 {
        open::<v1::Visitor>(&old, |it| it.user = Some(user)).await;
        open::<v1::Visitor>(&old, |it| it.name = "anonymous".to_owned()).await;
    }
    open::<v2::Visitor>(&new, |it| it.visits = 1).await;
    let stats = new.stats().await.unwrap();
    assert_eq!(versions(&new).await, [(1, 3, 3), (2, 0, 1)]);
    assert_eq!(stats.oldest::<v2::Visitor>(), Some(1));
    assert!(stats.sessions.iter().all(|it| it.session == "visitor" && it.bytes > 0));
    // The key ring, and the fences of three logins or none.
    assert!(stats.other_records >= 1, "{stats:?}");
}

#[tokio::test]
async fn an_upgrade_saves_old_sessions_and_changes_nothing_else() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    let owned = open::<v1::Visitor>(&old, |it| it.user = Some(7)).await;
    let anonymous = open::<v1::Visitor>(&old, |it| it.name = "ada".to_owned()).await;
    open::<v2::Visitor>(&new, |it| it.visits = 5).await;
    let before = new.load::<v2::Visitor>(&owned).await.unwrap();

    let upgraded = new.upgrade::<v2::Visitor>().run().await.unwrap();
    assert_eq!((upgraded.read, upgraded.saved, upgraded.unreadable), (3, 2, 0));
    assert_eq!(versions(&new).await, [(2, 1, 2)]);

    let after = new.load::<v2::Visitor>(&owned).await.unwrap();
    assert_eq!((after.user, after.visits), (Some(7), 0));
    assert_eq!((after.key(), after.expires_at()), (before.key(), before.expires_at()));
    assert_eq!(new.list::<v2::Visitor>(7, Page::first(5)).await.unwrap().items.len(), 1);
    // The build before reads it too: the deploy may still be rolled back.
    assert_eq!(old.load::<v1::Visitor>(&anonymous).await.unwrap().name, "ada");

    let again = new.upgrade::<v2::Visitor>().run().await.unwrap();
    assert_eq!((again.read, again.saved), (3, 0));
}

/// Changes a session on a host of the old build, once, before the next save.
struct Meanwhile(Mutex<Option<(Store, StoreKey)>>);

#[async_trait]
impl Hook for Meanwhile {
    async fn before(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        let is_it = |key: &StoreKey| call == Call::Save && id == key.as_str();
        let change = self.0.lock().unwrap().take_if(|(_, key)| is_it(key));
        if let Some((old, key)) = change {
            let changed = old.update_any::<v1::Visitor, _>(&key, |it| it.name = "grace".to_owned());
            changed.await.unwrap().unwrap();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_session_that_changes_during_the_upgrade_keeps_its_change() {
    let provider = MemoryProvider::new();
    let old = store(&provider);
    let cookies = open::<v1::Visitor>(&old, |it| it.user = Some(7)).await;
    let key = old.load::<v1::Visitor>(&cookies).await.unwrap().key().unwrap().clone();
    let hook = Meanwhile(Mutex::new(Some((old, key))));
    let new = Store::new(Hooked::new(provider.clone(), hook));
    let upgraded = new.upgrade::<v2::Visitor>().run().await.unwrap();
    assert_eq!((upgraded.read, upgraded.saved), (1, 1));
    assert_eq!(new.load::<v2::Visitor>(&cookies).await.unwrap().name, "grace");
    assert_eq!(versions(&new).await, [(2, 1, 0)]);
}

#[tokio::test]
async fn what_cannot_be_read_stays_and_is_counted() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    open::<v1::Visitor>(&old, |it| it.user = Some(1)).await;
    let mut broken = Record::new("rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k", 1, &b"garbage"[..]);
    broken.format = "visitor/1".into();
    provider.save(&broken, Expect::Absent, new.now()).await.unwrap();
    let upgraded = new.upgrade::<v2::Visitor>().run().await.unwrap();
    assert_eq!((upgraded.read, upgraded.saved, upgraded.unreadable), (2, 1, 1));
    assert_eq!(provider.fetch(&broken.id, new.now()).await.unwrap(), Some(broken));
}

#[tokio::test]
async fn a_newer_record_is_not_taken_back() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    open::<v2::Visitor>(&new, |it| it.visits = 5).await;
    let upgraded = old.upgrade::<v1::Visitor>().run().await.unwrap();
    assert_eq!((upgraded.read, upgraded.saved), (1, 0));
    assert_eq!(versions(&new).await, [(2, 0, 1)]);
}

#[tokio::test]
async fn owners_are_filed_again_only_when_asked_for() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    let cookies = open::<v1::Visitor>(&old, |it| {
        it.user = Some(7);
        it.name = "ada".to_owned();
    });
    let cookies = cookies.await;
    let loaded = new.load::<by_name::Visitor>(&cookies).await.unwrap();
    assert!(loaded.name.is_empty(), "filed under another owner, it reads as logged out");

    let without = new.upgrade::<by_name::Visitor>().run().await.unwrap();
    assert_eq!((without.misfiled, without.saved), (1, 0));
    let with = new.upgrade::<by_name::Visitor>().refile_owners().run().await.unwrap();
    assert_eq!((with.misfiled, with.saved), (0, 1));
    assert_eq!(new.load::<by_name::Visitor>(&cookies).await.unwrap().name, "ada");
    let of = |name: &'static str| new.list::<by_name::Visitor>(name, Page::first(5));
    assert_eq!(of("ada").await.unwrap().items.len(), 1);
    assert_eq!(of("7").await.unwrap().items.len(), 0);
    assert_eq!(new.revoke_all::<by_name::Visitor>("ada").await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_keeps_to_its_rate_and_says_how_far_it_is() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    for user in 0..250 {
        open::<v1::Visitor>(&old, |it| it.user = Some(user)).await;
    }
    let seen: Arc<Mutex<Vec<Upgraded>>> = Arc::default();
    let heard = seen.clone();
    let start = Instant::now();
    let upgrade = new.upgrade::<v2::Visitor>().per_second(50);
    let upgrade = upgrade.on_progress(move |so_far| heard.lock().unwrap().push(so_far.clone()));
    assert_eq!(upgrade.run().await.unwrap().saved, 250);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(4_900) && took < Duration::from_secs(6), "{took:?}");
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 3 && seen.is_sorted_by_key(|it| it.saved), "{seen:?}");
}

#[tokio::test]
async fn an_upgrade_that_is_stopped_goes_on_later() {
    let provider = MemoryProvider::new();
    let (old, new) = (store(&provider), store(&provider));
    for user in 0..20 {
        open::<v1::Visitor>(&old, |it| it.user = Some(user)).await;
    }
    let slow = new.upgrade::<v2::Visitor>().per_second(50);
    tokio::time::timeout(Duration::from_millis(100), slow.run()).await.unwrap_err();
    let stats = versions(&new).await;
    assert!(stats.len() == 2 && stats[1].1 > 0, "{stats:?}");
    new.upgrade::<v2::Visitor>().run().await.unwrap();
    assert_eq!(versions(&new).await, [(2, 20, 0)]);
}

#[tokio::test]
async fn a_client_side_store_has_nothing_to_count() {
    let store =
        Store::builder(MemoryProvider::new()).client_side().danger_plain_keys().build().unwrap();
    assert!(matches!(store.stats().await, Err(Error::Misuse(_))));
    assert!(matches!(store.upgrade::<v1::Visitor>().run().await, Err(Error::Misuse(_))));
}

#[tokio::test]
async fn records_that_are_encrypted_are_read_by_a_scan_of_the_store() {
    let provider = MemoryProvider::new();
    let build =
        || Store::builder(provider.clone()).encrypt_records().danger_plain_keys().build().unwrap();
    let (old, new) = (build(), build());
    open::<v1::Visitor>(&old, |it| it.user = Some(7)).await;
    assert_eq!(new.upgrade::<v2::Visitor>().run().await.unwrap().saved, 1);
    assert_eq!(versions(&new).await, [(2, 1, 0)]);
}
