//! How a provider tells of changes: who listens, and the proof that nothing was missed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};

/// Whom a provider tells of changes, in [`Provider::changes`](super::Provider::changes). Cheap to
/// clone.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use sessions::provider::{ChangeListener, Notice};
///
/// let heard = Arc::new(Mutex::new(Vec::new()));
/// let listener = ChangeListener::new({
///     let heard = heard.clone();
///     move |notice| heard.lock().unwrap().push(format!("{notice:?}"))
/// });
/// listener.began();
/// listener.ended("a");
/// assert_eq!(*heard.lock().unwrap(), ["Began", "Ended(\"a\")"]);
/// ```
#[derive(Clone)]
pub struct ChangeListener {
    hear: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
    clock: Arc<dyn Clock>,
    /// When the last ping was taken.
    pinged: Arc<Mutex<Option<Instant>>>,
}

/// What a provider tells of changes.
///
/// ```
/// use sessions::provider::Notice;
///
/// fn id<'n>(notice: &Notice<'n>) -> Option<&'n str> {
///     match *notice {
///         Notice::Changed(id) | Notice::Ended(id) => Some(id),
///         _ => None,
///     }
/// }
/// assert_eq!(id(&Notice::Ended("a")), Some("a"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice<'n> {
    /// Every change that completes from now on will be told.
    Began,
    /// The record of this id was saved, or it may be gone.
    Changed(&'n str),
    /// The record of this id was deleted.
    Ended(&'n str),
    /// Changes may have been missed. Every change that completes from now on will be told again.
    Gap,
    /// Every change that completed before this ping was sent has been told.
    Proved(Ping),
}

/// The time at which a provider asked its database whether it still tells of changes. It counts
/// from the question and not from the answer: an answer may have waited in a buffer for long.
///
/// ```
/// use std::time::Duration;
/// use sessions::provider::ChangeListener;
///
/// let listener = ChangeListener::new(|_| {});
/// let ping = listener.ping();
/// assert!(ping.age(listener.ping()).unwrap() < Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    instant: Instant,
    wall: SystemTime,
}

impl Ping {
    pub(crate) fn at(wall: SystemTime) -> Self {
        Self { instant: Instant::now(), wall }
    }

    /// Whether it was sent before another, whatever the wall clock says.
    pub(crate) fn is_before(self, other: Self) -> bool {
        self.instant < other.instant
    }

    /// Returns how old this ping was at a later one: the longer of what the process's clock and the
    /// wall clock say, because the first stands still while a machine sleeps. `None` if the other is
    /// not later, or the wall clock has moved backwards, so that nobody knows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::provider::ChangeListener;
    ///
    /// let listener = ChangeListener::new(|_| {});
    /// let ping = listener.ping();
    /// assert_eq!(ping.age(ping), Some(Duration::ZERO));
    /// ```
    #[must_use]
    pub fn age(self, later: Self) -> Option<Duration> {
        let by_wall = later.wall.duration_since(self.wall).ok()?;
        Some(by_wall.max(later.instant.checked_duration_since(self.instant)?))
    }
}

impl ChangeListener {
    /// Creates a listener that passes every notice on. The store makes its own; this is for tests
    /// of a provider. `hear` is called in the provider's task and must not block.
    ///
    /// ```
    /// use sessions::provider::ChangeListener;
    /// let _listener = ChangeListener::new(|notice| println!("{notice:?}"));
    /// ```
    pub fn new(hear: impl Fn(Notice<'_>) + Send + Sync + 'static) -> Self {
        Self::with_clock(Arc::new(SystemClock), hear)
    }

    pub(crate) fn with_clock(
        clock: Arc<dyn Clock>,
        hear: impl Fn(Notice<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { hear: Arc::new(hear), clock, pinged: Arc::default() }
    }

    /// Tells that the feed has begun: every change that completes from now on will be told.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// listener.began();
    /// ```
    pub fn began(&self) {
        (self.hear)(Notice::Began);
    }

    /// Tells that the record of this id was saved, or may be gone.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// listener.changed("a");
    /// ```
    pub fn changed(&self, id: &str) {
        (self.hear)(Notice::Changed(id));
    }

    /// Tells that the record of this id was deleted.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// listener.ended("a");
    /// ```
    pub fn ended(&self, id: &str) {
        (self.hear)(Notice::Ended(id));
    }

    /// Tells that changes may have been missed: a buffer overflowed, or the database says that
    /// something changed and not what. After a lost connection, return from
    /// [`changes`](super::Provider::changes) instead.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// listener.gap();
    /// ```
    pub fn gap(&self) {
        (self.hear)(Notice::Gap);
    }

    /// Returns the time for a ping that is sent now. Take it before the ping is sent.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// let ping = listener.ping();
    /// // Send it, receive its answer, and pass on every change that came before the answer.
    /// listener.proved(ping);
    /// ```
    #[must_use]
    pub fn ping(&self) -> Ping {
        *self.pinged.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ping::at(self.clock.now())
    }

    /// Waits until the next ping is due, a second after the last, and returns its time. Cancelling
    /// it loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// let ping = listener.next_ping().await; // the first is due at once
    /// listener.proved(ping);
    /// # }
    /// ```
    pub async fn next_ping(&self) -> Ping {
        let last = *self.pinged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last {
            tokio::time::sleep_until(last + PING_EVERY).await;
        }
        self.ping()
    }

    /// Tells that the answer to this ping came back: every change that completed before it was sent
    /// has been told.
    ///
    /// ```
    /// # let listener = sessions::provider::ChangeListener::new(|_| {});
    /// listener.proved(listener.ping());
    /// ```
    pub fn proved(&self, ping: Ping) {
        (self.hear)(Notice::Proved(ping));
    }
}

impl fmt::Debug for ChangeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeListener").finish_non_exhaustive()
    }
}

/// How often a feed proves that it is alive.
const PING_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_ping_is_what_the_faster_clock_says() {
        let clock = ManualClock::default();
        let listener = ChangeListener::with_clock(Arc::new(clock.clone()), |_| {});
        let ping = listener.ping();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ping.age(listener.ping()), Some(Duration::from_secs(2)));
        clock.advance(Duration::from_secs(600));
        assert_eq!(ping.age(listener.ping()), Some(Duration::from_secs(600)), "a machine's sleep");
        clock.set(ping.wall - Duration::from_millis(1));
        assert_eq!(ping.age(listener.ping()), None, "a wall clock that was set back");
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_a_second_apart_and_one_that_was_cancelled_is_not_lost() {
        let listener = ChangeListener::new(|_| {});
        let began = Instant::now();
        let _ = listener.next_ping().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        for _ in 0..9 {
            let short = tokio::time::timeout(Duration::from_millis(100), listener.next_ping());
            assert!(short.await.is_err());
        }
        let _ = listener.next_ping().await;
        assert_eq!(began.elapsed(), PING_EVERY);
    }
}
