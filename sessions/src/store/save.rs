//! Saves or deletes one record: how often and how long it retries, and the outcome.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::time::Instant;

use super::base::Loaded;
use super::core::Core;
use super::patch::Draft;
use super::queue::Turn;
use super::session_type::SessionType;
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Deleted, Expect, ProviderError, Record, Saved};

/// How long a commit retries, and how long it waits between its tries.
pub(super) struct Patience {
    deadline: Instant,
    round: u32,
    conflicts: u32,
    /// Failures since the provider last answered.
    failures: u32,
    /// Whether to retry until the deadline, independent of the number of failures.
    persistent: bool,
}

impl Patience {
    pub(super) fn new() -> Self {
        let deadline = Instant::now() + COMMIT_DEADLINE;
        Self { deadline, round: 0, conflicts: 0, failures: 0, persistent: false }
    }

    /// For a save whose outcome matters: three quick failures do not count as an outage.
    pub(super) fn persistent() -> Self {
        Self { persistent: true, ..Self::new() }
    }

    /// Starts again: one of many steps is done, and each may take as long as a commit.
    pub(super) fn progressed(&mut self) {
        *self = Self { persistent: self.persistent, ..Self::new() };
    }

    /// Waits before a try after a conflict.
    pub(super) async fn after_conflict(&mut self) -> Result<(), Error> {
        if self.wait().await {
            return Ok(());
        }
        Err(too_many())
    }

    /// Whether to save over the record of this conflict at once: every other time.
    fn is_fresh(&mut self) -> bool {
        self.conflicts += 1;
        !self.conflicts.is_multiple_of(2) && Instant::now() < self.deadline
    }

    /// Waits before a retry after a failure, but not after the first: an early retry leaves less
    /// room for other saves to follow one whose answer was lost. Returns `false` after too many
    /// failures.
    pub(super) async fn after_failure(&mut self) -> bool {
        self.failures += 1;
        match self.failures {
            1 => Instant::now() < self.deadline,
            2..MOST_FAILURES => self.wait().await,
            _ => self.persistent && self.wait().await,
        }
    }

    async fn wait(&mut self) -> bool {
        // The ceiling doubles from 1 ms to 64 ms; the wait is random below it, so that writers
        // of one record spread out.
        let ceiling = 1_000_u64 << self.round.min(6);
        self.round += 1;
        let wait = Duration::from_micros(rand::rng().random_range(ceiling / 4..=ceiling));
        if Instant::now() + wait >= self.deadline {
            return false;
        }
        tokio::time::sleep(wait).await;
        true
    }
}

/// The outcome of a save.
#[allow(clippy::large_enum_variant)] // It lives for one match.
pub(super) enum SaveOutcome {
    Saved,
    /// Something else is stored, or nothing.
    Conflict(Option<Record>),
}

/// The outcome of ending a session.
#[allow(clippy::large_enum_variant)] // It lives for one match.
pub(super) enum EndOutcome {
    /// The record that was removed.
    Ended(Record),
    /// The record was already gone.
    Gone,
    /// The record may not be ended, or not any more.
    Refused(Record),
}

/// A record as it was written, or found to be.
pub(super) struct SavedRecord {
    pub(super) record: Record,
    /// Whether it may hold values other than those of the committed handle.
    pub(super) merged: bool,
}

impl Core {
    /// Saves a record, first at `now`, and again if the answer was lost. Then `lost` is set, and a
    /// conflict may be with this very save. `renews`: the session gets another secret.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no answer came in time. The save may have happened.
    pub(super) async fn save(
        &self,
        record: &Record,
        expect: Expect,
        renews: bool,
        now: SystemTime,
        patience: &mut Patience,
        lost: &mut bool,
    ) -> Result<SaveOutcome, Error> {
        let error = match self.send(record, expect, renews, now).await {
            Ok(saved) => {
                patience.failures = 0;
                return Ok(self.outcome(record, saved));
            }
            Err(error) if error.is_unavailable() => error,
            Err(error) => return Err(error.into()),
        };
        *lost = true;
        // Boxed, because it is rare and large.
        Box::pin(self.save_again(record, expect, renews, error, patience)).await
    }

    /// Makes the provider's call. Both are the same boxed future, so this takes no more room.
    fn send<'a>(
        &'a self,
        record: &'a Record,
        expect: Expect,
        renews: bool,
        now: SystemTime,
    ) -> Pin<Box<dyn Future<Output = Result<Saved, ProviderError>> + Send + 'a>> {
        if renews {
            self.provider.save_and_announce(record, expect, now)
        } else {
            self.provider.save(record, expect, now)
        }
    }

    async fn save_again(
        &self,
        record: &Record,
        expect: Expect,
        renews: bool,
        mut error: ProviderError,
        patience: &mut Patience,
    ) -> Result<SaveOutcome, Error> {
        loop {
            if !patience.after_failure().await {
                return Err(error.into());
            }
            match self.send(record, expect, renews, self.now()).await {
                Ok(saved) => {
                    patience.failures = 0;
                    return Ok(self.outcome(record, saved));
                }
                Err(again) if again.is_unavailable() => error = again,
                Err(again) => return Err(again.into()),
            }
        }
    }

    fn outcome(&self, record: &Record, saved: Saved) -> SaveOutcome {
        match saved {
            Saved::Saved => {
                self.watched_save(record);
                SaveOutcome::Saved
            }
            Saved::Conflict(theirs) => {
                match &theirs {
                    Some(theirs) => self.watched_save(theirs),
                    None => self.watched_end(&record.id),
                }
                SaveOutcome::Conflict(self.unless_ended(theirs))
            }
        }
    }

    /// Returns the live record of an id, and retries if the provider fails.
    pub(super) async fn fetch(
        &self,
        id: &str,
        patience: &mut Patience,
    ) -> Result<Option<Record>, Error> {
        loop {
            match self.provider.fetch(id, self.now()).await {
                Ok(record) => {
                    patience.failures = 0;
                    return Ok(self.unless_ended(record));
                }
                Err(error) if error.is_unavailable() && patience.after_failure().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes the record of an id that nobody else can know.
    pub(super) async fn delete_any(
        &self,
        id: &str,
        patience: &mut Patience,
    ) -> Result<Option<Record>, Error> {
        loop {
            match self.provider.delete(id, Expect::Any, self.now()).await {
                Ok(Deleted::Deleted(record)) => {
                    self.watched_end(id);
                    return Ok(record);
                }
                // Every record meets `Any`.
                Ok(Deleted::Conflict(_)) => return Ok(None),
                Err(error) if error.is_unavailable() && patience.after_failure().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the session of a record while `may` allows it. It removes only the version that it has
    /// checked.
    pub(super) async fn end(
        &self,
        id: &str,
        mut version: u64,
        patience: &mut Patience,
        lost: &mut bool,
        may: impl Fn(&Record) -> bool,
    ) -> Result<EndOutcome, Error> {
        loop {
            let expect = Expect::Version(version);
            match self.provider.delete(id, expect, self.now()).await {
                Ok(Deleted::Deleted(Some(record))) => {
                    self.watched_end(id);
                    return Ok(EndOutcome::Ended(record));
                }
                Ok(Deleted::Deleted(None)) => {
                    self.watched_end(id);
                    return Ok(EndOutcome::Gone);
                }
                Ok(Deleted::Conflict(record)) if !may(&record) => {
                    return Ok(EndOutcome::Refused(record));
                }
                Ok(Deleted::Conflict(record)) => {
                    version = record.version;
                    patience.after_conflict().await?;
                }
                Err(error) if error.is_unavailable() => {
                    *lost = true;
                    if !patience.after_failure().await {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the record to merge with after a conflict with `theirs`, or `None` if the session is
    /// gone.
    ///
    /// Commits of this host on one session take turns. The record of a conflict is current only at
    /// once, so after a wait this fetches it again. A save over a stale record would fail, and if
    /// its answer were lost, nobody could find out that it failed.
    pub(super) async fn newest<'s>(
        &'s self,
        theirs: Record,
        patience: &mut Patience,
        turn: &mut Option<Turn<'s>>,
    ) -> Result<Option<Record>, Error> {
        if turn.is_none() {
            *turn = self.queues.try_turn(&theirs.id);
            if turn.is_some() {
                return Ok(Some(theirs));
            }
            *turn = self.queues.turn(&theirs.id, patience.deadline).await;
            if turn.is_none() {
                return Err(too_many());
            }
        } else if patience.is_fresh() {
            return Ok(Some(theirs));
        } else {
            patience.after_conflict().await?;
        }
        self.fetch(&theirs.id, patience).await
    }

    /// Returns the record that follows `version`.
    pub(super) fn record(
        &self,
        session_type: &SessionType,
        id: &Arc<str>,
        version: u64,
        draft: &Draft<'_>,
        now: SystemTime,
    ) -> Result<Record, Error> {
        let summary = &draft.header.summary;
        // What happens to a locked session is no activity of its owner.
        let used_at = summary.seen_at.filter(|_| summary.locked).unwrap_or(now);
        Ok(Record {
            id: id.clone(),
            version: version + 1,
            expires_at: Some(session_type.span(summary).expiry(used_at)),
            format: draft.fields.format(),
            data: draft.fields.to_data_within(&draft.header, self.record_limit)?,
            owner: draft.owner.clone(),
        })
    }

    /// As [`record`](Self::record), over what was loaded.
    pub(super) fn next_record(
        &self,
        session_type: &SessionType,
        loaded: &Loaded,
        draft: &Draft<'_>,
        now: SystemTime,
    ) -> Result<Record, Error> {
        self.record(session_type, &loaded.id, loaded.version, draft, now)
    }
}

/// The key of a record, where it is a session's.
pub(super) fn key_of(record: &Record) -> Option<StoreKey> {
    record.id.parse().ok()
}

fn too_many() -> Error {
    Error::unavailable("too many requests changed the session at the same time")
}

/// How long a commit retries.
const COMMIT_DEADLINE: Duration = Duration::from_secs(2);

/// A provider with this many failures in a row counts as down.
const MOST_FAILURES: u32 = 3;
