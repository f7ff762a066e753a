//! A provider that keeps its records in this process's memory.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use tokio::task::yield_now;

use crate::clock::{from_unix_millis, to_unix_millis};
use crate::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};

/// A provider for one process: tests, development, and services that may lose their sessions at a
/// restart.
///
/// Clones share their records. Each save also removes up to two expired records, so memory use is
/// bounded by the live records. A record without an expiry stays until it is deleted. When saves
/// have stopped, [`purge`](Provider::purge) removes the rest.
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
    inner: Arc<Shards>,
}

impl MemoryProvider {
    /// Creates an empty provider.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::new(MemoryProvider::new());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of records, including expired ones that no save has removed yet.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// assert_eq!(MemoryProvider::new().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| lock(shard).records.len()).sum()
    }

    /// Returns whether there is no record.
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
        Ok(self.inner.save(record, expect, now))
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let mut shard = self.inner.shard(id);
        match shard.records.get(id).filter(|stored| stored.is_live(now)) {
            Some(live) if !expect.is_met(Some(live)) => Ok(Deleted::Conflict(live.clone())),
            None if expect != Expect::Any => Ok(Deleted::Deleted(None)),
            _ => {
                let removed = self.inner.remove(&mut shard, id);
                drop(shard);
                if removed.is_some() {
                    self.inner.tell(|listener| listener.ended(id));
                }
                Ok(Deleted::Deleted(removed))
            }
        }
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let mut shard = self.inner.shard(id);
        match shard.records.get(id).filter(|stored| stored.is_live(now)) {
            Some(live) if expect.is_met(Some(live)) => {
                shard.touch(id, whole_millis(expires_at));
                Ok(Touched::Touched)
            }
            live => Ok(Touched::Conflict(live.cloned())),
        }
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let mut listed = Listed::default();
        let limit = page.limit as usize;
        let mut after = page.after;
        loop {
            // Read one more than needed, to know whether another page follows.
            let ids = self.inner.owned(
                owner,
                after.as_deref(),
                (limit - listed.records.len()).saturating_add(1),
            );
            let Some(last) = ids.last() else { return Ok(listed) };
            after = Some(last.to_string());
            for id in ids {
                let shard = self.inner.shard(&id);
                // The record may have been deleted or changed its owner since the ids were read.
                let record = shard
                    .records
                    .get(&id)
                    .filter(|record| record.is_live(now) && record.owner.as_deref() == Some(owner));
                let Some(record) = record else { continue };
                if listed.records.len() == limit {
                    listed.next = listed.records.last().map(|record| record.id.to_string());
                    return Ok(listed);
                }
                listed.records.push(record.clone());
            }
        }
    }

    /// In the order of the shards, and of the ids within each.
    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        let limit = (page.limit as usize).max(1);
        let mut after = page.after.as_deref();
        let first = after.map_or(0, index);
        let mut records = Vec::new();
        for shard in &self.inner.shards[first..] {
            {
                let shard = lock(shard);
                let behind = |id: &str| after.is_none_or(|after| id > after);
                let live = shard.records.values();
                let mut live: Vec<&Record> =
                    live.filter(|it| it.is_live(now) && behind(&it.id)).collect();
                live.sort_unstable_by(|one, other| one.id.cmp(&other.id));
                // One more than needed tells whether another page follows.
                live.truncate(limit + 1 - records.len());
                records.extend(live.into_iter().cloned());
            }
            if records.len() > limit {
                records.truncate(limit);
                let next = records.last().map(|record: &Record| record.id.to_string());
                return Ok(Listed { records, next });
            }
            after = None;
            // Lets other tasks use this thread.
            yield_now().await;
        }
        Ok(Listed { records, next: None })
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let limit = u64::from(limit);
        let mut purged = 0;
        for shard in &self.inner.shards {
            loop {
                let batch = (limit - purged).min(PURGE_BATCH);
                let evicted = self.inner.evict(&mut lock(shard), expired_before, batch);
                purged += evicted;
                if evicted < batch || purged == limit {
                    break;
                }
                // Lets other tasks use the shard and this thread.
                yield_now().await;
            }
        }
        Ok(purged)
    }

    // As `save`, without a second box for its future.
    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        Ok(self.inner.save(record, expect, now))
    }

    /// Tells within the very call that changes a record, so it misses nothing.
    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        let _registered = Registered::new(&self.inner, listener.clone());
        listener.began();
        loop {
            let ping = listener.next_ping().await;
            listener.proved(ping);
        }
    }
}

/// A listener, for as long as this lives.
struct Registered<'s> {
    shards: &'s Shards,
    number: u64,
}

impl<'s> Registered<'s> {
    fn new(shards: &'s Shards, listener: ChangeListener) -> Self {
        let mut listeners = shards.listeners.write().unwrap_or_else(PoisonError::into_inner);
        let number = listeners.last().map_or(0, |(last, _)| last + 1);
        listeners.push((number, listener));
        shards.is_heard.store(true, Ordering::Release);
        Self { shards, number }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut listeners = self.shards.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(number, _)| *number != self.number);
        self.shards.is_heard.store(!listeners.is_empty(), Ordering::Release);
    }
}

/// A power of two: a shard is picked by bits.
const SHARDS: usize = 64;

/// How many expired records a save removes: more than the one that it adds, so they become fewer.
const SWEEP: u64 = 2;

/// How many expired records a purge removes before it yields.
const PURGE_BATCH: u64 = 500;

/// Tables of fewer records than this are not worth shrinking.
const SMALL: usize = 64;

/// A time in milliseconds, and the id of the record that expires then.
type Due = (u64, Arc<str>);

/// With a fast hash: ids are hashes themselves or random, and no client chooses them.
type Records = HashMap<Arc<str>, Record, RandomState>;

/// With the default hash: users choose their names.
type Owners = HashMap<Arc<str>, BTreeSet<Arc<str>>>;

struct Shards {
    // Std mutexes, not tokio's, because no lock is held across an await. A shard's lock is taken
    // before one of `owners`, never after.
    shards: [Mutex<Shard>; SHARDS],
    /// The ids of each owner's records, including expired ones.
    owners: [Mutex<Owners>; SHARDS],
    /// Who is told of changes, with a number each.
    listeners: RwLock<Vec<(u64, ChangeListener)>>,
    /// Whether there is one.
    is_heard: AtomicBool,
}

#[derive(Default)]
struct Shard {
    records: Records,
    /// When each record with an expiry expires.
    due: BTreeSet<Due>,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            owners: std::array::from_fn(|_| Mutex::default()),
            listeners: RwLock::default(),
            is_heard: AtomicBool::new(false),
        }
    }
}

impl Shards {
    fn shard(&self, id: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[index(id)])
    }

    fn owners(&self, owner: &str) -> MutexGuard<'_, Owners> {
        lock(&self.owners[index(owner)])
    }

    /// Tells every listener. No lock of a shard may be held.
    fn tell(&self, of: impl Fn(&ChangeListener)) {
        if self.is_heard.load(Ordering::Acquire) {
            let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
            listeners.iter().for_each(|(_, listener)| of(listener));
        }
    }

    fn save(&self, record: &Record, expect: Expect, now: SystemTime) -> Saved {
        let mut shard = self.shard(&record.id);
        let live = shard.records.get(&*record.id).filter(|stored| stored.is_live(now));
        if !expect.is_met(live) {
            return Saved::Conflict(live.cloned());
        }
        self.put(&mut shard, record.clone());
        self.evict(&mut shard, now, SWEEP);
        drop(shard);
        self.tell(|listener| listener.changed(&record.id));
        Saved::Saved
    }

    fn put(&self, shard: &mut Shard, mut record: Record) {
        record.expires_at = record.expires_at.map(whole_millis);
        let Some(stored) = shard.records.get_mut(&record.id) else {
            shard.move_due(None, due(&record));
            if let Some(owner) = &record.owner {
                self.own(owner, record.id.clone());
            }
            shard.records.insert(record.id.clone(), record);
            return;
        };
        let was = std::mem::replace(stored, record);
        if was.owner != stored.owner {
            self.disown(was.owner.as_deref(), &was.id);
            if let Some(owner) = &stored.owner {
                self.own(owner, stored.id.clone());
            }
        }
        if was.expires_at != stored.expires_at {
            let is_due = due(stored);
            shard.move_due(due(&was), is_due);
        }
    }

    fn remove(&self, shard: &mut Shard, id: &str) -> Option<Record> {
        let record = shard.records.remove(id)?;
        shard.move_due(due(&record), None);
        self.disown(record.owner.as_deref(), id);
        shrink(&mut shard.records);
        Some(record)
    }

    /// Puts a record into its owner's list.
    fn own(&self, owner: &Arc<str>, id: Arc<str>) {
        self.owners(owner).entry(owner.clone()).or_default().insert(id);
    }

    /// Takes a record out of its owner's list.
    fn disown(&self, owner: Option<&str>, id: &str) {
        let Some(owner) = owner else { return };
        let mut owners = self.owners(owner);
        if let Some(ids) = owners.get_mut(owner) {
            ids.remove(id);
            if ids.is_empty() {
                owners.remove(owner);
                shrink(&mut owners);
            }
        }
    }

    fn owned(&self, owner: &str, after: Option<&str>, limit: usize) -> Vec<Arc<str>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let owners = self.owners(owner);
        let Some(ids) = owners.get(owner) else { return Vec::new() };
        ids.range::<str, _>((after, Bound::Unbounded)).take(limit).cloned().collect()
    }

    /// Removes at most `limit` records that are no longer live at `by`.
    fn evict(&self, shard: &mut Shard, by: SystemTime, limit: u64) -> u64 {
        let by = to_unix_millis(by);
        let mut evicted = 0;
        while evicted < limit {
            if shard.due.first().is_none_or(|(due, _)| *due > by) {
                break;
            }
            let Some((_, id)) = shard.due.pop_first() else { break };
            self.remove(shard, &id);
            evicted += 1;
        }
        evicted
    }
}

/// Returns the shard of an id or of an owner. It uses the last bytes: ids are random to their end,
/// and owners differ there. No client chooses an id, and the tables of owners hash with a secret.
fn index(key: &str) -> usize {
    let bytes = key.as_bytes();
    let last = match bytes.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => bytes.iter().fold(0, |last, byte| last << 8 | u64::from(*byte)),
    };
    (last.wrapping_mul(MIX) >> (u64::BITS - SHARDS.ilog2())) as usize
}

/// 2^64 divided by the golden ratio: each bit of a number affects the highest bits of the product.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl Shard {
    fn touch(&mut self, id: &str, expires_at: SystemTime) {
        let Some(record) = self.records.get_mut(id) else { return };
        // Never shortens the expiry, and adds none to a record without.
        if record.expires_at.is_some_and(|at| at < expires_at) {
            let was_due = due(record);
            record.expires_at = Some(expires_at);
            let is_due = due(record);
            self.move_due(was_due, is_due);
        }
    }

    fn move_due(&mut self, from: Option<Due>, to: Option<Due>) {
        if let Some(from) = from {
            self.due.remove(&from);
        }
        self.due.extend(to);
    }
}

fn due(record: &Record) -> Option<Due> {
    record.expires_at.map(|at| (to_unix_millis(at), record.id.clone()))
}

/// Frees the memory of a table that has far fewer entries than before.
fn shrink<V>(map: &mut HashMap<Arc<str>, V, impl BuildHasher>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

/// Rounds a time to whole milliseconds, as databases store it.
fn whole_millis(time: SystemTime) -> SystemTime {
    from_unix_millis(to_unix_millis(time))
}

/// Locks a mutex. Every critical section leaves the maps consistent, so a panic elsewhere does not
/// matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> SystemTime {
        from_unix_millis(1_000_000 + millis)
    }

    fn record(id: usize, expires_at: SystemTime) -> Record {
        let mut record = Record::new(format!("id{id}"), 1, &b"data"[..]);
        record.expires_at = Some(expires_at);
        record.owner = Some("app/visitor/7".into());
        record
    }

    /// Every entry of every table belongs to a record.
    fn assert_whole(provider: &MemoryProvider) {
        let shards: Vec<_> = provider.inner.shards.iter().map(lock).collect();
        let owners: Vec<_> = provider.inner.owners.iter().map(lock).collect();
        let records = || shards.iter().flat_map(|shard| shard.records.values());
        let owned = records().filter(|record| record.owner.is_some()).count();
        let due = records().filter(|record| record.expires_at.is_some()).count();
        assert_eq!(shards.iter().map(|shard| shard.due.len()).sum::<usize>(), due);
        let ids = owners.iter().flat_map(|owners| owners.values());
        assert!(ids.clone().all(|ids| !ids.is_empty()));
        assert_eq!(ids.map(BTreeSet::len).sum::<usize>(), owned);
    }

    #[tokio::test]
    async fn saves_sweep_what_has_expired() {
        let provider = MemoryProvider::new();
        for id in 0..1_000 {
            provider.save(&record(id, at(10)), Expect::Absent, at(0)).await.unwrap();
        }
        assert_eq!(provider.len(), 1_000);
        // Two for each save, so that all have gone after half as many; shards differ a little.
        for id in 1_000..1_700 {
            provider.save(&record(id, at(1_000)), Expect::Absent, at(10)).await.unwrap();
        }
        assert!(provider.len() < 700 + 150, "{} records", provider.len());
        for id in 1_700..4_000 {
            provider.save(&record(id, at(1_000)), Expect::Absent, at(10)).await.unwrap();
        }
        assert_eq!(provider.len(), 3_000);
        assert_whole(&provider);
    }

    #[tokio::test]
    async fn records_that_come_and_go_leave_nothing_behind() {
        let provider = MemoryProvider::new();
        for id in 0..10_000 {
            let mut record = record(id, at(10_000));
            provider.save(&record, Expect::Absent, at(0)).await.unwrap();
            provider.touch(&record.id, at(20_000), Expect::Any, at(0)).await.unwrap();
            record.expires_at = Some(at(15_000));
            record.owner = None;
            provider.save(&record, Expect::Version(1), at(0)).await.unwrap();
            if id >= 100 {
                let id = format!("id{}", id - 100);
                provider.delete(&id, Expect::Any, at(0)).await.unwrap();
            }
        }
        assert_eq!(provider.len(), 100);
        assert_whole(&provider);
    }

    #[tokio::test]
    async fn memory_taken_by_many_records_is_given_back() {
        let provider = MemoryProvider::new();
        for id in 0..100_000 {
            provider.save(&record(id, at(10)), Expect::Absent, at(0)).await.unwrap();
        }
        assert_eq!(provider.purge(at(10), 99_990).await.unwrap(), 99_990);
        let capacity = |shard: &Mutex<Shard>| lock(shard).records.capacity();
        assert!(provider.inner.shards.iter().map(capacity).sum::<usize>() < SHARDS * SMALL * 2);
        assert_eq!(provider.purge(at(10), u32::MAX).await.unwrap(), 10);
        assert!(provider.is_empty());
        assert_whole(&provider);
    }

    #[tokio::test]
    async fn times_are_kept_in_whole_milliseconds() {
        let provider = MemoryProvider::new();
        let fraction = Duration::from_nanos(999_999);
        provider.save(&record(1, at(10) + fraction), Expect::Absent, at(0)).await.unwrap();
        let stored = provider.fetch("id1", at(9) + fraction).await.unwrap().unwrap();
        assert_eq!(stored.expires_at, Some(at(10)));
        assert_eq!(provider.fetch("id1", at(10)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_listing_passes_over_the_expired() {
        let provider = MemoryProvider::new();
        for id in 0..100 {
            let expires_at = if id % 10 == 5 { at(20) } else { at(10) };
            provider.save(&record(id, expires_at), Expect::Absent, at(0)).await.unwrap();
        }
        let mut page = Page::first(4);
        let mut ids = Vec::new();
        loop {
            let listed = provider.list("app/visitor/7", page, at(10)).await.unwrap();
            ids.extend(listed.records.iter().map(|record| record.id.to_string()));
            let Some(next) = listed.next else { break };
            page = Page::after(next, 4);
        }
        let expected =
            ["id15", "id25", "id35", "id45", "id5", "id55", "id65", "id75", "id85", "id95"];
        assert_eq!(ids, expected);
    }
}
