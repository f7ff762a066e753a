//! A provider whose feed of changes a test holds in its hand.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    async_trait,
};
use tokio::sync::watch;

/// Another provider, with a test's feed in place of its own.
#[derive(Clone, Debug)]
pub struct Fed<P> {
    inner: P,
    /// `None` for one that tells of nothing.
    feed: Option<Feed>,
}

/// A test's feed: it tells only what the test says. Clones share it.
#[derive(Clone, Debug)]
pub struct Feed {
    listener: watch::Sender<Option<ChangeListener>>,
    lost: watch::Sender<u32>,
    refuses: Arc<AtomicBool>,
    announced: Arc<Mutex<Vec<String>>>,
}

impl<P> Fed<P> {
    /// Gives a provider a test's feed.
    pub fn new(inner: P) -> (Self, Feed) {
        let feed = Feed {
            listener: watch::Sender::new(None),
            lost: watch::Sender::new(0),
            refuses: Arc::default(),
            announced: Arc::default(),
        };
        (Self { inner, feed: Some(feed.clone()) }, feed)
    }

    /// A provider that tells of no changes.
    pub fn silent(inner: P) -> Self {
        Self { inner, feed: None }
    }

    fn announce(&self, id: &str) {
        if let Some(feed) = &self.feed {
            feed.announce(id);
        }
    }
}

impl Feed {
    /// Waits until a store listens.
    ///
    /// # Panics
    /// Never: the feed holds both ends of its channel.
    pub async fn listener(&self) -> ChangeListener {
        let mut listener = self.listener.subscribe();
        let listener = listener.wait_for(Option::is_some).await.expect("it holds the sender");
        listener.clone().expect("it was waited for")
    }

    /// Waits until a store listens, and tells that the feed has begun and is alive.
    pub async fn begin(&self) -> ChangeListener {
        let listener = self.listener().await;
        listener.began();
        listener.proved(listener.ping());
        listener
    }

    /// Loses the connection.
    pub fn lose(&self) {
        self.listener.send_replace(None);
        self.lost.send_modify(|lost| *lost += 1);
    }

    /// From now on, announcements fail.
    pub fn refuse_announcements(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }

    /// The ids that were announced, each announced save or deletion once.
    #[must_use]
    pub fn announced(&self) -> Vec<String> {
        std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn announce(&self, id: &str) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
    }
}

#[async_trait]
impl<P: Provider> Provider for Fed<P> {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.inner.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.inner.save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.inner.delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
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

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.inner.fetch_many(ids, now).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        let Some(feed) = &self.feed else { return Err(ProviderError::unsupported("changes")) };
        let mut lost = feed.lost.subscribe();
        feed.listener.send_replace(Some(listener));
        // Ends when the test says so.
        lost.changed().await.ok();
        Err(ProviderError::unavailable("the test lost the feed"))
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.announce(&format!("with the save: {}", record.id));
        self.inner.save_and_announce(record, expect, now).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        if self.feed.as_ref().is_some_and(|feed| feed.refuses.load(Ordering::Relaxed)) {
            return Err(ProviderError::unavailable("the test refuses announcements"));
        }
        ids.iter().for_each(|id| self.announce(id));
        self.inner.announce(ids).await
    }
}
