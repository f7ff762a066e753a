//! The sessions of one request: loaded when first asked for, put back when their handles are
//! dropped, committed once the handler has answered. Shared by every web framework.

#[cfg(any(feature = "actix", feature = "axum"))]
mod ending;
#[cfg(any(feature = "actix", feature = "axum"))]
mod headers;
#[cfg(any(feature = "actix", feature = "axum"))]
mod layer;

use std::any::TypeId;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::Extensions;
use http::header::HeaderValue;
use smallvec::SmallVec;
use tokio::sync::{Notify, oneshot};

#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::ending::{Answer, Ended, Ending};
#[cfg(feature = "actix")]
pub(crate) use self::headers::ResponseHeaders;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::headers::{complete, finish_headers, is_prefetch, keeps};
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) use self::layer::{Entered, Report, status, text};
use crate::cookie::CookieHeaders;
use crate::session::{Live, Pending, State};
use crate::store::{Asks, Base, Change, Committed, Failed, Outcome, SessionType, Settled, Store};
use crate::{Error, Session, SessionData, event, schema};

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
///     let sessions = RequestSessions::of(request.extensions())?;
///     let visitor: Session<Visitor> = sessions.load(request.headers()).await?;
///     Ok(visitor.visits)
/// }
/// # let _ = visits::<()>;
/// ```
#[derive(Clone)]
pub struct RequestSessions {
    inner: Arc<Inner>,
    /// What the layers inside the outermost serve, where they are of other stores.
    nested: Option<Arc<[Served]>>,
}

/// A layer's store, and the session types that it serves.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) store: Store,
    /// `None`: every type.
    only: Option<Arc<[TypeId]>>,
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

struct Inner {
    /// Of the outermost layer.
    served: Served,
    dry: Option<Dry>,
    /// One bit for each slot that has a handle out which could have changed something.
    borrowed: AtomicU32,
    // A std Mutex, held only to move values in and out, never across an await.
    slots: Mutex<Slots>,
    /// Wakes the loads that wait for the end of the commits.
    closed: Notify,
}

#[derive(Default)]
struct Slots {
    phase: Phase,
    slots: SmallVec<[Slot; 1]>,
    /// A session would have been destroyed if the request were not a dry one.
    spared: bool,
    /// A load that failed, and the handler was not told.
    #[cfg(feature = "actix")]
    hidden: Option<Error>,
}

/// How far a request has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
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
struct Slot {
    store: Store,
    session_type: Arc<SessionType>,
    /// What the next handle is loaded from.
    base: Base,
    /// What the layer's commit made of it: looked at only where the session is loaded once more,
    /// which is rare.
    committed: Option<Committed>,
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
    /// The sessions of the request that has these extensions.
    ///
    /// # Errors
    /// [`Error::Misuse`] where no layer has put them there: the text says what to write.
    ///
    /// ```
    /// use sessions::{Error, RequestSessions};
    ///
    /// let request = http::Request::new(());
    /// let error = RequestSessions::of(request.extensions()).expect_err("there is no layer");
    /// assert!(matches!(error, Error::Misuse(_)));
    /// ```
    pub fn of(extensions: &Extensions) -> Result<&Self, Error> {
        extensions.get().ok_or(Error::Misuse(NO_LAYER))
    }

    /// The session of type `T` of this request, whose headers are `cookies`.
    ///
    /// A second handle of the same type sees what the first has put back when it was dropped.
    /// Where both are out at the same time, their changes merge as two requests' would.
    ///
    /// After the response's headers have left, as in a streamed body, the handle holds what the
    /// request has committed. Nothing commits such a handle: call [`save`](Session::save) on it,
    /// which works where the browser needs no new cookie. What only the body reads is not in the
    /// headers: mark such a page `Cache-Control: private` in the handler, or take the session there
    /// too.
    ///
    /// # Errors
    /// As [`Store::load`]. [`Error::Misuse`] where layers of two stores meet and it is not clear
    /// which of them serves `T`.
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
        self.find(cookies, false).await
    }

    /// As [`load`](Self::load), but a record that this build cannot read counts as none: for
    /// logging in and out, which must work after a deploy was rolled back.
    ///
    /// The record stays as it was until the new session is saved or destroyed. Then it ends, too.
    ///
    /// # Errors
    /// As [`load`](Self::load), without [`Error::NewerSchema`] and [`Error::Decode`].
    ///
    /// ```
    /// use sessions::{Error, RequestSessions};
    /// # use sessions::Session;
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64> }
    ///
    /// async fn login(sessions: &RequestSessions, headers: &http::HeaderMap) -> Result<(), Error> {
    ///     let mut visitor = sessions.load_or_new::<Visitor>(headers).await?;
    ///     // The password was right.
    ///     visitor.user = Some(7);
    ///     Ok(())
    /// }
    /// # let _ = login;
    /// ```
    pub async fn load_or_new<T: SessionData>(
        &self,
        cookies: &impl CookieHeaders,
    ) -> Result<Session<T>, Error> {
        self.find(cookies, true).await
    }

    async fn find<T: SessionData>(
        &self,
        cookies: &impl CookieHeaders,
        or_new: bool,
    ) -> Result<Session<T>, Error> {
        let store = self.store_of::<T>()?;
        let session_type = store.session_type::<T>()?;
        self.inner.commits_to_end().await;
        if let Some(session) = self.again::<T>(store, &session_type, &mut self.inner.slots())? {
            return Ok(session);
        }
        let live = Live::<T>::find(store, &session_type, cookies, or_new).await?;
        loop {
            self.inner.commits_to_end().await;
            let mut slots = self.inner.slots();
            if slots.phase == Phase::Committing {
                continue;
            }
            // Another handle of this type may have been loaded meanwhile; then the first counts.
            if let Some(session) = self.again::<T>(store, &session_type, &mut slots)? {
                return Ok(session);
            }
            let (base, loaded_at) = (live.state.base.clone(), live.state.loaded_at);
            slots.slots.push(Slot::new(store.clone(), session_type, base, loaded_at));
            let home = Home { request: self.inner.clone(), slot: slots.slots.len() - 1 };
            return Ok(Session::new(live, Some(home)));
        }
    }

    /// Ends this request's session of type `T` at once, without reading it: logging out works
    /// although the record holds what this build cannot read. The response clears the cookie.
    ///
    /// A handler that has a [`Session`](struct@Session) calls its [`destroy`](Session::destroy)
    /// instead. A HEAD request and a prefetch end nothing.
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
    ///     let sessions = RequestSessions::of(request.extensions())?;
    ///     sessions.destroy::<Visitor>(request.headers()).await
    /// }
    /// # let _ = logout::<()>;
    /// ```
    pub async fn destroy<T: SessionData>(&self, cookies: &impl CookieHeaders) -> Result<(), Error> {
        let store = self.store_of::<T>()?;
        let session_type = store.session_type::<T>()?;
        self.check_alone(store, &session_type, &self.inner.slots())?;
        if self.inner.dry.is_some() {
            self.inner.slots().spared = true;
            return Ok(());
        }
        let (done, error) = match store.destroy_unread(&session_type, cookies).await {
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
                let (base, loaded_at) = (done.base.clone(), store.now());
                let mut slot = Slot::new(store.clone(), session_type, base, loaded_at);
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

    /// The store that serves this type: of several layers the one that names it, or else the only
    /// one that names none.
    fn store_of<T: SessionData>(&self) -> Result<&Store, Error> {
        let Some(nested) = &self.nested else {
            let Served { store, only } = &self.inner.served;
            return match only {
                Some(only) if !only.contains(&TypeId::of::<T>()) => Err(Error::Misuse(NOT_SERVED)),
                _ => Ok(store),
            };
        };
        let mut named: SmallVec<[&Store; 2]> = SmallVec::new();
        let mut open: SmallVec<[&Store; 2]> = SmallVec::new();
        for Served { store, only } in std::iter::once(&self.inner.served).chain(nested.iter()) {
            let stores = match only {
                Some(only) if only.contains(&TypeId::of::<T>()) => &mut named,
                Some(_) => continue,
                None => &mut open,
            };
            // Two layers of one store are one.
            if !stores.iter().any(|other| other.is(store)) {
                stores.push(store);
            }
        }
        let stores = if named.is_empty() { open } else { named };
        match stores[..] {
            [] => Err(Error::Misuse(NOT_SERVED)),
            [store] => Ok(store),
            _ => Err(Error::Misuse(TWO_STORES)),
        }
    }

    /// Refuses a session that another store has already served: the response would carry two
    /// cookies of one name.
    fn check_alone(
        &self,
        store: &Store,
        session_type: &SessionType,
        slots: &Slots,
    ) -> Result<(), Error> {
        let meets = |slot: &Slot| {
            !slot.store.is(store)
                && (slot.session_type.type_id == session_type.type_id
                    || slot.session_type.cookie.name == session_type.cookie.name)
        };
        if slots.slots.iter().any(meets) { Err(Error::Misuse(TWO_STORES)) } else { Ok(()) }
    }

    /// Another handle of a session that this request has loaded before.
    fn again<T: SessionData>(
        &self,
        store: &Store,
        session_type: &SessionType,
        slots: &mut Slots,
    ) -> Result<Option<Session<T>>, Error> {
        self.check_alone(store, session_type, slots)?;
        let is_same = |slot: &Slot| slot.session_type.type_id == session_type.type_id;
        let Some(index) = slots.slots.iter().position(is_same) else { return Ok(None) };
        let slot = &mut slots.slots[index];
        if let Some(committed) = slot.committed.take() {
            let done = committed.settle()?;
            slot.settle(&done);
        }
        let live = match slot.returned.len() {
            0 => Live::<T>::new(slot.state())?,
            1 => match slot.returned.pop().map(|one| one.into_any().downcast()) {
                Some(Ok(live)) => live,
                // The type was compared above.
                Some(Err(_)) | None => return Err(Error::config("a session of another type")),
            },
            // What one of them left open has to be found out before they can be one.
            _ if slot.returned.iter().any(|one| one.state().is_unsettled()) => {
                Live::<T>::new(slot.state())?
            }
            _ => {
                let change = fold(&slot.session_type, &slot.base, &mut slot.returned)?;
                let mut state = slot.state();
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
        if slots.phase != Phase::Open {
            drop(slots);
            if live.state.is_touched() {
                event::outlived(live.state.session_type.name());
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
                event::dropped_in_request(slot.session_type.name());
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
        store: &Store,
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

impl Inner {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the layer commits.
    async fn commits_to_end(&self) {
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
    fn new(
        store: Store,
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
            spoiled: false,
            set_cookie: None,
            saves: SmallVec::new(),
        }
    }

    /// Takes over what was done in the middle of the request.
    fn settle(&mut self, done: &Settled) {
        (self.base, self.committed) = (done.base.clone(), None);
        if done.outcome == Outcome::Destroyed {
            // What other handles hold is the destroyed session's.
            self.epoch += 1;
            self.returned.clear();
        }
    }

    fn state(&self) -> State {
        let (session_type, base) = (self.session_type.clone(), self.base.clone());
        let mut state = State::new(self.store.clone(), session_type, base, self.loaded_at);
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
    let mut fields: Option<crate::schema::Fields> = None;
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
            schema::diff(table, &was, &mut mine)?;
            let merged = schema::merge(table, &was, &mine, &theirs)?;
            event::merged_in_request(session_type.name(), &merged.overwritten);
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

/// What a request says whose program has no layer for it.
pub(crate) const NO_LAYER: &str = "this request has no sessions: add \
    `.layer(SessionLayer::new(store))` below the routes and below every layer that takes a session, \
    for the layer that is added last sees a request first";

const NOT_SERVED: &str = "no layer of this request serves this session type: name it in the \
    layer's `only`, or add a layer whose store serves every type";

const TWO_STORES: &str = "the layers of two stores meet in this request, and both would serve this \
    session type: say with `only` which types one of them serves, as in \
    `SessionLayer::new(store).only::<Admin>()`, or give both layers one store";

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
