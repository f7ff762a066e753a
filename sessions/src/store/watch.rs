//! Waiting for the end of a session: the future, and how it is told.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::base::{Base, Loaded};
use super::change::Change;
use super::core::Core;
use super::watches::{OwnSecrets, SessionEnd, Watcher};
use crate::error::Error;
use crate::id::StoreKey;
use crate::schema::stored::Stored;
use crate::telemetry;

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
/// close sockets at your server's shutdown by other means. The guide's page [Closing sockets on
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
    /// [`Error::Misuse`] for a session type that this store has not used yet, and [`Error::Decode`]
    /// for a record that this build cannot read.
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
        if self.watcher.end().is_some() {
            return Ok(false);
        }
        match &self.key {
            Some(key) => self.core.touch_watched(key, &self.watcher).await,
            // The session is in its cookie, which only a response can prolong.
            None => Ok(true),
        }
    }
}

impl Future for Watch {
    type Output = SessionEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SessionEnd> {
        if let Some(end) = self.watcher.end_or_wake(context.waker()) {
            return Poll::Ready(end);
        }
        if self.key.is_some() {
            // The runtime that ran them may have ended.
            self.core.follow();
            self.core.poll_watches();
        }
        Poll::Pending
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

impl Core {
    /// Watches a session; with `secrets` only for as long as its secret is one of these.
    pub(crate) fn watch(
        self: &Arc<Self>,
        key: StoreKey,
        secrets: Option<Arc<OwnSecrets>>,
        version: u64,
        expires_at: Option<SystemTime>,
    ) -> Watch {
        let watcher = Arc::new(Watcher::new(secrets, version));
        self.watches.add(&key, watcher.clone(), expires_at);
        // It may have ended since it was loaded, when nobody watched.
        self.watches.queue(&key);
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
        let record = self.provider.fetch(key.as_str(), now).await?;
        self.found(key, record.as_ref(), now);
        let (Some(record), None) = (record, watcher.end()) else { return Ok(false) };
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
