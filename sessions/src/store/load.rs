//! From a request's cookies to a session's record.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::SystemTime;

use super::id::{SessionId, StoreKey};
use super::origin::{Bearer, Content};
use super::{Kind, Loaded, Origin, Store};
use crate::codec::Seal;
use crate::cookie::{self, CookieHeaders};
use crate::provider::Record;
use crate::{Error, event};

impl Store {
    /// Finds what a request's cookies stand for.
    ///
    /// A cookie that does not open, or whose record is gone, is a new anonymous session. A store
    /// that is down or a record that this build cannot read is an error: never an empty session
    /// in place of a real one.
    // Not an async function, and by reference: either would have room for the same things twice.
    #[allow(clippy::manual_async_fn)]
    pub(crate) fn find<'a>(
        &'a self,
        kind: &'a Kind,
        cookies: &'a impl CookieHeaders,
        now: SystemTime,
    ) -> impl Future<Output = Result<Origin, Error>> + 'a {
        async move {
            let sought = match self.seek_now(kind, cookies, now) {
                Some(Continue(sought)) => Some(sought),
                Some(Break(found)) => return found,
                None => None,
            };
            let Some(sought) = &sought else {
                // In a box: it is rare, and takes much room.
                return Box::pin(self.find_later(kind, cookies, now)).await;
            };
            let record = self.inner.provider.fetch(sought.key.as_str(), now).await?;
            sought.found(kind, record, now)
        }
    }

    /// `None` where something has to be waited for.
    fn seek_now(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
        now: SystemTime,
    ) -> Option<Seeking> {
        if self.is_client_side() {
            return None;
        }
        let mut opened = Cookies::default();
        self.open_cookies_now(kind, cookies, now, &mut opened)?;
        Some(Sought::of(kind, opened.end(kind)))
    }

    async fn find_later(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
        now: SystemTime,
    ) -> Result<Origin, Error> {
        if self.is_client_side() {
            return self.find_sealed(kind, cookies).await;
        }
        match Sought::of(kind, self.open_cookies_later(kind, cookies).await.end(kind)) {
            Continue(sought) => {
                let record = self.inner.provider.fetch(sought.key.as_str(), now).await?;
                sought.found(kind, record, now)
            }
            Break(found) => found,
        }
    }

    /// The first of the request's cookies that opens, and whether there was any.
    pub(super) async fn open_cookies(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
        now: SystemTime,
    ) -> Result<(Option<Bearer>, bool), Error> {
        let mut opened = Cookies::default();
        match self.open_cookies_now(kind, cookies, now, &mut opened) {
            Some(()) => opened.end(kind),
            None => self.open_cookies_later(kind, cookies).await.end(kind),
        }
    }

    /// `None` where a key has to be waited for.
    fn open_cookies_now(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
        now: SystemTime,
        opened: &mut Cookies,
    ) -> Option<()> {
        for token in cookie::values(cookies, &kind.cookie.name).take(MOST_COOKIES) {
            opened.take(self.inner.codec.open_fixed_now(&kind.purpose, token, now)?);
        }
        Some(())
    }

    async fn open_cookies_later(&self, kind: &Kind, cookies: &impl CookieHeaders) -> Cookies {
        let mut opened = Cookies::default();
        for token in cookie::values(cookies, &kind.cookie.name).take(MOST_COOKIES) {
            opened.take(self.inner.codec.open_fixed(&kind.purpose, token).await);
        }
        opened
    }
}

/// A record that a request's cookies stand for.
struct Sought {
    bearer: Bearer,
    key: StoreKey,
}

/// What to fetch, or what was found without.
type Seeking = ControlFlow<Result<Origin, Error>, Sought>;

impl Sought {
    fn of(kind: &Kind, opened: Result<(Option<Bearer>, bool), Error>) -> Seeking {
        match opened {
            Ok((Some(bearer), _)) => Continue(Self { key: kind.key(&bearer.id), bearer }),
            Ok((None, cookie)) => Break(Ok(Origin::New { cookie })),
            Err(error) => Break(Err(error)),
        }
    }

    fn found(&self, kind: &Kind, record: Option<Record>, now: SystemTime) -> Result<Origin, Error> {
        let Some(record) = record else {
            event::refused_cookie(kind.name(), "gone");
            return Ok(Origin::New { cookie: true });
        };
        Ok(match Content::parse(kind.name(), &record.data)? {
            Content::Session(stored) => {
                let (key, bearer) = (self.key.clone(), self.bearer.clone());
                Origin::Record(Arc::new(Loaded::new(key, Some(bearer), record, stored)))
            }
            Content::Tombstone { until } if now < until => Origin::Ended { key: self.key.clone() },
            Content::Tombstone { .. } => {
                event::refused_cookie(kind.name(), "moved");
                Origin::New { cookie: true }
            }
        })
    }
}

/// What a request's cookies of one name came to.
#[derive(Default)]
struct Cookies {
    sent: bool,
    first: Option<Bearer>,
    /// How many hold another id than the first.
    others: usize,
    refused: usize,
    unavailable: Option<Error>,
}

impl Cookies {
    fn take(&mut self, opened: Result<([u8; SessionId::LENGTH], Seal), Error>) {
        self.sent = true;
        match opened {
            Ok((id, seal)) => {
                let id = SessionId::from_bytes(id);
                match &self.first {
                    Some(bearer) if bearer.id == id => {}
                    Some(_) => self.others += 1,
                    None => self.first = Some(Bearer { id, seal }),
                }
            }
            Err(Error::InvalidToken) => self.refused += 1,
            Err(error) => self.unavailable = Some(error),
        }
    }

    fn end(self, kind: &Kind) -> Result<(Option<Bearer>, bool), Error> {
        for _ in 0..self.others {
            event::ambiguous_cookies(kind.name());
        }
        for _ in 0..self.refused {
            event::refused_cookie(kind.name(), "token");
        }
        match (self.first, self.unavailable) {
            // It may be the real one, and nobody can say.
            (None, Some(error)) => Err(error),
            (first, _) => Ok((first, self.sent)),
        }
    }
}

/// More cookies of one name than any browser sends are not looked at: each costs a decryption.
pub(super) const MOST_COOKIES: usize = 16;
