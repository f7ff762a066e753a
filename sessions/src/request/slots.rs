//! The slots of a request's sessions, without the sessions' types. A dropped handle returns its
//! session to a slot, and the layer commits the slots.

use std::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use http::HeaderName;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

use crate::device::Device;
use crate::error::Error;
use crate::pending::{Pending, State};
use crate::schema::fields::Fields;
use crate::schema::merge;
use crate::store::base::{Arrival, Base};
use crate::store::change::{Change, Committed, Failed, Outcome, Settled};
use crate::store::core::Core;
use crate::store::ended_by::EndedBy;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::store::watches::OwnSecrets;
use crate::transport::Delivery;

/// A layer's store, and the session types that it serves.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) store: Arc<Core>,
    /// The types, or `None` if the layer serves every type.
    pub(super) only: Option<Arc<[TypeId]>>,
}

/// The reason why a request commits nothing.
#[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))] // Only layers use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dry {
    /// A HEAD request: only the headers of its answer are sent (RFC 9110, section 9.3.2).
    Head,
    /// A prefetch: perhaps the user never sees its answer.
    Prefetch,
}

pub(crate) struct RequestSlots {
    /// The outermost layer's store and types.
    pub(super) served: Served,
    pub(super) dry: Option<Dry>,
    /// Whether it is a link from another site, to a store that binds sessions to devices.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    pub(super) is_link: bool,
    // A std Mutex, held only to move values in and out, never across an await.
    pub(super) slots: Mutex<Slots>,
    /// Wakes the loads that wait until the commits have ended.
    pub(super) closed: Notify,
}

#[derive(Default)]
pub(crate) struct Slots {
    pub(super) phase: Phase,
    pub(super) slots: SmallVec<[Slot; 1]>,
    /// The headers of the session types for which `destroy` was called in a dry request, and
    /// therefore did nothing.
    pub(super) spared: SmallVec<[HeaderName; 1]>,
    /// The error of a failed load that the handler did not see.
    #[cfg(feature = "actix")]
    pub(super) hidden: Option<Error>,
}

/// The phase of a request.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handler runs.
    #[default]
    Open,
    /// The handler has responded, and the layer commits. Only the layer uses the slots.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    Committing,
    /// The response is being sent. Sessions can still be loaded, and saved if they need no new
    /// cookie.
    #[cfg_attr(not(any(feature = "actix", feature = "axum")), allow(dead_code))]
    Closed,
}

/// The slot of one session type in a request.
pub(crate) struct Slot {
    pub(super) store: Arc<Core>,
    pub(super) session_type: Arc<SessionType>,
    /// The base of the next handle.
    pub(super) base: Base,
    /// The result of the layer's commit. It is only settled if the session is loaded again, because
    /// that is rare.
    pub(super) committed: Option<Committed>,
    pub(super) loaded_at: SystemTime,
    /// What the request came with.
    pub(super) arrival: Arrival,
    /// What ended that, if this host knows.
    pub(super) ended_by: Option<EndedBy>,
    /// The number of times that the session was destroyed before the handler responded.
    pub(super) epoch: u32,
    /// The sessions that dropped handles returned. There are several if two handles existed at the
    /// same time.
    pub(super) returned: SmallVec<[Box<dyn Pending>; 1]>,
    /// The number of handles that are alive.
    pub(super) out: u32,
    /// Whether a live handle may have changed the session.
    pub(super) borrowed: bool,
    /// Whether the request is no activity.
    pub(super) skip_touch: bool,
    /// From where the request came.
    pub(super) device: Option<Arc<Device>>,
    /// Whether a handle was dropped by a panic. The layer then saves nothing.
    pub(super) spoiled: bool,
    /// The secrets of the request's handles, once somebody waits for the end of one.
    pub(super) secrets: Option<Arc<OwnSecrets>>,
    /// What withdraws the token of a session that was destroyed without a handle.
    pub(super) delivery: Option<Delivery>,
    /// The handler's own saves. Each may set a cookie, and sends it when it ends.
    pub(super) saves: SmallVec<[oneshot::Receiver<Option<Delivery>>; 1]>,
}

/// The slot that a dropped handle returns its session to.
#[derive(Clone)]
pub(crate) struct Home {
    pub(super) request: Arc<RequestSlots>,
    pub(super) slot: usize,
}

impl Home {
    /// Marks the slot: the handle may have changed the session.
    pub(crate) fn borrowed(&self) {
        if let Some(slot) = self.request.slots().slots.get_mut(self.slot) {
            slot.borrowed = true;
        }
    }

    /// Marks the slot: the request is no activity.
    pub(crate) fn skip_touch(&self) {
        if let Some(slot) = self.request.slots().slots.get_mut(self.slot) {
            slot.skip_touch = true;
        }
    }

    /// Notes from where the request came.
    pub(crate) fn seen_from(&self, device: Arc<Device>) {
        if let Some(slot) = self.request.slots().slots.get_mut(self.slot) {
            slot.device = Some(device);
        }
    }

    pub(crate) fn put_back(&self, live: Box<dyn Pending>) {
        let mut slots = self.request.slots();
        if slots.phase != Phase::Open {
            drop(slots);
            if live.state().is_touched() {
                let session_type = &live.state().session_type;
                session_type.events.outlived(session_type.name());
            }
            return;
        }
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.out = slot.out.saturating_sub(1);
        slot.spoiled |= std::thread::panicking();
        let touched = live.state().is_touched();
        if live.state().epoch != slot.epoch {
            // The handle's session was destroyed after the handle was loaded.
            if touched {
                let (store, session_type) = (slot.store.clone(), slot.session_type.clone());
                // The app that hears of it may use the request's sessions.
                drop(slots);
                store.events.dropped_in_request(session_type.name());
            }
            return;
        }
        // An untouched value is kept only so that the next handle need not decode it.
        if touched || (slot.returned.is_empty() && live.state().base.is(&slot.base)) {
            slot.returned.retain(|one| one.state().is_touched());
            slot.returned.push(live);
        }
    }

    /// Whether the handler has responded.
    pub(crate) fn is_closed(&self) -> bool {
        self.request.slots().phase != Phase::Open
    }

    /// Whether the request commits nothing.
    pub(crate) fn is_dry(&self) -> bool {
        self.request.dry.is_some()
    }

    /// Returns the secrets of the request's handles.
    pub(crate) fn own_secrets(&self) -> Arc<OwnSecrets> {
        let mut slots = self.request.slots();
        let slot = slots.slots.get_mut(self.slot);
        slot.map(|slot| slot.secrets.get_or_insert_default().clone()).unwrap_or_default()
    }

    /// Returns them if somebody waits.
    pub(crate) fn known_secrets(&self) -> Option<Arc<OwnSecrets>> {
        self.request.slots().slots.get(self.slot)?.secrets.clone()
    }

    /// Begins a save before the layer's commit. The response waits for its cookie.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the handler has responded and the save needs a new cookie.
    pub(crate) fn begin_save(
        &self,
        store: &Arc<Core>,
        change: &Change,
    ) -> Result<Option<BegunSave>, Error> {
        let needs_cookie = store.needs_cookie(change)? || change.unsettled.is_some();
        let mut slots = self.request.slots();
        if slots.phase != Phase::Open {
            return if needs_cookie && change.unsettled.is_none() {
                Err(Error::misuse(
                    "once its response was sent, a session can take no new cookie: neither begin, \
                     nor be renewed; change or save it before the handler answers",
                ))
            } else {
                Ok(None)
            };
        }
        let Some(slot) = slots.slots.get_mut(self.slot) else { return Ok(None) };
        // Any save may set a cookie that is due, so the response waits for every save.
        let (sender, receiver) = oneshot::channel();
        slot.saves.push(receiver);
        Ok(Some(BegunSave(sender)))
    }

    /// Records that a handle was saved before the layer's commit.
    pub(crate) fn saved(&self, done: &Settled) {
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.borrowed = false;
        slot.settle(done);
    }

    /// Records that a save before the layer's commit failed. If the session has ended, or another
    /// request renewed it, the layer must not repeat the refused save.
    pub(crate) fn failed(&self, base: &Base) {
        if matches!(base, Base::Ended(..) | Base::Superseded(_)) {
            self.reloaded(base);
        }
    }

    /// Gives the response the token of a save that turned out to have taken place.
    pub(crate) fn owe(&self, delivery: Option<Delivery>) {
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.delivery = delivery.or(slot.delivery.take());
    }

    /// Records that a handle was reloaded.
    pub(crate) fn reloaded(&self, base: &Base) {
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        (slot.base, slot.committed) = (base.clone(), None);
    }
}

/// A save that the response waits for.
pub(crate) struct BegunSave(oneshot::Sender<Option<Delivery>>);

impl BegunSave {
    pub(crate) fn end(self, committed: &Result<Committed, Box<Failed>>) {
        let delivery = match committed {
            Ok(committed) => committed.delivery.clone(),
            Err(failed) => failed.delivery.clone(),
        };
        // There is no receiver if the response was sent without this cookie.
        let _ = self.0.send(delivery);
    }
}

impl RequestSlots {
    pub(super) fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the layer's commits have ended.
    pub(super) async fn commits_to_end(&self) {
        if self.slots().phase != Phase::Committing {
            return;
        }
        let mut closed = std::pin::pin!(self.closed.notified());
        // From here on, no notification is missed.
        closed.as_mut().enable();
        if self.slots().phase == Phase::Committing {
            closed.await;
        }
    }
}

impl Slot {
    /// Creates the slot of a session with one live handle.
    pub(super) fn new(
        store: Arc<Core>,
        session_type: Arc<SessionType>,
        base: Base,
        loaded_at: SystemTime,
    ) -> Self {
        Self {
            store,
            session_type,
            arrival: base.arrival(),
            ended_by: base.ended_by(),
            base,
            committed: None,
            loaded_at,
            epoch: 0,
            returned: SmallVec::new(),
            out: 1,
            borrowed: false,
            skip_touch: false,
            device: None,
            spoiled: false,
            secrets: None,
            delivery: None,
            saves: SmallVec::new(),
        }
    }

    /// Updates the slot to the result of a save or a destruction.
    pub(super) fn settle(&mut self, done: &Settled) {
        (self.base, self.committed) = (done.base.clone(), None);
        if done.outcome == Outcome::Destroyed {
            // The values of other handles belong to the destroyed session.
            self.epoch += 1;
            self.returned.clear();
        }
    }

    pub(super) fn state(&self) -> State {
        let (session_type, base) = (self.session_type.clone(), self.base.clone());
        let mut state = State::new(self.store.clone(), session_type, base, self.loaded_at);
        state.epoch = self.epoch;
        (state.arrival, state.ended_by) = (self.arrival, self.ended_by);
        (state.asks.skip_touch, state.asks.device) = (self.skip_touch, self.device.clone());
        state.secrets = self.secrets.clone().map(OnceLock::from).unwrap_or_default();
        state
    }
}

/// Merges the changes of all returned handles into one change. Each handle's changes are the
/// difference to its own base, and are applied to the session's current fields.
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
    let mut secrets = None;
    // An open save is settled against the base of its own handle.
    let mut from = (base.clone(), None);
    for pending in returned {
        let is_unsettled = pending.state().is_unsettled();
        let change = pending.change()?;
        if is_unsettled {
            (from, unsettled) = ((change.base.clone(), change.ancestor.clone()), change.unsettled);
        }
        asks = asks.and(change.asks);
        secrets = secrets.or(change.secrets);
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
            session_type.events.merged_in_request(session_type.name(), &merged.overwritten);
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
        secrets,
    })
}
