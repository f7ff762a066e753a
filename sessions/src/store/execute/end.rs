//! A session that ends.

use std::sync::Arc;

use super::Execution;
use crate::error::Error;
use crate::provider::Record;
use crate::schema::stored::Stored;
use crate::store::base;
use crate::store::base::{Arrival, Base, Bearer, Loaded, Standing, Superseded};
use crate::store::change::{Committed, Outcome};
use crate::store::ended_by::EndedBy;
use crate::store::save::{EndOutcome, Patience};
use crate::store::session_type::SessionType;
use crate::transport::Delivery;

impl Execution<'_> {
    /// Ends the record that this build cannot read: another session has taken its place, and no
    /// browser has it any more.
    pub(super) async fn end_unreadable(&mut self) {
        let Base::Unreadable(loaded) = self.base.clone() else { return };
        let ending = std::mem::take(&mut self.ending);
        let core = self.core;
        let _by = core.endings.begin(&loaded.key, EndedBy::NewOwner);
        let ended = self.end(&loaded, loaded.version, &mut Patience::new()).await;
        self.ending = ending;
        match (ended, loaded.stored.summary.secret) {
            (Ok(EndOutcome::Ended(_)), _) => {
                self.core.ended(self.name(), &loaded.key, EndedBy::NewOwner);
            }
            // The new session has begun: what is left of the old one ends as soon as it can.
            (Err(_), Some(secret)) => self.core.clone().abandon(loaded.key.clone(), secret),
            _ => {}
        }
    }

    pub(super) fn standing(&self, loaded: &Loaded, record: Record) -> Result<Base, Error> {
        let key = loaded.key.clone();
        let Some(bearer) = loaded.bearer.clone() else { return Ok(ended(loaded)) };
        let now = self.core.now();
        Ok(match Standing::of(&self.session_type, bearer, key, record, now)? {
            Standing::Live(loaded) => Base::Live(Arc::new(loaded)),
            Standing::Superseded(superseded) => Base::Superseded(Arc::new(superseded)),
        })
    }

    /// Ends the session of a handle as long as its secret is the record's, or the one before while
    /// the owner has been the same.
    pub(super) async fn end(
        &mut self,
        loaded: &Loaded,
        version: u64,
        patience: &mut Patience,
    ) -> Result<EndOutcome, Error> {
        let (session_type, bearer) = (self.session_type.clone(), loaded.bearer.clone());
        let may = move |record: &Record| may_end(&session_type, bearer.as_ref(), record);
        self.core.end(loaded.key.as_str(), version, patience, &mut self.ending, may).await
    }

    /// What makes the client drop its token.
    pub(super) fn withdrawn(&self) -> Result<Delivery, Error> {
        self.session_type.withdraw(self.base.carrier())
    }

    pub(super) fn has_cookie(&self) -> bool {
        !matches!(self.base, Base::Absent { arrival: Arrival::New, .. })
    }

    pub(super) fn destroyed(&mut self, cookie: bool) -> Result<Committed, Error> {
        let carrier = self.base.carrier();
        let delivery = if cookie { Some(self.session_type.withdraw(carrier)?) } else { None };
        self.owed = None;
        let base = Base::Absent { arrival: Arrival::New, carrier, by: None };
        Ok(Committed::new(Outcome::Destroyed, base, delivery))
    }

    /// `destroy()`: it always clears its sender's cookie.
    pub(super) async fn destroy(&mut self) -> Result<Committed, Error> {
        self.destroying = true;
        let mut patience = Patience::new();
        let cookie = self.has_cookie();
        let core = self.core;
        let _by = self.base.key().map(|key| core.endings.begin(key, EndedBy::Logout));
        let ended = match self.base.clone() {
            Base::Live(loaded) | Base::Unreadable(loaded) | Base::Unproven(loaded) => {
                self.end(&loaded, loaded.version, &mut patience).await?
            }
            Base::Superseded(superseded) if superseded.may_end => {
                let Superseded { key, version, bearer, .. } = &*superseded;
                let session_type = self.session_type.clone();
                let may = |record: &Record| may_end(&session_type, Some(bearer), record);
                core.end(key.as_str(), *version, &mut patience, &mut self.ending, may).await?
            }
            Base::Superseded(superseded) => {
                self.core.events.dropped(self.name(), Some(&superseded.key), "superseded");
                self.recovery = Some(self.withdrawn()?);
                return Err(Error::Gone);
            }
            Base::Absent { .. } | Base::Sealed(_) | Base::Ended(..) => EndOutcome::Gone,
        };
        match ended {
            EndOutcome::Ended(record) => {
                if let Some(key) = crate::store::save::key_of(&record) {
                    core.ended(self.name(), &key, EndedBy::Logout);
                }
            }
            EndOutcome::Gone => {}
            EndOutcome::Refused(_) => {
                self.core.events.dropped(self.name(), self.base.key(), "superseded");
                self.recovery = Some(self.withdrawn()?);
                return Err(Error::Gone);
            }
        }
        self.destroyed(cookie)
    }
}

/// What a session that was loaded is after its end.
pub(super) fn ended(loaded: &Loaded) -> Base {
    Base::Ended(loaded.key.clone(), loaded.carrier())
}

pub(super) fn may_end(
    session_type: &SessionType,
    bearer: Option<&Bearer>,
    record: &Record,
) -> bool {
    let (Some(bearer), Ok(stored)) = (bearer, Stored::parse(session_type.name(), &record.data))
    else {
        return false;
    };
    let current = stored.summary.secret.is_some_and(|it| bearer.knows(session_type, it));
    current || base::may_end(session_type, bearer, &stored.summary)
}
