//! Sessions that their cookies hold whole: no record, and so no listing, no revocation and no
//! conflict detection.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use super::commit::{Change, Done};
use super::edit::{Draft, Edit};
use super::origin::Sealed;
use super::{Kind, Origin, Outcome, Store};
use crate::cookie::{self, CookieHeaders};
use crate::schema::{Stored, Summary};
use crate::{Error, event};

impl Store {
    /// Whether sessions live in their cookies.
    pub(crate) fn is_client_side(&self) -> bool {
        self.inner.client_side
    }

    /// An error where `call` needs records.
    pub(super) fn needs_records(&self, call: &str) -> Result<(), Error> {
        if !self.is_client_side() {
            return Ok(());
        }
        Err(Error::config(format!(
            "{call} needs records, and a client-side store keeps none; build the store without \
             client_side()"
        )))
    }

    /// Finds the session that a request's cookies hold.
    pub(super) async fn find_sealed(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
    ) -> Result<Origin, Error> {
        let mut unavailable = None;
        let mut sent = false;
        for token in cookie::values(cookies, &kind.cookie.name).take(super::load::MOST_COOKIES) {
            sent = true;
            match self.inner.codec.open_sealed(&kind.client_side, token).await {
                Ok((data, seal)) => {
                    let data = Bytes::from(data);
                    let stored = Stored::parse(kind.name(), &data)?;
                    let expires_at = self.span(&stored.summary).expiry(seal.issued_at);
                    if expires_at > self.now() {
                        let owner = owner(kind, &stored)?;
                        let reissue = seal.reissue;
                        let sealed = Sealed { data, stored, expires_at, owner, reissue };
                        return Ok(Origin::Client(sealed.into()));
                    }
                    event::refused_cookie(kind.name(), "expired");
                }
                Err(Error::InvalidToken) => event::refused_cookie(kind.name(), "token"),
                Err(error) => unavailable = Some(error),
            }
        }
        unavailable.map_or(Ok(Origin::New { cookie: sent }), Err)
    }

    /// Carries out what a request did to a session that its cookie holds.
    pub(super) async fn carry_out_sealed(&self, change: Change) -> Result<Done, Error> {
        let Change { kind, origin, fields, asks, .. } = change;
        let sealed = match &origin {
            Origin::Client(sealed) => Some(sealed),
            _ => None,
        };
        let quiet = fields.is_none() && asks.is_empty();
        if quiet || (sealed.is_none() && fields.is_none()) {
            return self.keep_sealed(&kind, origin).await;
        }
        let base = origin.fields(&kind)?;
        let mine = fields.unwrap_or_else(|| base.clone());
        let owner = sealed.and_then(|sealed| sealed.owner.as_ref());
        let edit = Edit::new(kind, base, mine, owner, &asks, self.now())?;
        let draft = match sealed {
            None if !edit.diff.changed => return Ok(Done::unchanged(origin, None)),
            None => edit.first(),
            Some(sealed) => {
                let Sealed { stored, owner, .. } = &**sealed;
                if !edit.diff.changed && !asks.renew && !edit.changes_header(stored)? {
                    return self.keep_sealed(&edit.kind, origin).await;
                }
                edit.over_sealed(stored, owner.clone())?
            }
        };
        self.seal(&edit.kind, draft).await
    }

    /// Nothing changed: the cookie is written again where its times or its key ask for it.
    async fn keep_sealed(&self, kind: &Kind, origin: Origin) -> Result<Done, Error> {
        let Origin::Client(sealed) = &origin else { return Ok(Done::unchanged(origin, None)) };
        if !self.is_due(&origin, self.now()) {
            return Ok(Done::unchanged(origin, None));
        }
        let cookie = self.sealed_cookie(kind, &sealed.data, &sealed.stored.summary).await?;
        Ok(Done::unchanged(origin, Some(cookie)))
    }

    async fn seal(&self, kind: &Kind, draft: Draft<'_>) -> Result<Done, Error> {
        let data = draft.fields.to_data(&draft.header)?;
        let set_cookie = self.sealed_cookie(kind, &data, &draft.header.summary).await?;
        let stored = Stored::parse(kind.name(), &data)?;
        let expires_at = self.span(&draft.header.summary).expiry(self.now());
        let owner = draft.owner;
        let sealed = Sealed { data, stored, expires_at, owner, reissue: false };
        Ok(Done::new(Outcome::Saved, Origin::Client(sealed.into()), Some(set_cookie)))
    }

    async fn sealed_cookie(
        &self,
        kind: &Kind,
        data: &[u8],
        summary: &Summary,
    ) -> Result<HeaderValue, Error> {
        // Before it is sealed: the codec takes more than a browser keeps, but not any length.
        let token = (data.len() + TOKEN_OVERHEAD).saturating_mul(4).div_ceil(3);
        cookie::check_length(&kind.cookie.name, token)?;
        let token = self.inner.codec.seal(&kind.client_side, data).await?;
        let left = self.span(summary).end().duration_since(self.now()).unwrap_or_default();
        kind.cookie.set(&token, left, summary.remember.is_some())
    }
}

fn owner(kind: &Kind, stored: &Stored) -> Result<Option<Arc<str>>, Error> {
    if kind.table.owner.is_none() {
        return Ok(None);
    }
    // A record of a newer schema is refused when its value is decoded.
    let owner = stored.fields(kind.table)?.owner(kind.table)?;
    Ok(owner.map(|owner| kind.owner(&owner).into()))
}

/// What a token has besides its payload.
const TOKEN_OVERHEAD: usize = 50;
