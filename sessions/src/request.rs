//! The sessions of one request, for every web framework. The first extractor loads a session, a
//! dropped handle returns it to the request, and the layer commits it after the handler has
//! responded.

#[cfg(all(feature = "dbsc", any(feature = "actix", feature = "axum")))]
pub(crate) mod device;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod ending;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod headers;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod kind;
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) mod layer;
pub(crate) mod slots;

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use http::Extensions;
use smallvec::SmallVec;

use self::slots::{Home, Phase, RequestSlots, Served, Slot, Slots, fold};
use crate::data::SessionData;
use crate::error::Error;
use crate::session::{Live, Session};
use crate::store::change::{Failed, Outcome, Settled};
use crate::store::core::Core;
use crate::store::session_type::SessionType;
#[cfg(any(feature = "actix", feature = "axum"))]
use crate::telemetry::event::Events;
pub use crate::transport::RequestHeaders;

/// The sessions of one request. A layer puts this value into the request's extensions. The
/// frameworks' extractors load sessions from it, and a plain `tower` service can do so too.
///
/// Cloning is cheap, and all clones share the request's sessions.
///
/// ```
/// use sessions::{Error, Session, request::RequestSessions};
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
    inner: Arc<RequestSlots>,
    /// The stores and session types of the inner layers that the outermost layer does not cover.
    nested: Option<Arc<[Served]>>,
}

impl RequestSessions {
    /// Returns the sessions of the request with these extensions.
    ///
    /// # Errors
    /// [`Error::Misuse`] if no layer has put them there. The error's text says how to add one.
    ///
    /// ```
    /// use sessions::{Error, request::RequestSessions};
    ///
    /// let request = http::Request::new(());
    /// let error = RequestSessions::of(request.extensions()).expect_err("there is no layer");
    /// assert!(matches!(error, Error::Misuse(_)));
    /// ```
    pub fn of(extensions: &Extensions) -> Result<&Self, Error> {
        extensions.get().ok_or_else(|| Error::misuse(NO_LAYER))
    }

    /// Loads this request's session of type `T`, or creates a new one. `headers` are the request's
    /// headers.
    ///
    /// A second handle of the same type sees the changes of the first handle if the first was
    /// dropped before. If both exist at the same time, their changes are merged like those of two
    /// requests.
    ///
    /// After the response's headers have been sent, for example in a streamed body, the handle
    /// holds what the request has committed. The layer does not commit such a handle. Call
    /// [`save`](Session::save) on it, if the browser needs no new cookie. The headers do not show
    /// that such a body depends on the session: set `Cache-Control: private` in the handler, or
    /// take the session there too.
    ///
    /// # Errors
    /// The errors of [`Store::load`](crate::Store::load). [`Error::Misuse`] if the request passes
    /// the layers of two stores and both serve `T`, or if none serves it.
    ///
    /// ```
    /// use sessions::{Error, Session, request::RequestSessions};
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
        headers: &impl RequestHeaders,
    ) -> Result<Session<T>, Error> {
        self.find(headers, false).await
    }

    /// Who is told of what happens in the request.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn events(&self) -> Events {
        self.inner.served.store.events.clone()
    }

    /// Loads the session like [`load`](Self::load), but creates a new one if this build cannot read
    /// the record. Use it for logins and logouts, because they must work after a deploy was rolled
    /// back.
    ///
    /// The record stays as it is until the new session is saved or destroyed. Then it ends too.
    ///
    /// # Errors
    /// The errors of [`load`](Self::load), except [`Error::NewerSchema`] and [`Error::Decode`].
    ///
    /// ```
    /// use sessions::{Error, request::RequestSessions};
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
        headers: &impl RequestHeaders,
    ) -> Result<Session<T>, Error> {
        self.find(headers, true).await
    }

    async fn find<T: SessionData>(
        &self,
        headers: &impl RequestHeaders,
        or_new: bool,
    ) -> Result<Session<T>, Error> {
        let store = self.store_of::<T>()?;
        let session_type = store.session_type::<T>()?;
        self.inner.commits_to_end().await;
        if let Some(session) = self.again::<T>(store, &session_type, &mut self.inner.slots())? {
            return Ok(session);
        }
        let live = Live::<T>::find(store, &session_type, headers, or_new).await?;
        loop {
            self.inner.commits_to_end().await;
            let mut slots = self.inner.slots();
            if slots.phase == Phase::Committing {
                continue;
            }
            // Another task may have loaded a session of this type meanwhile. Use that one.
            if let Some(session) = self.again::<T>(store, &session_type, &mut slots)? {
                return Ok(session);
            }
            let (base, loaded_at) = (live.state.base.clone(), live.state.loaded_at);
            slots.slots.push(Slot::new(store.clone(), session_type, base, loaded_at));
            let home = Home { request: self.inner.clone(), slot: slots.slots.len() - 1 };
            return Ok(Session::new(live, Some(home)));
        }
    }

    /// Ends this request's session of type `T` immediately, without decoding it, so a logout works
    /// even if this build cannot read the record. The response clears the cookie.
    ///
    /// If you have a [`Session`](struct@Session), call its [`destroy`](Session::destroy) instead. A
    /// HEAD request and a prefetch do not end the session.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the provider is down. The session may still be live.
    /// [`Error::Gone`] if the cookie is older than a login or a renewal, and therefore may not end
    /// the session. The response clears the cookie.
    ///
    /// ```
    /// use sessions::{Error, request::RequestSessions};
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
    pub async fn destroy<T: SessionData>(
        &self,
        headers: &impl RequestHeaders,
    ) -> Result<(), Error> {
        let store = self.store_of::<T>()?;
        let session_type = store.session_type::<T>()?;
        self.check_alone(store, &session_type, &self.inner.slots())?;
        if self.inner.dry.is_some() {
            session_type.vary(&mut self.inner.slots().spared);
            return Ok(());
        }
        let (done, error) = match store.destroy_unread(&session_type, headers).await {
            Ok(committed) => (committed.settle()?, None),
            Err(failed) => {
                let Failed { error, delivery, base, .. } = *failed;
                (Settled { outcome: Outcome::Unchanged, base, merged: None, delivery }, Some(error))
            }
        };
        let mut slots = self.inner.slots();
        let is_same = |slot: &Slot| slot.session_type.type_id == session_type.type_id;
        let slot = match slots.slots.iter().position(is_same) {
            Some(index) => &mut slots.slots[index],
            None if error.is_some() && done.delivery.is_none() => {
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
        if done.delivery.is_some() {
            slot.delivery.clone_from(&done.delivery);
        }
        error.map_or(Ok(()), Err)
    }

    /// Returns the store that serves `T`: the store of the layer that names `T`, otherwise the only
    /// store of the layers that serve every type.
    fn store_of<T: SessionData>(&self) -> Result<&Arc<Core>, Error> {
        let Some(nested) = &self.nested else {
            let Served { store, only } = &self.inner.served;
            return match only {
                Some(only) if !only.contains(&TypeId::of::<T>()) => Err(Error::misuse(NOT_SERVED)),
                _ => Ok(store),
            };
        };
        let mut named: SmallVec<[&Arc<Core>; 2]> = SmallVec::new();
        let mut open: SmallVec<[&Arc<Core>; 2]> = SmallVec::new();
        for Served { store, only } in std::iter::once(&self.inner.served).chain(nested.iter()) {
            let stores = match only {
                Some(only) if only.contains(&TypeId::of::<T>()) => &mut named,
                Some(_) => continue,
                None => &mut open,
            };
            // Two layers of one store count once.
            if !stores.iter().any(|other| Arc::ptr_eq(other, store)) {
                stores.push(store);
            }
        }
        let stores = if named.is_empty() { open } else { named };
        match stores[..] {
            [] => Err(Error::misuse(NOT_SERVED)),
            [store] => Ok(store),
            _ => Err(Error::misuse(TWO_STORES)),
        }
    }

    /// Refuses a session if another store has already served its type or cookie name, because the
    /// response would set two cookies of the same name.
    fn check_alone(
        &self,
        store: &Arc<Core>,
        session_type: &SessionType,
        slots: &Slots,
    ) -> Result<(), Error> {
        let meets = |slot: &Slot| {
            !Arc::ptr_eq(&slot.store, store)
                && (slot.session_type.type_id == session_type.type_id
                    || slot.session_type.cookie.name == session_type.cookie.name
                    || slot.session_type.shares_header(session_type))
        };
        if slots.slots.iter().any(meets) { Err(Error::misuse(TWO_STORES)) } else { Ok(()) }
    }

    /// Returns another handle of a session that this request has already loaded.
    fn again<T: SessionData>(
        &self,
        store: &Arc<Core>,
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
                Some(Err(_)) | None => return Err(Error::misuse("a session of another type")),
            },
            // They can be merged only after their open saves are settled.
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

/// The error of a request without a session layer.
pub(crate) const NO_LAYER: &str = "this request has no sessions: add \
    `.layer(SessionLayer::new(store))` below the routes and below every layer that takes a session, \
    for the layer that is added last sees a request first";

const NOT_SERVED: &str = "no layer of this request serves this session type: name it in the \
    layer's `only`, or add a layer whose store serves every type";

const TWO_STORES: &str = "the layers of two stores meet in this request, and both would serve this \
    session type: say with `only` which types one of them serves, as in \
    `SessionLayer::new(store).only::<Admin>()`, or give both layers one store";

impl fmt::Debug for RequestSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.inner.slots();
        let names = slots.slots.iter().map(|slot| slot.session_type.name());
        f.debug_tuple("RequestSessions").field(&names.collect::<Vec<_>>()).finish()
    }
}
