//! A provider that counts its calls and can be made to fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::SystemTime;

pub use sessions::testing::Calls;

use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched, async_trait,
};

/// Another provider, watched. The key ring's own record is left out of the count.
#[derive(Debug)]
pub struct Watched<P> {
    inner: P,
    watch: Watch,
}

/// The counts of a [`Watched`] provider, and its switch.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    down: AtomicBool,
    fetch: AtomicU32,
    save: AtomicU32,
    touch: AtomicU32,
    delete: AtomicU32,
    list: AtomicU32,
    purge: AtomicU32,
}

impl<P> Watched<P> {
    /// Watches a provider.
    pub fn new(inner: P) -> (Self, Watch) {
        let watch = Watch::default();
        (Self { inner, watch: watch.clone() }, watch)
    }

    fn call(&self, id: &str, count: &AtomicU32) -> Result<(), ProviderError> {
        if !id.ends_with(":keys") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        if self.watch.0.down.load(Ordering::SeqCst) {
            return Err(ProviderError::unavailable("switched off by the test"));
        }
        Ok(())
    }
}

impl Watch {
    /// The calls since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Calls {
        let take = |count: &AtomicU32| count.swap(0, Ordering::SeqCst);
        let State { fetch, save, touch, delete, list, purge, .. } = &*self.0;
        Calls {
            fetch: take(fetch),
            save: take(save),
            touch: take(touch),
            delete: take(delete),
            list: take(list),
            purge: take(purge),
        }
    }

    /// Makes every call fail as a database does that is down, or lets them through again.
    pub fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }
}

#[async_trait]
impl<P: Provider> Provider for Watched<P> {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.call(id, &self.watch.0.fetch)?;
        self.inner.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.call(&record.id, &self.watch.0.save)?;
        self.inner.save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.call(id, &self.watch.0.delete)?;
        self.inner.delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.call(id, &self.watch.0.touch)?;
        self.inner.touch(id, expires_at, expect, now).await
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.call(owner, &self.watch.0.list)?;
        self.inner.list(owner, page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.call("", &self.watch.0.purge)?;
        self.inner.purge(expired_before, limit).await
    }
}
