//! The part of a framework's layer that handles a request's sessions: it opens them, commits them
//! after the handler has responded, and reports the tokens and the error of the commits.

use std::any::TypeId;
use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::HeaderName;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use super::RequestSessions;
use super::kind::RequestKind;
use super::slots::{Dry, Phase, RequestSlots, Served, Slot, fold};
use crate::data::SessionData;
use crate::error::Error;
use crate::store::Store;
use crate::store::base::Base;
use crate::store::change::{Change, Committed, Failed};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::store::tracker::Finish;
use crate::transport::Delivery;

impl Served {
    /// Serves every session type.
    pub(crate) fn all(store: Store) -> Self {
        Self { store: store.into_core(), only: None }
    }

    /// Restricts the served types to `T` and the types of earlier calls.
    pub(crate) fn only<T: SessionData>(mut self) -> Self {
        let named = self.only.iter().flat_map(|only| only.iter().copied());
        self.only = Some(named.chain([TypeId::of::<T>()]).collect());
        self
    }

    /// Whether the store binds sessions to devices.
    pub(super) fn binds_devices(&self) -> bool {
        self.store.binds_devices()
    }

    /// Whether a layer that serves `other` adds nothing to a layer that serves this.
    fn covers(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.store, &other.store) && (self.only.is_none() || self.only == other.only)
    }
}

impl Dry {
    fn reason(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Prefetch => "prefetch",
        }
    }
}

/// The position of a layer among the layers of a request.
pub(crate) enum Entered {
    /// The outermost layer. It commits these sessions.
    First(RequestSessions),
    /// An inner layer whose store and types an outer layer already serves. It does nothing.
    Again,
    /// An inner layer of another store or of other types. It adds them to the request's sessions.
    Added(RequestSessions),
}

impl RequestSessions {
    /// Opens the sessions of a request that reaches a layer. `around` holds the sessions that an
    /// outer layer has put into the request.
    pub(crate) fn enter(
        around: Option<&Self>,
        served: &Served,
        kind: impl FnOnce() -> RequestKind,
    ) -> Entered {
        // If a service sends a finished request again, it counts as a new request.
        let Some(around) = around.filter(|around| around.inner.slots().phase == Phase::Open) else {
            let RequestKind { dry, is_link } = kind();
            let inner = RequestSlots {
                served: served.clone(),
                dry,
                is_link,
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

    /// Remembers the error of a failed load that the handler did not see. The layer then discards
    /// the handler's answer.
    #[cfg(feature = "actix")]
    pub(crate) fn hide(&self, error: Error) {
        self.inner.slots().hidden.get_or_insert(error);
    }

    /// Ends the request, and prepares the commit of the changes that the response's status allows.
    /// This costs nothing if there is nothing to do.
    pub(crate) fn finish(&self, status: StatusCode) -> Finished {
        let (mut slots, mut varies, hidden) = {
            let mut slots = self.inner.slots();
            slots.phase = Phase::Committing;
            #[cfg(feature = "actix")]
            let hidden = slots.hidden.take();
            #[cfg(not(feature = "actix"))]
            let hidden: Option<Error> = None;
            (std::mem::take(&mut slots.slots), std::mem::take(&mut slots.spared), hidden)
        };
        let was_spared = !varies.is_empty();
        for slot in &slots {
            slot.session_type.vary(&mut varies);
        }
        let mut finished =
            Finished { varies, refused: false, again: false, hidden: None, commit: None };
        match self.inner.dry {
            None if self.inner.is_link && slots.iter_mut().any(Slot::needs_proof) => {
                slots.iter_mut().for_each(|slot| slot.returned.clear());
                finished.again = true;
            }
            Some(dry) => {
                let changed = self.discards(dry, &mut slots) || was_spared;
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

    /// Discards the changes of a dry request. Returns whether there were any.
    fn discards(&self, dry: Dry, slots: &mut [Slot]) -> bool {
        let mut any = false;
        for slot in slots.iter_mut() {
            let touched = slot.returned.iter().any(|one| one.state().is_touched());
            let is_changed = match dry {
                Dry::Head => touched,
                // A handle that is still alive may have changed the session.
                Dry::Prefetch if slot.out > 0 && slot.borrowed => true,
                Dry::Prefetch if !touched => false,
                Dry::Prefetch => {
                    let change = fold(&slot.session_type, &slot.base, &mut slot.returned);
                    change.and_then(|change| slot.store.would_save(&change)).unwrap_or(true)
                }
            };
            slot.returned.clear();
            if is_changed {
                slot.store.events.not_committed(slot.session_type.name(), dry.reason());
                any = true;
            }
        }
        any
    }

    /// Returns the future of the commits, or `None` if there is nothing to commit.
    fn begin_commit(
        &self,
        status: StatusCode,
        slots: &mut [Slot],
        hidden: Option<Error>,
    ) -> Option<Finish<Report>> {
        // The error's response replaces the handler's, so its status decides.
        let status = hidden.as_ref().map_or(status, Error::status);
        // The fast path: most requests only read.
        if hidden.is_none() && slots.iter().all(Slot::is_quiet) {
            return None;
        }
        let mut report = Report { error: hidden, ..Report::default() };
        let mut jobs = SmallVec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if slot.out > 0 && slot.borrowed && slot.saves.is_empty() {
                slot.store.events.outlived(slot.session_type.name());
            }
            let end = slot.decide(status);
            if end == SlotEnd::Nothing && slot.delivery.is_none() && slot.saves.is_empty() {
                // A later load in the body must not see the discarded changes.
                slot.returned.clear();
                continue;
            }
            let (session_type, delivery) = (slot.session_type.clone(), slot.delivery.take());
            let change = slot.change(end);
            slot.returned.clear();
            match change {
                Ok(change) => {
                    let (store, saves) = (slot.store.clone(), std::mem::take(&mut slot.saves));
                    jobs.push(Job { slot: index, store, session_type, change, delivery, saves });
                }
                Err(error) => report.failed(&session_type, error, delivery),
            }
        }
        if jobs.is_empty() && report.is_empty() {
            return None;
        }
        let store = &self.inner.served.store;
        Some(store.commits().track(run(store.clone(), jobs, report)))
    }

    /// Closes the request before the response's headers are sent. `kept` are the results of the
    /// commits.
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

/// The result of [`RequestSessions::finish`], with the commit that remains to do.
pub(crate) struct Finished {
    /// The request headers that carry the tokens of the sessions that a handler took, so that caches
    /// must distinguish visitors. Empty if it took none.
    pub(crate) varies: Varies,
    /// Whether the request was a prefetch that changed a session, so that its answer must not be
    /// used.
    pub(crate) refused: bool,
    /// Whether the browser has to prove its device, and to follow its link again.
    pub(crate) again: bool,
    /// The error of a failed load, in a request that commits nothing.
    pub(crate) hidden: Option<Error>,
    pub(crate) commit: Option<Finish<Report>>,
}

/// The result of a request's commits.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) deliveries: Deliveries,
    pub(crate) error: Option<Error>,
    pub(crate) kept: Kept,
}

/// The results of the commits by slot: what was committed, or the last known base after a failure.
pub(crate) type Kept = SmallVec<[(usize, Result<Committed, Base>); 1]>;

/// The tokens of a response, each with its session type.
pub(crate) type Deliveries = SmallVec<[(Arc<SessionType>, Delivery); 1]>;

/// The names of the request headers that a response depends on.
pub(crate) type Varies = SmallVec<[HeaderName; 1]>;

impl Report {
    fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.error.is_none()
    }

    fn saved(&mut self, session_type: &Arc<SessionType>, delivery: Option<Delivery>) {
        self.deliveries.extend(delivery.map(|delivery| (session_type.clone(), delivery)));
    }

    /// Keeps a token of one transport beside a later one of the other, as where a handler clears the
    /// cookie and begins a session in the header.
    fn keep_other(
        &mut self,
        session_type: &Arc<SessionType>,
        before: Option<Delivery>,
        later: Option<&Delivery>,
    ) {
        let other = |before: &Delivery| later.is_some_and(|it| it.transport != before.transport);
        self.saved(session_type, before.filter(other));
    }

    /// Records a failed commit. `earlier` is the token of saves that succeeded before it.
    fn failed(&mut self, session_type: &Arc<SessionType>, error: Error, earlier: Option<Delivery>) {
        session_type.events.commit_failed(session_type.name(), &error);
        self.error.get_or_insert(error);
        self.saved(session_type, earlier);
    }
}

/// Returns the text of the response to an error. It does not contain the reason, because reasons
/// are for the log. Only the text of a misuse is shown, because it is for the app's developer.
pub(crate) fn text(error: &Error) -> &'static str {
    match error.status() {
        _ if matches!(error, Error::LoginUndone) => "the login was undone, log in again",
        _ if matches!(error, Error::TooManySessions { .. }) => {
            "too many sessions, end another one first"
        }
        _ if matches!(error, Error::Gone) => "the session has ended or was renewed, try again",
        StatusCode::UNAUTHORIZED => "log in, or prove again who you are",
        StatusCode::SERVICE_UNAVAILABLE => "sessions are unavailable, try again",
        StatusCode::CONFLICT => "another request changed the same thing, try again",
        _ => match error {
            Error::Misuse(Cow::Borrowed(text)) => text,
            _ => "the session failed",
        },
    }
}

/// The work that remains for a session after its handler has responded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SlotEnd {
    Commit,
    Destroy,
    KeepAlive,
    /// No store call. The response may still carry the token of an earlier save.
    Nothing,
}

impl Slot {
    /// Whether there is nothing to commit and nothing to report.
    fn is_quiet(&self) -> bool {
        self.out == 0
            && self.delivery.is_none()
            && self.saves.is_empty()
            && self.returned.iter().all(|one| !one.state().is_touched())
            && !self.is_due()
    }

    /// Whether the session that the request's cookie names needs a proof of its device, and the
    /// handler began no other.
    fn needs_proof(&mut self) -> bool {
        if !matches!(self.base, Base::Unproven(_)) || self.delivery.is_some() {
            return false;
        }
        let change = fold(&self.session_type, &self.base, &mut self.returned);
        !change.and_then(|change| self.store.needs_cookie(&change)).unwrap_or(false)
            && !self.returned.iter().any(|one| one.state().asks.destroy)
    }

    fn is_due(&self) -> bool {
        let now = self.store.now();
        self.store.is_due(&self.session_type, &self.base, self.skip_touch, now)
    }

    /// Decides what remains to do for this session.
    fn decide(&self, status: StatusCode) -> SlotEnd {
        let touched = self.returned.iter().any(|one| one.state().is_touched());
        let keep = self.store.keep().keeps(status) && !self.spoiled;
        let destroy = self.returned.iter().any(|one| one.state().asks.destroy);
        if touched && !keep && !destroy {
            self.store.events.discarded(self.session_type.name(), status.as_u16());
        }
        match (touched, keep || destroy) {
            (true, true) if destroy && !keep => SlotEnd::Destroy,
            (true, true) => SlotEnd::Commit,
            _ if self.is_due() => SlotEnd::KeepAlive,
            _ => SlotEnd::Nothing,
        }
    }

    /// Returns the change that the store applies. Encodes the values.
    fn change(&mut self, end: SlotEnd) -> Result<Option<Change>, Error> {
        let asks = match end {
            SlotEnd::Commit => {
                let mut change = fold(&self.session_type, &self.base, &mut self.returned)?;
                change.asks.skip_touch |= self.skip_touch;
                change.asks.device = self.device.take().or(change.asks.device);
                change.secrets = self.secrets.clone().or(change.secrets);
                return Ok(Some(change));
            }
            SlotEnd::Destroy => Asks { destroy: true, ..Asks::default() },
            SlotEnd::KeepAlive => {
                let (skip_touch, device) = (self.skip_touch, self.device.take());
                Asks { skip_touch, device, ..Asks::default() }
            }
            SlotEnd::Nothing => return Ok(None),
        };
        // The session's earlier saves must be settled before it is destroyed, even if its changes
        // are discarded.
        let unsettled = self.returned.iter_mut().find(|one| one.state().is_unsettled());
        let settled = match (unsettled, end) {
            (Some(one), SlotEnd::Destroy) => Some(one.change()?),
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
            secrets: None,
        }))
    }
}

/// The work that remains for one session.
struct Job {
    slot: usize,
    store: Arc<Core>,
    session_type: Arc<SessionType>,
    change: Option<Change>,
    delivery: Option<Delivery>,
    /// The handler's own saves. They may still run.
    saves: SmallVec<[oneshot::Receiver<Option<Delivery>>; 1]>,
}

// Not an async function, because its future would store the arguments twice.
#[allow(clippy::manual_async_fn)]
fn run(
    tracking: Arc<Core>,
    mut jobs: SmallVec<[Job; 1]>,
    mut report: Report,
) -> impl Future<Output = Report> {
    async move {
        for Job { slot, store, session_type, change, delivery: earlier, saves } in &mut jobs {
            for save in saves.drain(..) {
                // A save whose future was dropped before it began sends nothing.
                if let Ok(Some(delivery)) = save.await {
                    let before = earlier.replace(delivery);
                    report.keep_other(session_type, before, earlier.as_ref());
                }
            }
            let Some(change) = change.take() else {
                report.saved(session_type, earlier.take());
                continue;
            };
            let key = change.base.key().cloned();
            let committed = if Arc::ptr_eq(store, &tracking) {
                store.commit(change).await
            } else {
                // Track the commit here too, so that the shutdown of this store waits for it.
                let own = store.clone();
                let commit = async move { own.commit(change).await };
                store.commits().track(commit).await
            };
            match committed {
                Ok(mut done) => {
                    let delivery = done.delivery.take();
                    report.keep_other(session_type, earlier.clone(), delivery.as_ref());
                    report.saved(session_type, delivery.or(earlier.take()));
                    report.kept.push((*slot, Ok(done)));
                }
                Err(failed) => {
                    let Failed { error, delivery, destroying, base, .. } = *failed;
                    let delivery = delivery.or(earlier.take());
                    report.kept.push((*slot, Err(base.clone())));
                    if matches!(error, Error::Gone) && !destroying {
                        // A concurrent request ended or renewed the session, for example by a
                        // logout or a login. This is not an error.
                        let reason = match base {
                            Base::Superseded(_) => "superseded",
                            _ => "ended",
                        };
                        session_type.events.dropped(session_type.name(), key.as_ref(), reason);
                        report.saved(session_type, delivery);
                    } else {
                        report.failed(session_type, error, delivery);
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

    /// The future is allocated for each write, and moved.
    #[test]
    fn the_future_of_a_requests_commits_is_small() {
        let store = Store::new(MemoryProvider::new());
        let commit = size_of_val(&run(store.core().clone(), SmallVec::new(), Report::default()));
        assert!(commit <= 4_500, "{commit} bytes");
    }
}
