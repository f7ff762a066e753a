//! Ending a session that no browser will come to have.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::core::Core;
use super::save::{EndOutcome, Patience};
use crate::error::Error;
use crate::id::{SecretHash, StoreKey};
use crate::provider::Record;
use crate::schema::stored::Stored;

impl Core {
    /// Ends a session that no browser will get, in a task that retries until the provider has
    /// answered. It does so only while the session has the secret that was drawn for it.
    pub(super) fn abandon(self: Arc<Self>, key: StoreKey, hash: SecretHash) {
        // Outside a runtime the task cannot run.
        let Ok(runtime) = Handle::try_current() else { return };
        let guard = self.commits.guard();
        runtime.spawn(async move {
            let _guard = guard;
            let mut wait = FIRST_WAIT;
            let mut closing = self.closing.subscribe();
            loop {
                match self.abandon_once(&key, hash).await {
                    Ok(()) => return,
                    Err(error) => self.events.discard_failed(&key, &error),
                }
                let closed = closing.wait_for(|closed| *closed);
                if tokio::time::timeout(wait, closed).await.is_ok() {
                    return;
                }
                wait = (2 * wait).min(LAST_WAIT);
            }
        });
    }

    async fn abandon_once(&self, key: &StoreKey, hash: SecretHash) -> Result<(), Error> {
        let mut patience = Patience::new();
        let is_mine = |record: &Record| {
            let stored = Stored::parse("", &record.data);
            stored.is_ok_and(|stored| stored.summary.secret == Some(hash))
        };
        let Some(record) = self.fetch(key.as_str(), &mut patience).await? else {
            // The save may still be on its way.
            self.delete_any(key.as_str(), &mut patience).await?;
            return Ok(());
        };
        if is_mine(&record) {
            let version = record.version;
            let end = self.end(key.as_str(), version, &mut patience, &mut false, is_mine).await?;
            if let EndOutcome::Ended(record) = end {
                self.events.ended(
                    record.format.split('/').next().unwrap_or_default(),
                    key,
                    "abandoned",
                );
            }
        }
        Ok(())
    }
}

/// How long to wait after the first try to end such a session.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(10);
