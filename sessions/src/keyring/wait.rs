//! When the ring is read again: one refresh at a time, in a task of its own, backing off while it
//! fails; and how calls wait for it.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::flight::{Failure, Flight, LAST_BACK_OFF, LOOK_EVERY, MAX_ABSENT, Start, TIMEOUT};
use super::ring::KeyId;
use super::shared::{KeyRing, Missing};
use crate::error::Error;
use crate::telemetry;

impl KeyRing {
    /// Waits for what a call lacks.
    ///
    /// # Errors
    /// `Error::InvalidToken` if it turns out not to exist, `Error::Unavailable` if that cannot be
    /// found out now.
    pub(crate) async fn provide(&self, missing: Missing) -> Result<(), Error> {
        match missing {
            Missing::Snapshot => {
                self.refreshed(|| self.age(self.now()).is_none_or(|age| self.is_long(age))).await?;
                if self.age(self.now()).is_some() { Ok(()) } else { Err(self.failure()) }
            }
            Missing::SealingKey => {
                self.refreshed(|| !self.can_seal()).await?;
                if self.can_seal() { Ok(()) } else { Err(self.failure()) }
            }
            Missing::Key(id) => self.look_for(id).await,
        }
    }

    /// Reads the record again unless that failed a moment ago, and waits for it at most its
    /// timeout. Succeeds also when the refresh fails: there may be a snapshot to go on with.
    async fn refreshed(&self, needed: impl Fn() -> bool) -> Result<(), Error> {
        match self.start(self.now(), needed) {
            // Whether it ended or took too long, the caller looks at what there is.
            Start::Running(running) => _ = wait(running).await,
            Start::BackingOff | Start::NotNeeded => {}
            Start::NoRuntime => return Err(no_runtime()),
        }
        Ok(())
    }

    /// Looks for a key that may be newer than the snapshot: joins the refresh that is under way,
    /// then starts one of its own if none was for such an id in the last ten seconds.
    async fn look_for(&self, id: KeyId) -> Result<(), Error> {
        if let Some(running) = self.running() {
            let ended = wait(running).await;
            if self.knows(id) {
                return Ok(());
            }
            if !ended {
                return Err(self.failure());
            }
        }
        let now = self.now();
        let started = {
            let mut flight = self.flight();
            if flight.absent.contains(&id) {
                return Err(Error::InvalidToken);
            }
            if let Some(running) = flight.running() {
                // Another call's, begun after this call did: as good as one of its own.
                Start::Running(running)
            } else if self.knows(id) {
                return Ok(());
            } else if flight.looked_at.is_some_and(|at| now.abs_diff(at) < LOOK_EVERY) {
                return Err(Error::unavailable("the token names a key that is not known yet"));
            } else {
                let started = self.start_locked(&mut flight, now);
                if matches!(started, Start::Running(_)) {
                    flight.looked_at = Some(now);
                }
                started
            }
        };
        match started {
            Start::Running(running) => _ = wait(running).await,
            Start::BackingOff | Start::NotNeeded => return Err(self.failure()),
            Start::NoRuntime => return Err(no_runtime()),
        }
        if self.knows(id) {
            return Ok(());
        }
        let mut flight = self.flight();
        if flight.running().is_some() || flight.failures > 0 {
            drop(flight);
            return Err(self.failure());
        }
        if flight.absent.len() >= MAX_ABSENT {
            flight.absent.clear();
        }
        flight.absent.push(id);
        Err(Error::InvalidToken)
    }

    /// Whether a refresh failed a short while ago, so that a call need not wait for the next.
    pub(super) fn failing(&self, now: u64) -> bool {
        self.flight().failed_at.is_some_and(|at| !self.is_long(now.abs_diff(at)))
    }

    pub(super) fn running(&self) -> Option<watch::Receiver<()>> {
        self.flight().running()
    }

    /// Starts a refresh unless one is under way or failed a moment ago, or the last that ended
    /// has brought what was `needed`: the caller may have looked before it did.
    pub(super) fn start(&self, now: u64, needed: impl Fn() -> bool) -> Start {
        let mut flight = self.flight();
        match flight.running() {
            Some(running) => Start::Running(running),
            None if !needed() => Start::NotNeeded,
            None => self.start_locked(&mut flight, now),
        }
    }

    /// Starts a refresh, while none is under way, unless one failed a moment ago.
    fn start_locked(&self, flight: &mut Flight, now: u64) -> Start {
        let wait = flight.not_before.saturating_sub(now);
        // A longer wait was set by a clock that has been set back since.
        if wait > 0 && wait <= LAST_BACK_OFF {
            return Start::BackingOff;
        }
        let Ok(runtime) = Handle::try_current() else { return Start::NoRuntime };
        let (done, running) = watch::channel(());
        flight.running = Some(running.clone());
        // Counts as failed until it succeeds, also when it panics or its runtime is shut down.
        flight.failed(now, &self.config().random, None);
        let ring = self.clone();
        // A task, so that the call that started it may be cancelled.
        runtime.spawn(async move {
            let result = ring.refresh_once().await;
            ring.settle(result);
            drop(done);
        });
        Start::Running(running)
    }

    pub(super) fn settle(&self, result: Result<(), Error>) {
        let now = self.now();
        let mut flight = self.flight();
        match result {
            Ok(()) => {
                flight.failures = 0;
                flight.not_before = 0;
                flight.failed_at = None;
                flight.last_failure = None;
            }
            Err(error) => {
                telemetry::keys_failed(&self.config().app, &error);
                // Already counted when it started.
                flight.failures = flight.failures.saturating_sub(1);
                flight.failed(now, &self.config().random, Some(Failure(Arc::new(error))));
            }
        }
    }

    /// The error of a call that cannot go on because of the last failure.
    fn failure(&self) -> Error {
        match &self.flight().last_failure {
            Some(failure) => failure.to_error(),
            None => Error::unavailable("the key ring is not read yet"),
        }
    }

    pub(super) fn flight(&self) -> MutexGuard<'_, Flight> {
        // Every critical section leaves it whole, so a panic elsewhere does not spoil it.
        self.0.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tests wait for.
#[cfg(test)]
impl KeyRing {
    /// Waits until no refresh is under way.
    pub(crate) async fn idle(&self) {
        while let Some(mut running) = self.running() {
            let _ = running.changed().await;
        }
    }
}

/// Whether the refresh ended in time.
async fn wait(mut running: watch::Receiver<()>) -> bool {
    tokio::time::timeout(TIMEOUT, running.changed()).await.is_ok()
}

pub(super) fn no_runtime() -> Error {
    Error::misuse("a codec reads its keys in a task, call it inside a tokio runtime")
}
