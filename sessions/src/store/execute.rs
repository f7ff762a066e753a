//! A commit carried out: what earlier ones left open is settled, the plan is made, and done.

mod begin;
mod end;
mod foresee;
mod settle;
mod unread;
mod write;

use self::foresee::facts;

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use super::base;
use super::base::{Base, Bearer, Loaded};
use super::change::{Change, Committed, Failed, Outcome, Unsettled};
use super::core::Core;
use super::patch::{Asks, Patch, Renewal};
use super::plan::{Due, OwnerMove, Plan, plan};
use super::sent::{Claim, Drawn, Login, MOST_SENDS, Sends, Sent, StepUp};
use super::session_type::SessionType;
use super::watches::OwnSecrets;
use crate::error::Error;
use crate::provider::{Expect, Record, Saved, Touched};
use crate::schema::fields::Fields;
use crate::schema::header::Summary;
use crate::schema::stored::Stored;
use crate::telemetry::labels::Operation;
use crate::telemetry::span::observe;
use crate::transport::{Carrier, Delivery};

impl Core {
    /// Carries out what a handler did to one session.
    // Not an async function, because its future would store the arguments twice.
    #[allow(clippy::manual_async_fn)]
    pub(crate) fn commit(
        self: &Arc<Self>,
        change: Change,
    ) -> impl Future<Output = Result<Committed, Box<Failed>>> {
        let session_type = change.session_type.clone();
        let mut execution = Execution::new(self, change);
        async move {
            // Pinned here: whatever holds it is moved with it.
            let work = pin!(execution.finish());
            let tallies = Some(&session_type.tallies);
            observe(Operation::Commit, session_type.name(), tallies, work, Committed::report).await
        }
    }

    /// The token that a browser gets.
    pub(super) async fn token(
        &self,
        session_type: &SessionType,
        bearer: &Bearer,
    ) -> Result<String, Error> {
        let (id, secret) = (bearer.id.to_bytes(), bearer.secret.to_bytes());
        let mut payload = zeroize::Zeroizing::new([0; 48]);
        payload[..16].copy_from_slice(&*id);
        payload[16..32].copy_from_slice(&*secret);
        let length = match &bearer.spare {
            Some(spare) => {
                payload[32..].copy_from_slice(&*spare.to_bytes());
                48
            }
            None => 32,
        };
        self.codec.seal(session_type.purpose_of(bearer.carrier), &payload[..length]).await
    }

    /// Returns what gives a session's client its token.
    pub(super) fn deliver(
        &self,
        session_type: &SessionType,
        carrier: Carrier,
        token: &str,
        summary: &Summary,
    ) -> Result<Delivery, Error> {
        let left = session_type.span(summary).end().duration_since(self.now()).unwrap_or_default();
        session_type.deliver(carrier, token, left, summary.own.persistent)
    }
}

/// A commit on its way.
pub(super) struct Execution<'s> {
    core: &'s Arc<Core>,
    session_type: Arc<SessionType>,
    base: Base,
    ancestor: Option<Fields>,
    fields: Option<Fields>,
    asks: Asks,
    loaded_at: SystemTime,
    unsettled: Option<Box<Unsettled>>,
    /// Where the secrets that it draws are noted.
    secrets: Option<Arc<OwnSecrets>>,
    /// What was sent and is not known to have taken place, or is not done with.
    sends: Sends,
    ending: bool,
    unknown: bool,
    destroying: bool,
    /// An earlier commit of the handle turned out to have taken place.
    took: bool,
    /// The cookie of an earlier commit that turned out to have taken place.
    owed: Option<Delivery>,
    /// What the response must carry although the commit fails.
    recovery: Option<Delivery>,
}

/// What a renewal draws and seals before anything is saved.
#[derive(Default)]
pub(super) struct Renewing {
    login: Option<Login>,
    drawn: Option<Drawn>,
    renewal: Option<Renewal>,
    token: Option<String>,
}

/// What a step of a commit came to.
pub(super) enum StepOutcome {
    Done(Committed),
    /// An earlier send took place: the plan has to be made again.
    Again,
}

impl<'s> Execution<'s> {
    pub(super) fn new(core: &'s Arc<Core>, change: Change) -> Self {
        let Change { session_type, base, ancestor, fields, asks, loaded_at, unsettled, secrets } =
            change;
        Self {
            core,
            session_type,
            base,
            ancestor,
            fields,
            asks,
            loaded_at,
            unsettled,
            secrets,
            sends: Sends::new(),
            ending: false,
            unknown: false,
            destroying: false,
            took: false,
            owed: None,
            recovery: None,
        }
    }

    pub(super) async fn finish(&mut self) -> Result<Committed, Box<Failed>> {
        let result = match self.unsettled.take() {
            // Boxed, because it is rare and large.
            Some(unsettled) => match Box::pin(self.settle(*unsettled)).await {
                Ok(()) => self.run().await,
                Err(error) => Err(error),
            },
            None => self.run().await,
        };
        match result {
            Ok(mut committed) => {
                committed.delivery = committed.delivery.or(self.owed.take());
                self.sends.drain(..).for_each(|send| {
                    send.settle();
                });
                Ok(committed)
            }
            Err(error) => Err(Box::new(self.fail(error))),
        }
    }

    pub(super) fn fail(&mut self, error: Error) -> Failed {
        let sends = std::mem::take(&mut self.sends);
        let (ending, unknown) = (self.ending, self.unknown);
        let unsettled = Unsettled { in_flight: None, sends, ending, unknown };
        Failed {
            error,
            // What an earlier commit owes is lost otherwise.
            delivery: self.recovery.take().or(self.owed.take()),
            base: self.base.clone(),
            ancestor: self.ancestor.take(),
            unsettled: (!unsettled.is_settled()).then(|| Box::new(unsettled)),
            destroying: self.destroying,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.session_type.name()
    }

    async fn run(&mut self) -> Result<Committed, Error> {
        if self.core.is_client_side() {
            return Box::pin(self.run_client_side()).await;
        }
        loop {
            if let StepOutcome::Done(committed) = self.step().await? {
                return Ok(committed);
            }
        }
    }

    async fn run_client_side(&mut self) -> Result<Committed, Error> {
        if self.asks.destroy {
            let cookie = self.has_cookie();
            return self.destroyed(cookie);
        }
        let (base, fields) = (self.base.clone(), self.fields.take());
        let (asks, loaded_at) = (self.asks.clone(), self.loaded_at);
        self.core.commit_sealed(&self.session_type, base, fields, asks, loaded_at).await
    }

    async fn step(&mut self) -> Result<StepOutcome, Error> {
        if self.asks.destroy {
            return Box::pin(self.destroy()).await.map(StepOutcome::Done);
        }
        let now = self.core.now();
        if self.fields.is_none() && self.asks.is_empty() && self.ancestor.is_none() {
            // Nobody could have changed anything: there is nothing to compare.
            let due = self.core.due(&self.session_type, &self.base, self.asks.skip_touch, now);
            return match &self.base {
                Base::Live(loaded) if due != Due::default() => {
                    let loaded = loaded.clone();
                    Box::pin(self.keep(loaded, due)).await.map(StepOutcome::Done)
                }
                _ => Ok(StepOutcome::Done(self.leave())),
            };
        }
        let base = match &self.ancestor {
            Some(ancestor) => ancestor.clone(),
            None => self.base.fields(&self.session_type)?,
        };
        let mine = self.fields.clone().unwrap_or_else(|| base.clone());
        let session_type = self.session_type.clone();
        let patch =
            Patch::new(session_type, base, mine, self.base.owner(), self.asks.clone(), now)?;
        match (plan(facts(self.core, &self.base, &patch)?), self.base.clone()) {
            (Plan::Save { login, .. }, Base::Live(loaded)) if self.core.has_ended(&loaded) => {
                Box::pin(self.overrun(patch, &loaded, login)).await.map(StepOutcome::Done)
            }
            (Plan::Save { renew, login }, Base::Live(loaded)) => {
                self.save(patch, loaded, renew, login).await
            }
            (Plan::Keep(due), Base::Live(loaded)) => {
                Box::pin(self.keep(loaded, due)).await.map(StepOutcome::Done)
            }
            (Plan::Create { login }, base) => {
                let (patch, whole) = match (base, &self.ancestor) {
                    // The session that the value came from went on without it.
                    (Base::Superseded(superseded), Some(_)) => {
                        let fresh = patch.over_fresh(&superseded.key)?;
                        (fresh, Some(patch.mine.clone()))
                    }
                    _ => (patch, None),
                };
                Box::pin(self.create(patch, whole, login, None)).await.map(StepOutcome::Done)
            }
            (Plan::Replace { login }, Base::Live(loaded)) => {
                Box::pin(self.replace(patch, loaded, login)).await.map(StepOutcome::Done)
            }
            (Plan::Refuse, Base::Unproven(_)) => Err(Error::DeviceUnproven),
            (Plan::Refuse, _) => Err(Error::Gone),
            // `step` has seen to the end of a session; the plans above are only made of what is
            // live.
            _ => Ok(StepOutcome::Done(self.leave())),
        }
    }

    /// Nothing is left to do.
    fn leave(&mut self) -> Committed {
        let outcome = if self.took { Outcome::Saved } else { Outcome::Unchanged };
        Committed::new(outcome, self.base.clone(), None)
    }

    /// Nothing changed: moves the expiry where that is due, and gives the browser its token again.
    async fn keep(&mut self, mut loaded: Arc<Loaded>, due: Due) -> Result<Committed, Error> {
        let (core, provider) = (self.core, &self.core.provider);
        let now = core.now();
        // Whether the provider has just said that the record has still this secret.
        let mut seen = None;
        let by_save = if due.touch { self.touch_record(&loaded, now) } else { None };
        if let Some(record) = by_save {
            seen = Some(Box::pin(self.touch_by_save(&mut loaded, *record, now)).await);
        } else if let (true, Some(expiry)) = (due.touch, loaded.touch_due(&self.session_type, now))
        {
            let expect = Expect::Version(loaded.version);
            match provider.touch(loaded.key.as_str(), expiry, expect, now).await {
                Ok(Touched::Touched) => {
                    self.core.events.touched(self.name(), &loaded.key);
                    Arc::make_mut(&mut loaded).expires_at = Some(expiry);
                    seen = Some(true);
                }
                // It was saved or ended meanwhile: the next request will find out.
                Ok(Touched::Conflict(record)) => seen = Some(self.is_still(&loaded, record)),
                Err(error) => {
                    self.core.events.touch_failed(self.name(), &loaded.key, &error.into());
                    seen = Some(false);
                }
            }
        }
        let mut delivery = None;
        if let (true, Some(bearer)) = (due.cookie, &loaded.bearer) {
            let seen = match seen {
                Some(seen) => seen,
                // A login beside this request may have replaced the secret since it was read.
                None => match provider.fetch(loaded.key.as_str(), now).await {
                    Ok(record) => self.is_still(&loaded, record),
                    Err(_) => false,
                },
            };
            if seen {
                let bearer = Bearer { spare: None, ..bearer.clone() };
                let token = core.token(&self.session_type, &bearer).await?;
                let (session_type, summary) = (&self.session_type, &loaded.stored.summary);
                delivery = Some(core.deliver(session_type, bearer.carrier, &token, summary)?);
            }
        }
        self.base = Base::Live(loaded);
        let mut left = self.leave();
        left.delivery = delivery;
        Ok(left)
    }

    /// Returns the record that a touch saves where it writes more than the expiry: when the session
    /// was used, or a new device. `None` for a plain touch, also where the record would be too large.
    fn touch_record(&self, loaded: &Loaded, now: SystemTime) -> Option<Box<Record>> {
        let is_elsewhere = || {
            let device = self.asks.device.as_deref()?;
            let devices = loaded.stored.header().ok()?.devices;
            Some(devices.is_none_or(|devices| devices.last != *device))
        };
        if !self.session_type.locks() && !is_elsewhere().unwrap_or(false) {
            return None;
        }
        let record = || {
            let (session_type, owner) = (&self.session_type, loaded.owner.as_ref());
            let fields = loaded.stored.fields(session_type.table)?;
            let (same, asks) = (fields.clone(), self.asks.clone());
            let patch = Patch::new(session_type.clone(), fields, same, owner, asks, now)?;
            let mut draft = patch.over(&loaded.stored, owner, None)?;
            draft.stamp(rand::random());
            self.core.next_record(session_type, loaded, &draft, now)
        };
        let failed = |error: &Error| self.core.events.touch_failed(self.name(), &loaded.key, error);
        record().inspect_err(failed).ok().map(Box::new)
    }

    /// Moves the expiry by a save. As a touch, it is not repeated: the next request does the same.
    /// Returns whether the provider has said that the record has still its secret.
    async fn touch_by_save(
        &self,
        loaded: &mut Arc<Loaded>,
        record: Record,
        now: SystemTime,
    ) -> bool {
        let expect = Expect::Version(loaded.version);
        match self.core.provider.save(&record, expect, now).await {
            Ok(Saved::Saved) => {
                self.core.events.touched(self.name(), &loaded.key);
                // It is what this host has just encoded.
                if let Ok(stored) = Stored::parse(self.name(), &record.data) {
                    let (key, bearer) = (loaded.key.clone(), loaded.bearer.clone());
                    *loaded = Arc::new(Loaded::new(key, bearer, record, stored));
                }
                true
            }
            Ok(Saved::Conflict(record)) => self.is_still(loaded, record),
            Err(error) => {
                self.core.events.touch_failed(self.name(), &loaded.key, &error.into());
                false
            }
        }
    }

    /// Whether a record has still the secret that it was loaded with, and for so long that no
    /// renewal's cookie can be on its way.
    fn is_still(&self, loaded: &Loaded, record: Option<Record>) -> bool {
        let stored = record.and_then(|record| Stored::parse(self.name(), &record.data).ok());
        stored.is_some_and(|stored| {
            stored.summary.secret == loaded.stored.summary.secret
                && !base::is_recent(&stored.summary, self.core.now())
        })
    }

    /// The login that a patch carries out, if its attempt is good.
    pub(super) fn login(&self, patch: &Patch) -> Result<Login, Error> {
        let name = patch.owner_name.clone().unwrap_or_default();
        if let Some(attempt) = &patch.asks.attempt {
            if !attempt.is_for(self.name(), &name) {
                return Err(Error::misuse(
                    "the LoginAttempt was begun for another owner or session type; call \
                     begin_login() for the owner who logs in",
                ));
            }
            if attempt.is_over(self.core.now()) {
                self.core.events.login_refused(self.name(), "too_late");
                return Err(Error::LoginUndone);
            }
        }
        let attempt = patch.asks.attempt.clone();
        let (began, loaded_at) = (attempt.as_ref().map(|it| it.epoch()), self.loaded_at);
        let Some(epoch) = self.core.epochs.admit(began, loaded_at) else {
            self.core.events.login_refused(self.name(), "end_all");
            return Err(Error::LoginUndone);
        };
        let credential = patch.asks.proof().and_then(|proof| proof.credential.clone());
        let adds = patch.owner_move != OwnerMove::Same;
        Ok(Login { name, attempt, credential, loaded_at, adds, epoch })
    }

    /// The step-up that a patch carries out, where a credential may be revoked beside it.
    pub(super) fn step_up(&self, patch: &Patch) -> Option<Box<StepUp>> {
        if patch.owner_move != OwnerMove::Same || patch.asks.attempt.is_some() {
            return None;
        }
        let credential = patch.asks.proof()?.credential.clone()?;
        let (name, loaded_at) = (patch.owner_name.clone()?, self.loaded_at);
        Some(Box::new(StepUp { name, credential, loaded_at }))
    }

    /// Keeps a send until it is settled.
    pub(super) fn send(&mut self, send: Sent) -> Result<(), Error> {
        if self.sends.len() >= MOST_SENDS {
            return Err(untold());
        }
        self.sends.push(send);
        Ok(())
    }

    /// From here on the send under way may make a session that no browser has.
    pub(super) fn claim(&mut self) {
        if let Some(drawn) = &mut last(&mut self.sends).drawn {
            drawn.claim = Some(Claim::new(self.core, &drawn.key, drawn.hash));
        }
    }

    /// The send under way is known not to have taken place, or to have been undone.
    pub(super) fn forget_last(&mut self) {
        if let Some(send) = self.sends.pop() {
            send.settle();
        }
    }
}

/// The send under way.
pub(super) fn last(sends: &mut Sends) -> &mut Sent {
    sends.last_mut().expect("a send is pushed before it is saved, and popped after")
}

pub(super) fn untold() -> Error {
    Error::unavailable(
        "the answer to a save was lost, and nobody can tell any more whether it took place; call \
         reload() to go on with what is stored",
    )
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::store::base::Arrival;
    use crate::{MemoryProvider, Store};

    #[derive(crate::Session)]
    #[session(name = "visitor", version = 1, crate = crate)]
    struct Visitor {
        visits: u32,
    }

    fn size<F: Future>(_: &F) -> usize {
        size_of::<F>()
    }

    /// They are moved whole several times.
    #[test]
    fn the_futures_of_a_request_are_small() {
        let store = Store::new(MemoryProvider::new());
        let core = store.core();
        let headers = HeaderMap::new();
        let load = size(&store.load::<Visitor>(&headers));
        assert!(load <= 1_000, "{load} bytes to load");
        let change = Change {
            session_type: core.session_type::<Visitor>().unwrap(),
            base: Base::Absent { arrival: Arrival::New, carrier: Carrier::Cookie(0), by: None },
            ancestor: None,
            fields: None,
            asks: Asks::default(),
            loaded_at: core.now(),
            unsettled: None,
            secrets: None,
        };
        let commit = size(&core.commit(change));
        assert!(commit <= 3_500, "{commit} bytes to commit");
    }
}
