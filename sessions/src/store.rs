//! The store: sessions loaded from a provider and committed back under an optimistic lock.

mod at_rest;
mod base;
mod builder;
mod client_side;
mod execute;
mod fence;
mod load;
mod owner;
mod patch;
mod plan;
mod purge;
mod queue;
mod reported;
mod save;
mod session_type;
mod times;
mod tracker;
mod unsettled;
mod update;

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

pub(crate) use self::base::Base;
pub use self::builder::{KeepChanges, StoreBuilder};
pub use self::execute::Outcome;
pub(crate) use self::execute::{Change, Committed, Failed, Settled};
pub use self::fence::LoginAttempt;
pub use self::owner::{SessionInfo, SessionPage};
pub(crate) use self::patch::Asks;
use self::plan::Due;
pub(crate) use self::purge::SKEW;
use self::queue::Queues;
use self::reported::Reported;
pub(crate) use self::session_type::SessionType;
use self::times::{Span, Times};
pub(crate) use self::tracker::Commits;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::tracker::Finish;
pub(crate) use self::unsettled::{InFlight, Unsettled};
use crate::clock::Clock;
use crate::codec::Codec;
use crate::cookie::CookieConfig;
use crate::provider::Provider;
use crate::random::Random;
use crate::schema::Summary;
use crate::{Error, SessionData};

/// Loads and commits sessions: a provider, the keys that seal cookies, and the rules of a session's
/// life.
///
/// One store serves any number of session types, each with its own cookie and record. Cloning is
/// cheap.
///
/// ```
/// use sessions::{MemoryProvider, Session, Store};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u32,
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let store = Store::new(MemoryProvider::new());
///
/// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
/// visitor.visits += 1;
/// let commit = visitor.commit().await?;
/// assert!(commit.set_cookie().is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    provider: Arc<dyn Provider>,
    codec: Codec,
    clock: Arc<dyn Clock>,
    random: Random,
    app: String,
    times: Times,
    longest_remember: Duration,
    cookie: CookieConfig,
    // Only the layers read it.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    keep: KeepChanges,
    // A std lock, because it is never held across an await. It is written once for each session
    // type. There are few types, so a scan is cheaper than hashing.
    types: RwLock<Vec<Arc<SessionType>>>,
    /// Whether a record that this build cannot read counts as absent.
    reset_unreadable: bool,
    /// Whether sessions live in their cookies.
    client_side: bool,
    /// The largest size of a record's data, in bytes.
    record_limit: usize,
    /// The most sessions that an owner may have.
    most_sessions: Option<usize>,
    commits: Commits,
    /// Becomes true at the shutdown.
    closing: watch::Sender<bool>,
    queues: Queues,
    /// The sessions whose superseded cookies were reported.
    reported: Reported,
}

impl Store {
    /// Creates a store with the default settings, which [`StoreBuilder`] lists.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::new(MemoryProvider::new());
    /// ```
    pub fn new(provider: impl Provider) -> Self {
        // `build` only fails on bad settings, and a test builds the default ones.
        Self::builder(provider).build().expect("the default settings are consistent")
    }

    /// Starts building a store with settings of your own.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::builder(MemoryProvider::new()).app("shop").build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn builder(provider: impl Provider) -> StoreBuilder {
        StoreBuilder::new(provider)
    }

    /// Waits until all running commits have ended. Call it after the server has stopped and before
    /// the process ends.
    ///
    /// A commit that has begun continues even if the client disconnects; this waits for such
    /// commits too. It also ends [`purge_task`](Self::purge_task).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// store.shutdown().await;
    /// # }
    /// ```
    pub async fn shutdown(&self) {
        // The purge task ends too.
        self.inner.closing.send_replace(true);
        self.inner.commits.wait().await;
    }

    /// Returns the codec that seals this store's cookies. Use it to rotate the keys in an
    /// emergency, or to seal links under the same key ring.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// // The keys have leaked. From now on every earlier cookie is refused.
    /// store.codec().rotate_now().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn codec(&self) -> &Codec {
        &self.inner.codec
    }

    fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// What the store knows of a session type.
    pub(crate) fn session_type<T: SessionData>(&self) -> Result<Arc<SessionType>, Error> {
        let known = |types: &[Arc<SessionType>]| {
            types.iter().find(|it| it.type_id == TypeId::of::<T>()).cloned()
        };
        let types = self.inner.types.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known(&types) {
            return Ok(known);
        }
        drop(types);
        let new = Arc::new(SessionType::of::<T>(&self.inner.app, &self.inner.cookie));
        let mut types = self.inner.types.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known(&types) {
            return Ok(known);
        }
        // Types of one name would read each other's records.
        if types.iter().any(|other| other.name() == new.name()) {
            return Err(Error::config(format!(
                "two session types are named \"{}\"; give one of them another name",
                new.name()
            )));
        }
        types.push(new.clone());
        Ok(new)
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.inner.clock.now()
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn keep(&self) -> KeepChanges {
        self.inner.keep
    }

    pub(crate) fn resets_unreadable(&self) -> bool {
        self.inner.reset_unreadable
    }

    pub(crate) fn commits(&self) -> &Commits {
        &self.inner.commits
    }

    pub(crate) fn longest_remember(&self) -> Duration {
        self.inner.longest_remember
    }

    /// The times that apply to the session of this record.
    pub(crate) fn span(&self, summary: &Summary) -> Span {
        self.inner.times.of(summary.created_at, summary.remember)
    }

    /// Whether an unchanged session still has something to write: its expiry, or its cookie.
    pub(crate) fn is_due(&self, base: &Base, now: SystemTime) -> bool {
        self.due(base, now) != Due::default()
    }

    fn due(&self, base: &Base, now: SystemTime) -> Due {
        match base {
            Base::Live(loaded) => Due {
                touch: self.touch_due(loaded, now).is_some(),
                // A renewal's cookie may still be on its way to the browser, so no other cookie is
                // sent after it.
                cookie: loaded.bearer.as_ref().is_some_and(base::Bearer::is_due)
                    && !base::is_recent(&loaded.stored.summary, now),
            },
            Base::Sealed(sealed) => {
                let span = self.span(&sealed.stored.summary);
                let touch = span.touch(sealed.expires_at, now).is_some();
                Due { touch, cookie: sealed.reissue }
            }
            Base::Absent { .. } | Base::Superseded(_) | Base::Ended(_) => Due::default(),
        }
    }

    /// The new expiry, if a touch is due.
    pub(crate) fn touch_due(&self, loaded: &base::Loaded, now: SystemTime) -> Option<SystemTime> {
        self.span(&loaded.stored.summary).touch(loaded.expires_at?, now)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("app", &self.inner.app).finish_non_exhaustive()
    }
}
