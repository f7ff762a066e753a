//! Removing expired records, if the database does not do it itself.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;

use super::core::Core;
use crate::clock::SKEW;
use crate::error::Error;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

impl Core {
    /// See [`Store::purge_expired`](crate::Store::purge_expired).
    pub(crate) async fn purge_expired(&self, limit: u32) -> Result<u64, Error> {
        self.needs_records("purge_expired()")?;
        let work = async {
            // What is removed is gone, so one host's clock alone does not decide.
            let now = match self.provider.clock().await? {
                Some(clock) => clock.min(self.now()),
                None => self.now(),
            };
            let before = now.checked_sub(SKEW).unwrap_or(std::time::UNIX_EPOCH);
            Ok::<_, Error>(self.provider.purge(before, limit).await?)
        };
        let purged =
            observe(Operation::Purge, "", None, work, |_| (CallOutcome::Done, None)).await?;
        self.events.purged(purged);
        Ok(purged)
    }

    /// See [`Store::purge_task`](crate::Store::purge_task).
    pub(crate) async fn purge_task(self: Arc<Self>, interval: Duration) {
        let mut closing = self.closing.subscribe();
        loop {
            let wait = interval.mul_f64(rand::rng().random_range(0.9..=1.1));
            let closed = closing.wait_for(|closed| *closed);
            if tokio::time::timeout(wait.max(SHORTEST), closed).await.is_ok() {
                return;
            }
            match self.purge_round().await {
                Ok(()) => {}
                Err(Error::Misuse(_)) => return,
                Err(Error::Provider(error)) if error.is_unsupported() => {
                    self.events.purge_not_needed();
                    return;
                }
                Err(error) => self.events.purge_failed(&error),
            }
        }
    }

    /// Removes batch after batch until nothing is left. Small batches hold no lock for long.
    async fn purge_round(&self) -> Result<(), Error> {
        while self.purge_expired(BATCH).await? >= u64::from(BATCH) {
            if *self.closing.borrow() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// How many records one call removes.
const BATCH: u32 = 1_000;

/// The shortest interval: zero would never pause.
const SHORTEST: Duration = Duration::from_millis(100);
