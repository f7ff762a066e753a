//! Reads the ring's record, merges it with what this host holds, and writes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::flight::LOOK_EVERY;
use super::plan::Times;
use super::record::{FORMAT, Unreadable};
use super::ring::{Key, KeyId, Material, Ring, RootKey, Secret};
use super::shared::{KeyRing, Snapshot};
use super::timed::{permanent, timed};
use super::wait::no_runtime;
use super::{plan, record};
use crate::clock::to_unix_millis;
use crate::error::Error;
use crate::provider::{Expect, Record, Saved};
use crate::telemetry;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

/// A change to the ring, besides keeping it in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// Erase every key and create one that seals at once.
    Erase,
    /// Encrypt every key again.
    Rewrap,
}

/// How often a write is retried against other hosts.
const ATTEMPTS: u32 = 10;

impl KeyRing {
    /// Reads the record, and writes it if the plan or a merge requires it.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        self.ask(Change::Nothing).await
    }

    /// Erases all keys and adds one that seals at once.
    pub(crate) async fn rotate_now(&self) -> Result<(), Error> {
        self.ask(Change::Erase).await
    }

    /// Encrypts every key under the current key-encryption key.
    pub(crate) async fn rewrap(&self) -> Result<(), Error> {
        self.ask(Change::Rewrap).await
    }

    async fn ask(&self, change: Change) -> Result<(), Error> {
        let Ok(runtime) = Handle::try_current() else { return Err(no_runtime()) };
        let ring = self.clone();
        // A task, so that a caller who drops the future does not keep the turn.
        let task = runtime.spawn(async move {
            ring.change(change).await?;
            ring.settle(Ok(()));
            Ok(())
        });
        task.await.unwrap_or_else(|stopped| Err(Error::unavailable(stopped)))
    }

    /// The work of a refresh's task.
    pub(super) async fn refresh_once(&self) -> Result<(), Error> {
        self.change(Change::Nothing).await
    }

    async fn change(&self, change: Change) -> Result<(), Error> {
        let app = &self.config().app;
        let work = self.change_now(change);
        observe(Operation::Refresh, app, None, work, |()| (CallOutcome::Done, None)).await
    }

    async fn change_now(&self, change: Change) -> Result<(), Error> {
        let _turn = self.0.turn.lock().await;
        // First, so that no session is served by a host that has keys and does not know which
        // sessions have ended.
        if let Some(epochs) = &self.config().epochs {
            epochs.read().await?;
        }
        let mut found = self.fetch().await?;
        for attempt in 0..ATTEMPTS {
            let base = self.reconcile(found).await?;
            match self.apply(change, base).await? {
                Applied::Done => {
                    match change {
                        Change::Nothing => {}
                        Change::Erase => telemetry::keys_erased(&self.config().app),
                        Change::Rewrap => telemetry::keys_rewrapped(&self.config().app),
                    }
                    return self.check_sealing();
                }
                // The loser drops its own key. The conflict contains the winner's record.
                Applied::Conflict(Some(record)) => found = Some(record),
                Applied::Conflict(None) => found = self.fetch().await?,
            }
            let pause = self.config().random.below(20 << attempt.min(5));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Error::unavailable("too many hosts write the key ring at once"))
    }

    /// The plan leaves a ring without a sealing key only while its key service is down. This counts
    /// as a failure and is retried.
    fn check_sealing(&self) -> Result<(), Error> {
        if self.can_seal() {
            Ok(())
        } else {
            Err(Error::unavailable("no key to seal with can be unwrapped"))
        }
    }

    async fn fetch(&self) -> Result<Option<Record>, Error> {
        let now = self.config().clock.now();
        timed(self.config().provider.fetch(&self.0.record_id, now)).await
    }

    /// Merges what is stored with what this host holds.
    async fn reconcile(&self, found: Option<Record>) -> Result<Base, Error> {
        let held = self.0.snapshot.load_full();
        let Some(record) = found else {
            if held.is_some() {
                telemetry::keys_missing(&self.config().app);
            }
            let ring = held.map(|held| held.ring.clone());
            return Ok(Base { dirty: ring.is_some(), ring, stored: None });
        };
        let stored = Some((record.version, record.data.clone()));
        if let Some(held) = &held
            && held.settled
            && (held.version, &held.data) == (record.version, &record.data)
        {
            return Ok(Base { ring: Some(held.ring.clone()), stored, dirty: false });
        }
        let read = match record::decode(&record.data) {
            Ok(read) => self.authenticate(read, &record.data, held.as_deref()).await?,
            Err(Unreadable::Damaged) => None,
            Err(Unreadable::Newer) => {
                return Err(permanent("a newer build wrote the key ring, finish the deploy"));
            }
        };
        let Some(ring) = read else {
            let Some(held) = held else {
                return Err(permanent(
                    "the key ring's record is damaged; restore it, or delete it, which makes \
                     every token invalid",
                ));
            };
            telemetry::keys_damaged(&self.config().app);
            return Ok(Base { ring: Some(held.ring.clone()), stored, dirty: true });
        };
        let mut base = Base { ring: None, stored, dirty: false };
        let mut joined = ring.clone();
        if let Some(held) = held.as_deref().map(|held| &held.ring) {
            if held.id == ring.id {
                joined = joined.join(held, self.now() / 1000);
                joined.generation = joined.generation.max(held.generation);
                base.dirty = ring.generation < held.generation || !joined.stored_eq(&ring);
                if base.dirty {
                    telemetry::keys_joined(&self.config().app);
                }
            } else {
                telemetry::keys_replaced(&self.config().app);
            }
        }
        self.unwrap_all(&mut joined).await;
        base.ring = Some(joined);
        Ok(base)
    }

    /// Plans, and stores the ring if it has changed.
    async fn apply(&self, change: Change, base: Base) -> Result<Applied, Error> {
        let Base { ring, stored, dirty } = base;
        let now = self.now() / 1000;
        let settings = &self.config().settings;
        let plan = match (change, ring) {
            (Change::Erase, Some(mut ring)) => {
                for key in &mut ring.keys {
                    key.material = Material::Erased;
                }
                let create = Some(plan::times(now, now, settings));
                plan::Plan { ring: Some(ring), create, publish: true }
            }
            (_, ring) => plan::plan(ring.as_ref(), now, settings),
        };
        let publish = plan.publish || dirty || change != Change::Nothing;
        let version = stored.as_ref().map(|(version, _)| *version);
        if let (Some((version, data)), Some(ring)) = (stored, &plan.ring)
            && (!publish || change == Change::Nothing)
        {
            // This host can use it even if the ring cannot be written.
            self.install(ring.clone(), version, data, publish);
        }
        if !publish {
            return Ok(Applied::Done);
        }
        let mut ring = match plan.ring {
            Some(ring) => ring,
            None => self.new_ring()?,
        };
        // Without an answer nothing is dropped, because rotation must go on.
        if let Ok(clock) = timed(self.config().provider.clock()).await {
            plan::drop_expired(
                &mut ring,
                now,
                clock.map(|clock| to_unix_millis(clock) / 1000),
                settings,
            );
        }
        ring.generation = ring.generation.saturating_add(1);
        if change == Change::Rewrap {
            self.unwrapped(&mut ring)?;
        }
        let mut created = None;
        if let Some(times) = plan.create {
            created = Some((self.create(&mut ring, times)?, times.activate));
        }
        let applied = self.publish(ring, version).await?;
        // Only now, because the ring of a host that was quicker replaces this one.
        if let (Applied::Done, Some((key, activate))) = (&applied, created) {
            telemetry::key_created(&self.config().app, key, activate);
        }
        Ok(applied)
    }

    /// Creates a ring without keys.
    fn new_ring(&self) -> Result<Ring, Error> {
        Ok(Ring { id: self.config().random.secret()?, generation: 0, mac: None, keys: Vec::new() })
    }

    /// Adds a key to a ring that is about to be published.
    fn create(&self, ring: &mut Ring, times: Times) -> Result<KeyId, Error> {
        let random = &self.config().random;
        let mut id = KeyId::new(ring.generation, random.secret()?);
        while ring.find(id).is_some() {
            id = KeyId::new(ring.generation, random.secret()?);
        }
        let root = RootKey::new(ring.id, Secret::new(random.secret()?));
        let material = Material::Plain(Arc::new(root));
        ring.make_room();
        let Times { created, activate, retire, expire } = times;
        ring.keys.push(Key { id, created, activate, retire, expire, material });
        ring.sort();
        Ok(id)
    }

    async fn publish(&self, mut ring: Ring, version: Option<u64>) -> Result<Applied, Error> {
        let data = Bytes::from(self.protect(&mut ring).await?);
        let next = version.unwrap_or(0).saturating_add(1).max(ring.generation);
        let mut record = Record::new(self.0.record_id.clone(), next, data.clone());
        record.format = FORMAT.into();
        let expect = version.map_or(Expect::Absent, Expect::Version);
        let now = self.config().clock.now();
        match timed(self.config().provider.save(&record, expect, now)).await? {
            Saved::Saved => {
                self.install(ring, next, data, false);
                Ok(Applied::Done)
            }
            Saved::Conflict(current) => Ok(Applied::Conflict(current)),
        }
    }

    /// Makes `ring` the current ring. `data` is the stored record, which an `unpublished` ring
    /// differs from.
    fn install(&self, ring: Ring, version: u64, data: Bytes, unpublished: bool) {
        let settings = &self.config().settings;
        let newer = self
            .0
            .snapshot
            .load()
            .as_ref()
            .is_none_or(|held| held.ring.generation != ring.generation);
        if newer {
            self.flight().absent.clear();
        }
        let open = ring.keys.iter().all(|key| key.root().is_some() || key.is_erased());
        // Keys that did not unwrap are retried soon.
        telemetry::keys_read(&self.config().app, ring.generation, ring.keys.len(), self.now());
        let refresh = if open { settings.refresh * 1000 } else { LOOK_EVERY };
        self.0.snapshot.store(Some(Arc::new(Snapshot {
            ring,
            checked_at: self.now(),
            due_after: refresh - self.config().random.below(refresh / 5),
            version,
            data,
            settled: open && !unpublished,
        })));
    }
}

/// The current ring, and the stored record that it replaces.
struct Base {
    ring: Option<Ring>,
    stored: Option<(u64, Bytes)>,
    /// Whether the ring differs from the stored record.
    dirty: bool,
}

enum Applied {
    Done,
    Conflict(Option<Record>),
}
