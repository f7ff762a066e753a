//! The storage interface: a versioned record, and the few calls that a database must support.
//!
//! A provider stores opaque records under an optimistic lock. The [`Store`](crate::Store) decides
//! what the records mean, when to save them again and how to merge changes.

mod changes;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod shared;

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use self::changes::{ChangeListener, Notice, Ping};
pub use self::error::ProviderError;
pub(crate) use self::error::Source;
pub use crate::clock::{from_unix_millis, to_unix_millis};

/// A stored record.
///
/// Its parts are cheap to clone, so a provider that keeps records in memory can share them.
///
/// ```
/// use sessions::provider::Record;
///
/// let record = Record::new("app:keys", 1, &b"opaque"[..]);
/// assert_eq!(&*record.id, "app:keys");
/// assert_eq!(record.expires_at, None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The id: 1 to 255 bytes of UTF-8 without NUL.
    pub id: Arc<str>,
    /// The optimistic lock. It is above zero, and every save raises it.
    pub version: u64,
    /// When the record expires, in whole milliseconds. `None` means never.
    pub expires_at: Option<SystemTime>,
    /// The kind of record, for operators: `"<name>/<schema version>"` for a session.
    pub format: Cow<'static, str>,
    /// The data: opaque bytes, possibly none.
    pub data: Bytes,
    /// The owner of the session as `"app/name/owner"`, at most 255 bytes.
    pub owner: Option<Arc<str>>,
}

impl Record {
    /// Creates a record without an expiry, a format or an owner.
    ///
    /// ```
    /// use sessions::provider::Record;
    /// assert_eq!(Record::new("a", 1, Vec::new()).version, 1);
    /// ```
    pub fn new(id: impl Into<Arc<str>>, version: u64, data: impl Into<Bytes>) -> Self {
        Self {
            id: id.into(),
            version,
            expires_at: None,
            format: Cow::Borrowed(""),
            data: data.into(),
            owner: None,
        }
    }

    /// Returns whether the record is live at `now`. A record expires at exactly the millisecond
    /// that it names.
    ///
    /// ```
    /// use sessions::provider::{Record, from_unix_millis};
    ///
    /// let mut record = Record::new("a", 1, Vec::new());
    /// record.expires_at = Some(from_unix_millis(1_000));
    /// assert!(record.is_live(from_unix_millis(999)));
    /// assert!(!record.is_live(from_unix_millis(1_000)));
    /// ```
    #[must_use]
    pub fn is_live(&self, now: SystemTime) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl fmt::Debug for Record {
    /// Omits the data, which belongs to the user and may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .field("format", &self.format)
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("owner", &self.owner.as_ref().map(|_| "..."))
            .finish()
    }
}

/// What must be stored so that a save, a deletion or a touch happens.
///
/// ```
/// use sessions::provider::Expect;
/// assert_ne!(Expect::Absent, Expect::Version(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Expects no live record. An expired record counts as absent, and a save replaces it.
    Absent,
    /// Expects a live record of exactly this version.
    Version(u64),
    /// Expects a live record of exactly this version and expiry: neither saved nor touched since it
    /// was read. Use it for a save that must not undo a touch.
    Untouched {
        /// The version that was read.
        version: u64,
        /// The expiry that was read, compared in whole milliseconds. `None` means never.
        expires_at: Option<SystemTime>,
    },
    /// Expects nothing: a save replaces the whole record and a deletion removes it, without a
    /// check.
    Any,
}

impl Expect {
    /// Returns whether `live`, the stored live record if there is one, meets the expectation.
    ///
    /// For providers that compare in memory, and for tests.
    ///
    /// ```
    /// use sessions::provider::{Expect, Record, from_unix_millis};
    ///
    /// let mut record = Record::new("a", 2, Vec::new());
    /// let read = Expect::Untouched { version: 2, expires_at: None };
    /// assert!(Expect::Version(2).is_met(Some(&record)) && read.is_met(Some(&record)));
    ///
    /// record.expires_at = Some(from_unix_millis(1_000));
    /// assert!(Expect::Version(2).is_met(Some(&record)) && !read.is_met(Some(&record)));
    /// assert!(Expect::Absent.is_met(None));
    /// ```
    #[must_use]
    pub fn is_met(self, live: Option<&Record>) -> bool {
        match self {
            Self::Absent => live.is_none(),
            Self::Version(version) => live.is_some_and(|record| record.version == version),
            Self::Untouched { version, expires_at } => live.is_some_and(|record| {
                record.version == version
                    && record.expires_at.map(to_unix_millis) == expires_at.map(to_unix_millis)
            }),
            Self::Any => true,
        }
    }
}

/// The result of a save. A conflict is a result, not an error.
///
/// ```
/// use sessions::provider::Saved;
/// assert!(matches!(Saved::Conflict(None), Saved::Conflict(None)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The record is stored as given.
    Saved,
    /// The expectation was not met. Holds the live record that is stored now, never one older than
    /// the winner's, or `None` if there is none.
    Conflict(Option<Record>),
}

/// The result of a deletion. A conflict is a result, not an error.
///
/// ```
/// use sessions::provider::{Deleted, Record};
///
/// let ended = Deleted::Deleted(Some(Record::new("a", 1, Vec::new())));
/// assert!(matches!(ended, Deleted::Deleted(Some(removed)) if removed.version == 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The expectation was met, or there was no live record. Holds the removed record, or `None` if
    /// nothing was removed.
    Deleted(Option<Record>),
    /// The expectation was not met, and nothing was removed. Holds the live record that is stored
    /// now, never one older than the winner's.
    Conflict(Record),
}

/// The result of a touch. A conflict is a result, not an error.
///
/// ```
/// use sessions::provider::Touched;
/// assert_ne!(Touched::Touched, Touched::Conflict(None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A live record met the expectation.
    Touched,
    /// No record met the expectation, and nothing was changed. Holds the live record that is stored
    /// now, never one older than the winner's, or `None` if there is none.
    Conflict(Option<Record>),
}

/// The part of a list to return.
///
/// ```
/// use sessions::provider::Page;
/// assert_eq!(Page::first(50).limit, 50);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Return only records after this mark, from an earlier [`Listed::next`].
    pub after: Option<String>,
    /// Return at most this many records; a [scan](Provider::scan) only about as many. A provider may
    /// return fewer even if more follow.
    pub limit: u32,
}

impl Page {
    /// Creates the first page.
    ///
    /// ```
    /// use sessions::provider::Page;
    /// assert_eq!(Page::first(10).after, None);
    /// ```
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// Creates the page after `mark`.
    ///
    /// ```
    /// use sessions::provider::Page;
    /// assert_eq!(Page::after("x", 10).after.as_deref(), Some("x"));
    /// ```
    pub fn after(mark: impl Into<String>, limit: u32) -> Self {
        Self { after: Some(mark.into()), limit }
    }
}

/// One page of an owner's records, or of all records.
///
/// ```
/// use sessions::provider::Listed;
/// assert!(Listed::default().next.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The live records. Those of an owner are each on one page, in an order that is the same on all
    /// pages.
    pub records: Vec<Record>,
    /// The mark of the next page, or `None` on the last page.
    pub next: Option<String>,
}

/// A database for the store.
///
/// The contract, which the conformance suite tests:
///
/// - The database decides atomically who wins a save, a deletion or a touch. Two writers that save
///   equal bytes over the same version are still two: one gets [`Saved::Saved`], the other a
///   conflict.
/// - A conflict changes nothing. It returns the live record that is stored, never one older than
///   the winner's. If the provider reads that record in a second step, a third caller may have
///   restored what was expected; this is still a conflict.
/// - Reads see every save that completed before, on any host.
/// - A record that has expired at `now` is never returned and never revived. Only a deletion that
///   expects [`Expect::Any`] returns one, as the removed record.
/// - A provider never repeats a save, or a deletion under a version, and neither does its driver.
/// - Cancelling a call at any await leaves the database consistent.
///
/// ```
/// use std::time::SystemTime;
/// use sessions::MemoryProvider;
/// use sessions::provider::{Expect, Provider, Record, Saved};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
/// let provider = MemoryProvider::new();
/// let now = SystemTime::now();
/// let record = Record::new("a", 1, &b"data"[..]);
/// assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Saved);
/// assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Conflict(Some(record)));
/// # Ok(()) }
/// ```
#[async_trait]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session provider",
    note = "use `MemoryProvider`, a provider crate such as `sessionful-sqlite`, or implement \
            `sessions::provider::Provider` for your own database"
)]
pub trait Provider: Send + Sync + 'static {
    /// Returns the record of this id if it is live at `now`.
    ///
    /// # Errors
    /// Fails if the database cannot answer.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Page, Provider, Record, Saved};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let record = Record::new("a", 1, &b"data"[..]);
    /// provider.save(&record, Expect::Absent, now).await?;
    /// assert_eq!(provider.fetch("a", now).await?, Some(record));
    /// assert_eq!(provider.fetch("b", now).await?, None);
    /// # Ok(()) }
    /// ```
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError>;

    /// Stores `record` if what is stored meets `expect`.
    ///
    /// # Errors
    /// Fails if the database cannot answer. The save may or may not have happened.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Page, Provider, Record, Saved};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let first = Record::new("a", 1, &b"first"[..]);
    /// let second = Record::new("a", 2, &b"second"[..]);
    /// assert_eq!(provider.save(&first, Expect::Absent, now).await?, Saved::Saved);
    /// assert_eq!(provider.save(&second, Expect::Version(1), now).await?, Saved::Saved);
    ///
    /// // Too late: the record is at version 2.
    /// let late = Record::new("a", 2, &b"late"[..]);
    /// let lost = provider.save(&late, Expect::Version(1), now).await?;
    /// assert_eq!(lost, Saved::Conflict(Some(second)));
    /// # Ok(()) }
    /// ```
    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError>;

    /// Deletes the record of this id if what is stored meets `expect`, and returns the removed
    /// record, in one atomic step. A missing record is neither an error nor a conflict, with every
    /// expectation.
    ///
    /// - [`Expect::Any`] removes the stored record, even if it has expired.
    /// - [`Expect::Version`] and [`Expect::Untouched`] remove only such a live record. An expired
    ///   record counts as missing; the provider may keep or remove it.
    /// - [`Expect::Absent`] removes no live record.
    ///
    /// A provider that tells of [changes](Self::changes) answers only once every listener will hear
    /// of the deletion. The store repeats a call whose answer was lost, so this also holds where
    /// nothing is left to remove, or another version is stored: an earlier try may have removed the
    /// record.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or listeners may not hear of the deletion. The record may
    /// or may not be gone.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Deleted, Expect, Provider, Record};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let record = Record::new("a", 2, &b"data"[..]);
    /// provider.save(&record, Expect::Absent, now).await?;
    ///
    /// // Somebody has saved since version 1 was read.
    /// let kept = provider.delete("a", Expect::Version(1), now).await?;
    /// assert_eq!(kept, Deleted::Conflict(record.clone()));
    ///
    /// let removed = provider.delete("a", Expect::Version(2), now).await?;
    /// assert_eq!(removed, Deleted::Deleted(Some(record)));
    /// assert_eq!(provider.delete("a", Expect::Any, now).await?, Deleted::Deleted(None));
    /// # Ok(()) }
    /// ```
    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError>;

    /// Moves the expiry of a live record that meets `expect` to `expires_at`, but never to an
    /// earlier time. It changes nothing else, not even the version.
    ///
    /// Any live record meets [`Expect::Any`], and no record meets [`Expect::Absent`].
    ///
    /// # Errors
    /// Fails if the database cannot answer. The expiry may or may not have moved.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Provider, Record, Touched};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let mut record = Record::new("a", 1, &b"data"[..]);
    /// record.expires_at = Some(now + Duration::from_secs(60));
    /// provider.save(&record, Expect::Absent, now).await?;
    ///
    /// let later = now + Duration::from_secs(3600);
    /// assert_eq!(provider.touch("a", later, Expect::Version(1), now).await?, Touched::Touched);
    /// assert!(provider.fetch("a", now + Duration::from_secs(600)).await?.is_some());
    ///
    /// let missing = provider.touch("b", later, Expect::Any, now).await?;
    /// assert_eq!(missing, Touched::Conflict(None));
    /// # Ok(()) }
    /// ```
    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let _ = (id, expires_at, expect, now);
        Err(ProviderError::unsupported("touch"))
    }

    /// Lists the live records of an owner, a page at a time.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or this provider keeps no list.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Page, Provider, Record, Saved};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let mut record = Record::new("a", 1, &b"data"[..]);
    /// record.owner = Some("shop/visitor/7".into());
    /// provider.save(&record, Expect::Absent, now).await?;
    /// let listed = provider.list("shop/visitor/7", Page::first(10), now).await?;
    /// assert_eq!((listed.records, listed.next), (vec![record], None));
    /// # Ok(()) }
    /// ```
    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let _ = (owner, page, now);
        Err(ProviderError::unsupported("list"))
    }

    /// Returns the live records of the whole database, a page at a time: the sessions of all types,
    /// and the records of the stores themselves, such as the key ring. It is for operators; no request
    /// uses it.
    ///
    /// - A record that is live from the first page to the last is on a page, also if it is saved or
    ///   touched meanwhile. Where the database has no order, it can be on more than one.
    /// - A record that is created or removed meanwhile may be on a page or not.
    /// - A page has about [`limit`](Page::limit) records: more, fewer or none, also if others follow.
    ///   Only a missing [`Listed::next`] says that it is the last one.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or the mark is not one of this provider. Unsupported by
    /// default.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Page, Provider, Record};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// for id in ["a", "b", "c"] {
    ///     provider.save(&Record::new(id, 1, Vec::new()), Expect::Absent, now).await?;
    /// }
    /// let (mut count, mut page) = (0, Page::first(2));
    /// loop {
    ///     let listed = provider.scan(page, now).await?;
    ///     count += listed.records.len();
    ///     let Some(mark) = listed.next else { break };
    ///     page = Page::after(mark, 2);
    /// }
    /// assert_eq!(count, 3);
    /// # Ok(()) }
    /// ```
    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        let _ = (page, now);
        Err(ProviderError::unsupported("scan"))
    }

    /// Removes at most `limit` records that have expired by the given time, and returns how many.
    ///
    /// # Errors
    /// When the database cannot answer.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Page, Provider, Record, Saved};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let mut record = Record::new("a", 1, &b"data"[..]);
    /// record.expires_at = Some(now + Duration::from_secs(60));
    /// provider.save(&record, Expect::Absent, now).await?;
    /// assert_eq!(provider.purge(now, 100).await?, 0);
    /// assert_eq!(provider.purge(now + Duration::from_secs(61), 100).await?, 1);
    /// # Ok(()) }
    /// ```
    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let _ = (expired_before, limit);
        Err(ProviderError::unsupported("purge"))
    }

    /// Returns the database's time, or `None` if the database has no clock but this machine's.
    ///
    /// The store asks before it deletes for good: expired records, and expired keys of the key
    /// ring. It goes by the earlier of this clock and its own, so that a host whose clock is ahead
    /// deletes nothing that others still use.
    ///
    /// # Errors
    /// Fails if the database cannot answer. Nothing is deleted then.
    ///
    /// ```
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::Provider;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// assert_eq!(MemoryProvider::new().clock().await?, None);
    /// # Ok(()) }
    /// ```
    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        Ok(None)
    }

    /// Returns the live records among these ids, in any order. The default fetches one after the
    /// other; a database that can, answers in one round trip.
    ///
    /// The store asks for at most 100 at once.
    ///
    /// # Errors
    /// Fails if the database cannot answer.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Provider, Record};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let record = Record::new("a", 1, &b"data"[..]);
    /// provider.save(&record, Expect::Absent, now).await?;
    /// assert_eq!(provider.fetch_many(&["a", "b"], now).await?, [record]);
    /// # Ok(()) }
    /// ```
    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let mut records = Vec::new();
        for id in ids {
            records.extend(self.fetch(id, now).await?);
        }
        Ok(records)
    }

    /// Tells `listener` of the changes of every host, until the feed is lost. Cancelling it ends the
    /// feed.
    ///
    /// The provider
    ///
    /// - calls [`began`](ChangeListener::began) once it hears of every change that completes from
    ///   then on;
    /// - names each record that any host updated, announced or deleted, once or more. It need not name
    ///   a record that was touched or has expired;
    /// - calls [`gap`](ChangeListener::gap) after changes that it cannot name;
    /// - each second takes a [`next_ping`](ChangeListener::next_ping), asks its database on the very
    ///   connection that brings the changes, and calls [`proved`](ChangeListener::proved) when the
    ///   answer has come and all changes before it were passed on;
    /// - returns the error when the connection is lost. The store calls again.
    ///
    /// # Errors
    /// Unsupported for a database that does not tell of changes; the store then trusts what it knows
    /// for a short time only. A permanent error for one that could be told and is not, such as
    /// behind a pooler, with what to do.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// use sessions::MemoryProvider;
    /// use sessions::provider::{ChangeListener, Expect, Notice, Provider, Record};
    /// use tokio::sync::mpsc;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = MemoryProvider::new();
    /// let (sender, mut heard) = mpsc::unbounded_channel();
    /// let listener = ChangeListener::new(move |notice| {
    ///     if let Notice::Changed(id) = notice {
    ///         sender.send(id.to_owned()).ok();
    ///     }
    /// });
    /// let changes = provider.changes(listener);
    /// let save = async {
    ///     provider.save(&Record::new("a", 1, Vec::new()), Expect::Absent, SystemTime::now()).await
    /// };
    /// tokio::select! {
    ///     biased;
    ///     lost = changes => drop(lost?),
    ///     saved = save => drop(saved?),
    /// }
    /// assert_eq!(heard.recv().await.as_deref(), Some("a"));
    /// # Ok(()) }
    /// ```
    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        let _ = listener;
        Err(ProviderError::unsupported("changes"))
    }

    /// Does what [`save`](Self::save) does, for a record that no host may read in its old state any
    /// more: the session's secret or owner changed. Where the provider itself has to tell of
    /// changes, it answers only once every listener will hear of this one, as with every
    /// [deletion](Self::delete). Of other saves it tells when the store
    /// [announces](Self::announce) them.
    ///
    /// The store repeats a call whose answer was lost. So the provider also tells of a save that
    /// conflicts, unless it expected no record: an earlier try may have stored it.
    ///
    /// A provider that wraps another must forward this call, `announce` and `changes`.
    ///
    /// The default is `save`, right for a database that tells of every change by itself, and for
    /// one that tells of none.
    ///
    /// # Errors
    /// As `save`. Also if listeners may not hear of the save.
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::{Expect, Provider, Record, Saved};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let (provider, now) = (MemoryProvider::new(), SystemTime::now());
    /// let renewed = Record::new("a", 2, &b"another secret"[..]);
    /// let saved = provider.save_and_announce(&renewed, Expect::Absent, now).await?;
    /// assert_eq!(saved, Saved::Saved);
    /// # Ok(()) }
    /// ```
    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.save(record, expect, now).await
    }

    /// Tells every listener that these records have changed: what this host has saved since the
    /// last call, gathered. The default does nothing, right for a database that tells of every
    /// change by itself, and for one that tells of none.
    ///
    /// A store with a cache calls it after its saves, one call at a
    /// time.
    ///
    /// # Errors
    /// Fails if the database cannot answer. The store does not repeat it.
    ///
    /// ```
    /// # use sessions::MemoryProvider;
    /// # use sessions::provider::Provider;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// MemoryProvider::new().announce(&["a", "b"]).await
    /// # }
    /// ```
    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        let _ = ids;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_record_shows_no_data_and_no_owner() {
        let mut record = Record::new("id", 1, &b"secret"[..]);
        record.owner = Some("app/visitor/alice".into());
        let text = format!("{record:?}");
        assert!(text.contains("6 bytes") && !text.contains("secret") && !text.contains("alice"));
    }
}
