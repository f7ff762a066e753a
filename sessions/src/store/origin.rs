//! Where a session's value came from, and what its record's first bytes say.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::Kind;
use super::id::{SessionId, StoreKey};
use crate::Error;
use crate::clock::{from_unix_millis, to_unix_millis};
use crate::codec::Seal;
use crate::provider::Record;
use crate::schema::{Fields, Stored};

/// What a session was loaded from. Cheap to clone and to move: both happen several times in each
/// request.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// No live record. A first save makes one under a new id: an unknown id is never adopted.
    New {
        /// The browser sent a cookie of this name, whatever was wrong with it.
        cookie: bool,
    },
    /// A live record.
    Record(Arc<Loaded>),
    /// A session that its cookie holds.
    Client(Arc<Sealed>),
    /// A session that has ended, or went on under another id, which this cookie does not reach.
    /// It reads as empty and is never saved.
    Ended { key: StoreKey },
}

impl Origin {
    /// The session's key, where it has or had one.
    pub(crate) fn key(&self) -> Option<&StoreKey> {
        match self {
            Self::Record(loaded) => Some(&loaded.key),
            Self::Ended { key } => Some(key),
            Self::New { .. } | Self::Client(_) => None,
        }
    }

    /// Whether both stand for the same state of the same record.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::New { .. }, Self::New { .. }) => true,
            (Self::Record(one), Self::Record(two)) => {
                one.version == two.version && one.key == two.key
            }
            (Self::Client(one), Self::Client(two)) => one.data == two.data,
            (Self::Ended { key: one }, Self::Ended { key: two }) => one == two,
            _ => false,
        }
    }

    /// The fields that a value loaded from here had.
    pub(crate) fn fields(&self, kind: &Kind) -> Result<Fields, Error> {
        match self {
            Self::Record(loaded) => loaded.stored.fields(kind.table),
            Self::Client(sealed) => sealed.stored.fields(kind.table),
            Self::New { .. } | Self::Ended { .. } => (kind.fresh)(),
        }
    }
}

/// A live record, decoded as far as its header.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// The secret id and the token that carried it; `None` where the session was named by key.
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
}

/// A session that its cookie holds.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) data: Bytes,
    pub(crate) stored: Stored,
    pub(crate) expires_at: SystemTime,
    /// As a record would have it.
    pub(crate) owner: Option<Arc<str>>,
    /// Its token's key no longer seals, or the token is past half its age.
    pub(crate) reissue: bool,
}

/// What the browser brought.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    pub(crate) id: SessionId,
    pub(crate) seal: Seal,
}

impl Bearer {
    /// Of a token that is sealed in this very commit.
    pub(crate) fn new(id: SessionId, now: SystemTime) -> Self {
        Self { id, seal: Seal { issued_at: now, reissue: false } }
    }
}

/// What a session's record holds.
#[allow(clippy::large_enum_variant)] // It lives for one match.
pub(crate) enum Content {
    Session(Stored),
    Tombstone {
        /// When it ends, whatever its record's expiry: a request that read the session before it
        /// took its new id may have moved that.
        until: SystemTime,
    },
}

impl Content {
    pub(crate) fn parse(session: &'static str, data: &Bytes) -> Result<Self, Error> {
        if data.first() != Some(&TOMBSTONE) {
            return Stored::parse(session, data).map(Self::Session);
        }
        match read_tombstone(data) {
            Some((_, until)) => Ok(Self::Tombstone { until }),
            None => Err(Error::Decode {
                session: session.into(),
                field: None,
                version: 0,
                source: "a tombstone without a store key or time".into(),
            }),
        }
    }
}

/// The session that a tombstone names, if the record is one.
pub(crate) fn successor(record: &Record) -> Option<StoreKey> {
    Some(read_tombstone(&record.data)?.0)
}

fn read_tombstone(data: &[u8]) -> Option<(StoreKey, SystemTime)> {
    let (&TOMBSTONE, rest) = data.split_first()? else { return None };
    let (key, until) = rest.split_last_chunk()?;
    let key = std::str::from_utf8(key).ok()?.parse().ok()?;
    Some((key, from_unix_millis(u64::from_be_bytes(*until))))
}

/// A record's content after its id was replaced by `next`'s.
pub(crate) fn tombstone(next: &StoreKey, until: SystemTime) -> Bytes {
    let until = to_unix_millis(until).to_be_bytes();
    [&[TOMBSTONE], next.as_str().as_bytes(), &until].concat().into()
}

/// The format of a tombstone's record: no session's, for theirs have a slash.
pub(crate) const TOMBSTONE_FORMAT: &str = "tombstone";

/// The first byte of a tombstone's data, where a session's has its envelope's version.
const TOMBSTONE: u8 = 0;

#[cfg(test)]
mod tests {
    use super::super::id::KeyHasher;
    use super::*;

    #[test]
    fn a_tombstone_names_its_successor_and_its_end() {
        let next = KeyHasher::new("session", "app", "visitor").key(b"b");
        let end = from_unix_millis(1_234);
        let record = Record::new("a", 2, tombstone(&next, end));
        assert_eq!(successor(&record), Some(next));
        let content = Content::parse("visitor", &record.data);
        assert!(matches!(content, Ok(Content::Tombstone { until }) if until == end));
    }

    #[test]
    fn a_damaged_tombstone_is_an_error_and_names_nobody() {
        let next = KeyHasher::new("session", "app", "visitor").key(b"b");
        let whole = tombstone(&next, from_unix_millis(1_234));
        for data in [&b"\0"[..], b"\0short", b"\0\xff\xfe", &whole[..51], &whole[..44]] {
            let record = Record::new("a", 2, Bytes::copy_from_slice(data));
            assert_eq!(successor(&record), None);
            assert!(Content::parse("visitor", &record.data).is_err());
        }
    }
}
