//! Makes "log out everywhere" reach a login that is under way: the owner's fence is a record that
//! `revoke_all` writes first and each login reads. Pure: no store, no clock.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::{SKEW, from_unix_millis, to_unix_millis};
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
    /// The marks of the credentials that had been revoked when the login began.
    credentials: Vec<Mark>,
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
        let marks = fence.into_iter().flat_map(|fence| &fence.credentials);
        Self {
            session: session.to_owned(),
            owner,
            mark: fence.and_then(Fence::mark),
            credentials: marks.map(|credential| credential.raised.mark).collect(),
            began_at,
            epoch,
        }
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
        let credentials: Vec<_> = self.credentials.iter().map(Mark::as_bytes).collect();
        let began_at = to_unix_millis(self.began_at);
        (&self.session, &self.owner, mark, credentials, began_at, self.epoch).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LoginAttempt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        type Bytes = [u8; Mark::LENGTH];
        let (session, owner, mark, credentials, began_at, epoch) =
            <(String, String, Option<Bytes>, Vec<Bytes>, u64, u64)>::deserialize(deserializer)?;
        let (mark, began_at) = (mark.map(Mark::from_bytes), from_unix_millis(began_at));
        let credentials = credentials.into_iter().map(Mark::from_bytes).collect();
        Ok(Self { session, owner, mark, credentials, began_at, epoch })
    }
}

/// An owner's fence: what was revoked lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fence {
    /// All of the owner's sessions.
    all: Option<Raised>,
    /// The sessions of single credentials, newest last.
    credentials: Vec<RaisedCredential>,
}

/// A revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) mark: Mark,
    at: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RaisedCredential {
    credential: CredentialHash,
    raised: Raised,
}

/// The hash of a credential's id.
pub(super) type CredentialHash = [u8; 16];

impl Raised {
    pub(super) fn new(mark: Mark, now: SystemTime) -> Self {
        Self { mark, at: now }
    }

    fn read(data: &[u8]) -> Option<Self> {
        let (mark, nanos) = data.split_first_chunk()?;
        let nanos = u64::from_be_bytes(nanos.try_into().ok()?);
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?;
        Some(Self { mark: Mark::from_bytes(*mark), at })
    }

    fn put(&self, data: &mut Vec<u8>) {
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // With nanoseconds, so that a login right after a `revoke_all` does not count as under way.
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        data.extend_from_slice(self.mark.as_bytes());
        data.extend_from_slice(&nanos.to_be_bytes());
    }

    /// Whether the clock of the host that raised it is further ahead of this one than allowed. Then
    /// it counts as raised now.
    pub(super) fn is_ahead(&self, now: SystemTime) -> bool {
        self.at.duration_since(now).is_ok_and(|ahead| ahead > SKEW)
    }

    /// Whether it was raised after a login began.
    ///
    /// With an attempt the marks that it `knows` decide. Without one the times decide, as far as the
    /// two hosts' clocks agree: `loaded_at` is when the login's session was loaded.
    fn undoes(&self, knows: Option<bool>, loaded_at: SystemTime, now: SystemTime) -> bool {
        match knows {
            Some(knows) => !knows,
            None => self.is_ahead(now) || self.at >= loaded_at,
        }
    }
}

impl Fence {
    /// Reads the fence of a record, or returns `None` if it holds no fence.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let (all, credentials) = record.data.split_at_checked(RAISED)?;
        let all = if *all == [0; RAISED] { None } else { Some(Raised::read(all)?) };
        let (credentials, rest) = credentials.as_chunks::<RAISED_CREDENTIAL>();
        if !rest.is_empty() || credentials.len() > MOST_CREDENTIALS {
            return None;
        }
        let credentials = credentials.iter().map(|entry| {
            let (credential, raised) = entry.split_first_chunk()?;
            Some(RaisedCredential { credential: *credential, raised: Raised::read(raised)? })
        });
        Some(Self { all, credentials: credentials.collect::<Option<_>>()? })
    }

    /// Returns a record of this version that is kept for an hour from `now`.
    pub(super) fn record(&self, id: &str, version: u64, now: SystemTime) -> Record {
        let mut data = Vec::with_capacity(RAISED + self.credentials.len() * RAISED_CREDENTIAL);
        match &self.all {
            Some(all) => all.put(&mut data),
            None => data.extend_from_slice(&[0; RAISED]),
        }
        for RaisedCredential { credential, raised } in &self.credentials {
            data.extend_from_slice(credential);
            raised.put(&mut data);
        }
        Record {
            id: id.into(),
            version,
            expires_at: Some(now + FENCE_LIFE),
            format: FENCE_FORMAT.into(),
            data: Bytes::from(data),
            owner: None,
        }
    }

    /// The mark of the last revocation of all.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.all.map(|all| all.mark)
    }

    /// Raises it: for the sessions of a credential, or for all.
    pub(super) fn raise(&mut self, credential: Option<CredentialHash>, raised: Raised) {
        let Some(credential) = credential else {
            // It undoes what any of them would undo.
            (self.all, self.credentials) = (Some(raised), Vec::new());
            return;
        };
        self.credentials.retain(|entry| entry.credential != credential);
        if self.credentials.len() >= MOST_CREDENTIALS {
            // A forgotten one would undo nothing any more. Undo too much instead: logins of other
            // credentials that are under way have to be repeated.
            (self.all, self.credentials) = (Some(raised), Vec::new());
        }
        self.credentials.push(RaisedCredential { credential, raised });
    }

    /// Whether this revocation is in it.
    pub(super) fn holds(&self, mark: Mark) -> bool {
        self.mark() == Some(mark) || self.credentials.iter().any(|it| it.raised.mark == mark)
    }

    /// Whether this credential was revoked after a session was loaded, as far as the clocks agree.
    pub(super) fn revokes(
        &self,
        credential: CredentialHash,
        loaded_at: SystemTime,
        now: SystemTime,
    ) -> bool {
        let is_used = |it: &&RaisedCredential| it.credential == credential;
        let mut raised = self.credentials.iter().filter(is_used).map(|it| &it.raised);
        raised.any(|raised| raised.undoes(None, loaded_at, now))
    }

    /// Returns what undoes a login with this credential, if something does.
    pub(super) fn undoes(
        &self,
        attempt: Option<&LoginAttempt>,
        credential: Option<CredentialHash>,
        loaded_at: SystemTime,
        now: SystemTime,
    ) -> Option<&Raised> {
        let all = self.all.as_ref().filter(|all| {
            let knows = attempt.map(|attempt| attempt.mark == Some(all.mark));
            all.undoes(knows, loaded_at, now)
        });
        let is_used = |it: &&RaisedCredential| Some(it.credential) == credential;
        let of_credential = || {
            self.credentials.iter().filter(is_used).map(|it| &it.raised).find(|raised| {
                let knows = attempt.map(|attempt| attempt.credentials.contains(&raised.mark));
                raised.undoes(knows, loaded_at, now)
            })
        };
        all.or_else(of_credential)
    }
}

/// The length of a revocation: its mark and time.
const RAISED: usize = Mark::LENGTH + 8;

/// The length of a credential's revocation.
const RAISED_CREDENTIAL: usize = 16 + RAISED;

/// The most credentials in one fence.
const MOST_CREDENTIALS: usize = 16;

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

    fn raised(mark: u8, seconds: u64) -> Raised {
        Raised::new(Mark::from_bytes([mark; 16]), at(seconds))
    }

    fn fence(mark: u8, seconds: u64) -> Fence {
        Fence { all: Some(raised(mark, seconds)), credentials: Vec::new() }
    }

    const KEY: CredentialHash = [1; 16];
    const OTHER: CredentialHash = [2; 16];

    #[test]
    fn a_fence_is_read_as_it_was_written_and_nothing_else_is() {
        let all = Raised::new(Mark::from_bytes([7; 16]), at(5) + Duration::from_nanos(3));
        let mut fence = Fence { all: Some(all), credentials: Vec::new() };
        let mut of_credentials = Fence::default();
        for number in 0..16 {
            fence.raise(Some([number; 16]), raised(number, 9));
            of_credentials.raise(Some([number; 16]), raised(number, 9));
        }
        for fence in [Fence { all: Some(all), credentials: Vec::new() }, fence, of_credentials] {
            let record = fence.record("fence:x", 3, at(5));
            assert_eq!(Fence::read(&record).as_ref(), Some(&fence));
            assert_eq!(record.expires_at, Some(at(3605)));
            for end in 0..record.data.len() {
                let cut = Fence::read(&Record::new("a", 1, record.data.slice(..end)));
                let whole = end >= 24 && (end - 24) % 40 == 0;
                assert_eq!(cut.is_some(), whole, "{end}");
            }
            let longer = [&record.data[..], &[0; 17 * 40]].concat();
            assert_eq!(Fence::read(&Record::new("a", 1, longer)), None);
        }
    }

    #[test]
    fn with_an_attempt_the_marks_decide_whatever_the_clocks_say() {
        let attempt =
            |fence: Option<&Fence>| LoginAttempt::new("visitor", "7".into(), fence, 0, at(50));
        let (old, new) = (fence(1, 0), fence(2, 0));
        for clock in [0, 50, 100, 100_000] {
            let undone = |fence: &Fence, began: Option<&Fence>| {
                fence.undoes(Some(&attempt(began)), None, at(clock), at(clock)).is_some()
            };
            assert!(!undone(&old, Some(&old)));
            assert!(undone(&new, Some(&old)));
            assert!(undone(&new, None));
        }
    }

    #[test]
    fn without_one_the_times_decide() {
        let fence = fence(1, 100);
        let undone = |loaded| fence.undoes(None, None, at(loaded), at(101)).is_some();
        assert_eq!([99, 100, 101].map(undone), [true, true, false]);
    }

    #[test]
    fn a_credentials_revocation_undoes_its_logins_alone() {
        let mut fence = Fence::default();
        let before = LoginAttempt::new("visitor", "7".into(), Some(&fence), 0, at(50));
        fence.raise(Some(KEY), raised(1, 100));
        let after = LoginAttempt::new("visitor", "7".into(), Some(&fence), 0, at(150));
        let undone = |attempt: Option<&LoginAttempt>, credential, loaded| {
            fence.undoes(attempt, credential, at(loaded), at(200)).is_some()
        };
        assert!(undone(Some(&before), Some(KEY), 0));
        assert!(!undone(Some(&before), Some(OTHER), 0) && !undone(Some(&before), None, 0));
        assert!(!undone(Some(&after), Some(KEY), 0));
        assert!(undone(None, Some(KEY), 100) && !undone(None, Some(KEY), 101));
        assert!(!undone(None, Some(OTHER), 0) && !undone(None, None, 0));
    }

    #[test]
    fn the_seventeenth_credential_undoes_every_login_under_way() {
        let mut fence = Fence::default();
        for number in 0..17 {
            fence.raise(Some([number; 16]), raised(number, 100));
            // Raised again, it takes no second place.
            fence.raise(Some([number; 16]), raised(number, 100));
        }
        let undone = |credential| fence.undoes(None, Some(credential), at(50), at(200)).is_some();
        assert!(undone([0; 16]) && undone([16; 16]) && undone([99; 16]));
        assert_eq!(fence.credentials.len(), 1);
    }

    #[test]
    fn a_fence_from_far_ahead_counts_as_raised_now() {
        let fence = fence(1, 10_000);
        let all = fence.all.unwrap();
        assert!(all.is_ahead(at(9_399)) && !all.is_ahead(at(9_400)));
        assert!(fence.undoes(None, None, at(9_399), at(9_399)).is_some());
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
        let mut of_credential = fence(9, 0);
        of_credential.raise(Some(KEY), raised(8, 0));
        for fence in [None, Some(fence(9, 0)), Some(of_credential)] {
            let attempt = LoginAttempt::new("visitor", "é/7".into(), fence.as_ref(), 9, at(100));
            let bytes = cbor4ii::serde::to_vec(Vec::new(), &attempt).unwrap();
            let again: LoginAttempt = cbor4ii::serde::from_slice(&bytes).unwrap();
            assert_eq!(again, attempt);
        }
    }
}
