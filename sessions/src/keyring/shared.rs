//! What the clones of a key ring share: its settings, the snapshot that calls go by, and the refresh
//! under way.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::encryption::KeyEncryption;
use super::epochs::Epochs;
use super::flight::Flight;
use super::plan;
#[cfg(test)]
use super::ring::RootKey;
use super::ring::{KeyId, Ring};
use super::settings::Settings;
use crate::clock::Clock;
use crate::provider::Provider;
use crate::random::Random;
use crate::telemetry::metrics::Refusals;

/// The settings and services of a ring.
pub(crate) struct Config {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) app: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Random,
    pub(crate) key_encryption: Option<Arc<dyn KeyEncryption>>,
    /// Whether a ring without encryption is accepted.
    pub(crate) plain_keys: bool,
    pub(crate) refusals: Refusals,
    /// What has ended the sessions of a store. A refresh reads it too.
    pub(crate) epochs: Option<Arc<Epochs>>,
}

/// The keys of an app. Cheap to clone; clones share one snapshot.
#[derive(Clone)]
pub(crate) struct KeyRing(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) record_id: Arc<str>,
    /// Read by every call without a lock.
    pub(super) snapshot: ArcSwapOption<Snapshot>,
    /// A std Mutex, not tokio's: it is never held across an await.
    pub(super) flight: Mutex<Flight>,
    /// The holder may write the ring and the snapshot.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// The ring as this host knows it.
pub(super) struct Snapshot {
    pub(super) ring: Ring,
    /// When the record was last read, in milliseconds.
    pub(super) checked_at: u64,
    /// The age in milliseconds at which the record is read again.
    pub(super) due_after: u64,
    /// The version of the record that was read.
    pub(super) version: u64,
    pub(super) data: Bytes,
    /// Whether the record equals this snapshot and every key could be unwrapped. Then an unchanged
    /// record contains nothing new.
    pub(super) settled: bool,
}

/// What a call needs before it can continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No snapshot, or one so old that the host must have slept.
    Snapshot,
    /// No key that may seal.
    SealingKey,
    /// A key that a token names, which may be newer than the snapshot.
    Key(KeyId),
}

impl KeyRing {
    pub(crate) fn new(config: Config) -> Self {
        let record_id = format!("{}:keys", config.app).into();
        Self(Arc::new(Shared {
            config,
            record_id,
            snapshot: ArcSwapOption::empty(),
            flight: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the time since 1970 by the injected clock.
    pub(crate) fn since_epoch(&self) -> Duration {
        since_epoch(self.0.config.clock.now())
    }

    /// Returns the time since 1970 in milliseconds.
    pub(super) fn now(&self) -> u64 {
        millis(self.since_epoch())
    }

    pub(super) fn checked_at(&self) -> Option<u64> {
        self.0.snapshot.load().as_ref().map(|snapshot| snapshot.checked_at)
    }

    /// Returns how long ago the record was read, in milliseconds. It uses the absolute difference,
    /// so a clock that was set back does not stop the refreshes.
    pub(super) fn age(&self, now: u64) -> Option<u64> {
        self.checked_at().map(|at| now.abs_diff(at))
    }

    /// Whether a host that has not refreshed for this long must have slept.
    pub(super) fn is_long(&self, age: u64) -> bool {
        age > 2 * 1000 * self.config().settings.refresh
    }

    pub(super) fn knows(&self, id: KeyId) -> bool {
        self.0.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.ring.find(id).is_some())
    }

    pub(super) fn can_seal(&self) -> bool {
        let (snapshot, now) = (self.0.snapshot.load(), self.now() / 1000);
        let settings = &self.config().settings;
        snapshot.as_ref().is_some_and(|held| plan::sealing(&held.ring, now, settings).is_some())
    }
}

/// For tests.
#[cfg(test)]
impl KeyRing {
    pub(crate) fn secrets(&self) -> Vec<[u8; 32]> {
        let snapshot = self.0.snapshot.load();
        let keys = snapshot.iter().flat_map(|snapshot| &snapshot.ring.keys);
        keys.filter_map(|key| key.root()).map(|root| *root.secret().bytes()).collect()
    }

    pub(crate) fn oldest(&self) -> (KeyId, Arc<RootKey>) {
        let snapshot = self.0.snapshot.load();
        let key = snapshot.as_ref().and_then(|snapshot| snapshot.ring.keys.last()).unwrap();
        (key.id, key.root().unwrap().clone())
    }
}

/// Times before 1970 count as its beginning.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
}
