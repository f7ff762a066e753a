//! A commit carried out: what earlier ones left open is settled, the plan is made, and done.

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use super::base;
use super::base::{Base, Bearer, Loaded, Standing, Superseded};
use super::change::{After, Change, Committed, Failed, Outcome, Unsettled};
use super::core::Core;
use super::patch::{Asks, Patch, Renewal, SaveId};
use super::plan::{Due, Facts, Plan, Status, plan};
use super::save::{EndOutcome, Patience, SaveOutcome, Written};
use super::sent::{Claim, Drawn, Login, MOST_SENDS, Sends, Sent};
use super::session_type::SessionType;
use crate::cookie::CookieHeaders;
use crate::error::Error;
use crate::id::{Secret, SessionId, StoreKey};
use crate::provider::{Expect, Record, Touched};
use crate::schema::fields::Fields;
use crate::schema::header::Summary;
use crate::schema::merge;
use crate::schema::stored::Stored;
use crate::telemetry;
use crate::telemetry::labels::Call;
use crate::telemetry::span::observe;

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
            observe(Call::Commit, session_type.name(), tallies, work, Committed::report).await
        }
    }

    /// Ends what a request's cookies stand for. No field is decoded, so that logging out works
    /// whatever the record holds.
    pub(crate) async fn destroy_unread(
        self: &Arc<Self>,
        session_type: &Arc<SessionType>,
        cookies: &impl CookieHeaders,
    ) -> Result<Committed, Box<Failed>> {
        let work = async {
            let base = Base::Absent { cookie: false };
            let change = |base| Change {
                session_type: session_type.clone(),
                base,
                ancestor: None,
                fields: None,
                asks: Asks { destroy: true, ..Asks::default() },
                loaded_at: self.now(),
                unsettled: None,
            };
            match self.find(session_type, cookies, self.now()).await {
                Ok(base) => Execution::new(self, change(base)).finish().await,
                Err(error) if error.is_unreadable() => {
                    Box::pin(self.destroy_unreadable(session_type, cookies))
                        .await
                        .map_err(|error| Box::new(Execution::new(self, change(base)).fail(error)))
                }
                Err(error) => Err(Box::new(Execution::new(self, change(base)).fail(error))),
            }
        };
        let name = session_type.name();
        observe(Call::Destroy, name, None, work, Committed::report).await
    }

    /// Ends what a request's cookies name and this build cannot read. No secret can be compared
    /// there, so the id is enough: nobody's request reads that session.
    async fn destroy_unreadable(
        &self,
        session_type: &SessionType,
        cookies: &impl CookieHeaders,
    ) -> Result<Committed, Error> {
        let is_unreadable = |record: &Record| {
            let stored = Stored::parse(session_type.name(), &record.data);
            stored.map_or(true, |stored| stored.summary.secret.is_none())
        };
        let mut patience = Patience::new();
        for key in self.named(session_type, cookies).await? {
            let Some(record) = self.fetch(key.as_str(), &mut patience).await? else { continue };
            if !is_unreadable(&record) {
                continue;
            }
            let (version, lost) = (record.version, &mut false);
            let end = self.end(key.as_str(), version, &mut patience, lost, is_unreadable).await?;
            if matches!(end, EndOutcome::Ended(_)) {
                telemetry::ended(session_type.name(), &key, "destroyed");
            }
        }
        let set_cookie = Some(session_type.cookie.clear()?);
        Ok(Committed::new(Outcome::Destroyed, Base::Absent { cookie: false }, set_cookie))
    }

    /// What is stored now of a handle's session, and the cookie of an earlier commit that turned
    /// out to have taken place.
    pub(crate) async fn reload(
        self: &Arc<Self>,
        session_type: &Arc<SessionType>,
        base: Base,
        unsettled: &mut Option<Box<Unsettled>>,
    ) -> Result<(Base, Option<HeaderValue>), Error> {
        let mut execution = Execution::new(
            self,
            Change {
                session_type: session_type.clone(),
                base,
                ancestor: None,
                fields: None,
                asks: Asks::default(),
                loaded_at: self.now(),
                unsettled: None,
            },
        );
        if let Some(open) = unsettled.take()
            && let Err(error) = Box::pin(execution.settle(*open)).await
            && !execution.unknown
        {
            let failed = execution.fail(error);
            *unsettled = failed.unsettled;
            return Err(failed.error);
        }
        let now = self.now();
        let owed = execution.owed.take();
        let base = match execution.base.clone() {
            Base::Live(loaded) => match &loaded.bearer {
                Some(bearer) => self.fetch_base(session_type, bearer.clone(), now).await?,
                None => Base::Live(loaded),
            },
            Base::Superseded(superseded) => {
                self.fetch_base(session_type, superseded.bearer.clone(), now).await?
            }
            base => base,
        };
        Ok((base, owed))
    }

    /// Whether a commit would give the browser a cookie.
    pub(crate) fn needs_cookie(&self, change: &Change) -> Result<bool, Error> {
        if self.is_client_side() {
            return self.would_seal(change);
        }
        Ok(match self.plan_of(change)? {
            Plan::Create { .. } | Plan::Replace { .. } => true,
            Plan::Save { renew, .. } => renew,
            Plan::Leave | Plan::Keep(_) | Plan::Destroy | Plan::Refuse => false,
        })
    }

    /// Whether a commit would do more than keep the session alive.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn would_save(&self, change: &Change) -> Result<bool, Error> {
        if change.asks.destroy {
            return Ok(true);
        }
        if self.is_client_side() {
            return self.would_seal(change);
        }
        Ok(!matches!(self.plan_of(change)?, Plan::Leave | Plan::Keep(_)))
    }

    /// Whether a commit would seal a session into a new cookie.
    fn would_seal(&self, change: &Change) -> Result<bool, Error> {
        Ok(match (&change.base, &change.fields) {
            (Base::Sealed(_), None) => !change.asks.is_empty(),
            (base, Some(mine)) => {
                let mut mine = mine.clone();
                let fields = base.fields(&change.session_type)?;
                let diff = merge::diff(change.session_type.table, &fields, &mut mine)?;
                diff.changed || matches!(base, Base::Sealed(_)) && !change.asks.is_empty()
            }
            _ => false,
        })
    }

    /// What a commit would do first.
    fn plan_of(&self, change: &Change) -> Result<Plan, Error> {
        if change.fields.is_none() && change.asks.is_empty() {
            return Ok(Plan::Leave);
        }
        let base = match &change.ancestor {
            Some(ancestor) => ancestor.clone(),
            None => change.base.fields(&change.session_type)?,
        };
        let fields = change.fields.clone().unwrap_or_else(|| base.clone());
        let patch = Patch::new(
            change.session_type.clone(),
            base,
            fields,
            change.base.owner(),
            change.asks.clone(),
            self.now(),
        )?;
        Ok(plan(facts(self, &change.base, &patch)?))
    }

    /// The token that a browser gets.
    async fn token(&self, session_type: &SessionType, bearer: &Bearer) -> Result<String, Error> {
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
        self.codec.seal(&session_type.purpose, &payload[..length]).await
    }

    /// The header that gives a session's browser its token.
    fn cookie(
        &self,
        session_type: &SessionType,
        token: &str,
        summary: &Summary,
    ) -> Result<HeaderValue, Error> {
        let left = self.span(summary).end().duration_since(self.now()).unwrap_or_default();
        session_type.cookie.set(token, left, summary.remember.is_some())
    }
}

fn status(base: &Base) -> Status {
    match base {
        Base::Absent { .. } | Base::Unreadable(_) => Status::Absent,
        Base::Live(_) | Base::Sealed(_) => Status::Live,
        Base::Superseded(superseded) if superseded.recent => Status::Superseded,
        Base::Superseded(_) => Status::Absent,
        Base::Ended(_) => Status::Ended,
    }
}

fn facts(core: &Core, base: &Base, patch: &Patch) -> Result<Facts, Error> {
    let header = match base {
        Base::Live(loaded) => patch.changes_header(&loaded.stored)?,
        _ => false,
    };
    Ok(Facts {
        status: status(base),
        asks: patch.asks.asked(),
        changed: patch.diff.changed,
        header,
        rights: patch.diff.renew || patch.diff.owner,
        owner: patch.owner_move,
        due: core.due(base, patch.now),
    })
}

/// A commit on its way.
struct Execution<'s> {
    core: &'s Arc<Core>,
    session_type: Arc<SessionType>,
    base: Base,
    ancestor: Option<Fields>,
    fields: Option<Fields>,
    asks: Asks,
    loaded_at: SystemTime,
    unsettled: Option<Box<Unsettled>>,
    /// What was sent and is not known to have taken place, or is not done with.
    sends: Sends,
    ending: bool,
    unknown: bool,
    destroying: bool,
    /// An earlier commit of the handle turned out to have taken place.
    took: bool,
    /// The cookie of an earlier commit that turned out to have taken place.
    owed: Option<HeaderValue>,
    /// What the response must carry although the commit fails.
    recovery: Option<HeaderValue>,
}

/// What a renewal draws and seals before anything is saved.
#[derive(Default)]
struct Renewing {
    login: Option<Login>,
    drawn: Option<Drawn>,
    renewal: Option<Renewal>,
    token: Option<String>,
}

/// What a step of a commit came to.
enum Step {
    Done(Committed),
    /// An earlier send took place: the plan has to be made again.
    Again,
}

impl<'s> Execution<'s> {
    fn new(core: &'s Arc<Core>, change: Change) -> Self {
        let Change { session_type, base, ancestor, fields, asks, loaded_at, unsettled } = change;
        Self {
            core,
            session_type,
            base,
            ancestor,
            fields,
            asks,
            loaded_at,
            unsettled,
            sends: Sends::new(),
            ending: false,
            unknown: false,
            destroying: false,
            took: false,
            owed: None,
            recovery: None,
        }
    }

    async fn finish(&mut self) -> Result<Committed, Box<Failed>> {
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
                committed.set_cookie = committed.set_cookie.or(self.owed.take());
                self.sends.drain(..).for_each(|send| {
                    send.settle();
                });
                Ok(committed)
            }
            Err(error) => Err(Box::new(self.fail(error))),
        }
    }

    fn fail(&mut self, error: Error) -> Failed {
        let sends = std::mem::take(&mut self.sends);
        let (ending, unknown) = (self.ending, self.unknown);
        let unsettled = Unsettled { in_flight: None, sends, ending, unknown };
        Failed {
            error,
            // What an earlier commit owes is lost otherwise.
            set_cookie: self.recovery.take().or(self.owed.take()),
            base: self.base.clone(),
            ancestor: self.ancestor.take(),
            unsettled: (!unsettled.is_settled()).then(|| Box::new(unsettled)),
            destroying: self.destroying,
        }
    }

    fn name(&self) -> &'static str {
        self.session_type.name()
    }

    async fn run(&mut self) -> Result<Committed, Error> {
        if self.core.is_client_side() {
            return Box::pin(self.run_client_side()).await;
        }
        loop {
            if let Step::Done(committed) = self.step().await? {
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
        self.core.commit_sealed(&self.session_type, base, fields, self.asks.clone()).await
    }

    async fn step(&mut self) -> Result<Step, Error> {
        if self.asks.destroy {
            return Box::pin(self.destroy()).await.map(Step::Done);
        }
        let now = self.core.now();
        if self.fields.is_none() && self.asks.is_empty() && self.ancestor.is_none() {
            // Nobody could have changed anything: there is nothing to compare.
            let due = self.core.due(&self.base, now);
            return match &self.base {
                Base::Live(loaded) if due != Due::default() => {
                    let loaded = loaded.clone();
                    Box::pin(self.keep(loaded, due)).await.map(Step::Done)
                }
                _ => Ok(Step::Done(self.leave())),
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
            (Plan::Save { renew, login }, Base::Live(loaded)) => {
                self.save(patch, loaded, renew, login).await
            }
            (Plan::Keep(due), Base::Live(loaded)) => {
                Box::pin(self.keep(loaded, due)).await.map(Step::Done)
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
                Box::pin(self.create(patch, whole, login, None)).await.map(Step::Done)
            }
            (Plan::Replace { login }, Base::Live(loaded)) => {
                Box::pin(self.replace(patch, loaded, login)).await.map(Step::Done)
            }
            (Plan::Refuse, _) => Err(Error::Gone),
            // `step` has seen to the end of a session; the plans above are only made of what is
            // live.
            _ => Ok(Step::Done(self.leave())),
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
        if let (true, Some(expiry)) = (due.touch, core.touch_due(&loaded, now)) {
            let expect = Expect::Version(loaded.version);
            match provider.touch(loaded.key.as_str(), expiry, expect, now).await {
                Ok(Touched::Touched) => {
                    telemetry::touched(self.name(), &loaded.key);
                    Arc::make_mut(&mut loaded).expires_at = Some(expiry);
                    seen = Some(true);
                }
                // It was saved or ended meanwhile: the next request will find out.
                Ok(Touched::Conflict(record)) => seen = Some(self.is_still(&loaded, record)),
                Err(error) => {
                    telemetry::touch_failed(self.name(), &loaded.key, &error.into());
                    seen = Some(false);
                }
            }
        }
        let mut set_cookie = None;
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
                set_cookie =
                    Some(core.cookie(&self.session_type, &token, &loaded.stored.summary)?);
            }
        }
        self.base = Base::Live(loaded);
        let mut left = self.leave();
        left.set_cookie = set_cookie;
        Ok(left)
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
    fn login(&self, patch: &Patch) -> Result<Login, Error> {
        let name = patch.owner_name.clone().unwrap_or_default();
        if let Some(attempt) = &patch.asks.attempt {
            if !attempt.is_for(self.name(), &name) {
                return Err(Error::config(
                    "the LoginAttempt was begun for another owner or session type; call \
                     begin_login() for the owner who logs in",
                ));
            }
            if attempt.is_over(self.core.now()) {
                telemetry::login_expired(self.name());
                return Err(Error::LoginUndone);
            }
        }
        Ok(Login { name, attempt: patch.asks.attempt.clone(), loaded_at: self.loaded_at })
    }

    /// Saves over the live record.
    async fn save(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        renew: bool,
        login: bool,
    ) -> Result<Step, Error> {
        let core = self.core;
        let mut patience = if renew { Patience::persistent() } else { Patience::new() };
        let Renewing { login, drawn, renewal, token } = if renew {
            // Boxed, because it is rare and large.
            Box::pin(self.renewing(&patch, &loaded, login, &mut patience)).await?
        } else {
            Renewing::default()
        };
        let save = rand::random();
        let owner = loaded.owner.as_ref();
        let mut draft = match self.ancestor {
            None => patch.over(&loaded.stored, owner, renewal)?,
            Some(_) => patch.onto(&loaded.key, &loaded.stored, owner, renewal)?,
        };
        draft.stamp(save);
        let record = core.next_record(&loaded, &draft, patch.now)?;
        let merged = self.ancestor.is_some();
        let summary = draft.header.summary;
        self.send(Sent {
            save,
            mine: patch.mine.clone(),
            asks: self.asks.clone(),
            version: loaded.version,
            drawn,
            login,
            lost: false,
        })?;
        if last(&mut self.sends).login.is_some() {
            self.claim();
        }
        let expect = Expect::Version(loaded.version);
        let lost = &mut last(&mut self.sends).lost;
        match core.save(&record, expect, patch.now, &mut patience, lost).await {
            Ok(SaveOutcome::Saved) => {
                let written = Written { record, merged };
                self.saved(&loaded, written, summary, token, &mut patience).await.map(Step::Done)
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
    async fn renewing(
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
        let bearer = Bearer::new(bearer.id.clone(), secret, patch.now);
        // Once the old secret is dead, a cookie must hold the new one.
        let token = Some(core.token(&self.session_type, &bearer).await?);
        let ticket = match &login {
            Some(_) => Some(core.ticket(patch, patience).await?),
            None => None,
        };
        let (key, claim) = (loaded.key.clone(), None);
        let renewal = Some(Renewal { secret: hash, login: ticket });
        Ok(Renewing { login, drawn: Some(Drawn { bearer, hash, key, claim }), renewal, token })
    }

    /// Saves over whoever came first, merged with them, until nobody does.
    async fn save_merged(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        mut theirs: Option<Record>,
        renewal: Option<Renewal>,
        token: Option<String>,
        mut patience: Patience,
    ) -> Result<Step, Error> {
        let (core, name) = (self.core, self.name());
        let mut turn = None;
        loop {
            let Some(record) = theirs else {
                return self.overtaken(patch, &loaded, None).await.map(Step::Done);
            };
            let stored = Stored::parse(name, &record.data)?;
            let header = stored.header()?;
            if let Some(at) = self.sends.iter().rposition(|send| send.is_in(&header)) {
                if at + 1 == self.sends.len() {
                    // My own save, whose answer was lost.
                    let (summary, written) = (stored.summary, Written { record, merged: true });
                    let saved = self.saved(&loaded, written, summary, token, &mut patience).await;
                    return saved.map(Step::Done);
                }
                self.sends.pop();
                self.take_place(at, &record, &stored).await?;
                return Ok(Step::Again);
            }
            if self.sends.iter().any(|send| send.is_past(record.version)) {
                self.unknown = true;
                return Err(untold());
            }
            // The record has gone on without them: none can take place any more.
            self.sends.iter_mut().for_each(|send| send.went_past(record.version));
            telemetry::conflicted(name, &loaded.key);
            let secret = base::secret(&self.session_type, &stored.summary)?;
            if loaded.bearer.as_ref().is_some_and(|it| !it.knows(&self.session_type, secret)) {
                return self.overtaken(patch, &loaded, Some(record)).await.map(Step::Done);
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
            let next = core.record(&loaded.id, record.version, &draft, now)?;
            let (summary, expect) = (draft.header.summary, Expect::Version(record.version));
            last(&mut self.sends).version = record.version;
            let lost = &mut last(&mut self.sends).lost;
            match core.save(&next, expect, now, &mut patience, lost).await {
                Ok(SaveOutcome::Saved) => {
                    let written = Written { record: next, merged: true };
                    let saved = self.saved(&loaded, written, summary, token, &mut patience).await;
                    return saved.map(Step::Done);
                }
                Ok(SaveOutcome::Conflict(next)) => theirs = next,
                Err(error) => return Err(self.unanswered(error, &loaded).await),
            }
        }
    }

    /// The save under way took place.
    async fn saved(
        &mut self,
        loaded: &Loaded,
        written: Written,
        summary: Summary,
        token: Option<String>,
        patience: &mut Patience,
    ) -> Result<Committed, Error> {
        let core = self.core;
        if let Some(login) = last(&mut self.sends).login.clone() {
            Box::pin(self.admit(&login, &loaded.key, &written.record, patience)).await?;
        }
        let drawn = self.sends.pop().and_then(Sent::settle);
        let renewed = drawn.is_some();
        let bearer = drawn.or_else(|| loaded.bearer.clone());
        let set_cookie = match (&bearer, token) {
            (Some(_), Some(token)) => Some(core.cookie(&self.session_type, &token, &summary)?),
            (Some(bearer), None) if self.is_due_after(bearer, loaded, &summary) => {
                let bearer = Bearer { spare: None, ..bearer.clone() };
                let token = Box::pin(core.token(&self.session_type, &bearer)).await?;
                Some(core.cookie(&self.session_type, &token, &summary)?)
            }
            _ => None,
        };
        if renewed {
            telemetry::renewed(self.name(), &loaded.key);
        }
        Ok(Committed {
            outcome: Outcome::Saved,
            set_cookie,
            after: After::Written(
                self.session_type.clone(),
                Box::new((written, loaded.key.clone(), bearer)),
            ),
        })
    }

    /// Whether a save that renewed nothing gives the browser its token again.
    fn is_due_after(&self, bearer: &Bearer, loaded: &Loaded, summary: &Summary) -> bool {
        let recent = base::is_recent(summary, self.core.now());
        loaded.stored.summary.remember != summary.remember || bearer.is_due() && !recent
    }

    /// No answer came in time.
    async fn unanswered(&mut self, error: Error, loaded: &Loaded) -> Error {
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
                self.recovery = core.cookie(&self.session_type, &token, summary).ok();
            }
        }
        error
    }

    /// The session ended, or took another secret, before the save.
    async fn overtaken(
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
            _ => Base::Ended(key.clone()),
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
            self.base = Base::Absent { cookie: true };
            return Box::pin(self.create(patch.as_new()?, None, true, None)).await;
        }
        Err(Error::Gone)
    }

    /// The first save of a new session. `whole`: the handle's value, where the patch is but its
    /// changes.
    async fn create(
        &mut self,
        patch: Box<Patch>,
        whole: Option<Fields>,
        login: bool,
        patience: Option<Patience>,
    ) -> Result<Committed, Error> {
        let core = self.core;
        let mut patience =
            patience.unwrap_or_else(if login { Patience::persistent } else { Patience::new });
        let login = if login { Some(self.login(&patch)?) } else { None };
        let ticket = match &login {
            Some(_) => Some(core.ticket(&patch, &mut patience).await?),
            None => None,
        };
        loop {
            let (id, secret) = (SessionId::random(&core.random)?, Secret::random(&core.random)?);
            let (key, hash) = (self.session_type.key(&id), self.session_type.hash(&secret));
            let bearer = Bearer::new(id, secret, patch.now);
            // Sealed before it is saved: what no cookie can name must not be stored.
            let token = core.token(&self.session_type, &bearer).await?;
            let save: SaveId = rand::random();
            let mut draft = patch.first(Some(Renewal { secret: hash, login: ticket }));
            draft.stamp(save);
            let record = core.record(&key.shared(), 0, &draft, core.now())?;
            let summary = draft.header.summary;
            let claim = None;
            self.send(Sent {
                save,
                mine: whole.as_ref().unwrap_or(&patch.mine).clone(),
                asks: self.asks.clone(),
                version: 0,
                drawn: Some(Drawn { bearer, hash, key: key.clone(), claim }),
                login: login.clone(),
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
            let set_cookie = Some(core.cookie(&self.session_type, &token, &summary)?);
            if matches!(self.base, Base::Unreadable(_)) {
                Box::pin(self.end_unreadable()).await;
            }
            telemetry::created(self.name(), &self.session_type.tallies, &key);
            let written = Written { record, merged: whole.is_some() };
            let after = After::Written(self.session_type.clone(), Box::new((written, key, bearer)));
            return Ok(Committed { outcome: Outcome::Saved, set_cookie, after });
        }
    }

    /// Ends the record that this build cannot read: another session has taken its place, and no
    /// browser has it any more.
    async fn end_unreadable(&mut self) {
        let Base::Unreadable(loaded) = self.base.clone() else { return };
        let ending = std::mem::take(&mut self.ending);
        let ended = self.end(&loaded, loaded.version, &mut Patience::new()).await;
        self.ending = ending;
        match (ended, loaded.stored.summary.secret) {
            (Ok(EndOutcome::Ended(_)), _) => telemetry::ended(self.name(), &loaded.key, "replaced"),
            // The new session has begun: what is left of the old one ends as soon as it can.
            (Err(_), Some(secret)) => self.core.clone().abandon(loaded.key.clone(), secret),
            _ => {}
        }
    }

    /// Saves a new record once. Where the answer is lost it looks for the record before anything
    /// is sent again, and where it is not there its id is never used again. `None`: another id has
    /// to be drawn.
    async fn create_once(
        &mut self,
        key: &StoreKey,
        record: Record,
        patience: &mut Patience,
    ) -> Result<Option<Record>, Error> {
        let provider = &self.core.provider;
        let error = match provider.save(&record, Expect::Absent, self.core.now()).await {
            Ok(saved) => {
                return Ok(match SaveOutcome::from(saved) {
                    SaveOutcome::Saved => Some(record),
                    SaveOutcome::Conflict(_) => None,
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
    async fn look_for(
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
    async fn admit(
        &mut self,
        login: &Login,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        // From here on it is known to have taken place; whoever comes back asks again.
        last(&mut self.sends).lost = true;
        if self.core.admits(&self.session_type, login, key, record, patience).await? {
            return Ok(());
        }
        self.core.delete_any(key.as_str(), patience).await?;
        self.forget_last();
        self.base = Base::Ended(key.clone());
        self.ancestor = None;
        Err(Error::LoginUndone)
    }

    /// Ends the record of the last owner, and begins another for the next.
    async fn replace(
        &mut self,
        patch: Box<Patch>,
        loaded: Arc<Loaded>,
        login: bool,
    ) -> Result<Committed, Error> {
        let mut patience = Patience::persistent();
        if login {
            // Before anything is ended.
            self.login(&patch)?;
        }
        match self.end(&loaded, loaded.version, &mut patience).await? {
            EndOutcome::Ended(_) => telemetry::ended(self.name(), &loaded.key, "replaced"),
            // As good as ended: by this handle, or for whoever brings their own proof.
            EndOutcome::Gone if login || self.ending => {}
            EndOutcome::Gone => {
                self.base = Base::Ended(loaded.key.clone());
                return Err(Error::Gone);
            }
            EndOutcome::Refused(record) => {
                self.base = self.standing(&loaded, record)?;
                self.ancestor = Some(patch.base().clone());
                return Err(Error::Gone);
            }
        }
        self.base = Base::Absent { cookie: true };
        (self.ancestor, self.ending) = (None, false);
        let patch = patch.as_new()?;
        if patch.diff.changed {
            return self.create(patch, None, login, Some(patience)).await;
        }
        // Nobody in particular, who stores nothing.
        let set_cookie = Some(self.session_type.cookie.clear()?);
        Ok(Committed::new(Outcome::Saved, self.base.clone(), set_cookie))
    }

    fn standing(&self, loaded: &Loaded, record: Record) -> Result<Base, Error> {
        let key = loaded.key.clone();
        let Some(bearer) = loaded.bearer.clone() else { return Ok(Base::Ended(key)) };
        let now = self.core.now();
        Ok(match Standing::of(&self.session_type, bearer, key, record, now)? {
            Standing::Live(loaded) => Base::Live(Arc::new(loaded)),
            Standing::Superseded(superseded) => Base::Superseded(Arc::new(superseded)),
        })
    }

    /// Ends the session of a handle as long as its secret is the record's, or the one before while
    /// the owner has been the same.
    async fn end(
        &mut self,
        loaded: &Loaded,
        version: u64,
        patience: &mut Patience,
    ) -> Result<EndOutcome, Error> {
        let (session_type, bearer) = (self.session_type.clone(), loaded.bearer.clone());
        let may = move |record: &Record| may_end(&session_type, bearer.as_ref(), record);
        self.core.end(loaded.key.as_str(), version, patience, &mut self.ending, may).await
    }

    fn has_cookie(&self) -> bool {
        !matches!(self.base, Base::Absent { cookie: false })
    }

    fn destroyed(&mut self, cookie: bool) -> Result<Committed, Error> {
        let set_cookie = if cookie { Some(self.session_type.cookie.clear()?) } else { None };
        self.owed = None;
        Ok(Committed::new(Outcome::Destroyed, Base::Absent { cookie: false }, set_cookie))
    }

    /// `destroy()`: it always clears its sender's cookie.
    async fn destroy(&mut self) -> Result<Committed, Error> {
        self.destroying = true;
        let mut patience = Patience::new();
        let cookie = self.has_cookie();
        let core = self.core;
        let ended = match self.base.clone() {
            Base::Live(loaded) | Base::Unreadable(loaded) => {
                self.end(&loaded, loaded.version, &mut patience).await?
            }
            Base::Superseded(superseded) if superseded.may_end => {
                let Superseded { key, version, bearer, .. } = &*superseded;
                let session_type = self.session_type.clone();
                let may = |record: &Record| may_end(&session_type, Some(bearer), record);
                core.end(key.as_str(), *version, &mut patience, &mut self.ending, may).await?
            }
            Base::Superseded(superseded) => {
                telemetry::dropped(self.name(), Some(&superseded.key), "superseded");
                self.recovery = Some(self.session_type.cookie.clear()?);
                return Err(Error::Gone);
            }
            Base::Absent { .. } | Base::Sealed(_) | Base::Ended(_) => EndOutcome::Gone,
        };
        match ended {
            EndOutcome::Ended(record) => {
                if let Some(key) = super::save::key_of(&record) {
                    telemetry::ended(self.name(), &key, "destroyed");
                }
            }
            EndOutcome::Gone => {}
            EndOutcome::Refused(_) => {
                telemetry::dropped(self.name(), self.base.key(), "superseded");
                self.recovery = Some(self.session_type.cookie.clear()?);
                return Err(Error::Gone);
            }
        }
        self.destroyed(cookie)
    }

    /// Finds out what became of what earlier commits of the handle left open.
    async fn settle(&mut self, unsettled: Unsettled) -> Result<(), Error> {
        let Unsettled { in_flight, sends, ending, unknown } = unsettled;
        (self.sends, self.ending, self.unknown) = (sends, ending, unknown);
        if let Some(flight) = in_flight {
            match flight.result.await {
                Ok(Ok(committed)) => {
                    let done = committed.settle()?;
                    self.asks = std::mem::take(&mut self.asks).without(&flight.asks);
                    self.owed = done.set_cookie;
                    if done.outcome == Outcome::Destroyed {
                        // What the handle holds is the destroyed session's.
                        (self.base, self.ancestor, self.fields) = (done.base, None, None);
                    } else {
                        self.took = done.outcome == Outcome::Saved;
                        self.ancestor = Some(match (flight.fields, flight.ancestor) {
                            (Some(sent), _) | (None, Some(sent)) => sent,
                            (None, None) => flight.base.fields(&self.session_type)?,
                        });
                        self.base = done.base;
                    }
                }
                Ok(Err(failed)) => {
                    (self.base, self.ancestor) = (failed.base, failed.ancestor);
                    self.recovery = failed.set_cookie;
                    if let Some(unsettled) = failed.unsettled {
                        (self.sends, self.ending) = (unsettled.sends, unsettled.ending);
                        self.unknown = unsettled.unknown;
                    }
                }
                Err(_) => self.unknown = true,
            }
        }
        if self.unknown {
            return Err(untold());
        }
        let mut patience = Patience::new();
        self.settle_creates(&mut patience).await?;
        self.settle_saves(&mut patience).await
    }

    /// Looks for the new sessions whose saves were not answered.
    async fn settle_creates(&mut self, patience: &mut Patience) -> Result<(), Error> {
        while let Some(at) = self.sends.iter().rposition(|send| send.version == 0) {
            let Some(key) = self.sends[at].drawn.as_ref().map(|drawn| drawn.key.clone()) else {
                self.sends.remove(at);
                continue;
            };
            match self.look_for(&key, patience).await? {
                Some(record) => {
                    let stored = Stored::parse(self.name(), &record.data)?;
                    self.take_place(at, &record, &stored).await?;
                }
                None => {
                    self.sends.remove(at).settle();
                }
            }
        }
        Ok(())
    }

    /// Looks for the saves over a live record that were not answered.
    async fn settle_saves(&mut self, patience: &mut Patience) -> Result<(), Error> {
        let (true, Base::Live(loaded)) = (!self.sends.is_empty(), self.base.clone()) else {
            return Ok(());
        };
        let Some(record) = self.core.fetch(loaded.key.as_str(), patience).await? else {
            self.sends.drain(..).for_each(|send| {
                send.settle();
            });
            self.base = Base::Ended(loaded.key.clone());
            return Ok(());
        };
        let stored = Stored::parse(self.name(), &record.data)?;
        let header = stored.header()?;
        if let Some(at) = self.sends.iter().rposition(|send| send.is_in(&header)) {
            return self.take_place(at, &record, &stored).await;
        }
        if self.sends.iter().any(|send| send.is_past(record.version)) {
            self.unknown = true;
            return Err(untold());
        }
        // None took place. One may still be on its way, as long as the record has its version: it
        // is looked for at each conflict.
        Ok(())
    }

    /// A send took place: what it saved is the base, what it owes is done.
    async fn take_place(
        &mut self,
        at: usize,
        record: &Record,
        stored: &Stored,
    ) -> Result<(), Error> {
        let core = self.core;
        // Those before it are in it; those after it did not take place.
        let send = self.sends.remove(at);
        self.sends.drain(..).for_each(|send| {
            send.settle();
        });
        let login = send.login.clone();
        let (mine, asks) = (send.mine.clone(), send.asks.clone());
        let key = record.id.parse::<StoreKey>()?;
        let had = match &self.base {
            Base::Live(loaded) => loaded.bearer.clone(),
            _ => None,
        };
        let drawn = send.drawn.as_ref().map(|drawn| drawn.bearer.clone());
        self.sends.push(send);
        if let Some(login) = login {
            let mut patience = Patience::persistent();
            self.admit(&login, &key, record, &mut patience).await?;
        }
        if let Some(bearer) = &drawn {
            let token = core.token(&self.session_type, bearer).await?;
            self.owed = Some(core.cookie(&self.session_type, &token, &stored.summary)?);
        }
        self.sends.drain(..).for_each(|send| {
            send.settle();
        });
        self.end_unreadable().await;
        let bearer = drawn.or(had);
        let loaded = Loaded::new(key, bearer, record.clone(), stored.clone());
        self.base = Base::Live(Arc::new(loaded));
        self.ancestor = Some(mine);
        self.asks = std::mem::take(&mut self.asks).without(&asks);
        (self.took, self.recovery) = (true, None);
        Ok(())
    }

    /// Keeps a send until it is settled.
    fn send(&mut self, send: Sent) -> Result<(), Error> {
        if self.sends.len() >= MOST_SENDS {
            return Err(untold());
        }
        self.sends.push(send);
        Ok(())
    }

    /// From here on the send under way may make a session that no browser has.
    fn claim(&mut self) {
        if let Some(drawn) = &mut last(&mut self.sends).drawn {
            drawn.claim = Some(Claim::new(self.core, &drawn.key, drawn.hash));
        }
    }

    /// The send under way is known not to have taken place, or to have been undone.
    fn forget_last(&mut self) {
        if let Some(send) = self.sends.pop() {
            send.settle();
        }
    }
}

/// The send under way.
fn last(sends: &mut Sends) -> &mut Sent {
    sends.last_mut().expect("a send is pushed before it is saved, and popped after")
}

fn may_end(session_type: &SessionType, bearer: Option<&Bearer>, record: &Record) -> bool {
    let (Some(bearer), Ok(stored)) = (bearer, Stored::parse(session_type.name(), &record.data))
    else {
        return false;
    };
    let current = stored.summary.secret.is_some_and(|it| bearer.knows(session_type, it));
    current || base::may_end(session_type, bearer, &stored.summary)
}

fn untold() -> Error {
    Error::unavailable(
        "the answer to a save was lost, and nobody can tell any more whether it took place; call \
         reload() to go on with what is stored",
    )
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use http::HeaderMap;

    use super::*;
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
            base: Base::Absent { cookie: false },
            ancestor: None,
            fields: None,
            asks: Asks::default(),
            loaded_at: core.now(),
            unsettled: None,
        };
        let commit = size(&core.commit(change));
        assert!(commit <= 3_500, "{commit} bytes to commit");
    }
}
