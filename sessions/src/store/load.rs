//! From a request's cookies to a session's record.

use std::sync::Arc;
use std::time::SystemTime;

use smallvec::SmallVec;

use super::base::{Arrival, Base, Bearer, Standing};
use super::core::Core;
use super::session_type::SessionType;
use crate::codec::Seal;
use crate::cookie::CookieHeaders;
use crate::error::Error;
use crate::id::{Secret, SessionId, StoreKey};
use crate::{cookie, telemetry};

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
        &'a self,
        session_type: &'a SessionType,
        cookies: &'a impl CookieHeaders,
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
            match (bearers.pop(), bearers.is_empty()) {
                (None, _) => {
                    Ok(Base::Absent { arrival: if sent { Arrival::Invalid } else { Arrival::New } })
                }
                (Some(bearer), true) => self.fetch_base(session_type, bearer, now).await,
                (Some(bearer), false) => {
                    bearers.push(bearer);
                    Box::pin(self.find_among(session_type, bearers, now)).await
                }
            }
        }
    }

    /// Returns the base of one bearer.
    pub(super) async fn fetch_base(
        &self,
        session_type: &SessionType,
        bearer: Bearer,
        now: SystemTime,
    ) -> Result<Base, Error> {
        let key = session_type.key(&bearer.id);
        let Some(record) = self.provider.fetch(key.as_str(), now).await? else {
            telemetry::refused_cookie(session_type.name(), "gone");
            return Ok(Base::Absent { arrival: Arrival::Ended });
        };
        if self.is_ended_record(&record) {
            telemetry::refused_cookie(session_type.name(), "ended_all");
            return Ok(Base::Absent { arrival: Arrival::Ended });
        }
        Ok(match Standing::of(session_type, bearer, key, record, now)? {
            Standing::Live(loaded) => Base::Live(Arc::new(loaded)),
            Standing::Superseded(superseded) => {
                if superseded.recent {
                    telemetry::refused_cookie(session_type.name(), "superseded");
                } else if self.reported.is_first(&superseded.key) {
                    telemetry::superseded(session_type.name(), &superseded.key);
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
        for bearer in bearers {
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
            telemetry::ambiguous_cookies(session_type.name());
        }
        found.unwrap_or(Ok(Base::Absent { arrival: Arrival::Ended }))
    }

    /// Returns the keys of the sessions that a request's cookies name. A client-side store has
    /// none.
    pub(super) async fn named(
        &self,
        session_type: &SessionType,
        cookies: &impl CookieHeaders,
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
        cookies: &impl CookieHeaders,
        now: SystemTime,
    ) -> Option<Opened> {
        let mut opened = Opened::default();
        for token in cookie::values(cookies, &session_type.cookie.name).take(MOST_COOKIES) {
            let purpose = &session_type.purpose;
            opened.take(self.codec.open_short_now(purpose, token, now, payload)?);
        }
        Some(opened)
    }

    async fn open_cookies_later(
        &self,
        session_type: &SessionType,
        cookies: &impl CookieHeaders,
    ) -> Opened {
        let mut opened = Opened::default();
        for token in cookie::values(cookies, &session_type.cookie.name).take(MOST_COOKIES) {
            let purpose = &session_type.purpose;
            opened.take(self.codec.open_short(purpose, token, payload).await);
        }
        opened
    }
}

/// The sessions that the cookies of one request name.
pub(super) type Bearers = SmallVec<[Bearer; 1]>;

/// The payload of a token: an id and a secret, or two secrets if it is unknown which one the record
/// has.
type Payload = (SessionId, Secret, Option<Secret>);

fn payload(bytes: &[u8]) -> Option<Payload> {
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
    fn take(&mut self, opened: Result<(Payload, Seal), Error>) {
        self.sent = true;
        match opened {
            Ok(((id, secret, spare), seal)) => {
                let bearer = Bearer { id, secret, spare, seal };
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
            telemetry::refused_cookie(session_type.name(), "token");
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
