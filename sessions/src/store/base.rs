//! The base of a session: what its value was loaded from.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::ended_by::EndedBy;
use super::session_type::SessionType;
use crate::codec::Seal;
use crate::error::Error;
use crate::id::{Secret, SecretHash, SessionId, StoreKey};
use crate::provider::Record;
use crate::schema::fields::Fields;
use crate::schema::header::Summary;
use crate::schema::stored::Stored;
use crate::transport::Carrier;

/// The base of a session: what it was loaded from. Cheap to clone and to move, because each request
/// does both several times.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// No session. The first save creates one under a new id: an unknown id is never adopted.
    Absent {
        /// What the request came with: never a live session.
        arrival: Arrival,
        /// How the client gets a token.
        carrier: Carrier,
        /// What ended the session that it names, if this host knows.
        by: Option<EndedBy>,
    },
    /// A live record whose secret the browser has.
    Live(Arc<Loaded>),
    /// A session that its cookie holds.
    Sealed(Arc<Sealed>),
    /// A live record whose secret was replaced after the browser got its cookie. It reads as empty.
    Superseded(Arc<Superseded>),
    /// A live record whose fields this build cannot read, for a handler that goes on without them.
    /// The session that it begins takes the record's place.
    Unreadable(Arc<Loaded>),
    /// A live session that is bound to a device, where the request does not prove that it comes from
    /// there. It reads as empty.
    #[cfg_attr(not(feature = "dbsc"), allow(dead_code))]
    Unproven(Arc<Loaded>),
    /// A session that ended after it was loaded. It is never saved again.
    Ended(StoreKey, Carrier),
}

/// What a request came with: [`Session::arrival`](crate::Session::arrival) returns it.
///
/// ```
/// use sessions::{Arrival, MemoryProvider, Session, Store};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// fn greeting(visitor: &Session<Visitor>) -> &'static str {
///     match visitor.arrival() {
///         Arrival::Ended | Arrival::Superseded => "your session has expired, please log in again",
///         _ => "please log in",
///     }
/// }
/// # let _ = greeting;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// No cookie of this session type.
    New,
    /// A live session.
    Live,
    /// A session that has ended: it expired, was logged out or revoked, or its record was lost. The
    /// store keeps nothing of an ended session: only the host that ended it may still know
    /// [by what](crate::Session::ended_by).
    Ended,
    /// The cookie from before a login, a logout or a renewal that another request made.
    Superseded,
    /// A cookie that does not open: it is damaged or forged, of another app, or its key is gone
    /// because it is too old.
    Invalid,
    /// A live session that this build cannot read, and whose place a new one takes.
    Unreadable,
    /// A live session that is bound to a device, and the request has no recent proof that it comes
    /// from there: the cookie was copied, or the browser could not prove it. See
    /// [`DeviceBinding::enforce`](crate::DeviceBinding::enforce).
    DeviceUnproven,
}

impl Base {
    /// What ended the session that the request came with, if this host knows.
    pub(crate) fn ended_by(&self) -> Option<EndedBy> {
        match self {
            Self::Absent { by, .. } => *by,
            _ => None,
        }
    }

    /// What a request that finds this base came with.
    pub(crate) fn arrival(&self) -> Arrival {
        match self {
            Self::Absent { arrival, .. } => *arrival,
            Self::Live(_) | Self::Sealed(_) => Arrival::Live,
            Self::Superseded(_) => Arrival::Superseded,
            Self::Unreadable(_) => Arrival::Unreadable,
            Self::Unproven(_) => Arrival::DeviceUnproven,
            Self::Ended(..) => Arrival::Ended,
        }
    }

    /// How the client has or gets its token.
    pub(crate) fn carrier(&self) -> Carrier {
        match self {
            Self::Absent { carrier, .. } | Self::Ended(_, carrier) => *carrier,
            Self::Live(loaded) | Self::Unreadable(loaded) | Self::Unproven(loaded) => {
                loaded.carrier()
            }
            Self::Superseded(superseded) => superseded.bearer.carrier,
            Self::Sealed(_) => Carrier::Cookie(0),
        }
    }

    /// Returns the session's key, if it has or had one.
    pub(crate) fn key(&self) -> Option<&StoreKey> {
        match self {
            Self::Live(loaded) => Some(&loaded.key),
            Self::Superseded(superseded) => Some(&superseded.key),
            Self::Ended(key, _) => Some(key),
            Self::Absent { .. } | Self::Sealed(_) | Self::Unreadable(_) | Self::Unproven(_) => None,
        }
    }

    /// Returns the record of a session that can be read.
    pub(crate) fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Live(loaded) => Some(&loaded.stored),
            Self::Sealed(sealed) => Some(&sealed.stored),
            Self::Absent { .. }
            | Self::Superseded(_)
            | Self::Unreadable(_)
            | Self::Unproven(_)
            | Self::Ended(..) => None,
        }
    }

    /// Returns the times and versions of a session that can be read.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        self.stored().map(|stored| &stored.summary)
    }

    /// As records have it.
    pub(crate) fn owner(&self) -> Option<&Arc<str>> {
        match self {
            Self::Live(loaded) => loaded.owner.as_ref(),
            Self::Sealed(sealed) => sealed.owner.as_ref(),
            Self::Absent { .. }
            | Self::Superseded(_)
            | Self::Unreadable(_)
            | Self::Unproven(_)
            | Self::Ended(..) => None,
        }
    }

    /// Whether both are the same state of the same record.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent { .. }, Self::Absent { .. }) => true,
            (Self::Live(one), Self::Live(two))
            | (Self::Unreadable(one), Self::Unreadable(two))
            | (Self::Unproven(one), Self::Unproven(two)) => {
                one.version == two.version && one.key == two.key
            }
            (Self::Sealed(one), Self::Sealed(two)) => one.data == two.data,
            (Self::Superseded(one), Self::Superseded(two)) => one.key == two.key,
            (Self::Ended(one, _), Self::Ended(two, _)) => one == two,
            _ => false,
        }
    }

    /// Returns the fields that a value loaded from here had.
    pub(crate) fn fields(&self, session_type: &SessionType) -> Result<Fields, Error> {
        match self {
            Self::Live(loaded) => loaded.stored.fields(session_type.table),
            Self::Sealed(sealed) => sealed.stored.fields(session_type.table),
            Self::Absent { .. }
            | Self::Superseded(_)
            | Self::Unreadable(_)
            | Self::Unproven(_)
            | Self::Ended(..) => (session_type.fresh)(),
        }
    }
}

/// A live record, decoded as far as its header.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The id and secret of the browser. `None` if the session was named by its key.
    pub(crate) bearer: Option<Bearer>,
    pub(crate) key: StoreKey,
    /// The key as the record has it.
    pub(crate) id: Arc<str>,
    pub(crate) version: u64,
    pub(crate) expires_at: Option<SystemTime>,
    /// As the record has it.
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) stored: Stored,
}

impl Loaded {
    /// `stored` is what `record` holds.
    pub(crate) fn new(
        key: StoreKey,
        bearer: Option<Bearer>,
        record: Record,
        stored: Stored,
    ) -> Self {
        Self {
            bearer,
            key,
            id: record.id,
            version: record.version,
            expires_at: record.expires_at,
            owner: record.owner,
            stored,
        }
    }

    /// How the client has its token. A session that was named by its key gives nobody one.
    pub(crate) fn carrier(&self) -> Carrier {
        self.bearer.as_ref().map_or(Carrier::Cookie(0), |bearer| bearer.carrier)
    }

    /// Returns the new expiry, if a touch is due.
    pub(super) fn touch_due(
        &self,
        session_type: &SessionType,
        now: SystemTime,
    ) -> Option<SystemTime> {
        let summary = &self.stored.summary;
        let span = session_type.span(summary);
        if session_type.is_locked(summary, self.owner.is_some(), now) {
            // Only its owner's proof counts as a use.
            return None;
        }
        if !session_type.locks() {
            return span.touch(self.expires_at?, now);
        }
        // Once the lifetime caps it, the expiry does not move, and the last use does.
        let seen_at = summary.seen_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let unused = now.duration_since(seen_at).unwrap_or_default();
        (unused >= span.touch_interval()).then(|| span.expiry(now))
    }
}

/// A live record whose secret the browser does not have any more.
#[derive(Clone, Debug)]
pub(crate) struct Superseded {
    pub(crate) key: StoreKey,
    pub(crate) bearer: Bearer,
    pub(crate) version: u64,
    /// Whether the browser may have sent its cookie before it received the new one.
    pub(crate) recent: bool,
    /// Whether the secret is the previous one and the owner has been the same since. Then it may
    /// end the session.
    pub(crate) may_end: bool,
}

/// A session that its cookie holds.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) data: Bytes,
    pub(crate) stored: Stored,
    pub(crate) expires_at: SystemTime,
    /// As a record would have it.
    pub(crate) owner: Option<Arc<str>>,
    /// Whether to issue a new token: its key no longer seals, or it is past half its age.
    pub(crate) reissue: bool,
}

/// The id and the secret of a browser's token.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    pub(crate) id: SessionId,
    pub(crate) secret: Secret,
    /// A second secret. The outcome of a renewal was unknown when the cookie was set, and the
    /// session has one of the two.
    pub(crate) spare: Option<Secret>,
    pub(crate) seal: Seal,
    /// How the token travels.
    pub(crate) carrier: Carrier,
}

impl Bearer {
    /// The properties of a token that this commit seals.
    pub(crate) fn new(id: SessionId, secret: Secret, now: SystemTime, carrier: Carrier) -> Self {
        let seal = Seal { issued_at: now, reissue: false };
        Self { id, secret, spare: None, seal, carrier }
    }

    /// Whether one of the secrets is the record's. Puts that secret first.
    pub(crate) fn matches(&mut self, session_type: &SessionType, current: SecretHash) -> bool {
        let first = session_type.hash(&self.secret) == current;
        let second = self.spare.as_ref().is_some_and(|it| session_type.hash(it) == current);
        if second && let Some(spare) = &mut self.spare {
            std::mem::swap(spare, &mut self.secret);
        }
        first | second
    }

    /// Whether either secret has this hash.
    pub(crate) fn knows(&self, session_type: &SessionType, hash: SecretHash) -> bool {
        session_type.hash(&self.secret) == hash
            || self.spare.as_ref().is_some_and(|it| session_type.hash(it) == hash)
    }

    /// Whether the browser should get its token again, so that it has a valid one for as long as the
    /// session lives.
    pub(super) fn is_due(
        &self,
        session_type: &SessionType,
        summary: &Summary,
        now: SystemTime,
    ) -> bool {
        // A token is valid for the longest time that a session may be unused. One that has no end
        // would outlive it, so its token is as new as its expiry.
        let is_old = || {
            let age = now.duration_since(self.seal.issued_at).unwrap_or_default();
            age >= session_type.span(summary).touch_interval()
        };
        self.seal.reissue
            || self.spare.is_some()
            || matches!(self.carrier, Carrier::OtherCookie(_))
            || summary.own.lifetime > Some(session_type.longest_remember) && is_old()
    }
}

/// The relation between a bearer and a live record.
#[allow(clippy::large_enum_variant)] // It lives for one match.
pub(crate) enum Standing {
    Live(Loaded),
    Superseded(Superseded),
}

impl Standing {
    /// # Errors
    /// [`Error::Decode`] for a record that has no header, or no secret.
    pub(crate) fn of(
        session_type: &SessionType,
        mut bearer: Bearer,
        key: StoreKey,
        record: Record,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let stored = Stored::parse(session_type.name(), &record.data)?;
        if bearer.matches(session_type, secret(session_type, &stored.summary)?) {
            return Ok(Self::Live(Loaded::new(key, Some(bearer), record, stored)));
        }
        Ok(Self::Superseded(Superseded {
            recent: is_recent(&stored.summary, now),
            may_end: may_end(session_type, &bearer, &stored.summary),
            key,
            bearer,
            version: record.version,
        }))
    }
}

/// The hash that every record has.
pub(crate) fn secret(session_type: &SessionType, summary: &Summary) -> Result<SecretHash, Error> {
    summary.secret.ok_or_else(|| Error::Decode {
        session: session_type.name().into(),
        field: None,
        version: 0,
        source: "the record has no secret".into(),
    })
}

/// Whether a bearer may end the session although its secret is not the record's.
pub(crate) fn may_end(session_type: &SessionType, bearer: &Bearer, summary: &Summary) -> bool {
    summary.previous.is_some_and(|previous| bearer.knows(session_type, previous))
}

/// Whether the secret was replaced recently, so that a browser may still send the previous one. A
/// time in the future counts as now.
pub(crate) fn is_recent(summary: &Summary, now: SystemTime) -> bool {
    !now.duration_since(summary.renewed_at).is_ok_and(|age| age >= SUPERSEDED)
}

/// How long after a renewal a request with the previous cookie counts as under way: two minutes,
/// and ten for the difference of two hosts' clocks.
pub(crate) const SUPERSEDED: Duration = Duration::from_secs(12 * 60);
