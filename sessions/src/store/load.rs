//! From a request's cookies to a session's record.

use super::id::SessionId;
use super::origin::{Bearer, Content};
use super::{Kind, Loaded, Origin, Store};
use crate::cookie::{self, CookieHeaders};
use crate::{Error, event};

impl Store {
    /// Finds what a request's cookies stand for.
    ///
    /// A cookie that does not open, or whose record is gone, is a new anonymous session. A store
    /// that is down or a record that this build cannot read is an error: never an empty session
    /// in place of a real one.
    pub(crate) async fn find(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
    ) -> Result<Origin, Error> {
        if self.is_client_side() {
            return self.find_sealed(kind, cookies).await;
        }
        let (bearer, cookie) = self.open_cookies(kind, cookies).await?;
        let Some(bearer) = bearer else { return Ok(Origin::New { cookie }) };
        let key = kind.key(&bearer.id);
        let now = self.now();
        let Some(record) = self.inner.provider.fetch(key.as_str(), now).await? else {
            event::refused_cookie(kind.name(), "gone");
            return Ok(Origin::New { cookie });
        };
        Ok(match Content::parse(kind.name(), &record.data)? {
            Content::Tombstone { until } if now < until => Origin::Ended { key },
            Content::Tombstone { .. } => {
                event::refused_cookie(kind.name(), "moved");
                Origin::New { cookie }
            }
            Content::Session(stored) => {
                Origin::Record(Loaded::new(key, Some(bearer), &record, stored))
            }
        })
    }

    /// The first of the request's cookies that opens, and whether there was any.
    pub(super) async fn open_cookies(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
    ) -> Result<(Option<Bearer>, bool), Error> {
        let mut first: Option<Bearer> = None;
        let mut unavailable = None;
        let mut sent = false;
        for token in cookie::values(cookies, &kind.cookie).take(MOST_COOKIES) {
            sent = true;
            match self.inner.codec.open_fixed::<{ SessionId::LENGTH }>(&kind.purpose, token).await {
                Ok((id, seal)) => {
                    let id = SessionId::from_bytes(id);
                    match &first {
                        Some(bearer) if bearer.id == id => {}
                        Some(_) => event::ambiguous_cookies(kind.name()),
                        None => first = Some(Bearer { id, seal }),
                    }
                }
                Err(Error::InvalidToken) => event::refused_cookie(kind.name(), "token"),
                Err(error) => unavailable = Some(error),
            }
        }
        match (first, unavailable) {
            // It may be the real one, and nobody can say.
            (None, Some(error)) => Err(error),
            (first, _) => Ok((first, sent)),
        }
    }
}

/// More cookies of one name than any browser sends are not looked at: each costs a decryption.
pub(super) const MOST_COOKIES: usize = 16;
