//! A session saved over its record, merged with what others saved first.

use std::sync::Arc;

use super::end::ended;
use super::{Execution, Renewing, StepOutcome, last, untold};
use crate::error::Error;
use crate::id::Secret;
use crate::provider::{Expect, Record};
use crate::schema::header::Summary;
use crate::schema::stored::Stored;
use crate::store::base;
use crate::store::base::{Arrival, Base, Bearer, Loaded, Standing};
use crate::store::change::{Committed, NextBase, Outcome};
use crate::store::patch::{Numbers, Patch, Renewal};
use crate::store::save::{Patience, SaveOutcome, SavedRecord};
use crate::store::sent::{Drawn, Sent};

impl Execution<'_> {
    /// Saves over the live record.
    pub(super) async fn save(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        renew: bool,
        login: bool,
    ) -> Result<StepOutcome, Error> {
        let core = self.core;
        let mut patience = if renew { Patience::persistent() } else { Patience::new() };
        let Renewing { login, drawn, renewal, token } = if renew {
            // Boxed, because it is rare and large.
            Box::pin(self.renewing(&patch, &loaded, login, &mut patience)).await?
        } else {
            Renewing::default()
        };
        let save = rand::random();
        let merged = self.ancestor.is_some();
        // In a block, so that the future does not hold the draft.
        let record = {
            let owner = loaded.owner.as_ref();
            let mut draft = if merged {
                patch.onto(&loaded.key, &loaded.stored, owner, renewal)?
            } else {
                patch.over(&loaded.stored, owner, renewal)?
            };
            draft.stamp(save);
            core.next_record(&self.session_type, &loaded, &draft, patch.now)?
        };
        self.send(Sent {
            save,
            mine: patch.mine.clone(),
            asks: self.asks.clone(),
            version: loaded.version,
            drawn,
            login,
            step_up: self.step_up(&patch),
            lost: false,
        })?;
        if last(&mut self.sends).login.is_some() {
            self.claim();
        }
        let expect = Expect::Version(loaded.version);
        let lost = &mut last(&mut self.sends).lost;
        let renews = renewal.is_some();
        match core.save(&record, expect, renews, patch.now, &mut patience, lost).await {
            Ok(SaveOutcome::Saved) => {
                let written = SavedRecord { record, merged };
                self.saved(&loaded, written, token, &mut patience).await.map(StepOutcome::Done)
            }
            Ok(SaveOutcome::Conflict(theirs)) => {
                // Boxed, because it is rare and large.
                let work = self.save_merged(patch, loaded, theirs, renewal, token, patience);
                Box::pin(work).await
            }
            Err(error) => Err(Box::pin(self.unanswered(error, &loaded)).await),
        }
    }

    /// What a renewal draws and seals before anything is saved.
    pub(super) async fn renewing(
        &self,
        patch: &Patch,
        loaded: &Loaded,
        login: bool,
        patience: &mut Patience,
    ) -> Result<Renewing, Error> {
        let core = self.core;
        let login = if login { Some(self.login(patch)?) } else { None };
        let Some(bearer) = &loaded.bearer else { return Ok(Renewing::default()) };
        let secret = Secret::random(&core.random)?;
        let hash = self.session_type.hash(&secret);
        if let Some(secrets) = &self.secrets {
            secrets.add(hash);
        }
        let bearer = Bearer::new(bearer.id.clone(), secret, patch.now, bearer.carrier);
        // Once the old secret is dead, a cookie must hold the new one.
        let token = Some(core.token(&self.session_type, &bearer).await?);
        let numbers = match &login {
            Some(login) => {
                let own = Some(&loaded.key).filter(|_| !login.adds);
                let ticket = core.ticket(&self.session_type, patch.owner(), own, patience).await?;
                Some(Numbers { ticket, epoch: login.epoch })
            }
            None => None,
        };
        let (key, claim) = (loaded.key.clone(), None);
        let renewal = Some(Renewal { secret: hash, login: numbers });
        Ok(Renewing { login, drawn: Some(Drawn { bearer, hash, key, claim }), renewal, token })
    }

    /// Saves over whoever came first, merged with them, until nobody does.
    pub(super) async fn save_merged(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        mut theirs: Option<Record>,
        renewal: Option<Renewal>,
        token: Option<String>,
        mut patience: Patience,
    ) -> Result<StepOutcome, Error> {
        let (core, name) = (self.core, self.name());
        let mut turn = None;
        loop {
            let Some(record) = theirs else {
                return self.overtaken(patch, &loaded, None).await.map(StepOutcome::Done);
            };
            let stored = Stored::parse(name, &record.data)?;
            let header = stored.header()?;
            if let Some(at) = self.sends.iter().rposition(|send| send.is_in(&header)) {
                if at + 1 == self.sends.len() {
                    // My own save, whose answer was lost.
                    let written = SavedRecord { record, merged: true };
                    let saved = self.saved(&loaded, written, token, &mut patience).await;
                    return saved.map(StepOutcome::Done);
                }
                self.sends.pop();
                self.take_place(at, &record, &stored).await?;
                return Ok(StepOutcome::Again);
            }
            if self.sends.iter().any(|send| send.is_past(record.version)) {
                self.unknown = true;
                return Err(untold());
            }
            // The record has gone on without them: none can take place any more.
            self.sends.iter_mut().for_each(|send| send.went_past(record.version));
            self.core.events.conflicted(name, &loaded.key);
            let secret = base::secret(&self.session_type, &stored.summary)?;
            if loaded.bearer.as_ref().is_some_and(|it| !it.knows(&self.session_type, secret)) {
                return self.overtaken(patch, &loaded, Some(record)).await.map(StepOutcome::Done);
            }
            let record = match core.newest(record, &mut patience, &mut turn).await {
                Ok(Some(record)) => record,
                Ok(None) => {
                    theirs = None;
                    continue;
                }
                Err(error) => return Err(self.unanswered(error, &loaded).await),
            };
            let stored = Stored::parse(name, &record.data)?;
            // What was asked for anew may be somebody else's by now, or my own.
            let is_next =
                |send: &Sent| send.is_in(&stored.header().unwrap_or_else(|_| header.clone()));
            let same = stored.summary.secret == Some(secret);
            if !same || self.sends.iter().any(is_next) {
                theirs = Some(record);
                continue;
            }
            let mut draft = patch.onto(&loaded.key, &stored, record.owner.as_ref(), renewal)?;
            draft.stamp(last(&mut self.sends).save);
            let now = core.now();
            let next = core.record(&self.session_type, &loaded.id, record.version, &draft, now)?;
            let expect = Expect::Version(record.version);
            last(&mut self.sends).version = record.version;
            let lost = &mut last(&mut self.sends).lost;
            let renews = renewal.is_some();
            match core.save(&next, expect, renews, now, &mut patience, lost).await {
                Ok(SaveOutcome::Saved) => {
                    let written = SavedRecord { record: next, merged: true };
                    let saved = self.saved(&loaded, written, token, &mut patience).await;
                    return saved.map(StepOutcome::Done);
                }
                Ok(SaveOutcome::Conflict(next)) => theirs = next,
                Err(error) => return Err(self.unanswered(error, &loaded).await),
            }
        }
    }

    /// The save under way took place.
    pub(super) async fn saved(
        &mut self,
        loaded: &Loaded,
        written: SavedRecord,
        token: Option<String>,
        patience: &mut Patience,
    ) -> Result<Committed, Error> {
        let core = self.core;
        if let Some(login) = last(&mut self.sends).login.clone() {
            Box::pin(self.admit(&login, &loaded.key, &written.record, patience)).await?;
        } else if let Some(step_up) = last(&mut self.sends).step_up.clone() {
            Box::pin(self.admit_step_up(*step_up, &loaded.key, patience)).await?;
        }
        #[cfg(feature = "dbsc")]
        let authenticates = last(&mut self.sends).login.is_some() || self.asks.proof().is_some();
        // Read again, not held since it was written: this future is moved.
        let summary = Stored::parse(self.name(), &written.record.data)?.summary;
        let drawn = self.sends.pop().and_then(Sent::settle);
        let renewed = drawn.is_some();
        let bearer = drawn.or_else(|| loaded.bearer.clone());
        #[cfg_attr(not(feature = "dbsc"), allow(unused_mut))]
        let mut delivery = match (&bearer, token) {
            (Some(bearer), Some(token)) => {
                Some(core.deliver(&self.session_type, bearer.carrier, &token, &summary)?)
            }
            (Some(bearer), None) if self.is_due_after(bearer, loaded, &summary) => {
                let bearer = Bearer { spare: None, ..bearer.clone() };
                let token = Box::pin(core.token(&self.session_type, &bearer)).await?;
                Some(core.deliver(&self.session_type, bearer.carrier, &token, &summary)?)
            }
            _ => None,
        };
        #[cfg(feature = "dbsc")]
        if let (true, Some(delivery)) = (authenticates, &mut delivery) {
            core.offer_binding(&self.session_type, &loaded.key, &summary, delivery);
        }
        if renewed {
            self.core.events.renewed(self.name(), &loaded.key);
        }
        Ok(Committed {
            outcome: Outcome::Saved,
            delivery,
            next: NextBase::Saved(
                self.session_type.clone(),
                Box::new((written, loaded.key.clone(), bearer)),
            ),
        })
    }

    /// Whether a save that renewed nothing gives the browser its token again.
    pub(super) fn is_due_after(&self, bearer: &Bearer, loaded: &Loaded, summary: &Summary) -> bool {
        let now = self.core.now();
        let recent = base::is_recent(summary, now);
        loaded.stored.summary.own != summary.own
            || bearer.is_due(&self.session_type, summary, now) && !recent
    }

    /// No answer came in time.
    pub(super) async fn unanswered(&mut self, error: Error, loaded: &Loaded) -> Error {
        let send = last(&mut self.sends);
        if !(error.is_unavailable() && send.lost) {
            // It is known not to have taken place.
            self.forget_last();
            return error;
        }
        // The browser must have both secrets, for nobody can tell which one the record has. A login
        // carries its own proof, and can be sent again.
        if let (None, Some(drawn), Some(had)) = (&send.login, &send.drawn, &loaded.bearer) {
            let both = Bearer { spare: Some(drawn.bearer.secret.clone()), ..had.clone() };
            let summary = &loaded.stored.summary;
            let core = self.core;
            if let Ok(token) = core.token(&self.session_type, &both).await {
                let (session_type, carrier) = (&self.session_type, both.carrier);
                self.recovery = core.deliver(session_type, carrier, &token, summary).ok();
            }
        }
        error
    }

    /// The session ended, or took another secret, before the save.
    pub(super) async fn overtaken(
        &mut self,
        patch: Box<Patch>,
        loaded: &Loaded,
        record: Option<Record>,
    ) -> Result<Committed, Error> {
        let lost = last(&mut self.sends).lost;
        let login = last(&mut self.sends).login.is_some();
        self.forget_last();
        let (key, went_on) = (loaded.key.clone(), record.is_some());
        self.base = match (record, &loaded.bearer) {
            (Some(record), Some(bearer)) => {
                let now = self.core.now();
                let session_type = &self.session_type;
                match Standing::of(session_type, bearer.clone(), key.clone(), record, now)? {
                    Standing::Live(loaded) => Base::Live(Arc::new(loaded)),
                    Standing::Superseded(superseded) => Base::Superseded(Arc::new(superseded)),
                }
            }
            _ => ended(loaded),
        };
        // A login carries its own proof: it begins a session of its own. But where this very login
        // may have taken place, what is gone has ended as its own.
        // What the handle's value came from, for whatever it does next.
        self.ancestor = Some(patch.base().clone()).filter(|_| went_on);
        if login && went_on {
            let fresh = patch.over_fresh(&key)?;
            return Box::pin(self.create(fresh, Some(patch.mine.clone()), true, None)).await;
        }
        if login && !lost {
            self.base =
                Base::Absent { arrival: Arrival::Ended, carrier: loaded.carrier(), by: None };
            return Box::pin(self.create(patch.as_new()?, None, true, None)).await;
        }
        Err(Error::Gone)
    }
}
