//! Watching for the end of sessions: who watches what, and the future that they await.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::base::{Base, Loaded};
use super::change::Change;
use super::core::Core;
use super::ended_by::EndedBy;
use crate::error::Error;
use crate::id::{SecretHash, StoreKey};
use crate::schema::stored::Stored;
use crate::telemetry;

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

/// Waits for the end of a session: a future that [`Session::ended`](crate::Session::ended) and
/// [`Store::watch`](crate::Store::watch) return.
///
/// It resolves once the session has ended, and says how. It may be awaited by reference, and again
/// after it has resolved. It keeps no session alive; [`touch`](Self::touch) does. It takes about 330
/// bytes of memory, and neither a task nor a connection of its own. Dropping it ends the watch.
///
/// This host's own acts resolve it at once. Acts of other hosts do as soon as the provider tells of
/// them, usually within milliseconds; with every provider at the latest one
/// [`watch_interval`](crate::StoreBuilder::watch_interval) later. While the database is down nobody
/// knows of an end, and it waits. [`Store::shutdown`](crate::Store::shutdown) does not resolve it:
/// close sockets at your server's shutdown by other means. The guide's chapter [Closing sockets on
/// logout](crate::guide::closing_sockets) shows handlers.
///
/// ```
/// use sessions::{SessionEnd, Session, Watch};
///
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// async fn serve(mut ended: Watch, mut messages: tokio::sync::mpsc::Receiver<String>) {
///     loop {
///         tokio::select! {
///             end = &mut ended => {
///                 println!("close the socket: {end:?}");
///                 break;
///             }
///             Some(message) = messages.recv() => println!("send {message}"),
///         }
///     }
/// }
/// # let _ = serve;
/// ```
#[must_use = "await it"]
pub struct Watch {
    core: Arc<Core>,
    key: Option<StoreKey>,
    watcher: Arc<Watcher>,
    /// Waits for the expiry of a session that has no record.
    timer: Option<AbortHandle>,
}

impl Watch {
    /// Returns the key of the session. It is `None` if there was no session to watch.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// assert_eq!(visitor.ended().key(), visitor.key());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&StoreKey> {
        self.key.as_ref()
    }

    /// Counts as a use of the session: moves its expiry, as a request does. It makes one call, or two
    /// if the expiry moves. Call it for what counts as activity of the visitor, such as a message
    /// from them, and not more often than each
    /// [`touch_interval`](crate::StoreBuilder::touch_interval). Returns whether the session is still
    /// live.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Provider`] if the provider fails; the expiry stays.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// let watch = visitor.ended();
    /// assert!(watch.touch().await?);
    /// # Ok(()) }
    /// ```
    pub async fn touch(&self) -> Result<bool, Error> {
        let (Some(key), None) = (&self.key, self.watcher.end()) else { return Ok(false) };
        self.core.touch_watched(key, &self.watcher).await
    }
}

impl Future for Watch {
    type Output = SessionEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SessionEnd> {
        let mut state = self.watcher.state();
        match state.end {
            Some(end) => Poll::Ready(end),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.core.watches.remove(key, &self.watcher);
        }
        if let Some(timer) = &self.timer {
            timer.abort();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("id", &self.key.as_ref().map(telemetry::emit::log_id))
            .field("end", &self.watcher.end())
            .finish_non_exhaustive()
    }
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

/// How many secrets of one handle are remembered: of its last renewals.
const MOST_SECRETS: usize = 8;

/// One who waits.
#[derive(Default)]
pub(super) struct Watcher {
    /// `None` for whoever watches the session whatever its secret.
    secrets: Option<Arc<OwnSecrets>>,
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

    fn end(&self) -> Option<SessionEnd> {
        self.state().end
    }

    fn resolve(&self, end: SessionEnd) {
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
    pub(super) fn is_superseded_by(&self, secret: Option<SecretHash>) -> bool {
        match (&self.secrets, secret) {
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

/// Each is polled in turn.
pub(super) const SHARDS: usize = 32;

impl Default for Watches {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            len: AtomicUsize::new(0),
            queue: Mutex::default(),
            queued: Notify::new(),
        }
    }
}

/// What the database says of a watched session.
pub(super) enum Seen {
    Gone,
    EndedAll,
    Live { secret: Option<SecretHash>, expires_at: Option<SystemTime> },
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

    fn add(&self, key: &StoreKey, watcher: Arc<Watcher>, expires_at: Option<SystemTime>) {
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

    fn remove(&self, key: &StoreKey, watcher: &Arc<Watcher>) {
        let mut shard = self.shard(key);
        let Some(watched) = shard.get_mut(key) else { return };
        let before = watched.watchers.len();
        watched.watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        self.len.fetch_sub(before - watched.watchers.len(), Ordering::Relaxed);
        if watched.watchers.is_empty() {
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
            if watched.watchers.is_empty() {
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
            Seen::Live { secret, expires_at } => {
                if let Some(watched) = self.shard(key).get_mut(key) {
                    watched.expires_at = expires_at;
                }
                self.resolve(key, |watcher| {
                    watcher.is_superseded_by(secret).then_some(SessionEnd::Superseded)
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
            queue.drain(..most).collect()
        };
        for key in &keys {
            if let Some(watched) = self.shard(key).get_mut(key) {
                watched.is_queued = false;
            }
        }
        keys
    }
}

impl Core {
    /// Watches a session; with `secrets` only for as long as its secret is one of these.
    pub(crate) fn watch(
        self: &Arc<Self>,
        key: StoreKey,
        secrets: Option<Arc<OwnSecrets>>,
        expires_at: Option<SystemTime>,
    ) -> Watch {
        let is_known = expires_at.is_some();
        let watcher = Arc::new(Watcher { secrets, state: Mutex::default() });
        self.watches.add(&key, watcher.clone(), expires_at);
        if !is_known {
            // It may have ended long ago.
            self.watches.queue(&key);
        }
        self.follow();
        self.poll_watches();
        Watch { core: self.clone(), key: Some(key), watcher, timer: None }
    }

    /// A watch that has resolved.
    pub(crate) fn watch_of_none(self: &Arc<Self>, end: SessionEnd) -> Watch {
        let watcher = Watcher::default();
        watcher.resolve(end);
        Watch { core: self.clone(), key: None, watcher: Arc::new(watcher), timer: None }
    }

    /// Watches a session that has no record: all that is known of it is when it expires.
    pub(crate) fn watch_expiry(self: &Arc<Self>, expires_at: SystemTime) -> Watch {
        let left = expires_at.duration_since(self.now()).unwrap_or_default();
        let watcher = Arc::new(Watcher::default());
        let expired = watcher.clone();
        // Outside a runtime nobody awaits it either.
        let timer = Handle::try_current().ok().map(|runtime| {
            // From now on, not from the task's first turn.
            let expiry = sleep(left);
            let task = runtime.spawn(async move {
                expiry.await;
                expired.resolve(SessionEnd::Expired);
            });
            task.abort_handle()
        });
        Watch { core: self.clone(), key: None, watcher, timer }
    }

    async fn touch_watched(
        self: &Arc<Self>,
        key: &StoreKey,
        watcher: &Watcher,
    ) -> Result<bool, Error> {
        let now = self.now();
        let Some(record) = self.provider.fetch(key.as_str(), now).await? else {
            self.watches.see(key, &Seen::Gone, self.endings.of(key), now);
            return Ok(false);
        };
        let seen = self.seen(&record);
        let Seen::Live { secret, .. } = seen else { return Ok(false) };
        if watcher.is_superseded_by(secret) {
            self.watches.see(key, &seen, None, now);
            return Ok(false);
        }
        let name = record.format.split('/').next().unwrap_or_default();
        let Some(session_type) = self.known_type(name) else {
            return Err(Error::misuse(format!(
                "this store has not used the session type \"{name}\" yet, so it does not know its \
                 times: load a session of this type before touch()"
            )));
        };
        let stored = Stored::parse(session_type.name(), &record.data)?;
        let loaded = Loaded::new(key.clone(), None, record, stored);
        // A conflict is another request's use of the session, or its end, which the watch is told of.
        let change = Change::of_nothing(session_type, Base::Live(Arc::new(loaded)), now);
        self.commit(change).await.map_err(|failed| failed.error)?;
        Ok(true)
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
