//! The key ring of an app: one record in the provider, a snapshot of it in each process, and the
//! tasks that keep both in step.

mod encryption;
mod flight;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod local_key;
mod plan;
mod record;
mod refresh;
mod ring;
mod settings;
mod state;
mod wrapping;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;

pub use self::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
pub use self::local_key::LocalKey;
pub(crate) use self::ring::{KeyId, RootKey};
pub(crate) use self::settings::Settings;
pub use self::state::{KeyInfo, KeyRingInfo, KeyState};

use self::flight::Flight;
use self::ring::{Material, Opened, Ring};
use crate::Clock;
use crate::event::Refusals;
use crate::event::Refused;
use crate::provider::Provider;
use crate::random::Random;

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
}

/// The keys of an app. Cheap to clone; clones share one snapshot.
#[derive(Clone)]
pub(crate) struct KeyRing(Arc<Shared>);

struct Shared {
    config: Config,
    record_id: Arc<str>,
    /// Read by every call without a lock.
    snapshot: ArcSwapOption<Snapshot>,
    /// A std Mutex, not tokio's: it is never held across an await.
    flight: Mutex<Flight>,
    /// The holder may write the ring and the snapshot.
    turn: tokio::sync::Mutex<()>,
}

/// The ring as this host knows it.
struct Snapshot {
    ring: Ring,
    /// When the record was last read, in milliseconds.
    checked_at: u64,
    /// The age in milliseconds at which the record is read again.
    due_after: u64,
    /// The version of the record that was read.
    version: u64,
    data: Bytes,
    /// Whether the record equals this snapshot and every key could be unwrapped. Then an unchanged
    /// record contains nothing new.
    settled: bool,
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

/// What is known of the key that a token names.
pub(crate) enum Found<'s> {
    Key(&'s RootKey, Window, Rank),
    Invalid(Refused),
    Unavailable,
    Missing,
}

/// When tokens of a key may have been issued, in seconds, both ends included.
pub(crate) struct Window {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Whether a key is older than the one that seals now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    Current,
    Old,
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
    fn now(&self) -> u64 {
        millis(self.since_epoch())
    }

    /// Returns the snapshot, and starts a background refresh if one is due. A call that has
    /// `waited` takes any snapshot.
    pub(crate) fn view(&self, since_epoch: Duration, waited: bool) -> Result<View<'_>, Missing> {
        let now = millis(since_epoch);
        let guard = self.0.snapshot.load();
        let Some(snapshot) = &*guard else { return Err(Missing::Snapshot) };
        let checked_at = snapshot.checked_at;
        let age = now.abs_diff(checked_at);
        if age > snapshot.due_after {
            if self.is_long(age) && !waited && !self.failing(now) {
                return Err(Missing::Snapshot);
            }
            self.start(now, || self.checked_at() == Some(checked_at));
        }
        Ok(View { ring: self, guard, now: since_epoch.as_secs() })
    }

    fn checked_at(&self) -> Option<u64> {
        self.0.snapshot.load().as_ref().map(|snapshot| snapshot.checked_at)
    }

    /// Returns how long ago the record was read, in milliseconds. It uses the absolute difference,
    /// so a clock that was set back does not stop the refreshes.
    fn age(&self, now: u64) -> Option<u64> {
        self.checked_at().map(|at| now.abs_diff(at))
    }

    /// Whether a host that has not refreshed for this long must have slept.
    fn is_long(&self, age: u64) -> bool {
        age > 2 * 1000 * self.config().settings.refresh
    }

    fn knows(&self, id: KeyId) -> bool {
        self.0.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.ring.find(id).is_some())
    }

    fn can_seal(&self) -> bool {
        let (snapshot, now) = (self.0.snapshot.load(), self.now() / 1000);
        let settings = &self.config().settings;
        snapshot.as_ref().is_some_and(|held| plan::sealing(&held.ring, now, settings).is_some())
    }
}

/// The snapshot that a call uses, at the time of the call.
pub(crate) struct View<'k> {
    ring: &'k KeyRing,
    guard: Guard<Option<Arc<Snapshot>>>,
    now: u64,
}

impl View<'_> {
    fn snapshot(&self) -> Option<&Snapshot> {
        self.guard.as_deref()
    }

    /// The key that seals now.
    pub(crate) fn sealing(&self) -> Option<(KeyId, &RootKey)> {
        let key = plan::sealing(&self.snapshot()?.ring, self.now, &self.ring.config().settings)?;
        Some((key.id, key.root()?))
    }

    /// What is known of the key that a token names.
    pub(crate) fn find(&self, id: KeyId) -> Found<'_> {
        let settings = &self.ring.config().settings;
        let Some(snapshot) = self.snapshot() else { return Found::Missing };
        let ring = &snapshot.ring;
        let Some(key) = ring.find(id) else {
            return if id.ahead_of(ring.generation) == 0 || !settings.look_for_unknown {
                Found::Invalid(Refused::UnknownKey)
            } else {
                Found::Missing
            };
        };
        let root = match &key.material {
            Material::Plain(root) | Material::Wrapped(_, Opened::Ready(root)) => root,
            Material::Erased => return Found::Invalid(Refused::ErasedKey),
            Material::Wrapped(_, Opened::Broken) => return Found::Invalid(Refused::ClosedKey),
            Material::Wrapped(_, Opened::Unavailable) => return Found::Unavailable,
        };
        let window = Window {
            first: key.activate.saturating_sub(settings.skew),
            last: key.retire.saturating_add(settings.grace).saturating_add(settings.skew),
        };
        // A key that is newer than this host's sealing key is not old: the host's clock may be
        // slow.
        let old = plan::sealing(ring, self.now, settings)
            .is_some_and(|current| key.activate < current.activate);
        Found::Key(root, window, if old { Rank::Old } else { Rank::Current })
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

    /// Waits until no refresh is under way.
    pub(crate) async fn idle(&self) {
        while let Some(mut running) = self.running() {
            let _ = running.changed().await;
        }
    }
}

/// The keys of a stored ring that are not erased: id, activation, retirement.
#[cfg(test)]
pub(crate) fn stored_keys(data: &[u8]) -> Vec<(KeyId, u64, u64)> {
    let keys = record::decode(data).map(|stored| stored.keys).unwrap_or_default();
    let live = keys.iter().filter(|key| !key.is_erased());
    live.map(|key| (key.id, key.activate, key.retire)).collect()
}

/// Times before 1970 count as its beginning.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
}
