//! What clients do while sessions move, and what they were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use http::header::{COOKIE, HeaderMap, HeaderValue};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions::{Session, Store};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    pub(crate) user: Option<u64>,
    #[session(merge = add)]
    pub(crate) count: u64,
}

/// A session that the clients use, and what was answered.
struct Entry {
    user: u64,
    cookies: HeaderMap,
    /// The additions that were answered.
    added: AtomicU64,
    /// Whether its end was answered.
    ended: AtomicBool,
    /// Whether somebody ends it now, so that others leave it alone.
    ending: AtomicBool,
}

pub(crate) struct Ledger {
    entries: Vec<Entry>,
    ended: AtomicUsize,
}

impl Ledger {
    pub(crate) async fn open(store: &Store, count: u64) -> Arc<Self> {
        let mut entries = Vec::new();
        for user in 0..count {
            let mut session = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
            session.user = Some(user);
            let commit = session.commit().await.unwrap();
            let cookie = commit.set_cookie().unwrap().to_str().unwrap().to_owned();
            let pair = cookie.split(';').next().unwrap();
            let cookies = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())]);
            let (ended, ending) = (AtomicBool::new(false), AtomicBool::new(false));
            entries.push(Entry { user, cookies, added: AtomicU64::new(0), ended, ending });
        }
        Arc::new(Self { entries, ended: AtomicUsize::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Acquire)
    }

    /// Every answered addition is there, once, everybody is logged in, and what ended has ended.
    pub(crate) async fn check(&self, stores: &[Store]) {
        for (number, entry) in self.entries.iter().enumerate() {
            let store = &stores[number % stores.len()];
            let session = store.load::<Visitor>(&entry.cookies).await.unwrap();
            if entry.ended.load(Ordering::Acquire) {
                assert!(session.is_new(), "session {number} has come back");
                continue;
            }
            assert_eq!(session.user, Some(entry.user), "session {number} was logged out");
            let added = entry.added.load(Ordering::Acquire);
            assert_eq!(session.count, added, "the additions of session {number}");
        }
    }
}

pub(crate) struct Client {
    store: Store,
    ledger: Arc<Ledger>,
    rng: StdRng,
}

impl Client {
    pub(crate) fn new(store: Store, ledger: Arc<Ledger>, seed: u64) -> Self {
        Self { store, ledger, rng: StdRng::seed_from_u64(seed) }
    }

    /// Returns how many requests it has made.
    pub(crate) async fn run(mut self, stop: &AtomicBool) -> u64 {
        let mut requests = 0;
        while !stop.load(Ordering::Acquire) {
            self.request().await;
            requests += 1;
            // Leaves room for the mover on a machine of two processors.
            tokio::task::yield_now().await;
        }
        requests
    }

    async fn request(&mut self) {
        let ledger = self.ledger.clone();
        let entry = &ledger.entries[self.rng.random_range(0..ledger.len())];
        if entry.ending.load(Ordering::Acquire) {
            return self.see_ended(entry).await;
        }
        match self.rng.random_range(0..2_000) {
            0 => self.end(entry).await,
            1..20 => self.list(entry).await,
            _ => self.add(entry).await,
        }
    }

    async fn add(&self, entry: &Entry) {
        let mut session = self.store.load::<Visitor>(&entry.cookies).await.unwrap();
        if session.is_new() {
            // Another client has ended it meanwhile.
            assert!(entry.ending.load(Ordering::Acquire), "user {} was logged out", entry.user);
            return;
        }
        session.count += 1;
        match session.commit().await {
            Ok(_) => _ = entry.added.fetch_add(1, Ordering::AcqRel),
            Err(error) => {
                assert!(entry.ending.load(Ordering::Acquire), "user {}: {error}", entry.user);
            }
        }
    }

    async fn list(&self, entry: &Entry) {
        let listed =
            self.store.list::<Visitor>(entry.user, sessions::Page::first(10)).await.unwrap();
        if !entry.ending.load(Ordering::Acquire) {
            assert!(!listed.items.is_empty(), "the list of user {} is empty", entry.user);
        }
    }

    async fn end(&self, entry: &Entry) {
        if entry.ending.swap(true, Ordering::AcqRel) {
            return;
        }
        let ended = self.store.revoke_all::<Visitor>(entry.user).await.unwrap();
        assert_eq!(ended, 1, "the sessions of user {}", entry.user);
        entry.ended.store(true, Ordering::Release);
        self.ledger.ended.fetch_add(1, Ordering::AcqRel);
    }

    async fn see_ended(&self, entry: &Entry) {
        let was_ended = entry.ended.load(Ordering::Acquire);
        let session = self.store.load::<Visitor>(&entry.cookies).await.unwrap();
        assert!(!was_ended || session.is_new(), "the session of user {} has come back", entry.user);
    }
}
