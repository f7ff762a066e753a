//! Who watches which session on this host, and what they are told. Pure: no store, no provider.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::ended_by::EndedBy;
use crate::id::{SecretHash, StoreKey};

/// How a watched session ended, as far as this host can know.
///
/// ```
/// use sessions::{EndedBy, SessionEnd};
///
/// fn message(end: SessionEnd) -> &'static str {
///     match end {
///         SessionEnd::Ended { by: Some(EndedBy::Logout) } => "You have logged out.",
///         SessionEnd::Superseded => "Please load the page again.",
///         _ => "Your session has ended.",
///     }
/// }
/// # let _ = message;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEnd {
    /// It was logged out, revoked, or removed from the database.
    Ended {
        /// What ended it. Only the host that did knows.
        by: Option<EndedBy>,
    },
    /// It expired.
    Expired,
    /// The session goes on with another secret: another request logged in, logged out or renewed
    /// it. The handle that was watched reads and changes nothing of it any more. A
    /// [`watch`](crate::Store::watch) of a key does not end so.
    Superseded,
    /// [`Store::end_all`](crate::Store::end_all) or
    /// [`end_all_before`](crate::Store::end_all_before) ended it.
    EndedAll,
}

/// The secrets that a handle's session has had since it was loaded: its own renewals end none of its
/// watches.
#[derive(Debug, Default)]
pub(crate) struct OwnSecrets(Mutex<SmallVec<[SecretHash; 2]>>);

impl OwnSecrets {
    /// Adds a secret before it is saved, so that nobody can meet it earlier.
    pub(crate) fn add(&self, secret: SecretHash) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.contains(&secret) {
            if secrets.len() >= MOST_SECRETS {
                secrets.remove(0);
            }
            secrets.push(secret);
        }
    }

    fn has(&self, secret: SecretHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&secret)
    }
}

/// A queue with room for more than this gives it back.
const MANY: usize = 1_024;

/// How many secrets of one handle are remembered: of its last renewals.
const MOST_SECRETS: usize = 8;

/// One who waits.
#[derive(Default)]
pub(super) struct Watcher {
    /// `None` for whoever watches the session whatever its secret.
    secrets: Option<Arc<OwnSecrets>>,
    /// The version of the record when the watch began. What is older says nothing of its secret.
    since: u64,
    state: Mutex<WatcherState>,
}

#[derive(Default)]
struct WatcherState {
    end: Option<SessionEnd>,
    waker: Option<Waker>,
}

impl Watcher {
    fn state(&self) -> MutexGuard<'_, WatcherState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `secrets`: whose session is watched only as long as its secret is one of these.
    pub(super) fn new(secrets: Option<Arc<OwnSecrets>>, since: u64) -> Self {
        Self { secrets, since, state: Mutex::default() }
    }

    pub(super) fn end(&self) -> Option<SessionEnd> {
        self.state().end
    }

    /// Returns the end, or has this waker woken by it.
    pub(super) fn end_or_wake(&self, waker: &Waker) -> Option<SessionEnd> {
        let mut state = self.state();
        if state.end.is_none() {
            match &mut state.waker {
                Some(known) => known.clone_from(waker),
                known => *known = Some(waker.clone()),
            }
        }
        state.end
    }

    pub(super) fn resolve(&self, end: SessionEnd) {
        let waker = {
            let mut state = self.state();
            state.end.get_or_insert(end);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the session of this secret is another than the one that is watched.
    pub(super) fn is_superseded_by(&self, secret: Option<SecretHash>, version: u64) -> bool {
        match (&self.secrets, secret) {
            _ if version < self.since => false,
            (Some(own), Some(secret)) => !own.has(secret),
            _ => false,
        }
    }
}

/// The sessions that are watched on this host.
pub(super) struct Watches {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
    /// The sessions to ask the database about, each once.
    queue: Mutex<Vec<StoreKey>>,
    /// Whether changes may have been missed.
    missed: AtomicBool,
    /// Told when something is in the queue.
    pub(super) queued: Notify,
}

type Shard = HashMap<StoreKey, Watched, RandomState>;

struct Watched {
    watchers: SmallVec<[Arc<Watcher>; 1]>,
    /// The expiry as it was last seen.
    expires_at: Option<SystemTime>,
    is_queued: bool,
}

impl Watched {
    /// Whether nobody watches. A key in the queue keeps its place, so that it is there only once.
    fn is_over(&self) -> bool {
        self.watchers.is_empty() && !self.is_queued
    }
}

/// Each is polled in turn.
pub(super) const SHARDS: usize = 32;

impl Default for Watches {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            len: AtomicUsize::new(0),
            queue: Mutex::default(),
            missed: AtomicBool::new(false),
            queued: Notify::new(),
        }
    }
}

/// What the database says of a watched session.
pub(super) enum Seen {
    Gone,
    EndedAll,
    Live { secret: Option<SecretHash>, version: u64, expires_at: Option<SystemTime> },
}

impl Watches {
    fn shard(&self, key: &StoreKey) -> MutexGuard<'_, Shard> {
        // Keys are hashes: their characters are even.
        let text = key.as_str().as_bytes();
        let number = text.iter().take(4).fold(0, |number, byte| number * 31 + usize::from(*byte));
        lock(&self.shards[number % SHARDS])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    pub(super) fn add(
        &self,
        key: &StoreKey,
        watcher: Arc<Watcher>,
        expires_at: Option<SystemTime>,
    ) {
        let mut shard = self.shard(key);
        let watched = shard.entry(key.clone()).or_insert_with(|| Watched {
            watchers: SmallVec::new(),
            expires_at,
            is_queued: false,
        });
        watched.watchers.push(watcher);
        watched.expires_at = watched.expires_at.max(expires_at);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, key: &StoreKey, watcher: &Arc<Watcher>) {
        let mut shard = self.shard(key);
        let Some(watched) = shard.get_mut(key) else { return };
        let before = watched.watchers.len();
        watched.watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        self.len.fetch_sub(before - watched.watchers.len(), Ordering::Relaxed);
        if watched.is_over() {
            shard.remove(key);
            shrink(&mut shard);
        }
    }

    /// Resolves the watchers of a session for whom `how` names an end.
    fn resolve(&self, key: &StoreKey, mut how: impl FnMut(&Watcher) -> Option<SessionEnd>) {
        let mut ended = SmallVec::<[_; 1]>::new();
        {
            let mut shard = self.shard(key);
            let Some(watched) = shard.get_mut(key) else { return };
            watched.watchers.retain(|watcher| match how(watcher) {
                Some(end) => {
                    ended.push((watcher.clone(), end));
                    false
                }
                None => true,
            });
            if watched.is_over() {
                shard.remove(key);
                shrink(&mut shard);
            }
        }
        self.len.fetch_sub(ended.len(), Ordering::Relaxed);
        // Without the lock, because wakers run code of their own.
        for (watcher, end) in ended {
            watcher.resolve(end);
        }
    }

    /// A session ended.
    pub(super) fn ended(&self, key: &StoreKey, by: Option<EndedBy>) {
        if !self.is_empty() {
            self.resolve(key, |_| Some(SessionEnd::Ended { by }));
        }
    }

    /// Takes note of what is stored. `by` is what ended a session that is gone.
    pub(super) fn see(&self, key: &StoreKey, seen: &Seen, by: Option<EndedBy>, now: SystemTime) {
        match *seen {
            Seen::Gone => {
                let expires_at = self.shard(key).get(key).and_then(|watched| watched.expires_at);
                let end = match by {
                    None if expires_at.is_some_and(|at| at <= now) => SessionEnd::Expired,
                    by => SessionEnd::Ended { by },
                };
                self.resolve(key, |_| Some(end));
            }
            Seen::EndedAll => self.resolve(key, |_| Some(SessionEnd::EndedAll)),
            Seen::Live { secret, version, expires_at } => {
                if let Some(watched) = self.shard(key).get_mut(key) {
                    watched.expires_at = expires_at;
                }
                self.resolve(key, |watcher| {
                    watcher.is_superseded_by(secret, version).then_some(SessionEnd::Superseded)
                });
            }
        }
    }

    /// Has the database asked about a session, if it is watched.
    pub(super) fn queue(&self, key: &StoreKey) {
        if self.is_empty() {
            return;
        }
        let mut shard = self.shard(key);
        let Some(watched) = shard.get_mut(key).filter(|watched| !watched.is_queued) else { return };
        watched.is_queued = true;
        lock(&self.queue).push(key.clone());
        drop(shard);
        self.queued.notify_one();
    }

    /// Has the database asked about every session for which `which` holds: of one shard, or of all.
    fn queue_some(&self, shards: &[Mutex<Shard>], which: impl Fn(&Watched) -> bool) {
        for shard in shards {
            let mut shard = lock(shard);
            let due = shard.iter_mut().filter(|(_, it)| !it.is_queued && which(it));
            let due = due.map(|(key, watched)| {
                watched.is_queued = true;
                key.clone()
            });
            lock(&self.queue).extend(due);
        }
        self.queued.notify_one();
    }

    pub(super) fn queue_all(&self) {
        self.queue_some(&self.shards, |_| true);
    }

    pub(super) fn queue_shard(&self, number: usize) {
        self.queue_some(&self.shards[number % SHARDS..][..1], |_| true);
    }

    pub(super) fn queue_expired(&self, now: SystemTime) {
        self.queue_some(&self.shards, |it| it.expires_at.is_some_and(|at| at <= now));
    }

    /// Takes some of the sessions to ask about. From here on each may be queued again.
    pub(super) fn take(&self, most: usize) -> Vec<StoreKey> {
        let keys: Vec<_> = {
            let mut queue = lock(&self.queue);
            let most = queue.len().min(most);
            let keys = queue.drain(..most).collect();
            if queue.is_empty() && queue.capacity() > MANY {
                // After many at once, their place is given back.
                *queue = Vec::new();
            }
            keys
        };
        let is_watched = |key: &StoreKey| {
            let mut shard = self.shard(key);
            let Some(watched) = shard.get_mut(key) else { return false };
            watched.is_queued = false;
            if watched.watchers.is_empty() {
                shard.remove(key);
                shrink(&mut shard);
                return false;
            }
            true
        };
        // In one piece, also where nobody watches some of them any more.
        keys.into_iter().filter(is_watched).collect()
    }

    /// Changes may have been missed: every session is to be asked about.
    pub(super) fn missed(&self) {
        if !self.is_empty() {
            self.missed.store(true, Ordering::Release);
            self.queued.notify_one();
        }
    }

    pub(super) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives back memory after many watches have gone.
fn shrink(shard: &mut Shard) {
    if shard.capacity() > 64 && shard.len() < shard.capacity() / 4 {
        shard.shrink_to(shard.len() * 2);
    }
}
