//! Records that are kept in this process, so that a read makes no round trip.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use quick_cache::sync::{Cache as Entries, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use super::feed::{Ages, Feed, Stamp};
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Ping, Provider, ProviderError, Record};

/// A cache of records in this process, for [`StoreBuilder::cache`](crate::StoreBuilder::cache).
///
/// A session that is in the cache loads without a round trip. The cache only ever confirms that a
/// session is live: before a request is told anything else, the database is asked. Saves still go by
/// the record's version, so the cache loses no update.
///
/// **How late another host's changes are seen.** A provider that tells of changes (PostgreSQL,
/// Redis, SQLite, memory) names what changed, usually within milliseconds. If its connection stalls,
/// the cache trusts nothing after 3 seconds; if it is lost, at once. So no host serves a session
/// later than 3 seconds after a logout, a revocation or a renewal has been answered, if every host
/// runs a build that tells. With a provider that does not tell (MySQL, DynamoDB), it is the
/// [`max_age`](Self::max_age): 5 seconds unless set. This host's own changes are seen at once. Only
/// [`end_all`](crate::Store::end_all) takes its ten minutes on other hosts, with a cache or without.
///
/// The same times hold for plain changes, if every host of the app has the cache; a host that dies
/// right after a save, or cannot tell of it, may leave others with the old values for the `max_age`.
///
/// ```
/// use std::time::Duration;
/// use sessions::{Cache, MemoryProvider, Store};
///
/// let cache = Cache::new().max_bytes(256 << 20).max_age(Duration::from_secs(30));
/// let store = Store::builder(MemoryProvider::new()).cache(cache).build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to `StoreBuilder::cache`"]
pub struct Cache {
    max_bytes: u64,
    max_age: Option<Duration>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_bytes: MAX_BYTES, max_age: None }
    }
}

impl Cache {
    /// Creates the default settings: 64 MiB; 60 seconds with a provider that tells of changes, and 5
    /// seconds with one that does not.
    ///
    /// ```
    /// use sessions::{Cache, MemoryProvider, Store};
    /// let store = Store::builder(MemoryProvider::new()).cache(Cache::new()).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how much memory the records take at most, in bytes. Each takes about 450 bytes besides its
    /// data. Those that were used last stay. A record that does not fit is not kept.
    ///
    /// ```
    /// let cache = sessions::Cache::new().max_bytes(16 << 20);
    /// # let _ = cache;
    /// ```
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how long a record is trusted, at most, after it was read. The default is 60 seconds, or 5
    /// with a provider that does not tell of changes; zero is refused. Longer than 5 seconds, with a
    /// provider that does not tell of changes, means that a revoked session stays usable on other
    /// hosts for as long.
    ///
    /// ```
    /// use std::time::Duration;
    /// let cache = sessions::Cache::new().max_age(Duration::from_secs(2));
    /// # let _ = cache;
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Checks the settings.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.max_age.is_some_and(|age| age.is_zero()) {
            return Err(Error::config(
                "a cache whose `max_age` is 0 keeps nothing; drop cache(), or raise `max_age`",
            ));
        }
        Ok(())
    }
}

/// The records of a cache, and how they are read. Whether a record may be trusted is the feed's to
/// say.
pub(super) struct CachedRecords {
    entries: Entries<StoreKey, Entry, Weight, RandomState>,
    ages: Ages,
}

#[derive(Clone)]
struct Entry {
    record: Record,
    /// When the read of it began.
    stamp: Stamp,
}

/// A record as it was found.
pub(super) enum Found {
    /// What was stored when a read began that this request did not make. It can only confirm.
    Earlier(Record),
    /// What is stored now.
    Now(Option<Record>),
}

impl CachedRecords {
    pub(super) fn new(settings: &Cache) -> Self {
        let items = settings.max_bytes / USUAL_BYTES;
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX).max(1))
            .weight_capacity(settings.max_bytes)
            .build();
        let options = options.expect("both capacities are set");
        let hasher = RandomState::default();
        let entries = Entries::with_options(options, Weight, hasher, DefaultLifecycle::default());
        let ages = Ages {
            with_feed: settings.max_age.unwrap_or(AGE_WITH_FEED),
            without: settings.max_age.unwrap_or(AGE_WITHOUT),
        };
        Self { entries, ages }
    }

    /// Returns the record of a key, if what was read of it still holds.
    pub(super) fn get(&self, key: &StoreKey, feed: &Feed, now: Ping) -> Option<Record> {
        // Before the entry is taken: what was proved by then has been told, and has removed what it
        // named.
        let trust = feed.trust();
        let entry = self.entries.get(key)?;
        if trust.covers(entry.stamp, now, self.ages) {
            return Some(entry.record);
        }
        // Nothing that is read from here on replaces it otherwise.
        self.entries.remove_if(key, |stale| stale.stamp == entry.stamp);
        None
    }

    /// Reads a record and keeps it. Reads of one key at the same time are one call.
    pub(super) async fn fetch(
        &self,
        provider: &dyn Provider,
        key: &StoreKey,
        feed: &Feed,
        now: SystemTime,
    ) -> Result<Found, ProviderError> {
        let ask = async || Ok(Found::Now(provider.fetch(key.as_str(), now).await?));
        let Some(stamp) = feed.stamp(Ping::at(now)) else { return ask().await };
        let trust = feed.trust();
        let mut waited = false;
        let mut joining = pin!(self.entries.get_value_or_guard_async(key));
        let joined = poll_fn(|context| {
            let poll = joining.as_mut().poll(context);
            waited |= poll.is_pending();
            poll
        });
        match joined.await {
            Ok(entry) if trust.covers(entry.stamp, Ping::at(now), self.ages) => {
                Ok(Found::Earlier(entry.record))
            }
            Ok(_) => ask().await,
            Err(guard) if !waited => {
                let record = provider.fetch(key.as_str(), now).await?;
                if let Some(record) = &record {
                    // It fails if the key was forgotten meanwhile: the read may have come before
                    // the change.
                    let _ = guard.insert(Entry { record: record.clone(), stamp });
                }
                Ok(Found::Now(record))
            }
            Err(guard) => {
                // The read that it waited for failed, or found nothing to keep. Whoever waited asks
                // for itself, at the same time as the others, so that no queue forms before a
                // database that is down. The next gets the guard once this one has dropped it.
                drop(guard);
                ask().await
            }
        }
    }

    /// Forgets what was read of a key, and what is being read.
    pub(super) fn forget(&self, key: &StoreKey) {
        self.entries.remove(key);
    }
}

impl fmt::Debug for CachedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedRecords").field("len", &self.entries.len()).finish_non_exhaustive()
    }
}

/// Counts the bytes of a record, and what it takes beside them.
#[derive(Clone)]
struct Weight;

impl Weighter<StoreKey, Entry> for Weight {
    fn weight(&self, _: &StoreKey, entry: &Entry) -> u64 {
        let Record { id, data, owner, .. } = &entry.record;
        let bytes = id.len() + data.len() + owner.as_ref().map_or(0, |owner| owner.len());
        bytes as u64 + BESIDE
    }
}

/// The default size of a cache.
const MAX_BYTES: u64 = 64 << 20;

/// What a record is expected to take, for the number of entries that tables begin with.
const USUAL_BYTES: u64 = 1 << 10;

/// What an entry takes beside its record's bytes: the entry with its key (about 230 bytes), the
/// places of tables, and three allocations.
const BESIDE: u64 = 450;

/// How long a record is trusted while the provider tells of changes.
const AGE_WITH_FEED: Duration = Duration::from_secs(60);

/// How long it is trusted if the provider does not.
const AGE_WITHOUT: Duration = Duration::from_secs(5);
