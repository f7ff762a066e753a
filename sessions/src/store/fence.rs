//! Makes "log out everywhere" reach a login that is under way: the owner's fence is a record that
//! `revoke_all` writes first and each login reads. Pure: no store, no clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::purge::SKEW;
use crate::clock::{from_unix_millis, to_unix_millis};
use crate::id::Mark;
use crate::provider::Record;

/// A login that has begun. [`Store::begin_login`](crate::Store::begin_login) makes it before the
/// password is checked; pass it to [`Session::log_in`](crate::Session::log_in) afterwards.
///
/// It lets [`revoke_all`](crate::Store::revoke_all) undo exactly the logins that began before it,
/// without comparing two hosts' clocks. It is valid for 30 minutes and for one owner.
///
/// It implements serde's traits, so it can wait for a second factor in another request. Keep it
/// together with the proof that the first factor was correct, where the visitor cannot change it:
/// in their session, or sealed by a [`Codec`](crate::codec::Codec).
///
/// ```
/// use sessions::{Error, Session, Store};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     #[session(owner)]
///     user: Option<u64>,
/// }
///
/// async fn log_in(store: &Store, visitor: &mut Session<Visitor>, user: u64) -> Result<(), Error> {
///     let attempt = store.begin_login::<Visitor>(user).await?;
///     // Check the password here.
///     visitor.user = Some(user);
///     visitor.log_in(attempt);
///     Ok(())
/// }
/// # let _ = log_in;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    session: String,
    /// The owner as its field displays it.
    owner: String,
    mark: Option<Mark>,
    began_at: SystemTime,
    /// The number of the epoch that the host knew.
    epoch: u64,
}

impl LoginAttempt {
    pub(super) fn new(
        session: &str,
        owner: String,
        fence: Option<&Fence>,
        epoch: u64,
        now: SystemTime,
    ) -> Self {
        let began_at = from_unix_millis(to_unix_millis(now));
        let mark = fence.map(|fence| fence.mark);
        Self { session: session.to_owned(), owner, mark, began_at, epoch }
    }

    /// Returns the number of the epoch that the host knew when the login began.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the mark of the fence that existed when the login began.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Whether the attempt is for this owner of this session type.
    pub(super) fn is_for(&self, session: &str, owner: &str) -> bool {
        self.session == session && self.owner == owner
    }

    /// Whether the attempt is too old. A time in the future counts as now.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        now.duration_since(self.began_at).is_ok_and(|age| age > ATTEMPT_LIFE)
    }
}

impl Serialize for LoginAttempt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mark = self.mark.as_ref().map(Mark::as_bytes);
        let began_at = to_unix_millis(self.began_at);
        (&self.session, &self.owner, mark, began_at, self.epoch).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LoginAttempt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (session, owner, mark, began_at, epoch) =
            <(String, String, Option<[u8; Mark::LENGTH]>, u64, u64)>::deserialize(deserializer)?;
        let (mark, began_at) = (mark.map(Mark::from_bytes), from_unix_millis(began_at));
        Ok(Self { session, owner, mark, began_at, epoch })
    }
}

/// An owner's fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) mark: Mark,
    raised_at: SystemTime,
}

impl Fence {
    pub(super) fn new(mark: Mark, now: SystemTime) -> Self {
        Self { mark, raised_at: now }
    }

    /// Reads the fence of a record, or returns `None` if it holds no fence.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let (mark, nanos) = record.data.split_first_chunk()?;
        let nanos = u64::from_be_bytes(nanos.try_into().ok()?);
        let raised_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?;
        Some(Self { mark: Mark::from_bytes(*mark), raised_at })
    }

    /// Returns a record of this version that is kept for an hour from `now`.
    pub(super) fn record(&self, id: &str, version: u64, now: SystemTime) -> Record {
        let since = self.raised_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // With nanoseconds, so that a login right after a `revoke_all` does not count as under way.
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let data = [&self.mark.as_bytes()[..], &nanos.to_be_bytes()].concat();
        Record {
            id: id.into(),
            version,
            expires_at: Some(now + FENCE_LIFE),
            format: FENCE_FORMAT.into(),
            data: Bytes::from(data),
            owner: None,
        }
    }

    /// Whether the clock of the host that raised the fence is further ahead of this one than
    /// allowed. Then the fence counts as raised now.
    pub(super) fn is_ahead(&self, now: SystemTime) -> bool {
        self.raised_at.duration_since(now).is_ok_and(|ahead| ahead > SKEW)
    }

    /// Whether the fence undoes a login: it was raised after the login began.
    ///
    /// With an attempt the marks decide. Without one the times decide, as far as the two hosts'
    /// clocks agree: `loaded_at` is when the login's session was loaded.
    pub(super) fn undoes(
        &self,
        attempt: Option<&LoginAttempt>,
        loaded_at: SystemTime,
        now: SystemTime,
    ) -> bool {
        match attempt {
            Some(attempt) => attempt.mark != Some(self.mark),
            None => self.is_ahead(now) || self.raised_at >= loaded_at,
        }
    }
}

/// The format of a fence's record. Formats of sessions have a slash.
pub(crate) const FENCE_FORMAT: &str = "fence";

/// How long a fence is kept: longer than any login takes.
const FENCE_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long an attempt is valid. It is half of a fence's life, so a fence that was raised since
/// still exists.
const ATTEMPT_LIFE: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn fence(mark: u8, seconds: u64) -> Fence {
        Fence::new(Mark::from_bytes([mark; 16]), at(seconds))
    }

    #[test]
    fn a_fence_is_read_as_it_was_written_and_nothing_else_is() {
        let fence = Fence::new(Mark::from_bytes([7; 16]), at(5) + Duration::from_nanos(3));
        let record = fence.record("fence:x", 3, at(5));
        assert_eq!(Fence::read(&record), Some(fence));
        assert_eq!(record.expires_at, Some(at(3605)));
        for end in 0..record.data.len() {
            assert_eq!(Fence::read(&Record::new("a", 1, record.data.slice(..end))), None);
        }
    }

    #[test]
    fn with_an_attempt_the_marks_decide_whatever_the_clocks_say() {
        let attempt =
            |fence: Option<&Fence>| LoginAttempt::new("visitor", "7".into(), fence, 0, at(50));
        let (old, new) = (fence(1, 0), fence(2, 0));
        for clock in [0, 50, 100, 100_000] {
            let undone = |fence: &Fence, began: Option<&Fence>| {
                fence.undoes(Some(&attempt(began)), at(clock), at(clock))
            };
            assert!(!undone(&old, Some(&old)));
            assert!(undone(&new, Some(&old)));
            assert!(undone(&new, None));
        }
    }

    #[test]
    fn without_one_the_times_decide() {
        let fence = fence(1, 100);
        assert!(fence.undoes(None, at(99), at(101)));
        assert!(fence.undoes(None, at(100), at(101)));
        assert!(!fence.undoes(None, at(101), at(101)));
    }

    #[test]
    fn a_fence_from_far_ahead_counts_as_raised_now() {
        let fence = fence(1, 10_000);
        assert!(fence.is_ahead(at(9_399)) && !fence.is_ahead(at(9_400)));
        assert!(fence.undoes(None, at(9_399), at(9_399)));
    }

    #[test]
    fn an_attempt_is_for_one_owner_of_one_type_and_for_half_an_hour() {
        let attempt = LoginAttempt::new("visitor", "7".into(), None, 0, at(100));
        assert!(attempt.is_for("visitor", "7"));
        assert!(!attempt.is_for("visitor", "8") && !attempt.is_for("admin", "7"));
        assert!(!attempt.is_over(at(1_900)) && attempt.is_over(at(1_901)));
        assert!(!attempt.is_over(at(0)), "a clock that is behind");
    }

    #[test]
    fn an_attempt_survives_serde() {
        for fence in [None, Some(fence(9, 0))] {
            let attempt = LoginAttempt::new("visitor", "é/7".into(), fence.as_ref(), 9, at(100));
            let bytes = cbor4ii::serde::to_vec(Vec::new(), &attempt).unwrap();
            let again: LoginAttempt = cbor4ii::serde::from_slice(&bytes).unwrap();
            assert_eq!(again, attempt);
        }
    }
}
