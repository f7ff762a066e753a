//! The store: sessions loaded from a provider and committed back under an optimistic lock.

mod at_rest;
pub(crate) mod base;
pub(crate) mod builder;
mod client_side;
pub(crate) mod core;
pub(crate) mod execute;
pub(crate) mod fence;
mod load;
pub(crate) mod owner;
pub(crate) mod patch;
pub(crate) mod plan;
pub(crate) mod purge;
mod queue;
mod reported;
mod save;
pub(crate) mod session_type;
mod times;
pub(crate) mod tracker;
pub(crate) mod unsettled;
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
#[cfg(feature = "testing")]
pub(crate) use self::fence::FENCE_FORMAT;
pub use self::fence::LoginAttempt;
pub use self::owner::{SessionInfo, SessionPage};
pub(crate) use self::patch::Asks;
use self::plan::Due;
use self::queue::Queues;
use self::reported::Reported;
use self::times::{Span, Times};
use crate::clock::Clock;
use crate::codec::Codec;
use crate::cookie::CookieConfig;
use crate::data::SessionData;
use crate::error::Error;
use crate::provider::Provider;
use crate::random::Random;
use crate::schema::header::Summary;
pub(crate) use self::purge::SKEW;
pub(crate) use self::session_type::SessionType;
pub(crate) use self::tracker::Commits;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::tracker::Finish;
pub(crate) use self::unsettled::{InFlight, Unsettled};

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
    core: Arc<Core>,
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
        self.core.closing.send_replace(true);
        self.core.commits.wait().await;
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
        &self.core.codec
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The time of the store's clock: for an app's own times, so that a test which moves the
    /// store's clock moves them too.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # use sessions::{ManualClock, MemoryProvider, Store};
    /// # fn main() -> Result<(), sessions::Error> {
    /// let clock = ManualClock::default();
    /// let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// let ordered_at = store.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(store.now(), ordered_at + Duration::from_secs(60));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.core.now()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("app", &self.core.app).finish_non_exhaustive()
    }
}
