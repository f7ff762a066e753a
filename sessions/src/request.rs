//! The sessions of one request: loaded when first asked for, put back when their handles are
//! dropped, committed once the handler has answered. Shared by every web framework.

#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod ending;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod layer;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::header::HeaderValue;
use smallvec::SmallVec;
use tokio::sync::oneshot;

#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::ending::Ending;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::layer::{complete, status, text, vary};
use crate::cookie::CookieHeaders;
use crate::data::SessionData;
use crate::error::Error;
use crate::schema::fields::Fields;
use crate::schema::merge;
use crate::session::{Live, Pending, Session, State};
use crate::store::Store;
use crate::store::base::Base;
use crate::store::change::{Change, Committed, Failed, Outcome, Settled};
use crate::store::core::Core;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::telemetry;

/// The sessions of one request. A layer puts it into the request's extensions; the extractors of
/// the frameworks take their sessions from it, and so may a plain `tower` service.
///
/// Cheap to clone: clones are the same request's.
///
/// ```
/// use sessions::{Error, RequestSessions, Session};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// async fn visits<B>(request: &http::Request<B>) -> Result<u32, Error> {
///     let sessions = request
///         .extensions()
///         .get::<RequestSessions>()
///         .ok_or(Error::Config("add the SessionLayer".into()))?;
///     let visitor: Session<Visitor> = sessions.load(request.headers()).await?;
///     Ok(visitor.visits)
/// }
/// # let _ = visits::<()>;
/// ```
#[derive(Clone)]
pub struct RequestSessions {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// `None` only while it waits for its next request.
    store: Option<Store>,
    /// One bit for each slot that has a handle out which could have changed something.
    borrowed: AtomicU32,
    // A std Mutex, held only to move values in and out, never across an await.
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    /// The response has been sent; nothing that comes back now can be saved.
    closed: bool,
    slots: SmallVec<[Slot; 1]>,
    /// A load that failed, and the handler was not told.
    #[cfg(feature = "actix")]
    hidden: Option<Error>,
}

/// One session type's place in a request.
struct Slot {
    session_type: Arc<SessionType>,
    /// What the next handle is loaded from.
    base: Base,
    loaded_at: SystemTime,
    /// How often the session was destroyed in the middle of the request.
    epoch: u32,
    /// Handles that have come back. More than one where two were out at the same time.
    returned: SmallVec<[Box<dyn Pending>; 1]>,
    /// Handles that are out.
    out: u32,
    /// A handle came back from a panic: nothing is saved.
    spoiled: bool,
    /// The cookie of what ended in the middle of the request without a handle.
    set_cookie: Option<HeaderValue>,
    /// Saves in the middle of the request that may give the browser a cookie: each sends it when it
    /// has ended.
    saves: SmallVec<[oneshot::Receiver<Option<HeaderValue>>; 1]>,
}

impl RequestSessions {
    /// The session of type `T` of this request, whose headers are `cookies`.
    ///
    /// A second handle of the same type sees what the first has put back when it was dropped.
    /// Where both are out at the same time, their changes merge as two requests' would.
    ///
    /// # Errors
    /// As [`Store::load`]; [`Error::Config`] when the request's
    /// response has been sent.
    ///
    /// ```
    /// use sessions::{Error, RequestSessions, Session};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    ///
    /// async fn count(sessions: &RequestSessions, headers: &http::HeaderMap) -> Result<(), Error> {
    ///     let mut visitor = sessions.load::<Visitor>(headers).await?;
    ///     visitor.visits += 1;
    ///     Ok(()) // Dropped here, and committed by the layer.
    /// }
    /// # let _ = count;
    /// ```
    pub async fn load<T: SessionData>(
        &self,
        cookies: &impl CookieHeaders,
    ) -> Result<Session<T>, Error> {
        let session_type = self.inner.store().session_type::<T>()?;
        if let Some(session) = self.again::<T>(&session_type, &mut self.inner.slots())? {
            return Ok(session);
        }
        let live = Live::<T>::find(self.inner.store(), &session_type, cookies).await?;
        let mut slots = self.inner.slots();
        // Another handle of this type may have been loaded meanwhile; then the first counts.
        if let Some(session) = self.again::<T>(&session_type, &mut slots)? {
            return Ok(session);
        }
        slots.slots.push(Slot::new(session_type, live.state.base.clone(), live.state.loaded_at));
        let home = Home { request: self.inner.clone(), slot: slots.slots.len() - 1 };
        Ok(Session::new(live, Some(home)))
    }

    /// Ends this request's session of type `T` at once, without reading it: logging out works
    /// although the record holds what this build cannot read. The response clears the cookie.
    ///
    /// A handler that has a [`Session`](struct@Session) calls its [`destroy`](Session::destroy)
    /// instead.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the provider is down: the session may still be alive.
    /// [`Error::Gone`] where the cookie is from before a login or a renewal and so may not end the
    /// session; the response clears it.
    ///
    /// ```
    /// use sessions::{Error, RequestSessions};
    /// # use sessions::Session;
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    ///
    /// async fn logout<B>(request: &http::Request<B>) -> Result<(), Error> {
    ///     match request.extensions().get::<RequestSessions>() {
    ///         Some(sessions) => sessions.destroy::<Visitor>(request.headers()).await,
    ///         None => Ok(()),
    ///     }
    /// }
    /// # let _ = logout::<()>;
    /// ```
    pub async fn destroy<T: SessionData>(&self, cookies: &impl CookieHeaders) -> Result<(), Error> {
        let session_type = self.inner.store().session_type::<T>()?;
        let (done, error) = match self.inner.store().destroy_unread(&session_type, cookies).await {
            Ok(committed) => (committed.settle()?, None),
            Err(failed) => {
                let Failed { error, set_cookie, base, .. } = *failed;
                (
                    Settled { outcome: Outcome::Unchanged, base, merged: None, set_cookie },
                    Some(error),
                )
            }
        };
        let mut slots = self.inner.slots();
        let is_same = |slot: &Slot| slot.session_type.type_id == session_type.type_id;
        let slot = match slots.slots.iter().position(is_same) {
            Some(index) => &mut slots.slots[index],
            None if error.is_some() && done.set_cookie.is_none() => {
                return error.map_or(Ok(()), Err);
            }
            None => {
                let loaded_at = self.inner.store().now();
                let mut slot = Slot::new(session_type, done.base.clone(), loaded_at);
                slot.out = 0;
                slots.slots.push(slot);
                let last = slots.slots.len() - 1;
                &mut slots.slots[last]
            }
        };
        if error.is_none() {
            slot.settle(&done);
        }
        if done.set_cookie.is_some() {
            slot.set_cookie.clone_from(&done.set_cookie);
        }
        error.map_or(Ok(()), Err)
    }

    /// Another handle of a session that this request has loaded before.
    fn again<T: SessionData>(
        &self,
        session_type: &SessionType,
        slots: &mut Slots,
    ) -> Result<Option<Session<T>>, Error> {
        if slots.closed {
            return Err(Error::config("the response has been sent, its sessions are closed"));
        }
        let is_same = |slot: &Slot| slot.session_type.type_id == session_type.type_id;
        let Some(index) = slots.slots.iter().position(is_same) else { return Ok(None) };
        let slot = &mut slots.slots[index];
        let live = match slot.returned.len() {
            0 => Live::<T>::new(slot.state(self.inner.store()))?,
            1 => match slot.returned.pop().map(|one| one.into_any().downcast()) {
                Some(Ok(live)) => live,
                // The type was compared above.
                Some(Err(_)) | None => return Err(Error::config("a session of another type")),
            },
            // What one of them left open has to be found out before they can be one.
            _ if slot.returned.iter().any(|one| one.state().is_unsettled()) => {
                Live::<T>::new(slot.state(self.inner.store()))?
            }
            _ => {
                let change = fold(&slot.session_type, &slot.base, &mut slot.returned)?;
                let mut state = slot.state(self.inner.store());
                state.borrowed = change.fields.is_some();
                state.asks = change.asks;
                let fields = match change.fields {
                    Some(fields) => fields,
                    None => slot.base.fields(&slot.session_type)?,
                };
                let live = Live::from_fields(state, &fields)?;
                slot.returned.clear();
                live
            }
        };
        slot.out += 1;
        let home = Home { request: self.inner.clone(), slot: index };
        Ok(Some(Session::new(live, Some(home))))
    }
}

/// Where a handle goes when it is dropped.
#[derive(Clone)]
pub(crate) struct Home {
    request: Arc<Inner>,
    slot: usize,
}

impl Home {
    /// The handle could have changed something.
    pub(crate) fn borrowed(&self) {
        self.request.borrowed.fetch_or(bit(self.slot), Ordering::Relaxed);
    }

    pub(crate) fn put_back<T: SessionData>(&self, live: Box<Live<T>>) {
        let mut slots = self.request.slots();
        if slots.closed {
            drop(slots);
            if live.state.is_touched() {
                telemetry::outlived(live.state.session_type.name());
            }
            return;
        }
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
        slot.out = slot.out.saturating_sub(1);
        slot.spoiled |= std::thread::panicking();
        let touched = live.state.is_touched();
        if live.state.epoch != slot.epoch {
            // The session that it belonged to was destroyed in the middle of the request.
            if touched {
                telemetry::dropped_in_request(slot.session_type.name());
            }
            return;
        }
        // An untouched value is kept only to spare the next handle its decoding.
        if touched || (slot.returned.is_empty() && live.state.base.is(&slot.base)) {
            slot.returned.retain(|one| one.state().is_touched());
            slot.returned.push(live);
        }
    }

    /// Whether the response has been sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.request.slots().closed
    }

    /// Begins a save in the middle of the request. Where it may give the browser a cookie, the
    /// response waits for it; a response that has been sent cannot.
    pub(crate) fn begin_save(&self, change: &Change) -> Result<Option<BegunSave>, Error> {
        let store = self.request.store();
        let needs_cookie = store.needs_cookie(change)? || change.unsettled.is_some();
        let mut slots = self.request.slots();
        if slots.closed {
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
        self.request.borrowed.fetch_and(!bit(self.slot), Ordering::Relaxed);
        let mut slots = self.request.slots();
        let Some(slot) = slots.slots.get_mut(self.slot) else { return };
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
        slot.base = base.clone();
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

impl Inner {
    fn store(&self) -> &Arc<Core> {
        self.store.as_ref().expect("a request has its store from beginning to end").core()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it what a new one is.
    #[cfg(any(feature = "actix", feature = "axum"))]
    fn clear(&mut self) {
        let Self { store, borrowed, slots } = self;
        let slots = slots.get_mut().unwrap_or_else(PoisonError::into_inner);
        (*store, *borrowed.get_mut(), slots.closed) = (None, 0, false);
        slots.slots.clear();
        #[cfg(feature = "actix")]
        {
            slots.hidden = None;
        }
    }
}

impl Slot {
    /// Of a session whose first handle is out.
    fn new(session_type: Arc<SessionType>, base: Base, loaded_at: SystemTime) -> Self {
        Self {
            session_type,
            base,
            loaded_at,
            epoch: 0,
            returned: SmallVec::new(),
            out: 1,
            spoiled: false,
            set_cookie: None,
            saves: SmallVec::new(),
        }
    }

    /// Takes over what was done in the middle of the request.
    fn settle(&mut self, done: &Settled) {
        self.base = done.base.clone();
        if done.outcome == Outcome::Destroyed {
            // What other handles hold is the destroyed session's.
            self.epoch += 1;
            self.returned.clear();
        }
    }

    fn state(&self, store: &Arc<Core>) -> State {
        let (session_type, base) = (self.session_type.clone(), self.base.clone());
        let mut state = State::new(store.clone(), session_type, base, self.loaded_at);
        state.epoch = self.epoch;
        state
    }
}

/// The changes of all handles that came back, as one: each against what it was loaded from, on
/// top of what the session is now.
fn fold(
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

fn bit(slot: usize) -> u32 {
    1 << slot.min(31)
}

impl fmt::Debug for RequestSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.inner.slots();
        let names = slots.slots.iter().map(|slot| slot.session_type.name());
        f.debug_tuple("RequestSessions").field(&names.collect::<Vec<_>>()).finish()
    }
}
