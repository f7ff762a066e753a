//! The provider under test, and calls that fail with a clear message.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};

use crate::clock::{from_unix_millis, to_unix_millis};
use crate::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};

/// A provider on an empty database, for one property of the suite.
///
/// ```
/// use sessions::MemoryProvider;
/// use sessions::provider::conformance::Subject;
///
/// let provider = MemoryProvider::new();
/// let twin = provider.clone();
/// let subject = Subject::new(provider).with_twin(twin);
/// # let _ = subject;
/// ```
pub struct Subject {
    pub(super) one: Handle,
    pub(super) two: Handle,
    pub(super) max_data: usize,
    pub(super) touches: bool,
    pub(super) lists: bool,
    pub(super) scans: bool,
    pub(super) purges: bool,
    pub(super) changes: bool,
    start: SystemTime,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// Creates the subject for a provider that supports every call. If it has a
    /// [twin](Self::with_twin), half of the calls go to the twin.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new());
    /// # let _ = subject;
    /// ```
    pub fn new(provider: impl Provider) -> Self {
        let one = Handle(Arc::new(provider));
        Self {
            two: one.clone(),
            one,
            max_data: 1 << 20,
            touches: true,
            lists: true,
            scans: true,
            purges: true,
            changes: true,
            start: from_unix_millis(to_unix_millis(SystemTime::now())),
            kept: Vec::new(),
        }
    }

    /// Adds a second instance on the same database, with its own connections. The two must behave
    /// as one. Add a twin whenever the database serves more than one instance.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let provider = MemoryProvider::new();
    /// let subject = Subject::new(provider.clone()).with_twin(provider);
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn with_twin(mut self, twin: impl Provider) -> Self {
        self.two = Handle(Arc::new(twin));
        self
    }

    /// Keeps a value, such as a temporary folder or a server, until the property has been checked.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).keep("until the end");
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn keep(mut self, value: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(value));
        self
    }

    /// Sets the largest data that the database accepts, if it is less than 1 MiB. One byte more
    /// must then be a permanent error.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).max_data(380 * 1024);
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn max_data(mut self, bytes: usize) -> Self {
        self.max_data = bytes;
        self
    }

    /// Declares that the provider does not support `touch`. The call must then return an
    /// "unsupported" error, and the suite skips the checks that need it.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).without_touch();
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn without_touch(mut self) -> Self {
        self.touches = false;
        self
    }

    /// Declares that the provider does not support `list`. The call must then return an
    /// "unsupported" error, and the suite skips the checks that need it.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).without_list();
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn without_list(mut self) -> Self {
        self.lists = false;
        self
    }

    /// Declares that the provider does not support `scan`. The call must then return an
    /// "unsupported" error, and the suite skips the checks that need it.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).without_scan();
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn without_scan(mut self) -> Self {
        self.scans = false;
        self
    }

    /// Declares that the provider does not support `purge`, because its database removes expired
    /// records itself. The call must then return an "unsupported" error, and the suite skips the
    /// checks that need it.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).without_purge();
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn without_purge(mut self) -> Self {
        self.purges = false;
        self
    }

    /// Declares that the database does not tell of changes. The call must then return an
    /// "unsupported" error, and the suite skips the checks that need it.
    ///
    /// ```
    /// use sessions::MemoryProvider;
    /// use sessions::provider::conformance::Subject;
    /// let subject = Subject::new(MemoryProvider::new()).without_changes();
    /// # let _ = subject;
    /// ```
    #[must_use]
    pub fn without_changes(mut self) -> Self {
        self.changes = false;
        self
    }

    /// Returns the time `millis` milliseconds after the start.
    pub(super) fn at(&self, millis: u64) -> SystemTime {
        self.start + Duration::from_millis(millis)
    }

    /// Returns one of the two instances in turn.
    pub(super) fn handle(&self, turn: usize) -> &Handle {
        if turn.is_multiple_of(2) { &self.one } else { &self.two }
    }

    /// Returns whether the property can continue. If not, it checks that the call is refused as
    /// unsupported.
    pub(super) async fn offers_touch(&self) -> bool {
        if !self.touches {
            let answer = self.one.0.touch("a", self.at(HOUR), Expect::Any, self.at(0)).await;
            must_be_unsupported("touch", answer.as_ref().err());
        }
        self.touches
    }

    pub(super) async fn offers_list(&self) -> bool {
        if !self.lists {
            let answer = self.one.0.list("owner", Page::first(1), self.at(0)).await;
            must_be_unsupported("list", answer.as_ref().err());
        }
        self.lists
    }

    pub(super) async fn offers_scan(&self) -> bool {
        if !self.scans {
            let answer = self.one.0.scan(Page::first(1), self.at(0)).await;
            must_be_unsupported("scan", answer.as_ref().err());
        }
        self.scans
    }

    pub(super) async fn offers_purge(&self) -> bool {
        if !self.purges {
            let answer = self.one.0.purge(self.at(0), 1).await;
            must_be_unsupported("purge", answer.as_ref().err());
        }
        self.purges
    }

    pub(super) async fn offers_changes(&self) -> bool {
        if !self.changes {
            let Err(error) = self.one.0.changes(ChangeListener::new(|_| {})).await;
            must_be_unsupported("changes", Some(&error));
        }
        self.changes
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("max_data", &self.max_data)
            .field("touches", &self.touches)
            .field("lists", &self.lists)
            .field("scans", &self.scans)
            .field("purges", &self.purges)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

/// A provider whose errors fail the property.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Arc<dyn Provider>);

impl Handle {
    pub(super) async fn fetch(&self, id: &str, now: SystemTime) -> Option<Record> {
        answer("fetch", self.0.fetch(id, now).await)
    }

    pub(super) async fn save(&self, record: &Record, expect: Expect, now: SystemTime) -> Saved {
        answer("save", self.0.save(record, expect, now).await)
    }

    /// A save that has no reason to conflict.
    pub(super) async fn put(&self, record: &Record, expect: Expect, now: SystemTime) {
        let saved = self.save(record, expect, now).await;
        assert!(
            saved == Saved::Saved,
            "a save that expects {expect:?} must succeed here, but the answer is {saved:?}"
        );
    }

    /// What a delete without a check removed.
    pub(super) async fn delete(&self, id: &str, now: SystemTime) -> Option<Record> {
        match self.delete_if(id, Expect::Any, now).await {
            Deleted::Deleted(removed) => removed,
            conflict @ Deleted::Conflict(_) => {
                panic!("a delete that expects anything must not conflict, but did: {conflict:?}")
            }
        }
    }

    pub(super) async fn delete_if(&self, id: &str, expect: Expect, now: SystemTime) -> Deleted {
        answer("delete", self.0.delete(id, expect, now).await)
    }

    /// Whether a touch without a check found a live record.
    pub(super) async fn touch(&self, id: &str, expires_at: SystemTime, now: SystemTime) -> bool {
        // The conflict's record may have been created since the touch found none.
        self.touch_if(id, expires_at, Expect::Any, now).await == Touched::Touched
    }

    pub(super) async fn touch_if(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Touched {
        answer("touch", self.0.touch(id, expires_at, expect, now).await)
    }

    pub(super) async fn list(&self, owner: &str, page: Page, now: SystemTime) -> Listed {
        answer("list", self.0.list(owner, page, now).await)
    }

    pub(super) async fn scan(&self, page: Page, now: SystemTime) -> Listed {
        answer("scan", self.0.scan(page, now).await)
    }

    pub(super) async fn purge(&self, expired_before: SystemTime, limit: u32) -> u64 {
        answer("purge", self.0.purge(expired_before, limit).await)
    }

    pub(super) async fn clock(&self) -> Option<SystemTime> {
        answer("clock", self.0.clock().await)
    }
}

/// A record with every field set, which expires in an hour.
pub(super) fn record(subject: &Subject, id: &str, version: u64) -> Record {
    Record {
        id: id.into(),
        version,
        expires_at: Some(subject.at(HOUR)),
        format: format!("visitor/{version}").into(),
        data: Bytes::from(format!("data of {id} in version {version}")),
        owner: Some("app/visitor/alice".into()),
    }
}

/// Fails unless the record found is the one expected, and names the fields that differ.
#[track_caller]
pub(super) fn must_be(found: Option<&Record>, expected: &Record, what: &str) {
    let Some(found) = found else {
        panic!("{what}: must be {expected:?}, but is missing");
    };
    let differs = [
        ("id", found.id != expected.id),
        ("version", found.version != expected.version),
        ("expires_at", found.expires_at != expected.expires_at),
        ("format", found.format != expected.format),
        ("data", found.data != expected.data),
        ("owner", found.owner != expected.owner),
    ];
    let differs: Vec<_> = differs.iter().filter(|(_, differs)| *differs).map(|it| it.0).collect();
    assert!(
        differs.is_empty(),
        "{what}: must be {expected:?}, but is {found:?}; wrong: {}",
        differs.join(", ")
    );
}

#[track_caller]
pub(super) fn must_be_absent(found: Option<&Record>, what: &str) {
    assert!(found.is_none(), "{what}: must be absent, but is {found:?}");
}

/// Fails unless the save conflicted with exactly this record, or with none.
#[track_caller]
pub(super) fn must_conflict(saved: &Saved, with: Option<&Record>, what: &str) {
    match (saved, with) {
        (Saved::Saved, _) => panic!("{what}: must conflict, but is saved"),
        (Saved::Conflict(found), Some(expected)) => {
            must_be(found.as_ref(), expected, &format!("{what}: the conflict's record"));
        }
        (Saved::Conflict(found), None) => {
            must_be_absent(found.as_ref(), &format!("{what}: the conflict's record"));
        }
    }
}

/// Returns the results of tasks, in any order, or the panic of the first that fails. It does not
/// wait for the others, because they may wait for the one that failed.
pub(super) async fn join<T: 'static>(mut tasks: JoinSet<T>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        match result.map_err(JoinError::try_into_panic) {
            Ok(result) => results.push(result),
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(error)) => panic!("a task of the suite was cancelled: {error}"),
        }
    }
    results
}

/// Milliseconds.
pub(super) const HOUR: u64 = 3_600_000;

#[track_caller]
fn answer<T>(call: &str, answer: Result<T, ProviderError>) -> T {
    answer
        .unwrap_or_else(|error| panic!("{call} must answer here, but failed: {error} ({error:?})"))
}

#[track_caller]
fn must_be_unsupported(call: &str, error: Option<&ProviderError>) {
    assert!(
        error.is_some_and(ProviderError::is_unsupported),
        "{call} was declared as not offered, so it must fail as unsupported; it gave {error:?}"
    );
}
