//! The source of time: the system's clock, or a test's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
///
/// Every decision that depends on time (expiry, token age, key rotation) uses the clock that the
/// [`Store`](crate::Store) or [`Codec`](crate::codec::Codec) was built with, so a test can control it.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessions::clock::{Clock, SystemClock};
///
/// assert!(SystemClock.now() > SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time. It may jump forwards or backwards, as a host's clock does.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use sessions::clock::Clock;
    ///
    /// /// The system's clock, to the second.
    /// struct Coarse;
    ///
    /// impl Clock for Coarse {
    ///     fn now(&self) -> SystemTime {
    ///         let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    ///         SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
    ///     }
    /// }
    ///
    /// assert!(Coarse.now() <= SystemTime::now());
    /// ```
    fn now(&self) -> SystemTime;
}

/// The operating system's clock.
///
/// ```
/// use sessions::clock::{Clock, SystemClock};
/// let _now = SystemClock.now();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// A clock for tests, which moves only when the test moves it. Clones share one time.
///
/// Its resolution is one millisecond.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessions::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().duration_since(before).unwrap(), Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Creates a clock that shows `now` until the test moves it.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use sessions::clock::{Clock, ManualClock};
    ///
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
    /// ```
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self(Arc::new(AtomicU64::new(to_unix_millis(now))))
    }

    /// Moves the clock forwards by `by`, in whole milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::clock::{Clock, ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let start = clock.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now(), start + Duration::from_secs(60));
    /// ```
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        // The closure always gives a value, so the update cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(by)));
    }

    /// Sets the clock, forwards or backwards.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use sessions::clock::{Clock, ManualClock};
    ///
    /// let clock = ManualClock::default();
    /// let earlier = clock.now() - Duration::from_secs(60);
    /// clock.set(earlier);
    /// assert_eq!(clock.now(), earlier);
    /// ```
    pub fn set(&self, now: SystemTime) {
        self.0.store(to_unix_millis(now), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Creates a clock that shows 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(from_unix_millis(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// Returns the milliseconds since 1970-01-01T00:00:00Z, rounded down. Earlier times count as zero.
///
/// Providers store times in this form.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessions::provider::{from_unix_millis, to_unix_millis};
///
/// let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_500);
/// assert_eq!(to_unix_millis(time), 1);
/// assert_eq!(from_unix_millis(1), SystemTime::UNIX_EPOCH + Duration::from_millis(1));
/// ```
#[must_use]
pub fn to_unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_secs().saturating_mul(1_000);
    millis.saturating_add(since.subsec_millis().into()).min(LAST_MILLIS)
}

/// Returns the time that is this many milliseconds after 1970-01-01T00:00:00Z.
///
/// Values after the year 9999 become its end, so no stored number can overflow.
///
/// ```
/// use std::time::SystemTime;
/// use sessions::provider::from_unix_millis;
///
/// assert_eq!(from_unix_millis(0), SystemTime::UNIX_EPOCH);
/// assert_eq!(from_unix_millis(u64::MAX), from_unix_millis(253_402_300_799_999));
/// ```
#[must_use]
pub fn from_unix_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.min(LAST_MILLIS))
}

/// Returns a time as RFC 3339 has it, in UTC and with milliseconds.
#[cfg(feature = "export")]
pub(crate) fn to_rfc3339(time: SystemTime) -> String {
    let millis = to_unix_millis(time);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let year = year + era * 400;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// 9999-12-31T23:59:59.999Z. It fits the signed 64-bit numbers of databases.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// The largest difference between two hosts' clocks.
pub(crate) const SKEW: Duration = Duration::from_secs(10 * 60);

/// Whether something happened at most so long ago. Another host's clock may be ahead.
pub(crate) fn is_within(then: SystemTime, age: Duration, now: SystemTime) -> bool {
    match now.duration_since(then) {
        Ok(passed) => passed <= age,
        Err(ahead) => ahead.duration() <= SKEW,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_saturate_at_both_ends() {
        assert_eq!(to_unix_millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(to_unix_millis(from_unix_millis(u64::MAX)), LAST_MILLIS);
        let end = UNIX_EPOCH + Duration::new(i64::MAX as u64, 999_999_999);
        assert_eq!(to_unix_millis(end), LAST_MILLIS);
    }

    #[cfg(feature = "export")]
    #[test]
    fn times_are_written_as_dates() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_767_225_600_007, "2026-01-01T00:00:00.007Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(to_rfc3339(from_unix_millis(millis)), text);
        }
    }

    #[test]
    fn a_manual_clock_stands_still_and_clones_share_it() {
        let clock = ManualClock::default();
        let twin = clock.clone();
        assert_eq!(clock.now(), twin.now());
        twin.advance(Duration::from_millis(7));
        assert_eq!(to_unix_millis(clock.now()), 1_767_225_600_007);
    }
}
