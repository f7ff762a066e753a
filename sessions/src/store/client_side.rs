//! Sessions that live in their cookies: no record, and so no list, no revocation and no conflict
//! detection.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::base::{Arrival, Base, Sealed};
use super::change::{Committed, Outcome};
use super::core::Core;
use super::patch::{Asks, Draft, Patch};
use super::plan::OwnerMove;
use super::session_type::SessionType;
use crate::cookie;
use crate::error::Error;
use crate::schema::fields::Fields;
use crate::schema::header::Summary;
use crate::schema::stored::Stored;
use crate::transport::{Carrier, Delivery, RequestHeaders};

impl Core {
    /// Whether sessions live in their cookies.
    pub(crate) fn is_client_side(&self) -> bool {
        self.client_side
    }

    /// Returns an error if `call` needs records and the store keeps none.
    pub(super) fn needs_records(&self, call: &str) -> Result<(), Error> {
        if !self.is_client_side() {
            return Ok(());
        }
        Err(Error::misuse(format!(
            "{call} needs records, and a client-side store keeps none; build the store without \
             client_side()"
        )))
    }

    /// Finds the session that a request's cookies hold.
    pub(super) async fn find_sealed(
        &self,
        session_type: &SessionType,
        cookies: &impl RequestHeaders,
    ) -> Result<Base, Error> {
        let mut unavailable = None;
        let mut arrival = Arrival::New;
        let own = (&session_type.cookie.name, &session_type.client_side, false);
        let other = session_type.other_cookie.as_ref();
        // One of the same name was read already.
        let other = other.filter(|other| other.cookie.name != *own.0);
        let other = other.map(|other| (&other.cookie.name, &other.client_side, true));
        for (name, purpose, is_other) in [own].into_iter().chain(other) {
            // One of the current cookie opened, and has expired, or cannot be opened now.
            if is_other && (arrival == Arrival::Ended || unavailable.is_some()) {
                break;
            }
            for token in cookie::values(cookies, name).take(super::load::MOST_COOKIES) {
                match self.codec.open_sealed(purpose, token).await {
                    Ok((data, seal)) => {
                        let data = Bytes::from(data);
                        let stored = Stored::parse(session_type.name(), &data)?;
                        let expires_at = session_type.span(&stored.summary).expiry(seal.issued_at);
                        if self.is_over(&stored.summary) {
                            self.events.refused_cookie(session_type.name(), "ended_all");
                            arrival = Arrival::Ended;
                            continue;
                        }
                        if expires_at > self.now() {
                            let owner = owner(session_type, &stored)?;
                            let reissue = seal.reissue || is_other;
                            let sealed = Sealed { data, stored, expires_at, owner, reissue };
                            return Ok(Base::Sealed(sealed.into()));
                        }
                        self.events.refused_cookie(session_type.name(), "expired");
                        arrival = Arrival::Ended;
                    }
                    Err(Error::InvalidToken) => {
                        self.events.refused_cookie(session_type.name(), "token");
                        if arrival == Arrival::New {
                            arrival = Arrival::Invalid;
                        }
                    }
                    Err(error) => unavailable = Some(error),
                }
            }
        }
        unavailable.map_or(Ok(Base::Absent { arrival, carrier: Carrier::Cookie(0), by: None }), Err)
    }

    /// Commits a session that its cookie holds.
    pub(super) async fn commit_sealed(
        &self,
        session_type: &Arc<SessionType>,
        base: Base,
        fields: Option<Fields>,
        asks: Asks,
        loaded_at: SystemTime,
    ) -> Result<Committed, Error> {
        let sealed = match &base {
            Base::Sealed(sealed) => Some(sealed.clone()),
            _ => None,
        };
        let quiet = fields.is_none() && asks.is_empty();
        if quiet || (sealed.is_none() && fields.is_none()) {
            return self.keep_sealed(session_type, base, asks.skip_touch).await;
        }
        // A host that has just started knows no number to write yet.
        self.epochs.read_first().await?;
        let was = base.fields(session_type)?;
        let mine = fields.unwrap_or_else(|| was.clone());
        if asks.lock || asks.identity.as_ref().is_some_and(|it| it.acting_as.is_some()) {
            // The cookie from before would still be good.
            self.needs_records("lock() and act_as()")?;
        }
        let (renew, skip_touch) = (asks.renew, asks.skip_touch);
        let now = self.now();
        let patch = Patch::new(session_type.clone(), was, mine, base.owner(), asks, now)?;
        if matches!(patch.owner_move, OwnerMove::Appears | OwnerMove::Replaced)
            && self.epochs.admit(None, loaded_at).is_none()
        {
            self.events.login_refused(session_type.name(), "end_all");
            return Err(Error::LoginUndone);
        }
        let mut draft = match &sealed {
            None if !patch.diff.changed => return Ok(Committed::unchanged(base, None)),
            None => patch.first(None, Carrier::Cookie(0)),
            Some(sealed) => {
                let Sealed { stored, owner, .. } = &**sealed;
                if !patch.diff.changed && !renew && !patch.changes_header(stored)? {
                    return self.keep_sealed(session_type, base, skip_touch).await;
                }
                patch.over(stored, owner.as_ref(), None)?
            }
        };
        if sealed.is_none() || !matches!(patch.owner_move, OwnerMove::Same | OwnerMove::Nobody) {
            draft.header.summary.epoch = self.epochs.number();
        }
        self.seal(session_type, draft).await
    }

    /// Nothing changed. The cookie is written again if its times or its key require it.
    async fn keep_sealed(
        &self,
        session_type: &SessionType,
        base: Base,
        skip_touch: bool,
    ) -> Result<Committed, Error> {
        let Base::Sealed(sealed) = &base else { return Ok(Committed::unchanged(base, None)) };
        if !self.is_due(session_type, &base, skip_touch, self.now()) {
            return Ok(Committed::unchanged(base, None));
        }
        let summary = &sealed.stored.summary;
        let cookie = self.sealed_cookie(session_type, &sealed.data, summary).await?;
        Ok(Committed::unchanged(base, Some(cookie)))
    }

    async fn seal(&self, session_type: &SessionType, draft: Draft<'_>) -> Result<Committed, Error> {
        let data = draft.fields.to_data(&draft.header)?;
        let delivery = self.sealed_cookie(session_type, &data, &draft.header.summary).await?;
        let stored = Stored::parse(session_type.name(), &data)?;
        let expires_at = session_type.span(&draft.header.summary).expiry(self.now());
        let owner = draft.owner;
        let sealed = Sealed { data, stored, expires_at, owner, reissue: false };
        Ok(Committed::new(Outcome::Saved, Base::Sealed(sealed.into()), Some(delivery)))
    }

    async fn sealed_cookie(
        &self,
        session_type: &SessionType,
        data: &[u8],
        summary: &Summary,
    ) -> Result<Delivery, Error> {
        // Checked before sealing, because the codec seals more than a browser keeps, but not any
        // length.
        let token = (data.len() + TOKEN_OVERHEAD).saturating_mul(4).div_ceil(3);
        cookie::check_length(&session_type.cookie.name, token)?;
        let token = self.codec.seal(&session_type.client_side, data).await?;
        let left = session_type.span(summary).end().duration_since(self.now()).unwrap_or_default();
        session_type.deliver(Carrier::Cookie(0), &token, left, summary.own.persistent)
    }
}

fn owner(session_type: &SessionType, stored: &Stored) -> Result<Option<Arc<str>>, Error> {
    if session_type.table.owner.is_none() {
        return Ok(None);
    }
    // A record of a newer schema is refused when its value is decoded.
    let owner = stored.fields(session_type.table)?.owner(session_type.table)?;
    Ok(owner.map(|owner| session_type.owner(&owner).into()))
}

/// The length of a token without its payload.
const TOKEN_OVERHEAD: usize = 50;
