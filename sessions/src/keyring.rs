//! The key ring of an app: one record in the provider, a snapshot of it in each process, and the
//! work that keeps the two together.

mod encryption;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod local_key;
mod plan;
mod record;
mod refresh;
mod ring;
mod settings;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use self::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
pub use self::local_key::LocalKey;
pub(crate) use self::ring::{KeyId, RootKey};
pub(crate) use self::settings::Settings;

use self::ring::{Material, Opened, Ring};
use crate::provider::{Provider, ProviderError};
use crate::random::Random;
use crate::{Clock, Error};

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
    Invalid(&'static str),
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

/// The refresh that is under way, and how the last ones ended.
#[derive(Default)]
struct Flight {
    /// Closed when the refresh ends, however it ends.
    running: Option<watch::Receiver<()>>,
    /// How many refreshes failed since the last that did not.
    failures: u32,
    /// When the next may start, in milliseconds.
    not_before: u64,
    /// When and why the last refresh failed, if it did.
    failed_at: Option<u64>,
    last_failure: Option<Failure>,
    /// When an unknown key id last made this host look.
    looked_at: Option<u64>,
    /// Ids that a read did not find, although they are ahead of this ring. Short and cleared with
    /// every new generation, so that it cannot hide a key for long.
    absent: Vec<KeyId>,
}

/// Why a refresh failed, for every call that waited for it.
#[derive(Clone, Debug)]
pub(super) struct Failure(Arc<Error>);

enum Start {
    Running(watch::Receiver<()>),
    BackingOff,
    NoRuntime,
}

/// How long a call waits for a refresh, and a refresh for the provider.
const TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF: u64 = 1_000;
const LAST_BACK_OFF: u64 = 60_000;
/// How often an unknown key id may make this host look at the record, in milliseconds.
const LOOK_EVERY: u64 = 10_000;
const MAX_ABSENT: usize = 64;

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
        self.0.config.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default()
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
        // By the difference either way, so that a clock that was set back does not stop the
        // refreshes.
        let age = now.abs_diff(snapshot.checked_at);
        if age > snapshot.due_after {
            let slept = age > 2 * 1000 * self.0.config.settings.refresh;
            if slept && !waited && !self.failing(now) {
                return Err(Missing::Snapshot);
            }
            self.start(now);
        }
        Ok(View { ring: self, guard, now: since_epoch.as_secs() })
    }

    /// Waits for what a call lacks.
    ///
    /// # Errors
    /// `Error::InvalidToken` if it turns out not to exist, `Error::Unavailable` if that cannot be
    /// found out now.
    pub(crate) async fn provide(&self, missing: Missing) -> Result<(), Error> {
        match missing {
            Missing::Snapshot => {
                self.refreshed().await?;
                if self.0.snapshot.load().is_some() { Ok(()) } else { Err(self.failure()) }
            }
            Missing::SealingKey => {
                self.refreshed().await?;
                match self.view(self.since_epoch(), true).map(|view| view.sealing().is_some()) {
                    Ok(true) => Ok(()),
                    _ => Err(self.failure()),
                }
            }
            Missing::Key(id) => self.look_for(id).await,
        }
    }

    /// Reads the record again unless that failed a moment ago, and waits for it at most its
    /// timeout. Succeeds also when the refresh fails: there may be a snapshot to go on with.
    async fn refreshed(&self) -> Result<(), Error> {
        match self.start(self.now()) {
            // Whether it ended or took too long, the caller looks at what there is.
            Start::Running(running) => _ = wait(running).await,
            Start::BackingOff => {}
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
            Start::BackingOff => return Err(self.failure()),
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

    fn knows(&self, id: KeyId) -> bool {
        self.0.snapshot.load().as_ref().is_some_and(|snapshot| snapshot.ring.find(id).is_some())
    }

    /// Whether a refresh failed a short while ago, so that a call need not wait for the next.
    fn failing(&self, now: u64) -> bool {
        let long_ago = 2 * 1000 * self.0.config.settings.refresh;
        self.flight().failed_at.is_some_and(|at| now.abs_diff(at) <= long_ago)
    }

    fn running(&self) -> Option<watch::Receiver<()>> {
        self.flight().running()
    }

    /// Starts a refresh unless one is under way or failed a moment ago.
    fn start(&self, now: u64) -> Start {
        self.start_locked(&mut self.flight(), now)
    }

    fn start_locked(&self, flight: &mut Flight, now: u64) -> Start {
        if let Some(running) = flight.running() {
            return Start::Running(running);
        }
        let wait = flight.not_before.saturating_sub(now);
        // A longer wait was set by a clock that has been set back since.
        if wait > 0 && wait <= LAST_BACK_OFF {
            return Start::BackingOff;
        }
        let Ok(runtime) = Handle::try_current() else { return Start::NoRuntime };
        let (done, running) = watch::channel(());
        flight.running = Some(running.clone());
        // Counts as failed until it succeeds, also when it panics or its runtime is shut down.
        flight.failed(now, &self.0.config.random, None);
        let ring = self.clone();
        // A task, so that the call that started it may be cancelled.
        runtime.spawn(async move {
            let result = ring.refresh_once().await;
            ring.settle(result);
            drop(done);
        });
        Start::Running(running)
    }

    fn settle(&self, result: Result<(), Error>) {
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
                if error.is_unavailable() {
                    tracing::warn!(target: "sessions", error = %Chain(&error), "the key ring could not be refreshed");
                } else {
                    tracing::error!(target: "sessions", error = %Chain(&error), "the key ring cannot be used");
                }
                // Already counted when it started.
                flight.failures = flight.failures.saturating_sub(1);
                flight.failed(now, &self.0.config.random, Some(Failure(Arc::new(error))));
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

    fn flight(&self) -> MutexGuard<'_, Flight> {
        // Every critical section leaves it whole, so a panic elsewhere does not spoil it.
        self.0.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn running(&self) -> Option<watch::Receiver<()>> {
        // An error says that the sender is gone.
        self.running.clone().filter(|running| running.has_changed().is_ok())
    }

    fn failed(&mut self, now: u64, random: &Random, failure: Option<Failure>) {
        self.failures = self.failures.saturating_add(1);
        let back_off = (FIRST_BACK_OFF << (self.failures - 1).min(16)).min(LAST_BACK_OFF);
        self.not_before = now.saturating_add(back_off - random.below(back_off / 5));
        if failure.is_some() {
            self.failed_at = Some(now);
            self.last_failure = failure;
        }
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
                Found::Invalid("its key does not exist any more")
            } else {
                Found::Missing
            };
        };
        let root = match &key.material {
            Material::Plain(root) | Material::Wrapped(_, Opened::Ready(root)) => root,
            Material::Erased => return Found::Invalid("its key was erased"),
            Material::Wrapped(_, Opened::Broken) => {
                return Found::Invalid("its key cannot be unwrapped");
            }
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

impl Failure {
    fn to_error(&self) -> Error {
        match &*self.0 {
            Error::Config(text) => Error::Config(text.clone()),
            error if error.is_unavailable() => Error::unavailable(self.clone()),
            _ => Error::Provider(
                ProviderError::permanent("the key ring cannot be used").with_source(self.clone()),
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// An error with its sources, on one line.
struct Chain<'e>(&'e Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error: &dyn std::error::Error = self.0;
        write!(f, "{error}")?;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}

/// Whether the refresh ended in time.
async fn wait(mut running: watch::Receiver<()>) -> bool {
    tokio::time::timeout(TIMEOUT, running.changed()).await.is_ok()
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

fn millis(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
}

fn no_runtime() -> Error {
    Error::config("a codec reads its keys in a task, call it inside a tokio runtime")
}
