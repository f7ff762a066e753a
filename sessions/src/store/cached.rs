//! A provider whose own changes its cache knows at once, and other hosts hear of.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use foldhash::fast::RandomState;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::cache::CachedRecords;
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use crate::telemetry::event::Events;

/// The provider of a store with a cache.
pub(super) struct Cached {
    inner: Arc<dyn Provider>,
    records: Arc<CachedRecords>,
    saved: Arc<Announcements>,
}

impl Cached {
    pub(super) fn new(
        inner: Arc<dyn Provider>,
        records: Arc<CachedRecords>,
        events: Events,
    ) -> Self {
        Self { saved: Arc::new(Announcements::new(inner.clone(), events)), inner, records }
    }

    /// What is done when a call that may change this record is over: answered, failed or cancelled.
    fn change<'c>(&'c self, id: &str, announce: bool) -> Change<'c> {
        Change { cached: self, key: id.parse().ok(), announce }
    }
}

/// A call under way that may change a record.
struct Change<'c> {
    cached: &'c Cached,
    /// `None` for a record that is no session's, which is never in the cache.
    key: Option<StoreKey>,
    announce: bool,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        // Now, not before the call: what was read during the call may be from before the change.
        self.cached.records.forget(&key);
        if self.announce {
            self.cached.saved.push(key);
        }
    }
}

#[async_trait]
impl Provider for Cached {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.inner.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        // Nobody has read a record that begins.
        let mut change = self.change(&record.id, expect != Expect::Absent);
        let saved = self.inner.save(record, expect, now).await;
        // An error that is no outage changed nothing.
        change.announce &= match &saved {
            Ok(saved) => *saved == Saved::Saved,
            Err(error) => error.is_unavailable(),
        };
        saved
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let _change = self.change(id, false);
        self.inner.delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let _change = self.change(id, false);
        self.inner.touch(id, expires_at, expect, now).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.inner.list(owner, page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.inner.scan(page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.inner.purge(expired_before, limit).await
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        self.inner.clock().await
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.inner.fetch_many(ids, now).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        self.inner.changes(listener).await
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let _change = self.change(&record.id, false);
        self.inner.save_and_announce(record, expect, now).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        self.inner.announce(ids).await
    }
}

/// The saves that other hosts have not been told of: gathered while a call is under way, so that
/// there is one call at a time, however many saves there are.
struct Announcements {
    provider: Arc<dyn Provider>,
    events: Events,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    keys: HashSet<StoreKey, RandomState>,
    /// Whether a task announces them.
    running: bool,
}

impl Announcements {
    fn new(provider: Arc<dyn Provider>, events: Events) -> Self {
        Self { provider, events, waiting: Mutex::default() }
    }

    fn push(self: &Arc<Self>, key: StoreKey) {
        let mut waiting = self.waiting();
        if waiting.keys.len() < MOST_WAITING {
            waiting.keys.insert(key);
        }
        if waiting.running {
            return;
        }
        // Outside a runtime no task can run: the next save inside one takes it along.
        let Ok(runtime) = Handle::try_current() else { return };
        waiting.running = true;
        drop(waiting);
        let round = Round(self.clone());
        runtime.spawn(async move { round.run().await });
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that announces. When its runtime ends, the next save begins another.
struct Round(Arc<Announcements>);

impl Round {
    async fn run(self) {
        let mut wait = FIRST_WAIT;
        loop {
            let keys: Vec<_> = {
                let mut waiting = self.0.waiting();
                let keys = waiting.keys.iter().take(MOST_AT_ONCE).cloned().collect::<Vec<_>>();
                for key in &keys {
                    waiting.keys.remove(key);
                }
                keys
            };
            if keys.is_empty() {
                if self.end() {
                    return;
                }
                continue;
            }
            let ids: Vec<_> = keys.iter().map(StoreKey::as_str).collect();
            let Err(error) = self.0.provider.announce(&ids).await else {
                wait = FIRST_WAIT;
                continue;
            };
            let again = error.is_unavailable();
            self.0.events.announce_failed(ids.len(), &Error::from(error));
            if again {
                let mut waiting = self.0.waiting();
                let room = MOST_WAITING.saturating_sub(waiting.keys.len());
                waiting.keys.extend(keys.into_iter().take(room));
            }
            sleep(wait).await;
            wait = (2 * wait).min(LAST_WAIT);
        }
    }

    /// Ends the task, unless something waits again.
    fn end(&self) -> bool {
        let mut waiting = self.0.waiting();
        waiting.running = !waiting.keys.is_empty();
        !waiting.running
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        // Also when it was cancelled. After `end` another may be running already, which does no
        // harm: the next save begins one more.
        self.0.waiting().running = false;
    }
}

/// How long to wait after the first failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How many records one call announces.
const MOST_AT_ONCE: usize = 1_000;

/// How many saves wait at most, while the database does not answer. The others are seen when their
/// entries are too old.
const MOST_WAITING: usize = 100_000;

#[cfg(all(test, feature = "conformance"))]
mod conformance {
    use super::super::cache::Cache;
    use super::*;
    use crate::memory::MemoryProvider;
    use crate::provider::conformance::{Subject, suite};

    suite!(async || {
        let memory = MemoryProvider::new();
        let host = || {
            let records = Arc::new(CachedRecords::new(&Cache::new()));
            Cached::new(Arc::new(memory.clone()), records, Events::default())
        };
        Subject::new(host()).with_twin(host())
    });
}
