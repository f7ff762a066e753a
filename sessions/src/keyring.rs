//! The key ring of an app: one record in the provider, a snapshot of it in each process, and the
//! work that keeps the two together.

pub(crate) mod encryption;
pub(crate) mod flight;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod local_key;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod refresh;
pub(crate) mod ring;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod wrapping;

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
use crate::clock::Clock;
use crate::event::Refusals;
use crate::event::meter::Refused;
use crate::provider::Provider;
use crate::random::Random;

/// What a ring is made of.
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
    /// Who holds it may write the ring and the snapshot.
    turn: tokio::sync::Mutex<()>,
}

/// The ring as this host knows it.
struct Snapshot {
    ring: Ring,
    /// When the record was read last, in milliseconds.
    checked_at: u64,
    /// After how many milliseconds it is read again.
    due_after: u64,
    /// The record that was read.
    version: u64,
    data: Bytes,
    /// Whether the record says the same and every key of it could be unwrapped: then a record
    /// that has not changed has nothing new to say.
    settled: bool,
}

/// What a call lacks to go on.
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

    /// The time since 1970 by the injected clock.
    pub(crate) fn since_epoch(&self) -> Duration {
        since_epoch(self.0.config.clock.now())
    }

    /// The same in milliseconds.
    fn now(&self) -> u64 {
        millis(self.since_epoch())
    }

    /// The snapshot, after starting a refresh beside it if it is due. A call that has `waited`
    /// takes what there is.
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

    /// How long ago the record was read, in milliseconds. By the difference either way, so that a
    /// clock that was set back does not stop the refreshes.
    fn age(&self, now: u64) -> Option<u64> {
        self.checked_at().map(|at| now.abs_diff(at))
    }

    /// Whether a host that has not refreshed for so long must have slept.
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

/// A snapshot that a call goes by, at the time of the call.
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
        // A key that is newer than this host's is not old: the host's clock may be behind.
        let old = plan::sealing(ring, self.now, settings)
            .is_some_and(|current| key.activate < current.activate);
        Found::Key(root, window, if old { Rank::Old } else { Rank::Current })
    }
}

/// What tests look at.
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
