//! Decides when a session ends, and when to move its record's expiry. Pure: no clock, no store.

use std::time::{Duration, SystemTime};

use crate::clock::{from_unix_millis, to_unix_millis};
use crate::schema::header::OwnTimes;

/// The times that a store was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) touch: Duration,
}

/// The times of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    created: SystemTime,
    times: Times,
}

impl Times {
    /// `own` are the session's own times.
    pub(crate) fn of(self, created: SystemTime, own: OwnTimes) -> Span {
        let idle = own.idle.unwrap_or(self.idle);
        let times = Self {
            idle,
            lifetime: own.lifetime.unwrap_or(self.lifetime),
            // The type's interval may be longer than a session lives that is short by its own wish.
            touch: if idle < self.idle { self.touch.min(idle / 10) } else { self.touch },
        };
        Span { created, times }
    }
}

impl Span {
    /// Returns the latest moment at which the session can end, even if it is in use.
    pub(crate) fn end(self) -> SystemTime {
        from_unix_millis(self.end_millis())
    }

    fn end_millis(self) -> u64 {
        to_unix_millis(self.created).saturating_add(millis(self.times.lifetime))
    }

    /// Returns the expiry of a record that is written at `now`. It is one touch interval after the
    /// idle timeout, so that a visitor whose last touch was skipped does not lose the session
    /// early.
    pub(crate) fn expiry(self, now: SystemTime) -> SystemTime {
        let idle = to_unix_millis(now)
            .saturating_add(millis(self.times.idle))
            .saturating_add(millis(self.times.touch));
        from_unix_millis(idle.min(self.end_millis()))
    }

    /// Returns the new expiry, if moving it gains at least a touch interval.
    pub(crate) fn touch(self, expires_at: SystemTime, now: SystemTime) -> Option<SystemTime> {
        // A cheap test first, because most requests touch nothing: too much time is left to gain a
        // whole interval.
        if expires_at.duration_since(now).is_ok_and(|left| left > self.times.idle) {
            return None;
        }
        let expiry = self.expiry(now);
        let gain = expiry.duration_since(expires_at).unwrap_or_default();
        (gain >= self.times.touch && !gain.is_zero()).then_some(expiry)
    }

    /// How often a touch is due.
    pub(crate) fn touch_interval(self) -> Duration {
        self.times.touch
    }

    /// Returns the last activity that follows from the expiry. Once the lifetime caps the expiry,
    /// this is a lower bound.
    pub(crate) fn last_seen(self, expires_at: SystemTime) -> SystemTime {
        let back = self.times.idle.saturating_add(self.times.touch);
        expires_at.checked_sub(back).unwrap_or(self.created).max(self.created)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> SystemTime {
        from_unix_millis(seconds * 1_000)
    }

    fn span(created: u64) -> Span {
        Times { idle: 100 * SECOND, lifetime: 1_000 * SECOND, touch: 10 * SECOND }
            .of(at(created), OwnTimes::default())
    }

    #[test]
    fn expiry_is_idle_and_a_touch_interval_ahead_until_the_lifetime_caps_it() {
        assert_eq!(span(0).expiry(at(0)), at(110));
        assert_eq!(span(0).expiry(at(890)), at(1_000));
        assert_eq!(span(0).expiry(at(891)), at(1_000));
    }

    #[test]
    fn a_touch_is_due_at_exactly_the_interval() {
        assert_eq!(span(0).touch(at(110), at(9)), None);
        assert_eq!(span(0).touch(at(110), at(10)), Some(at(120)));
        assert_eq!(span(0).touch(at(1_000), at(999)), None, "nothing is left to gain");
    }

    #[test]
    fn without_an_interval_every_gain_counts_and_none_does_not() {
        let span = Times { idle: SECOND, lifetime: 9 * SECOND, touch: Duration::ZERO };
        let span = span.of(at(0), OwnTimes::default());
        assert_eq!(span.touch(at(1), at(0)), None);
        assert_eq!(span.touch(at(1), at(1)), Some(at(2)));
    }

    #[test]
    fn a_clock_that_went_back_moves_nothing() {
        assert_eq!(span(0).touch(at(110), SystemTime::UNIX_EPOCH), None);
    }

    #[test]
    fn a_sessions_own_times_replace_its_types() {
        let times = Times { idle: SECOND, lifetime: SECOND, touch: SECOND };
        let own = |idle, lifetime| OwnTimes { idle, lifetime, persistent: false };
        let span = times.of(at(0), own(Some(50 * SECOND), Some(50 * SECOND)));
        assert_eq!(span.end(), at(50));
        assert_eq!(span.expiry(at(0)), at(50));
        let span = times.of(at(0), own(None, Some(50 * SECOND)));
        assert_eq!((span.end(), span.expiry(at(0))), (at(50), at(2)));
        // A shorter idle timeout comes with a shorter touch interval.
        let times = Times { idle: 100 * SECOND, lifetime: 100 * SECOND, touch: 10 * SECOND };
        let span = times.of(at(0), own(Some(20 * SECOND), None));
        assert_eq!((span.end(), span.expiry(at(0))), (at(100), at(22)));
        // While it is used, without an end.
        let span = times.of(at(0), own(Some(50 * SECOND), Some(Duration::MAX)));
        assert_eq!(span.expiry(at(1_000_000)), at(1_000_055));
    }

    #[test]
    fn last_seen_is_told_by_the_expiry() {
        assert_eq!(span(0).last_seen(at(110)), at(0));
        assert_eq!(span(0).last_seen(at(150)), at(40));
        assert_eq!(span(500).last_seen(at(1)), at(500));
    }

    #[test]
    fn endless_durations_saturate() {
        let times = Times { idle: Duration::MAX, lifetime: Duration::MAX, touch: Duration::ZERO };
        let span = times.of(at(5), OwnTimes::default());
        assert_eq!(span.expiry(at(9)), from_unix_millis(u64::MAX));
    }
}
