//! A session that begins: under a new id, or in place of the last owner's.

use std::sync::Arc;

use super::end::ended;
use super::{Execution, last};
use crate::error::Error;
use crate::id::{Secret, SessionId, StoreKey};
use crate::provider::{Expect, Record, Saved};
use crate::schema::fields::Fields;
use crate::store::base::{Arrival, Base, Bearer, Loaded};
use crate::store::change::{Committed, NextBase, Outcome};
use crate::store::ended_by::EndedBy;
use crate::store::patch::{Numbers, Patch, Renewal, SaveId};
use crate::store::save::{EndOutcome, Patience, SavedRecord};
use crate::store::sent::{Drawn, Login, Sent, StepUp};
use crate::transport::Carrier;

impl Execution<'_> {
    /// The first save of a new session. `whole`: the handle's value, where the patch is but its
    /// changes.
    pub(super) async fn create(
        &mut self,
        patch: Box<Patch>,
        whole: Option<Fields>,
        login: bool,
        patience: Option<Patience>,
    ) -> Result<Committed, Error> {
        let core = self.core;
        let mut patience =
            patience.unwrap_or_else(if login { Patience::persistent } else { Patience::new });
        let carrier = self.birth(login)?;
        let login = if login {
            core.epochs.read_first().await?;
            Some(self.login(&patch)?)
        } else {
            None
        };
        let numbers = match &login {
            Some(login) => {
                let ticket =
                    core.ticket(&self.session_type, patch.owner(), None, &mut patience).await?;
                Some(Numbers { ticket, epoch: login.epoch })
            }
            None => None,
        };
        loop {
            let (id, secret) = (SessionId::random(&core.random)?, Secret::random(&core.random)?);
            let (key, hash) = (self.session_type.key(&id), self.session_type.hash(&secret));
            let bearer = Bearer::new(id, secret, patch.now, carrier);
            // Sealed before it is saved: what no cookie can name must not be stored.
            let token = core.token(&self.session_type, &bearer).await?;
            let save: SaveId = rand::random();
            let mut draft = patch.first(Some(Renewal { secret: hash, login: numbers }), carrier);
            if numbers.is_none() {
                // After the seal, which waits for the epoch on a host that has just started.
                draft.header.summary.epoch = core.epochs.number();
            }
            draft.stamp(save);
            let record = core.record(&self.session_type, &key.shared(), 0, &draft, core.now())?;
            let summary = draft.header.summary;
            let claim = None;
            self.send(Sent {
                save,
                mine: whole.as_ref().unwrap_or(&patch.mine).clone(),
                asks: self.asks.clone(),
                version: 0,
                drawn: Some(Drawn { bearer, hash, key: key.clone(), claim }),
                login: login.clone(),
                step_up: None,
                lost: false,
            })?;
            if record.owner.is_some() {
                self.claim();
            }
            let Some(record) = self.create_once(&key, record, &mut patience).await? else {
                // Nobody has it: another id.
                self.forget_last();
                continue;
            };
            if let Some(login) = &login {
                self.admit(login, &key, &record, &mut patience).await?;
            }
            let bearer = self.sends.pop().and_then(Sent::settle);
            #[cfg_attr(not(feature = "dbsc"), allow(unused_mut))]
            let mut delivery = core.deliver(&self.session_type, carrier, &token, &summary)?;
            #[cfg(feature = "dbsc")]
            if login.is_some() {
                core.offer_binding(&self.session_type, &key, &summary, &mut delivery);
            }
            let delivery = Some(delivery);
            if matches!(self.base, Base::Unreadable(_)) {
                Box::pin(self.end_unreadable()).await;
            }
            self.core.events.created(self.name(), &self.session_type.tallies, &key);
            let written = SavedRecord { record, merged: whole.is_some() };
            let next = NextBase::Saved(self.session_type.clone(), Box::new((written, key, bearer)));
            return Ok(Committed { outcome: Outcome::Saved, delivery, next });
        }
    }

    /// Returns how the token of a session that begins travels.
    fn birth(&self, login: bool) -> Result<Carrier, Error> {
        let carrier = self.session_type.birth(self.base.carrier(), self.asks.header);
        // What the visitor did belongs to the session that their token named. A login that nobody
        // could use must not look like one.
        carrier.ok_or(if login { Error::misuse(UNASKED) } else { Error::Gone })
    }

    /// Saves a new record once. Where the answer is lost it looks for the record before anything
    /// is sent again, and where it is not there its id is never used again. `None`: another id has
    /// to be drawn.
    pub(super) async fn create_once(
        &mut self,
        key: &StoreKey,
        record: Record,
        patience: &mut Patience,
    ) -> Result<Option<Record>, Error> {
        let provider = &self.core.provider;
        let error = match provider.save(&record, Expect::Absent, self.core.now()).await {
            Ok(saved) => {
                return Ok(match saved {
                    Saved::Saved => Some(record),
                    Saved::Conflict(_) => None,
                });
            }
            Err(error) => error,
        };
        if !error.is_unavailable() {
            self.forget_last();
            return Err(error.into());
        }
        last(&mut self.sends).lost = true;
        if !patience.after_failure().await {
            return Err(error.into());
        }
        Box::pin(self.look_for(key, patience)).await
    }

    /// The record of a new session whose save was not answered; where it is not there, its id is
    /// deleted.
    pub(super) async fn look_for(
        &self,
        key: &StoreKey,
        patience: &mut Patience,
    ) -> Result<Option<Record>, Error> {
        if let Some(record) = self.core.fetch(key.as_str(), patience).await? {
            return Ok(Some(record));
        }
        self.core.delete_any(key.as_str(), patience).await?;
        Ok(None)
    }

    /// Asks the fence and the cap whether a login that was saved may stand, and ends it if not.
    pub(super) async fn admit(
        &mut self,
        login: &Login,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        // From here on it is known to have taken place; whoever comes back asks again.
        last(&mut self.sends).lost = true;
        let admitted = self.core.admits(&self.session_type, login, key, record, patience).await;
        let Err(error @ (Error::LoginUndone | Error::TooManySessions { .. })) = admitted else {
            return admitted;
        };
        let by = match error {
            Error::LoginUndone => EndedBy::RevokeAll,
            _ => EndedBy::Limit,
        };
        let core = self.core;
        let _by = core.endings.begin(key, by);
        core.delete_any(key.as_str(), patience).await?;
        core.watches.ended(key, Some(by));
        self.forget_last();
        self.base = Base::Ended(key.clone(), self.base.carrier());
        self.ancestor = None;
        Err(error)
    }

    /// `end_all` has ended the session after it was loaded: it is as good as gone, and a login
    /// begins another.
    pub(super) async fn overrun(
        &mut self,
        patch: Box<Patch>,
        loaded: &Loaded,
        login: bool,
    ) -> Result<Committed, Error> {
        if !login {
            self.base = ended(loaded);
            return Err(Error::Gone);
        }
        self.base = Base::Absent { arrival: Arrival::Ended, carrier: loaded.carrier(), by: None };
        self.ancestor = None;
        self.create(patch.as_new()?, None, true, None).await
    }

    /// Asks whether the credential of a step-up that was saved was revoked meanwhile, and ends the
    /// session if so.
    pub(super) async fn admit_step_up(
        &mut self,
        step_up: StepUp,
        key: &StoreKey,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        // From here on it is known to have taken place; whoever comes back asks again.
        last(&mut self.sends).lost = true;
        if !self.core.is_revoked(&self.session_type, &step_up, key, patience).await? {
            return Ok(());
        }
        let core = self.core;
        let _by = core.endings.begin(key, EndedBy::RevokeAll);
        core.delete_any(key.as_str(), patience).await?;
        core.watches.ended(key, Some(EndedBy::RevokeAll));
        self.forget_last();
        self.base = Base::Ended(key.clone(), self.base.carrier());
        self.ancestor = None;
        Err(Error::LoginUndone)
    }

    /// Ends the record of the last owner, and begins another for the next.
    pub(super) async fn replace(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        login: bool,
    ) -> Result<Committed, Error> {
        let mut patience = Patience::persistent();
        if login {
            // Before anything is ended.
            self.login(&patch)?;
            self.core.ticket(&self.session_type, patch.owner(), None, &mut patience).await?;
        }
        let core = self.core;
        let _by = core.endings.begin(&loaded.key, EndedBy::NewOwner);
        match self.end(&loaded, loaded.version, &mut patience).await? {
            EndOutcome::Ended(_) => self.core.ended(self.name(), &loaded.key, EndedBy::NewOwner),
            // As good as ended: by this handle, or for whoever brings their own proof.
            EndOutcome::Gone if login || self.ending => {}
            EndOutcome::Gone => {
                self.base = ended(&loaded);
                return Err(Error::Gone);
            }
            EndOutcome::Refused(record) => {
                self.base = self.standing(&loaded, record)?;
                self.ancestor = Some(patch.base().clone());
                return Err(Error::Gone);
            }
        }
        let carrier = loaded.carrier();
        self.base = Base::Absent { arrival: Arrival::Ended, carrier, by: None };
        (self.ancestor, self.ending) = (None, false);
        let patch = patch.as_new()?;
        if patch.diff.changed {
            return self.create(patch, None, login, Some(patience)).await;
        }
        // Nobody in particular, who stores nothing.
        let delivery = Some(self.withdrawn()?);
        Ok(Committed::new(Outcome::Saved, self.base.clone(), delivery))
    }
}

/// The error of a login whose token nothing may carry.
const UNASKED: &str = "the request has a token in its header that names no session, so the response \
    sets no cookie: call use_header() before the commit if this client keeps its token itself";
