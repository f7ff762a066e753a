//! A provider that keeps its records in this process's memory.

use std::cmp::Reverse;
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use crate::clock::to_unix_millis;
use crate::provider::{Expect, Listed, Page, Provider, ProviderError, Record, Saved};

/// A provider for one process: tests, development, and services that may lose their sessions at a
/// restart.
///
/// Clones share their records. Expired records are removed a few at a time by the saves that
/// follow, so that memory is bounded by the records that are alive.
///
/// ```
/// use sessions::{MemoryProvider, provider::Provider};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let provider = MemoryProvider::new();
/// assert!(provider.fetch("nobody", std::time::SystemTime::now()).await.unwrap().is_none());
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryProvider {
    inner: Arc<Inner>,
}

impl MemoryProvider {
    /// An empty provider.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records there are, expired ones that no save has swept yet included.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// assert_eq!(MemoryProvider::new().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| lock(shard).records.len()).sum()
    }

    /// Whether there is no record.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// assert!(MemoryProvider::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for MemoryProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryProvider").field("len", &self.len()).finish()
    }
}

#[async_trait]
impl Provider for MemoryProvider {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        let shard = self.inner.shard(id);
        Ok(shard.records.get(id).filter(|record| record.is_live(now)).cloned())
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let mut shard = self.inner.shard(&record.id);
        let live = shard.records.get(&*record.id).filter(|stored| stored.is_live(now));
        let met = match expect {
            Expect::Absent => live.is_none(),
            Expect::Version(version) => live.is_some_and(|stored| stored.version == version),
            Expect::Any => true,
        };
        if !met {
            return Ok(Saved::Conflict(live.cloned()));
        }
        self.inner.put(&mut shard, record.clone());
        self.inner.sweep(&mut shard, now);
        Ok(Saved::Saved)
    }

    async fn delete(&self, id: &str) -> Result<Option<Record>, ProviderError> {
        let mut shard = self.inner.shard(id);
        let removed = shard.records.remove(id);
        if let Some(record) = &removed {
            self.inner.disown(record);
        }
        Ok(removed)
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        now: SystemTime,
    ) -> Result<bool, ProviderError> {
        let mut shard = self.inner.shard(id);
        let Some(record) = shard.records.get_mut(id).filter(|record| record.is_live(now)) else {
            return Ok(false);
        };
        // Never shortens; a record without expiry keeps none.
        record.expires_at = record.expires_at.map(|at| at.max(expires_at));
        Ok(true)
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let ids = self.inner.owned(owner, page.after.as_deref());
        let mut listed = Listed::default();
        for id in ids {
            if listed.records.len() >= page.limit as usize {
                listed.next = listed.records.last().map(|record| record.id.to_string());
                break;
            }
            let shard = self.inner.shard(&id);
            let record = shard.records.get(&id);
            // The owner may have changed since the ids were read.
            listed.records.extend(
                record
                    .filter(|record| record.is_live(now) && record.owner.as_deref() == Some(owner))
                    .cloned(),
            );
        }
        Ok(listed)
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let mut purged = 0;
        for shard in &self.inner.shards {
            purged += self.inner.evict(&mut lock(shard), expired_before, u64::from(limit) - purged);
        }
        Ok(purged)
    }
}

/// A power of two: a shard is picked by masking the hash.
const SHARDS: usize = 64;

/// How many expired records a save removes: more than the one it adds, so that they run out.
const SWEEP: u64 = 2;

struct Inner {
    hasher: RandomState,
    // A std Mutex, not tokio's: no lock is held across an await. Locks are taken in the order
    // shard, then owners.
    shards: [Mutex<Shard>; SHARDS],
    owners: Mutex<HashMap<Arc<str>, BTreeSet<Arc<str>>>>,
}

#[derive(Default)]
struct Shard {
    records: HashMap<Arc<str>, Record>,
    /// When to look at a record again: one entry for each, its time never later than the
    /// record's own expiry.
    due: BinaryHeap<Reverse<(u64, Arc<str>)>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            owners: Mutex::default(),
        }
    }
}

impl Inner {
    #[allow(clippy::cast_possible_truncation)] // Only the low bits count.
    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(id) as usize & (SHARDS - 1)])
    }

    fn put(&self, shard: &mut Shard, record: Record) {
        let due = record.expires_at.map(to_unix_millis);
        if let Some(owner) = &record.owner {
            lock(&self.owners).entry(owner.clone()).or_default().insert(record.id.clone());
        }
        match shard.records.entry(record.id.clone()) {
            Entry::Occupied(mut entry) => {
                let was = entry.insert(record);
                let record = entry.get();
                if was.owner != record.owner {
                    self.disown(&was);
                }
                let was_due = was.expires_at.map(to_unix_millis);
                // A later expiry is found when the old entry comes up.
                if due.is_some_and(|due| was_due.is_none_or(|was| due < was)) {
                    shard.due.extend(due.map(|due| Reverse((due, record.id.clone()))));
                }
            }
            Entry::Vacant(entry) => {
                shard.due.extend(due.map(|due| Reverse((due, entry.key().clone()))));
                entry.insert(record);
            }
        }
    }

    /// Takes a record out of its owner's list.
    fn disown(&self, record: &Record) {
        let Some(owner) = &record.owner else { return };
        let mut owners = lock(&self.owners);
        if let Some(ids) = owners.get_mut(owner) {
            ids.remove(&record.id);
            if ids.is_empty() {
                owners.remove(owner);
            }
        }
    }

    fn owned(&self, owner: &str, after: Option<&str>) -> Vec<Arc<str>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let owners = lock(&self.owners);
        owners
            .get(owner)
            .map(|ids| ids.range::<str, _>((after, Bound::Unbounded)).cloned().collect())
            .unwrap_or_default()
    }

    fn sweep(&self, shard: &mut Shard, now: SystemTime) {
        self.evict(shard, now, SWEEP);
    }

    /// Removes at most `limit` records that expired at or before `by`.
    fn evict(&self, shard: &mut Shard, by: SystemTime, limit: u64) -> u64 {
        let by_millis = to_unix_millis(by);
        let mut evicted = 0;
        while evicted < limit {
            let Some(Reverse((due, _))) = shard.due.peek() else {
                break;
            };
            if *due > by_millis {
                break;
            }
            let Some(Reverse((_, id))) = shard.due.pop() else {
                break;
            };
            match shard.records.get(&id).map(|record| record.expires_at) {
                Some(Some(at)) if at > by => shard.due.push(Reverse((to_unix_millis(at), id))),
                Some(Some(_)) => {
                    if let Some(record) = shard.records.remove(&id) {
                        self.disown(&record);
                        evicted += 1;
                    }
                }
                // Deleted, or saved since without an expiry.
                Some(None) | None => {}
            }
        }
        evicted
    }
}

/// Every critical section leaves the maps whole, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
