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

/// Where sessions live: a provider, the keys that seal their cookies, and the rules of their life.
///
/// One store serves any number of session types; each has its own cookie and record. Cheap to
/// clone.
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
    // Only a layer sees a response.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    keep: KeepChanges,
    // A std lock, never held across an await; written once for each session type. They are few:
    // looking through them is cheaper than hashing.
    types: RwLock<Vec<Arc<SessionType>>>,
    /// A record that this build cannot read counts as none.
    reset_unreadable: bool,
    /// Sessions live in their cookies.
    client_side: bool,
    /// How many bytes a record may have.
    record_limit: usize,
    /// How many sessions an owner may have.
    most_sessions: Option<usize>,
    commits: Commits,
    /// Turns true at the shutdown.
    closing: watch::Sender<bool>,
    queues: Queues,
    /// The sessions whose superseded cookies were reported.
    reported: Reported,
}

impl Store {
    /// A store with the default settings: see [`StoreBuilder`].
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::new(MemoryProvider::new());
    /// ```
    pub fn new(provider: impl Provider) -> Self {
        // Only settings can be refused, and a test builds these.
        Self::builder(provider).build().expect("the default settings are consistent")
    }

    /// Settings for a store.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    /// let store = Store::builder(MemoryProvider::new()).app("shop").build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn builder(provider: impl Provider) -> StoreBuilder {
        StoreBuilder::new(provider)
    }

    /// Waits until the commits that are under way have ended: call it when the server has
    /// stopped, before the process ends.
    ///
    /// A client that leaves before its answer does not stop a commit that has begun; this waits
    /// for those too. It also ends [`purge_task`](Self::purge_task).
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

    /// The codec that seals this store's cookies: to rotate its keys in an emergency, or to seal
    /// links under the same key ring.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// // The keys have leaked: every cookie is refused from now on.
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
        // They would read each other's records.
        if types.iter().any(|other| other.name() == new.name()) {
            return Err(Error::config(format!(
                "two session types are named \"{}\"; give one of them another name",
                new.name()
            )));
        }
        types.push(new.clone());
        Ok(new)
    }

    /// Whether both are clones of one store.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
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

    /// The times that hold for the session of this record.
    pub(crate) fn span(&self, summary: &Summary) -> Span {
        self.inner.times.of(summary.created_at, summary.remember)
    }

    /// Whether a session that nobody changed has something to be written all the same: its
    /// expiry, or its cookie.
    pub(crate) fn is_due(&self, base: &Base, now: SystemTime) -> bool {
        self.due(base, now) != Due::default()
    }

    fn due(&self, base: &Base, now: SystemTime) -> Due {
        match base {
            Base::Live(loaded) => Due {
                touch: self.touch_due(loaded, now).is_some(),
                // While a renewal's cookie may be on its way, no other is sent after it.
                cookie: loaded.bearer.as_ref().is_some_and(base::Bearer::is_due)
                    && !base::is_recent(&loaded.stored.summary, now),
            },
            Base::Sealed(sealed) => {
                let span = self.span(&sealed.stored.summary);
                let touch = span.touch(sealed.expires_at, now).is_some();
                Due { touch, cookie: sealed.reissue }
            }
            Base::Absent { .. } | Base::Superseded(_) | Base::Unreadable(_) | Base::Ended(_) => {
                Due::default()
            }
        }
    }

    /// The new expiry, where a touch is due.
    pub(crate) fn touch_due(&self, loaded: &base::Loaded, now: SystemTime) -> Option<SystemTime> {
        self.span(&loaded.stored.summary).touch(loaded.expires_at?, now)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("app", &self.inner.app).finish_non_exhaustive()
    }
}
