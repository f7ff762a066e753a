//! The places of a request's sessions: where handles go when they are dropped, and what the layer
//! commits. Without their types.

use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::header::HeaderValue;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use crate::error::Error;
use crate::pending::{Pending, State};
use crate::schema::fields::Fields;
use crate::schema::merge;
use crate::store::base::Base;
use crate::store::change::{Change, Committed, Failed, Outcome, Settled};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::telemetry;

/// A layer's store, and the session types that it serves.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) store: Arc<Core>,
    /// `None`: every type.
    pub(super) only: Option<Arc<[TypeId]>>,
}

/// Why a request commits nothing.
#[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))] // Layers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dry {
    /// Its answer is thrown away but for the headers (RFC 9110, section 9.3.2).
    Head,
    /// Nobody may ever see its answer.
    Prefetch,
}

pub(crate) struct RequestSlots {
    /// Of the outermost layer.
    pub(super) served: Served,
    pub(super) dry: Option<Dry>,
    // A std Mutex, held only to move values in and out, never across an await.
    pub(super) slots: Mutex<Slots>,
    /// Wakes the loads that wait for the end of the commits.
    pub(super) closed: Notify,
}

#[derive(Default)]
pub(crate) struct Slots {
    pub(super) phase: Phase,
    pub(super) slots: SmallVec<[Slot; 1]>,
    /// A session would have been destroyed if the request were not a dry one.
    pub(super) spared: bool,
    /// A load that failed, and the handler was not told.
    #[cfg(feature = "actix")]
    pub(super) hidden: Option<Error>,
}

/// How far a request has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its handler is at work.
    #[default]
    Open,
    /// Its handler has answered, and the layer commits. The slots are the layer's.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    Committing,
    /// Its response is on its way: sessions can still be read, and saved where no cookie is
    /// needed.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    Closed,
}

/// One session type's place in a request.
pub(crate) struct Slot {
    pub(super) store: Arc<Core>,
    pub(super) session_type: Arc<SessionType>,
    /// What the next handle is loaded from.
    pub(super) base: Base,
    /// What the layer's commit made of it: looked at only where the session is loaded once more,
    /// which is rare.
    pub(super) committed: Option<Committed>,
    pub(super) loaded_at: SystemTime,
    /// How often the session was destroyed in the middle of the request.
    pub(super) epoch: u32,
    /// Handles that have come back. More than one where two were out at the same time.
    pub(super) returned: SmallVec<[Box<dyn Pending>; 1]>,
    /// Handles that are out.
    pub(super) out: u32,
    /// A handle that is out could have changed something.
    pub(super) borrowed: bool,
    /// A handle came back from a panic: nothing is saved.
    pub(super) spoiled: bool,
    /// The cookie of what ended in the middle of the request without a handle.
    pub(super) set_cookie: Option<HeaderValue>,
    /// Saves in the middle of the request that may give the browser a cookie: each sends it when it
    /// has ended.
    pub(super) saves: SmallVec<[oneshot::Receiver<Option<HeaderValue>>; 1]>,
}

/// Where a handle goes when it is dropped.
#[derive(Clone)]
pub(crate) struct Home {
    pub(super) request: Arc<RequestSlots>,
    pub(super) slot: usize,
}

impl Home {
    /// The handle could have changed something.
    pub(crate) fn borrowed(&self) {
        if let Some(slot) = self.request.slots().slots.get_mut(self.slot) {
            slot.borrowed = true;
        }
    }

    pub(crate) fn put_back(&self, live: Box<dyn Pending>) {
        let mut slots = self.request.slots();
        if slots.phase != Phase::Open {
            drop(slots);
            if live.state().is_touched() {
                telemetry::outlived(live.state().session_type.name());
            }
            return;
        }
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.out = slot.out.saturating_sub(1);
        slot.spoiled |= std::thread::panicking();
        let touched = live.state().is_touched();
        if live.state().epoch != slot.epoch {
            // The session that it belonged to was destroyed in the middle of the request.
            if touched {
                telemetry::dropped_in_request(slot.session_type.name());
            }
            return;
        }
        // An untouched value is kept only to spare the next handle its decoding.
        if touched || (slot.returned.is_empty() && live.state().base.is(&slot.base)) {
            slot.returned.retain(|one| one.state().is_touched());
            slot.returned.push(live);
        }
    }

    /// Whether the response has been sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.request.slots().phase != Phase::Open
    }

    /// Whether the request commits nothing.
    pub(crate) fn is_dry(&self) -> bool {
        self.request.dry.is_some()
    }

    /// Begins a save in the middle of the request. Where it may give the browser a cookie, the
    /// response waits for it; a response that has been sent cannot.
    pub(crate) fn begin_save(
        &self,
        store: &Arc<Core>,
        change: &Change,
    ) -> Result<Option<BegunSave>, Error> {
        let needs_cookie = store.needs_cookie(change)? || change.unsettled.is_some();
        let mut slots = self.request.slots();
        if slots.phase != Phase::Open {
            return if needs_cookie && change.unsettled.is_none() {
                Err(Error::config(
                    "once its response was sent, a session can take no new cookie: neither begin, \
                     nor be renewed; change or save it before the handler answers",
                ))
            } else {
                Ok(None)
            };
        }
        let Some(slot) = slots.slots.get_mut(self.slot) else { return Ok(None) };
        // A cookie that is due may be set by any save: only that one, which can come later as
        // well, is not waited for.
        let (sender, receiver) = oneshot::channel();
        slot.saves.push(receiver);
        Ok(Some(BegunSave(sender)))
    }

    /// A handle was saved in the middle of the request.
    pub(crate) fn saved(&self, done: &Settled) {
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.borrowed = false;
        slot.settle(done);
    }

    /// A save in the middle of the request failed. Where it found that the session has ended or
    /// went on without this request, the layer must not take up what it was refused.
    pub(crate) fn failed(&self, base: &Base) {
        if matches!(base, Base::Ended(_) | Base::Superseded(_)) {
            self.reloaded(base);
        }
    }

    /// A handle was read again.
    pub(crate) fn reloaded(&self, base: &Base) {
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        (slot.base, slot.committed) = (base.clone(), None);
    }
}

/// A save that the response waits for.
pub(crate) struct BegunSave(oneshot::Sender<Option<HeaderValue>>);

impl BegunSave {
    pub(crate) fn end(self, committed: &Result<Committed, Box<Failed>>) {
        let set_cookie = match committed {
            Ok(committed) => committed.set_cookie.clone(),
            Err(failed) => failed.set_cookie.clone(),
        };
        // Nobody waits where the response has been sent meanwhile without it.
        let _ = self.0.send(set_cookie);
    }
}

impl RequestSlots {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the layer commits.
    pub(super) async fn commits_to_end(&self) {
        if self.slots().phase != Phase::Committing {
            return;
        }
        let mut closed = std::pin::pin!(self.closed.notified());
        // From here on no end is missed.
        closed.as_mut().enable();
        if self.slots().phase == Phase::Committing {
            closed.await;
        }
    }
}

impl Slot {
    /// Of a session whose first handle is out.
    pub(super) fn new(
        store: Arc<Core>,
        session_type: Arc<SessionType>,
        base: Base,
        loaded_at: SystemTime,
    ) -> Self {
        Self {
            store,
            session_type,
            base,
            committed: None,
            loaded_at,
            epoch: 0,
            returned: SmallVec::new(),
            out: 1,
            borrowed: false,
            spoiled: false,
            set_cookie: None,
            saves: SmallVec::new(),
        }
    }

    /// Takes over what was done in the middle of the request.
    pub(super) fn settle(&mut self, done: &Settled) {
        (self.base, self.committed) = (done.base.clone(), None);
        if done.outcome == Outcome::Destroyed {
            // What other handles hold is the destroyed session's.
            self.epoch += 1;
            self.returned.clear();
        }
    }

    pub(super) fn state(&self) -> State {
        let (session_type, base) = (self.session_type.clone(), self.base.clone());
        let mut state = State::new(self.store.clone(), session_type, base, self.loaded_at);
        state.epoch = self.epoch;
        state
    }
}

/// The changes of all handles that came back, as one: each against what it was loaded from, on
/// top of what the session is now.
pub(crate) fn fold(
    session_type: &Arc<SessionType>,
    base: &Base,
    returned: &mut [Box<dyn Pending>],
) -> Result<Change, Error> {
    if let [one] = returned
        && (one.state().base.is(base) || one.state().is_unsettled())
    {
        return one.change();
    }
    if returned.iter().filter(|one| one.state().is_unsettled()).count() > 1 {
        return Err(Error::unavailable(
            "two handles of one session hold saves whose answers were lost; use one handle",
        ));
    }
    let table = session_type.table;
    let mut asks = Asks::default();
    let mut fields: Option<Fields> = None;
    let mut loaded_at = None;
    let mut unsettled = None;
    // What a handle left open is settled against its own base.
    let mut from = (base.clone(), None);
    for pending in returned {
        let is_unsettled = pending.state().is_unsettled();
        let change = pending.change()?;
        if is_unsettled {
            (from, unsettled) = ((change.base.clone(), change.ancestor.clone()), change.unsettled);
        }
        asks = asks.and(change.asks);
        let at: SystemTime = loaded_at.unwrap_or(change.loaded_at);
        loaded_at = Some(at.min(change.loaded_at));
        let Some(mut mine) = change.fields else { continue };
        fields = Some(if fields.is_none() && change.base.is(base) {
            mine
        } else {
            let theirs = match fields {
                Some(fields) => fields,
                None => base.fields(session_type)?,
            };
            let was = match change.ancestor {
                Some(ancestor) => ancestor,
                None => change.base.fields(session_type)?,
            };
            merge::diff(table, &was, &mut mine)?;
            let merged = merge::merge(table, &was, &mine, &theirs)?;
            telemetry::merged_in_request(session_type.name(), &merged.overwritten);
            merged.fields
        });
    }
    Ok(Change {
        session_type: session_type.clone(),
        base: from.0,
        ancestor: from.1,
        fields,
        asks,
        loaded_at: loaded_at.unwrap_or(SystemTime::UNIX_EPOCH),
        unsettled,
    })
}
