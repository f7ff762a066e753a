//! Removing expired records, if the database does not do it itself.

use std::time::Duration;

use rand::Rng as _;

use super::Store;
use crate::Error;
use crate::event::{self, Call, Ended, observe};

impl Store {
    /// Removes at most `limit` records that expired more than ten minutes ago, which is the largest
    /// difference between two hosts' clocks. Returns how many it removed.
    ///
    /// An expired session cannot be read even if it is not purged; purging frees its space.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the provider is down. [`Error::Provider`] if it does not purge,
    /// because its database removes expired records itself. [`Error::Config`] for a client-side
    /// store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// assert_eq!(store.purge_expired(1_000).await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn purge_expired(&self, limit: u32) -> Result<u64, Error> {
        self.needs_records("purge_expired()")?;
        let before = self.now().checked_sub(SKEW).unwrap_or(std::time::UNIX_EPOCH);
        let work = async { Ok::<_, Error>(self.inner.provider.purge(before, limit).await?) };
        let purged = observe(Call::Purge, "", None, work, |_| (Ended::Done, None)).await?;
        event::purged(purged);
        Ok(purged)
    }

    /// Purges about once in each `interval` until [`shutdown`](Self::shutdown). Each wait is up to
    /// a tenth shorter or longer, so that hosts spread out. A failure is an event, and the next
    /// round tries again. Spawn it:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// let purge = tokio::spawn(store.purge_task(Duration::from_secs(10 * 60)));
    ///
    /// // When the server has stopped:
    /// store.shutdown().await;
    /// purge.await.expect("it ends at the shutdown");
    /// # }
    /// ```
    pub fn purge_task(&self, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        let store = self.clone();
        async move {
            let mut closing = store.inner.closing.subscribe();
            loop {
                let wait = interval.mul_f64(rand::rng().random_range(0.9..=1.1));
                let closed = closing.wait_for(|closed| *closed);
                if tokio::time::timeout(wait.max(SHORTEST), closed).await.is_ok() {
                    return;
                }
                match store.purge_round().await {
                    Ok(()) => {}
                    Err(Error::Config(_)) => return,
                    Err(Error::Provider(error)) if error.is_unsupported() => {
                        event::purge_not_needed();
                        return;
                    }
                    Err(error) => event::purge_failed(&error),
                }
            }
        }
    }

    /// Removes batch after batch until nothing is left. Small batches hold no lock for long.
    async fn purge_round(&self) -> Result<(), Error> {
        while self.purge_expired(BATCH).await? >= u64::from(BATCH) {
            if *self.inner.closing.borrow() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// The largest difference between two hosts' clocks.
pub(crate) const SKEW: Duration = Duration::from_secs(10 * 60);

/// How many records one call removes.
const BATCH: u32 = 1_000;

/// The shortest interval: zero would never pause.
const SHORTEST: Duration = Duration::from_millis(100);
