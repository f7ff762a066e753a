//! From a request's cookies to a session's record.

use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

#[cfg(feature = "cache")]
use super::base::Loaded;
use super::base::{Arrival, Base, Bearer, Standing};
#[cfg(feature = "cache")]
use super::cache::{CachedRecords, Found};
use super::core::Core;
use super::session_type::SessionType;
use crate::codec::Seal;
use crate::cookie;
use crate::crypto::purpose::Purpose;
use crate::error::Error;
use crate::id::{Secret, SessionId, StoreKey};
#[cfg(feature = "cache")]
use crate::provider::Ping;
use crate::provider::Record;
#[cfg(feature = "cache")]
use crate::schema::stored::Stored;
#[cfg(feature = "cache")]
use crate::telemetry::session::cache_missed;
use crate::transport::{Carried, Carrier, RequestHeaders, Transport};

impl Core {
    /// Finds the session that a request's cookies name.
    ///
    /// A cookie that does not open, or whose record is gone, starts a new anonymous session. A
    /// store that is down, or a record that this build cannot read, is an error, and never an empty
    /// session in place of a real one.
    // Not an async function, and by reference: otherwise the future would store the same values
    // twice.
    #[allow(clippy::manual_async_fn)]
    pub(crate) fn find<'a>(
        self: &'a Arc<Self>,
        session_type: &'a SessionType,
        cookies: &'a impl RequestHeaders,
        now: SystemTime,
    ) -> impl Future<Output = Result<Base, Error>> + 'a {
        async move {
            if self.is_client_side() {
                return Box::pin(self.find_sealed(session_type, cookies)).await;
            }
            let opened = match self.open_cookies_now(session_type, cookies, now) {
                Some(opened) => opened,
                // Boxed, because it is rare and large.
                None => Box::pin(self.open_cookies_later(session_type, cookies)).await,
            };
            let (mut bearers, sent) = opened.end(session_type)?;
            let base = match (bearers.pop(), bearers.is_empty()) {
                (None, _) => Base::Absent {
                    arrival: if sent { Arrival::Invalid } else { Arrival::New },
                    carrier: session_type.carrier(cookies),
                    by: None,
                },
                (Some(bearer), true) => self.read_base(session_type, bearer, now).await?,
                (Some(bearer), false) => {
                    bearers.push(bearer);
                    Box::pin(self.find_among(session_type, bearers, now)).await?
                }
            };
            #[cfg(feature = "dbsc")]
            if session_type.demands_proof(&base) {
                // Boxed, because few sessions are bound.
                return Box::pin(self.unless_unproven(session_type, cookies, base, now)).await;
            }
            Ok(base)
        }
    }

    /// Returns the base of one bearer, from the cache if that confirms that the session is live.
    #[cfg(feature = "cache")]
    async fn read_base(
        self: &Arc<Self>,
        session_type: &SessionType,
        mut bearer: Bearer,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let Some(cache) = &self.cache else {
            return self.fetch_base(session_type, bearer, now).await;
        };
        self.follow();
        let key = session_type.key(&bearer.id);
        if let Some(record) = cache.get(&key, &self.feed, Ping::at(now)) {
            match self.confirm(session_type, bearer, &key, record, now) {
                Ok(loaded) => return Ok(Base::Live(Arc::new(loaded))),
                Err(unconfirmed) => bearer = *unconfirmed,
            }
            // The next request need not find this again.
            cache.forget(&key);
        }
        cache_missed(session_type.name());
        // Boxed, because it is rare and large.
        Box::pin(self.fill_base(cache, session_type, bearer, key, now)).await
    }

    /// Reads a record into the cache.
    #[cfg(feature = "cache")]
    async fn fill_base(
        &self,
        cache: &CachedRecords,
        session_type: &SessionType,
        mut bearer: Bearer,
        key: StoreKey,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let record = match cache.fetch(&*self.provider, &key, &self.feed, now).await? {
            Found::Now(record) => record,
            Found::Earlier(record) => {
                match self.confirm(session_type, bearer, &key, record, now) {
                    Ok(loaded) => return Ok(Base::Live(Arc::new(loaded))),
                    Err(unconfirmed) => bearer = *unconfirmed,
                }
                self.provider.fetch(key.as_str(), now).await?
            }
        };
        self.base_of(session_type, bearer, key, record, now)
    }

    /// Returns the live session of a bearer if a record that may be old confirms it. Anything else
    /// is for the database to say: another secret, an expiry that has passed, a lock, `end_all`, or
    /// a record that this build cannot read.
    #[cfg(feature = "cache")]
    fn confirm(
        &self,
        session_type: &SessionType,
        mut bearer: Bearer,
        key: &StoreKey,
        record: Record,
        now: SystemTime,
    ) -> Result<Loaded, Box<Bearer>> {
        let Ok(stored) = Stored::parse(session_type.name(), &record.data) else {
            return Err(Box::new(bearer));
        };
        let summary = &stored.summary;
        let is_confirmed = record.is_live(now)
            && !self.is_over(summary)
            && !session_type.is_locked(summary, record.owner.is_some(), now)
            && summary.secret.is_some_and(|secret| bearer.matches(session_type, secret));
        if is_confirmed {
            Ok(Loaded::new(key.clone(), Some(bearer), record, stored))
        } else {
            Err(Box::new(bearer))
        }
    }

    #[cfg(not(feature = "cache"))]
    async fn read_base(
        self: &Arc<Self>,
        session_type: &SessionType,
        bearer: Bearer,
        now: SystemTime,
    ) -> Result<Base, Error> {
        self.fetch_base(session_type, bearer, now).await
    }

    /// Returns the base of one bearer, as it is stored now.
    pub(super) async fn fetch_base(
        &self,
        session_type: &SessionType,
        bearer: Bearer,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let key = session_type.key(&bearer.id);
        let record = self.provider.fetch(key.as_str(), now).await?;
        self.base_of(session_type, bearer, key, record, now)
    }

    /// Returns the base of one bearer, given what is stored.
    fn base_of(
        &self,
        session_type: &SessionType,
        bearer: Bearer,
        key: StoreKey,
        record: Option<Record>,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let Some(record) = record else {
            self.events.refused_cookie(session_type.name(), "gone");
            let carrier = session_type.after(bearer.carrier);
            let by = self.endings.of(&key);
            return Ok(Base::Absent { arrival: Arrival::Ended, carrier, by });
        };
        if self.is_ended_record(&record) {
            self.events.refused_cookie(session_type.name(), "ended_all");
            let carrier = session_type.after(bearer.carrier);
            return Ok(Base::Absent { arrival: Arrival::Ended, carrier, by: None });
        }
        Ok(match Standing::of(session_type, bearer, key, record, now)? {
            Standing::Live(loaded) => Base::Live(Arc::new(loaded)),
            Standing::Superseded(superseded) => {
                if superseded.recent {
                    self.events.refused_cookie(session_type.name(), "superseded");
                } else if self.reported.is_first(&superseded.key) {
                    self.events.superseded(session_type.name(), &superseded.key);
                }
                Base::Superseded(Arc::new(superseded))
            }
        })
    }

    /// Handles several cookies of one name, as after a change of the cookie's domain or path: the
    /// first that names a live session wins.
    async fn find_among(
        &self,
        session_type: &SessionType,
        bearers: Bearers,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let mut found: Option<Result<Base, Error>> = None;
        let mut live = 0;
        // There is at least one.
        let mut carrier = Carrier::Cookie(0);
        for bearer in bearers {
            carrier = session_type.after(bearer.carrier);
            let base = self.fetch_base(session_type, bearer, now).await;
            live += usize::from(matches!(base, Ok(Base::Live(_))));
            let better = match (&found, &base) {
                (None, _) => true,
                (Some(Ok(Base::Live(_))), _) => false,
                (_, Ok(Base::Live(_))) => true,
                // A session that cannot be read may be the live one.
                (Some(Ok(_)), Err(_)) => true,
                (Some(Ok(Base::Absent { .. })), Ok(Base::Superseded(_))) => true,
                _ => false,
            };
            if better {
                found = Some(base);
            }
        }
        if live > 1 {
            self.events.ambiguous_cookies(session_type.name());
        }
        found.unwrap_or(Ok(Base::Absent { arrival: Arrival::Ended, carrier, by: None }))
    }

    /// Returns the keys of the sessions that a request's cookies name. A client-side store has
    /// none.
    pub(super) async fn named(
        &self,
        session_type: &SessionType,
        cookies: &impl RequestHeaders,
    ) -> Result<SmallVec<[StoreKey; 1]>, Error> {
        if self.is_client_side() {
            return Ok(SmallVec::new());
        }
        let (bearers, _) =
            self.open_cookies_later(session_type, cookies).await.end(session_type)?;
        Ok(bearers.iter().map(|bearer| session_type.key(&bearer.id)).collect())
    }

    /// Opens the cookies without waiting. Returns `None` if it has to wait for a key.
    fn open_cookies_now(
        &self,
        session_type: &SessionType,
        cookies: &impl RequestHeaders,
        now: SystemTime,
    ) -> Option<Opened> {
        let mut opened = Opened::default();
        for (carrier, purpose, token) in session_type.tokens(cookies) {
            if opened.is_enough(carrier) {
                break;
            }
            opened.take(carrier, self.codec.open_short_now(purpose, token, now, payload)?);
        }
        Some(opened)
    }

    async fn open_cookies_later(
        &self,
        session_type: &SessionType,
        cookies: &impl RequestHeaders,
    ) -> Opened {
        let mut opened = Opened::default();
        for (carrier, purpose, token) in session_type.tokens(cookies) {
            if opened.is_enough(carrier) {
                break;
            }
            opened.take(carrier, self.codec.open_short(purpose, token, payload).await);
        }
        opened
    }
}

impl SessionType {
    /// Returns the tokens of a request, and what they are sealed for. With a token in the header,
    /// no cookie counts.
    fn tokens<'a>(
        &'a self,
        headers: &'a impl RequestHeaders,
    ) -> impl Iterator<Item = (Carrier, &'a Purpose, &'a [u8])> {
        let carried = self.carried(headers);
        let header = match carried {
            Carried::Nothing => None,
            Carried::Token(token) => Some(token),
            // No token is empty, so it does not open.
            Carried::Unusable => Some(&b""[..]),
        };
        let header = header.map(|token| (Carrier::Header, &self.header_purpose, token));
        let reads = self.transport != Transport::Header && header.is_none();
        let own = reads.then(|| cookie::values(headers, &self.cookie.name).take(MOST_COOKIES));
        let own = own.into_iter().flatten();
        let place = self.place(headers);
        let own = own.map(move |token| (Carrier::Cookie(place), &self.purpose, token));
        // One of the same name was read already.
        let other = self.other_cookie.as_ref();
        let other = other.filter(|other| reads && other.cookie.name != self.cookie.name);
        let other = other.into_iter().flat_map(move |other| {
            let values = cookie::values(headers, &other.cookie.name).take(MOST_COOKIES);
            values.map(move |token| (Carrier::OtherCookie(place), &other.purpose, token))
        });
        header.into_iter().chain(own).chain(other)
    }

    /// Returns how the client of a request without a live session gets a token.
    pub(crate) fn carrier(&self, headers: &impl RequestHeaders) -> Carrier {
        match self.carried(headers) {
            Carried::Nothing if self.transport == Transport::Header => Carrier::Header,
            Carried::Nothing => Carrier::Cookie(self.place(headers)),
            Carried::Token(_) | Carried::Unusable => self.after(Carrier::Header),
        }
    }

    /// Returns how the client whose token names no live session gets another.
    fn after(&self, carrier: Carrier) -> Carrier {
        match (carrier.transport(), self.transport) {
            (Transport::Header, Transport::Header) => Carrier::Header,
            (Transport::Header, _) => Carrier::Unasked,
            _ => carrier.current(),
        }
    }

    fn carried<'a>(&self, headers: &'a impl RequestHeaders) -> Carried<'a> {
        match self.transport {
            Transport::Cookie => Carried::Nothing,
            Transport::Header | Transport::Either => self.token_header.read(headers),
        }
    }
}

/// The sessions that the tokens of one request name.
pub(super) type Bearers = SmallVec<[Bearer; 1]>;

/// The payload of a token: an id and a secret, or two secrets if it is unknown which one the record
/// has.
type Payload = (SessionId, Secret, Option<Secret>);

pub(super) fn payload(bytes: &[u8]) -> Option<Payload> {
    let (id, secrets) = bytes.split_first_chunk()?;
    let (first, rest) = secrets.split_first_chunk()?;
    let spare = match rest.len() {
        0 => None,
        _ => Some(Secret::from_bytes(rest.try_into().ok()?)),
    };
    Some((SessionId::from_bytes(*id), Secret::from_bytes(*first), spare))
}

/// The result of opening a request's cookies of one name.
#[derive(Default)]
struct Opened {
    sent: bool,
    bearers: Bearers,
    refused: usize,
    unavailable: Option<Error>,
}

impl Opened {
    /// Whether the tokens of this carrier do not count any more: one of the current cookie opened, so
    /// nobody can plant the other one in its place.
    fn is_enough(&self, carrier: Carrier) -> bool {
        matches!(carrier, Carrier::OtherCookie(_))
            && (self.unavailable.is_some()
                || self
                    .bearers
                    .iter()
                    .any(|bearer| !matches!(bearer.carrier, Carrier::OtherCookie(_))))
    }

    fn take(&mut self, carrier: Carrier, opened: Result<(Payload, Seal), Error>) {
        self.sent = true;
        match opened {
            Ok(((id, secret, spare), seal)) => {
                let bearer = Bearer { id, secret, spare, seal, carrier };
                let same = |other: &Bearer| other.id == bearer.id && other.secret == bearer.secret;
                if self.bearers.len() < MOST_SESSIONS && !self.bearers.iter().any(same) {
                    self.bearers.push(bearer);
                }
            }
            Err(Error::InvalidToken) => self.refused += 1,
            Err(error) => self.unavailable = Some(error),
        }
    }

    fn end(self, session_type: &SessionType) -> Result<(Bearers, bool), Error> {
        for _ in 0..self.refused {
            session_type.events.refused_cookie(session_type.name(), "token");
        }
        match self.unavailable {
            // It may be the valid one, and this cannot be known now.
            Some(error) if self.bearers.is_empty() => Err(error),
            _ => Ok((self.bearers, self.sent)),
        }
    }
}

/// The most cookies of one name that are opened, more than any browser sends. Each costs a
/// decryption.
pub(super) const MOST_COOKIES: usize = 16;

/// The most sessions that one request may name. Each costs a fetch.
const MOST_SESSIONS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_an_id_and_one_secret_or_two() {
        let bytes: Vec<u8> = (0..48).collect();
        let (id, secret, spare) = payload(&bytes[..32]).unwrap();
        assert_eq!((id.to_bytes()[0], secret.to_bytes()[0]), (0, 16));
        assert!(spare.is_none());
        assert_eq!(payload(&bytes).unwrap().2.unwrap().to_bytes()[0], 32);
        for length in (0..32).chain(33..48) {
            assert!(payload(&bytes[..length]).is_none(), "{length}");
        }
    }
}
