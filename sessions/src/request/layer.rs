//! What a framework's layer does with a request's sessions: it begins with none, commits them once
//! the handler has answered, and tells browser and caches of it.

use std::any::TypeId;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::HeaderValue;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use super::RequestSessions;
use super::slots::{Dry, Phase, RequestSlots, Served, Slot, fold};
use crate::data::SessionData;
use crate::error::Error;
use crate::store::Store;
use crate::store::base::Base;
use crate::store::change::{Change, Committed, Failed};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::tracker::Finish;
use crate::telemetry;

impl Served {
    /// Every type.
    pub(crate) fn all(store: Store) -> Self {
        Self { store: store.into_core(), only: None }
    }

    /// This type, and those that were named before.
    pub(crate) fn only<T: SessionData>(mut self) -> Self {
        let named = self.only.iter().flat_map(|only| only.iter().copied());
        self.only = Some(named.chain([TypeId::of::<T>()]).collect());
        self
    }

    /// Whether a layer that serves the other adds nothing to this one.
    fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && (self.only.is_none() || self.only == other.only)
    }
}

impl Dry {
    /// What a request's method and headers say.
    pub(crate) fn of(method: &str, is_prefetch: impl FnOnce() -> bool) -> Option<Self> {
        match method {
            "HEAD" => Some(Self::Head),
            // Browsers prefetch with nothing else.
            "GET" if is_prefetch() => Some(Self::Prefetch),
            _ => None,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Prefetch => "prefetch",
        }
    }
}

/// What a layer is to a request.
pub(crate) enum Entered {
    /// The outermost: it commits these sessions.
    First(RequestSessions),
    /// Inside one that serves the same: it adds nothing.
    Again,
    /// Inside another, whose sessions it adds its own to.
    Added(RequestSessions),
}

impl RequestSessions {
    /// A request comes to a layer. `around`: what a layer around this one has put into the request.
    pub(crate) fn enter(
        around: Option<&Self>,
        served: &Served,
        dry: impl FnOnce() -> Option<Dry>,
    ) -> Entered {
        // A request that somebody sends once more after its end is another one.
        let Some(around) = around.filter(|around| around.inner.slots().phase == Phase::Open) else {
            let inner = RequestSlots {
                served: served.clone(),
                dry: dry(),
                slots: Mutex::default(),
                closed: Notify::new(),
            };
            return Entered::First(Self { inner: Arc::new(inner), nested: None });
        };
        let nested = around.nested.as_deref().unwrap_or_default();
        if around.inner.served.covers(served) || nested.iter().any(|it| it.covers(served)) {
            return Entered::Again;
        }
        let nested = nested.iter().chain([served]).cloned().collect();
        Entered::Added(Self { inner: around.inner.clone(), nested: Some(nested) })
    }

    /// Remembers a load that failed without its handler being told: its answer is not to be sent.
    #[cfg(feature = "actix")]
    pub(crate) fn hide(&self, error: Error) {
        self.inner.slots().hidden.get_or_insert(error);
    }

    /// Ends the request: what its response's status allows is committed. Costs nothing where there
    /// is nothing to do.
    pub(crate) fn finish(&self, status: StatusCode) -> Finished {
        let (mut slots, spared, hidden) = {
            let mut slots = self.inner.slots();
            slots.phase = Phase::Committing;
            #[cfg(feature = "actix")]
            let hidden = slots.hidden.take();
            #[cfg(not(feature = "actix"))]
            let hidden: Option<Error> = None;
            (std::mem::take(&mut slots.slots), slots.spared, hidden)
        };
        let read = !slots.is_empty() || spared;
        let mut finished = Finished { read, refused: false, hidden: None, commit: None };
        match self.inner.dry {
            Some(dry) => {
                let changed = self.discards(dry, &mut slots) || spared;
                finished.refused = changed && dry == Dry::Prefetch;
                finished.hidden = hidden;
            }
            None => finished.commit = self.begin_commit(status, &mut slots, hidden),
        }
        self.inner.slots().slots = slots;
        if finished.commit.is_none() {
            self.close(Kept::new());
        }
        finished
    }

    /// Discards what a dry request changed; whether that was anything.
    fn discards(&self, dry: Dry, slots: &mut [Slot]) -> bool {
        let mut any = false;
        for slot in slots.iter_mut() {
            let touched = slot.returned.iter().any(|one| one.state().is_touched());
            let is_changed = match dry {
                Dry::Head => touched,
                // What is still out may have been changed.
                Dry::Prefetch if slot.out > 0 && slot.borrowed => true,
                Dry::Prefetch if !touched => false,
                Dry::Prefetch => {
                    let change = fold(&slot.session_type, &slot.base, &mut slot.returned);
                    change.and_then(|change| slot.store.would_save(&change)).unwrap_or(true)
                }
            };
            slot.returned.clear();
            if is_changed {
                telemetry::not_committed(slot.session_type.name(), dry.reason());
                any = true;
            }
        }
        any
    }

    /// `None` where there is nothing to commit.
    fn begin_commit(
        &self,
        status: StatusCode,
        slots: &mut [Slot],
        hidden: Option<Error>,
    ) -> Option<Finish<Report>> {
        // The handler's answer will not be sent.
        let status = hidden.as_ref().map_or(status, self::status);
        // Most requests only read.
        if hidden.is_none() && slots.iter().all(Slot::is_quiet) {
            return None;
        }
        let mut report = Report { error: hidden, ..Report::default() };
        let mut jobs = SmallVec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if slot.out > 0 && slot.borrowed && slot.saves.is_empty() {
                telemetry::outlived(slot.session_type.name());
            }
            let todo = slot.decide(status);
            if todo == Todo::Nothing && slot.set_cookie.is_none() && slot.saves.is_empty() {
                // Whoever loads it in the body must not see what was discarded.
                slot.returned.clear();
                continue;
            }
            let (session, set_cookie) = (slot.session_type.name(), slot.set_cookie.take());
            let change = slot.change(todo);
            slot.returned.clear();
            match change {
                Ok(change) => {
                    let (store, saves) = (slot.store.clone(), std::mem::take(&mut slot.saves));
                    jobs.push(Job { slot: index, store, session, change, set_cookie, saves });
                }
                Err(error) => report.failed(session, error, set_cookie),
            }
        }
        if jobs.is_empty() && report.is_empty() {
            return None;
        }
        let store = &self.inner.served.store;
        Some(store.commits().track(run(store.clone(), jobs, report)))
    }

    /// The response's headers leave. `kept`: what the commits made of the sessions.
    pub(crate) fn close(&self, kept: Kept) {
        let mut slots = self.inner.slots();
        for (index, after) in kept {
            if let Some(slot) = slots.slots.get_mut(index) {
                match after {
                    Ok(committed) => slot.committed = Some(committed),
                    Err(base) => slot.base = base,
                }
            }
        }
        slots.phase = Phase::Closed;
        drop(slots);
        self.inner.closed.notify_waiters();
    }
}

/// What the end of a request leaves to do.
pub(crate) struct Finished {
    /// A session was read: caches must tell visitors apart.
    pub(crate) read: bool,
    /// A prefetch whose handler changed a session: its answer must not be used.
    pub(crate) refused: bool,
    /// A load that failed in a request that commits nothing.
    pub(crate) hidden: Option<Error>,
    pub(crate) commit: Option<Finish<Report>>,
}

/// What the commits of a request came to.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) cookies: Cookies,
    pub(crate) error: Option<Error>,
    pub(crate) kept: Kept,
}

/// What commits made of the sessions in these slots, or what is known of those that failed.
pub(crate) type Kept = SmallVec<[(usize, Result<Committed, Base>); 1]>;

/// The cookies of a response, each with its session type's name.
pub(crate) type Cookies = SmallVec<[(&'static str, HeaderValue); 1]>;

impl Report {
    fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.error.is_none()
    }

    fn saved(&mut self, session: &'static str, set_cookie: Option<HeaderValue>) {
        self.cookies.extend(set_cookie.map(|cookie| (session, cookie)));
    }

    /// `earlier`: the cookie of saves that went before, which hold.
    fn failed(&mut self, session: &'static str, error: Error, earlier: Option<HeaderValue>) {
        telemetry::commit_failed(session, &error);
        self.error.get_or_insert(error);
        self.saved(session, earlier);
    }
}

/// The status that stands for an error.
pub(crate) fn status(error: &Error) -> StatusCode {
    if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else if error.is_conflict() || matches!(error, Error::Gone | Error::LoginUndone) {
        StatusCode::CONFLICT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// What a visitor is told of an error: no more than the status says, a reason is for the log. What
/// is wrong with the program is for its programmer, who looks at the page.
pub(crate) fn text(error: &Error) -> &'static str {
    match status(error) {
        _ if matches!(error, Error::LoginUndone) => "the login was undone, log in again",
        _ if matches!(error, Error::Gone) => "the session has ended or was renewed, try again",
        StatusCode::SERVICE_UNAVAILABLE => "sessions are unavailable, try again",
        StatusCode::CONFLICT => "another request changed the same thing, try again",
        _ => match error {
            Error::Misuse(text) => text,
            _ => "the session failed",
        },
    }
}

/// What is left to do for a session once its handler has answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Todo {
    Commit,
    Destroy,
    KeepAlive,
    /// But for the cookie of an earlier save.
    Nothing,
}

impl Slot {
    /// Whether there is nothing to do for it, nor to say of it.
    fn is_quiet(&self) -> bool {
        self.out == 0
            && self.set_cookie.is_none()
            && self.saves.is_empty()
            && self.returned.iter().all(|one| !one.state().is_touched())
            && !self.is_due()
    }

    fn is_due(&self) -> bool {
        self.store.is_due(&self.base, self.store.now())
    }

    /// What is left to do for this session.
    fn decide(&self, status: StatusCode) -> Todo {
        let touched = self.returned.iter().any(|one| one.state().is_touched());
        let keep = self.store.keep().keeps(status) && !self.spoiled;
        let destroy = self.returned.iter().any(|one| one.state().asks.destroy);
        if touched && !keep && !destroy {
            telemetry::discarded(self.session_type.name(), status.as_u16());
        }
        match (touched, keep || destroy) {
            (true, true) if destroy && !keep => Todo::Destroy,
            (true, true) => Todo::Commit,
            _ if self.is_due() => Todo::KeepAlive,
            _ => Todo::Nothing,
        }
    }

    /// What the store is to do. Encodes the values.
    fn change(&mut self, todo: Todo) -> Result<Option<Change>, Error> {
        let asks = match todo {
            Todo::Commit => {
                return fold(&self.session_type, &self.base, &mut self.returned).map(Some);
            }
            Todo::Destroy => Asks { destroy: true, ..Asks::default() },
            Todo::KeepAlive => Asks::default(),
            Todo::Nothing => return Ok(None),
        };
        // What is discarded has to be settled all the same before the session is ended.
        let unsettled = self.returned.iter_mut().find(|one| one.state().is_unsettled());
        let settled = match (unsettled, todo) {
            (Some(one), Todo::Destroy) => Some(one.change()?),
            _ => None,
        };
        let (base, unsettled) = match settled {
            Some(change) => (change.base, change.unsettled),
            None => (self.base.clone(), None),
        };
        Ok(Some(Change {
            session_type: self.session_type.clone(),
            base,
            ancestor: None,
            fields: None,
            asks,
            loaded_at: self.loaded_at,
            unsettled,
        }))
    }
}

/// A session's part of what is left to do.
struct Job {
    slot: usize,
    store: Arc<Core>,
    session: &'static str,
    change: Option<Change>,
    set_cookie: Option<HeaderValue>,
    /// Saves in the middle of the request, which may go on.
    saves: SmallVec<[oneshot::Receiver<Option<HeaderValue>>; 1]>,
}

// Not an async function, because its future would store the arguments twice.
#[allow(clippy::manual_async_fn)]
fn run(
    tracking: Arc<Core>,
    mut jobs: SmallVec<[Job; 1]>,
    mut report: Report,
) -> impl Future<Output = Report> {
    async move {
        for Job { slot, store, session, change, set_cookie: earlier, saves } in &mut jobs {
            for save in saves.drain(..) {
                // A save that was dropped before it began sends nothing.
                if let Ok(Some(cookie)) = save.await {
                    *earlier = Some(cookie);
                }
            }
            let Some(change) = change.take() else {
                report.saved(session, earlier.take());
                continue;
            };
            let key = change.base.key().cloned();
            let committed = if Arc::ptr_eq(store, &tracking) {
                store.commit(change).await
            } else {
                // The shutdown of this store waits for it, too.
                let own = store.clone();
                let commit = async move { own.commit(change).await };
                store.commits().track(commit).await
            };
            match committed {
                Ok(mut done) => {
                    report.saved(session, done.set_cookie.take().or(earlier.take()));
                    report.kept.push((*slot, Ok(done)));
                }
                Err(failed) => {
                    let Failed { error, set_cookie, destroying, base, .. } = *failed;
                    let cookie = set_cookie.or(earlier.take());
                    report.kept.push((*slot, Err(base.clone())));
                    if matches!(error, Error::Gone) && !destroying {
                        // It ended beside this request, as by a logout: that is no error.
                        let reason = match base {
                            Base::Superseded(_) => "superseded",
                            _ => "ended",
                        };
                        telemetry::dropped(session, key.as_ref(), reason);
                        report.saved(session, cookie);
                    } else {
                        report.failed(session, error, cookie);
                    }
                }
            }
        }
        report
    }
}

#[cfg(all(test, feature = "derive"))]
mod tests {
    use super::*;
    use crate::MemoryProvider;

    /// It is allocated for each write, and moved.
    #[test]
    fn the_future_of_a_requests_commits_is_small() {
        let store = Store::new(MemoryProvider::new());
        let commit = size_of_val(&run(store.core().clone(), SmallVec::new(), Report::default()));
        assert!(commit <= 4_500, "{commit} bytes");
    }
}
