//! The epoch of an app: one record in the provider, what this host knows of it, and how both are
//! kept in step.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;

use super::epoch::{Epoch, FORMAT, Unreadable, is_ahead};
use super::timed::{permanent, timed};
use crate::clock::Clock;
use crate::error::Error;
use crate::provider::{Expect, Provider, Record, Saved};
use crate::telemetry;

/// What has ended the sessions of an app, as this host knows it.
///
/// A refresh of the key ring reads the record, and so does a call that opens no cookie if nobody
/// has read it for a while.
pub(crate) struct Epochs {
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    app: Arc<str>,
    record_id: Arc<str>,
    /// `None` until the record was read. Read by every load without a lock.
    known: ArcSwapOption<Known>,
    /// The holder may write the record and what is known of it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Known {
    epoch: Epoch,
    read_at: SystemTime,
    /// When this host learnt of the last `end_all`, if it was running before.
    learnt_at: Option<SystemTime>,
}

/// What a call changes.
#[derive(Clone, Copy)]
enum Change {
    Nothing,
    EndAll,
    EndBefore(SystemTime),
}

impl Epochs {
    pub(crate) fn new(provider: Arc<dyn Provider>, clock: Arc<dyn Clock>, app: &str) -> Self {
        Self {
            provider,
            clock,
            app: app.into(),
            record_id: format!("{app}:epoch").into(),
            known: ArcSwapOption::empty(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the number that a new session gets.
    pub(crate) fn number(&self) -> u64 {
        self.epoch().number
    }

    /// Whether anything was ever ended, as far as this host knows.
    pub(crate) fn is_used(&self) -> bool {
        self.known.load().as_ref().is_some_and(|known| known.epoch.number > 0)
    }

    /// Whether a session of this number that began at this time has ended.
    pub(crate) fn has_ended(&self, number: u64, began_at: SystemTime) -> bool {
        self.known.load().as_ref().is_some_and(|known| known.epoch.has_ended(number, began_at))
    }

    /// Returns the number of a login, or `None` if everybody's sessions were ended after it began.
    ///
    /// With an attempt, its number decides. Without one it is what this host knew when it loaded
    /// the login's session.
    pub(crate) fn admit(&self, attempt: Option<u64>, loaded_at: SystemTime) -> Option<u64> {
        let known = self.known.load();
        let Some(known) = &*known else { return Some(attempt.unwrap_or_default()) };
        match attempt {
            Some(number) if known.epoch.is_below_floor(number) => None,
            // The host that began the login may know more.
            Some(number) => Some(number.max(known.epoch.number)),
            None if known.learnt_at.is_some_and(|at| loaded_at < at) => None,
            None => Some(known.epoch.number),
        }
    }

    /// Reads the record, and writes it if this host knows more.
    ///
    /// # Errors
    /// If the provider is down, and if a host that knows nothing yet cannot read the record.
    pub(crate) async fn read(&self) -> Result<(), Error> {
        self.change(Change::Nothing).await
    }

    /// Reads the record if this host never has: it must not serve a session before.
    pub(crate) async fn read_first(&self) -> Result<(), Error> {
        if self.known.load().is_some() { Ok(()) } else { self.read_if_old().await }
    }

    /// Reads the record unless that was done in the last minutes. If that fails, continues with
    /// what this host knows.
    pub(crate) async fn read_if_old(&self) -> Result<(), Error> {
        if self.is_recent() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.is_recent() {
            return Ok(());
        }
        match self.change_now(Change::Nothing).await {
            Err(error) if self.known.load().is_some() => {
                telemetry::epoch_failed(&self.app, &error);
                Ok(())
            }
            read => read,
        }
    }

    fn is_recent(&self) -> bool {
        let (now, known) = (self.clock.now(), self.known.load());
        // The absolute difference, so a clock that was set back does not stop the reads.
        let age = |at| now.duration_since(at).unwrap_or_else(|ahead| ahead.duration());
        known.as_ref().is_some_and(|known| age(known.read_at) <= OLD)
    }

    /// Ends every session of the app.
    pub(crate) async fn end_all(&self) -> Result<(), Error> {
        self.change(Change::EndAll).await
    }

    /// Ends the sessions of the app that began before a time.
    pub(crate) async fn end_before(&self, time: SystemTime) -> Result<(), Error> {
        if is_ahead(time, self.clock.now()) {
            return Err(Error::misuse(
                "end_all_before() got a time that is more than ten minutes ahead; pass one that \
                 has passed, or call end_all()",
            ));
        }
        self.change(Change::EndBefore(time)).await
    }

    fn epoch(&self) -> Epoch {
        self.known.load().as_ref().map(|known| known.epoch).unwrap_or_default()
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.change_now(change).await
    }

    async fn change_now(&self, change: Change) -> Result<(), Error> {
        let mut found = self.fetch().await?;
        for attempt in 0..ATTEMPTS {
            let version = found.as_ref().map(|record| record.version);
            let stored = found.as_ref().map(|record| Epoch::decode(&record.data));
            let Some(base) = self.reconcile(stored, change)? else { return Ok(()) };
            // This host goes by it even if it cannot be written.
            self.learn(base);
            let now = self.clock.now();
            let next = match change {
                Change::Nothing => base,
                Change::EndAll => base.end_all(now),
                Change::EndBefore(time) => base.end_before(time, now),
            };
            if stored == Some(Ok(next)) || stored.is_none() && next == Epoch::default() {
                return Ok(());
            }
            match self.save(next, version).await? {
                Saved::Saved => {
                    self.learn(next);
                    match change {
                        Change::Nothing => self.repaired(stored),
                        _ => telemetry::epoch_raised(&self.app, next.number),
                    }
                    return Ok(());
                }
                Saved::Conflict(Some(record)) => found = Some(record),
                Saved::Conflict(None) => found = self.fetch().await?,
            }
            // Hosts that write at once spread out.
            let pause = rand::random_range(0..20_u64 << attempt.min(5));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Error::unavailable("too many hosts write the epoch at once"))
    }

    /// Joins what is stored with what this host knows. `None`: the record stays as it is, and this
    /// host goes on with what it knows.
    fn reconcile(
        &self,
        stored: Option<Result<Epoch, Unreadable>>,
        change: Change,
    ) -> Result<Option<Epoch>, Error> {
        let (known, reads) = (self.known.load_full(), matches!(change, Change::Nothing));
        let epoch = known.as_ref().map(|known| known.epoch).unwrap_or_default();
        let error = match stored {
            None => return Ok(Some(epoch)),
            Some(Ok(stored)) => return Ok(Some(stored.join(epoch))),
            // Whoever ends everybody's sessions, or knows what has ended, replaces it.
            Some(Err(Unreadable::Damaged)) if !reads || epoch != Epoch::default() => {
                return Ok(Some(epoch));
            }
            Some(Err(Unreadable::Damaged)) => permanent(
                "the epoch's record is damaged; call end_all() to replace it, or delete it, which \
                 brings back the sessions that end_all() has ended",
            ),
            Some(Err(Unreadable::Newer)) => {
                permanent("a newer build wrote the epoch, finish the deploy")
            }
        };
        if known.is_none() || !reads {
            return Err(error);
        }
        telemetry::epoch_failed(&self.app, &error);
        self.learn(epoch);
        Ok(None)
    }

    /// The record was not what this host knows, and now is.
    fn repaired(&self, stored: Option<Result<Epoch, Unreadable>>) {
        let reason = match stored {
            None => "missing",
            Some(Ok(_)) => "older",
            Some(Err(_)) => "damaged",
        };
        telemetry::epoch_repaired(&self.app, reason);
    }

    fn learn(&self, epoch: Epoch) {
        let (now, known) = (self.clock.now(), self.known.load_full());
        let learnt_at = match known {
            // What this host finds when it starts has ended before.
            None => None,
            Some(known) if epoch.ended_all_after(known.epoch) => Some(now),
            Some(known) => known.learnt_at,
        };
        self.known.store(Some(Arc::new(Known { epoch, read_at: now, learnt_at })));
    }

    async fn fetch(&self) -> Result<Option<Record>, Error> {
        timed(self.provider.fetch(&self.record_id, self.clock.now())).await
    }

    async fn save(&self, epoch: Epoch, version: Option<u64>) -> Result<Saved, Error> {
        let next = version.unwrap_or(0).saturating_add(1);
        let mut record = Record::new(self.record_id.clone(), next, epoch.encode());
        record.format = FORMAT.into();
        let expect = version.map_or(Expect::Absent, Expect::Version);
        timed(self.provider.save(&record, expect, self.clock.now())).await
    }
}

/// How often a write is retried against other hosts.
const ATTEMPTS: u32 = 10;

/// The age at which a call that opens no cookie reads the record: as often as the key ring is read.
const OLD: Duration = Duration::from_secs(5 * 60);
