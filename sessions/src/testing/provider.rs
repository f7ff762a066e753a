//! The provider of a test store: it keeps records in memory, counts its calls, fails on request,
//! and runs a test's code before a save.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::clock::ManualClock;
use crate::id::StoreKey;
use crate::memory::MemoryProvider;
use crate::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use crate::store::fence::FENCE_FORMAT;

/// A kind of call to a provider.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use sessions::provider::ProviderError;
/// use sessions::testing::{Call, TestStore};
///
/// let test = TestStore::new();
/// test.fail_next(Call::Fetch, ProviderError::permanent("no such table"));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// A read of a record.
    Fetch,
    /// A save of a record, including one that failed or conflicted.
    Save,
    /// A move of an expiry.
    Touch,
    /// A deletion of a record.
    Delete,
    /// A list of one page.
    List,
    /// A scan of one page.
    Scan,
    /// A removal of expired records.
    Purge,
}

/// The number of calls to a provider, by kind.
///
/// ```
/// use sessions::testing::Calls;
///
/// let read = Calls { fetch: 1, ..Calls::default() };
/// assert_eq!(read.save, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Reads of records.
    pub fetch: u32,
    /// Saves of records, including those that failed or conflicted.
    pub save: u32,
    /// Moves of an expiry.
    pub touch: u32,
    /// Deletions of records.
    pub delete: u32,
    /// Lists of a page.
    pub list: u32,
    /// Scans of a page.
    pub scan: u32,
    /// Removals of a batch of expired records.
    pub purge: u32,
}

/// Runs before a save, and gets the key of the session that is about to be saved.
type Before =
    Box<dyn FnOnce(StoreKey) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static>;

#[derive(Default)]
struct State {
    calls: Calls,
    down: bool,
    failures: Vec<(Call, ProviderError)>,
    before_save: Option<Before>,
}

/// The control of a [`TestProvider`]'s calls. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Control(Arc<Mutex<State>>);

impl Control {
    pub(super) fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.state().calls)
    }

    pub(super) fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    pub(super) fn fail_next(&self, call: Call, error: ProviderError) {
        self.state().failures.push((call, error));
    }

    pub(super) fn before_save(&self, before: Before) {
        self.state().before_save = Some(before);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and returns the error that it must fail with.
    fn call(&self, call: Call, id: &str) -> Result<(), ProviderError> {
        if is_own() {
            return Ok(());
        }
        let mut state = self.state();
        // The key ring may call the provider at any time, so its calls are not counted.
        if !(id.ends_with(":keys") || id.ends_with(":epoch")) {
            let calls = &mut state.calls;
            *match call {
                Call::Fetch => &mut calls.fetch,
                Call::Save => &mut calls.save,
                Call::Touch => &mut calls.touch,
                Call::Delete => &mut calls.delete,
                Call::List => &mut calls.list,
                Call::Scan => &mut calls.scan,
                Call::Purge => &mut calls.purge,
            } += 1;
            if let Some(index) = state.failures.iter().position(|(kind, _)| *kind == call) {
                return Err(state.failures.remove(index).1);
            }
        }
        if state.down {
            return Err(ProviderError::unavailable("the test has switched the provider off"));
        }
        Ok(())
    }
}

/// A memory provider under a test's control.
pub(super) struct TestProvider {
    pub(super) memory: MemoryProvider,
    pub(super) clock: ManualClock,
    pub(super) control: Control,
}

#[async_trait]
impl Provider for TestProvider {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.control.call(Call::Fetch, id)?;
        self.memory.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.control.call(Call::Save, &record.id)?;
        // The ids of fences and of the key ring are not store keys. No other request can save a
        // session before its first save.
        if let (Expect::Version(_) | Expect::Untouched { .. }, Ok(key), false) =
            (expect, record.id.parse(), is_own())
        {
            let before = self.control.state().before_save.take();
            if let Some(before) = before {
                own(before(key)).await;
            }
        }
        let saved = self.memory.save(record, expect, now).await?;
        if saved == Saved::Saved && *record.format == *FENCE_FORMAT {
            // If the clock did not move, a login right after "log out everywhere" would count as
            // one that began before it.
            self.clock.advance(Duration::from_millis(1));
        }
        Ok(saved)
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.control.call(Call::Delete, id)?;
        self.memory.delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.control.call(Call::Touch, id)?;
        self.memory.touch(id, expires_at, expect, now).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.control.call(Call::List, owner)?;
        self.memory.list(owner, page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.control.call(Call::Scan, "")?;
        self.memory.scan(page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.control.call(Call::Purge, "")?;
        self.memory.purge(expired_before, limit).await
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.control.call(Call::Fetch, ids.first().unwrap_or(&""))?;
        self.memory.fetch_many(ids, now).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        self.memory.changes(listener).await
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Control").field("calls", &state.calls).field("down", &state.down).finish()
    }
}

tokio::task_local! {
    static OWN: ();
}

/// Runs the kit's own calls. They are not counted and do not fail on request.
pub(super) async fn own<T>(work: impl Future<Output = T>) -> T {
    OWN.scope((), work).await
}

fn is_own() -> bool {
    OWN.try_with(|()| ()).is_ok()
}
