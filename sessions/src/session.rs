//! [`Session<T>`], the handle of a session.

mod arrival;
mod ended;
mod identity;
mod saving;
mod surroundings;
mod times;
mod transport;

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::SystemTime;

use crate::data::SessionData;
use crate::error::Error;
use crate::id::StoreKey;
use crate::pending::{Pending, State};
use crate::request::slots::Home;
use crate::schema::fields::Fields;
use crate::schema::header::Summary;
use crate::schema::merge;
use crate::store::base::{Arrival, Base};
use crate::store::change::{Change, Failed, Outcome, Settled};
use crate::store::core::Core;
use crate::store::fence::LoginAttempt;
use crate::store::patch::Asks;
use crate::store::session_type::SessionType;
use crate::telemetry;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;
use crate::transport::{Carrier, RequestHeaders};

/// A visitor's session, as a typed value.
///
/// It derefs to `T`, so you read and assign the struct's fields. A mutable borrow alone does not
/// change the session, because the commit compares the encoded fields. In a web framework the layer
/// commits the session after the handler has responded. Without a framework, call
/// [`commit`](Self::commit).
///
/// The handle's methods hide the struct's methods of the same name: `(*session).save()` calls the
/// struct's. To borrow two fields mutably at once, borrow the struct first:
/// `let data = &mut *session;`.
///
/// ```
/// use sessions::{MemoryProvider, Session, Store};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u32,
///     cart: Vec<String>,
/// }
///
/// fn shop(mut visitor: Session<Visitor>) {
///     visitor.visits += 1;
///     let data = &mut *visitor;
///     let (visits, cart) = (&mut data.visits, &mut data.cart);
///     cart.push(format!("item {visits}"));
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// # let store = Store::new(MemoryProvider::new());
/// # shop(store.load::<Visitor>(&http::HeaderMap::new()).await?);
/// # Ok(()) }
/// ```
#[must_use = "a session that is dropped outside a request is not saved"]
pub struct Session<T: SessionData> {
    /// It is `None` only during the drop.
    live: Option<Box<Live<T>>>,
    /// The request that a dropped handle returns its session to.
    home: Option<Home>,
}

/// A loaded session, in a handle or in its request's slot.
pub(crate) struct Live<T> {
    value: T,
    pub(crate) state: State,
}

impl<T: SessionData> Live<T> {
    /// Loads the session that a request's cookies name. With `or_new`, it creates a new session if
    /// this build cannot read the record.
    // Not an async function, because its future would store the arguments twice.
    pub(crate) fn find<'a>(
        core: &'a Arc<Core>,
        session_type: &'a Arc<SessionType>,
        cookies: &'a impl RequestHeaders,
        or_new: bool,
    ) -> impl Future<Output = Result<Box<Self>, Error>> + 'a {
        let work = async move {
            let now = core.now();
            let found = core.find(session_type, cookies, now).await;
            let carrier = || session_type.carrier(cookies);
            Self::loaded(core, session_type, found, now, or_new, carrier)
        };
        observe(Operation::Load, session_type.name(), Some(&session_type.tallies), work, |live| {
            loaded(&live.state.base)
        })
    }

    fn loaded(
        core: &Arc<Core>,
        session_type: &Arc<SessionType>,
        found: Result<Base, Error>,
        loaded_at: SystemTime,
        or_new: bool,
        carrier: impl FnOnce() -> Carrier,
    ) -> Result<Box<Self>, Error> {
        let state = |base| State::new(core.clone(), session_type.clone(), base, loaded_at);
        // An unreadable record with the browser's secret ends when a new session replaces it. If
        // even the secret cannot be read, the record may belong to somebody else by now.
        let (live, error) = match found {
            Ok(base) => {
                let live = match &base {
                    Base::Live(loaded) => Some(loaded.clone()),
                    _ => None,
                };
                match Self::new(state(base)) {
                    Ok(found) => return Ok(found),
                    Err(error) => (live, error),
                }
            }
            Err(error) => (None, error),
        };
        if !error.is_unreadable() || !(or_new || core.resets_unreadable()) {
            return Err(error);
        }
        core.events.reset(session_type.name(), &error);
        let unread = || Base::Absent { arrival: Arrival::Unreadable, carrier: carrier(), by: None };
        Self::new(state(live.map_or_else(unread, Base::Unreadable)))
    }

    pub(crate) fn new(mut state: State) -> Result<Box<Self>, Error> {
        let value = match &state.base {
            Base::Live(loaded) => {
                let value = T::load(&loaded.stored)?;
                if state.session_type.files(loaded.owner.as_deref(), &value) {
                    value
                } else {
                    state.core.events.misfiled(state.session_type.name(), &loaded.key);
                    let carrier = loaded.carrier();
                    state.base = Base::Absent { arrival: Arrival::Ended, carrier, by: None };
                    T::fresh()
                }
            }
            Base::Sealed(sealed) => T::load(&sealed.stored)?,
            Base::Absent { .. }
            | Base::Superseded(_)
            | Base::Unreadable(_)
            | Base::Unproven(_)
            | Base::Ended(..) => T::fresh(),
        };
        Ok(Box::new(Self { value, state }))
    }

    /// Creates a session from the fields that other handles of this request have changed.
    pub(crate) fn from_fields(state: State, fields: &Fields) -> Result<Box<Self>, Error> {
        Ok(Box::new(Self { value: fields.decode()?, state }))
    }

    /// Whether dropping the session would lose a change.
    fn is_changed(&self) -> bool {
        let State { borrowed, asks, ancestor, base, session_type, .. } = &self.state;
        if !*borrowed {
            return !asks.is_empty();
        }
        let base = ancestor.clone().map_or_else(|| base.fields(session_type), Ok);
        let (Ok(base), Ok(mut mine)) = (base, self.value.fields()) else { return true };
        !asks.is_empty()
            || merge::diff(session_type.table, &base, &mut mine).map_or(true, |diff| diff.changed)
    }

    /// Updates the handle to what a commit saved.
    fn settle(&mut self, done: Settled) -> Result<(), Error> {
        if let Some(fields) = &done.merged {
            self.value = fields.decode()?;
        }
        if done.outcome == Outcome::Destroyed {
            self.value = T::fresh();
        }
        let state = &mut self.state;
        state.base = done.base;
        state.epoch += u32::from(done.outcome == Outcome::Destroyed);
        state.borrowed = false;
        let (skip_touch, device) = (state.asks.skip_touch, state.asks.device.take());
        state.asks = Asks { skip_touch, device, ..Asks::default() };
        (state.ancestor, state.unsettled) = (None, None);
        Ok(())
    }

    /// Keeps the state that the commit after a failed commit needs.
    fn fail(&mut self, failed: Failed) -> Error {
        let Failed { error, base, ancestor, unsettled, destroying, .. } = failed;
        let state = &mut self.state;
        // The cookie is cleared, and the handler has the error. The layer must not try the refused
        // destruction again.
        state.asks.destroy &= !(destroying && matches!(error, Error::Gone));
        (state.base, state.ancestor, state.unsettled) = (base, ancestor, unsettled);
        error
    }
}

impl<T: SessionData> Pending for Live<T> {
    fn state(&self) -> &State {
        &self.state
    }

    fn change(&mut self) -> Result<Change, Error> {
        let fields = if self.state.borrowed { Some(self.value.fields()?) } else { None };
        let State { session_type, base, ancestor, loaded_at, asks, unsettled, secrets, .. } =
            &mut self.state;
        Ok(Change {
            session_type: session_type.clone(),
            base: base.clone(),
            ancestor: ancestor.clone(),
            fields,
            asks: asks.clone(),
            loaded_at: *loaded_at,
            unsettled: unsettled.take(),
            secrets: secrets.get().cloned(),
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl<T: SessionData> Session<T> {
    pub(crate) fn new(live: Box<Live<T>>, home: Option<Home>) -> Self {
        Self { live: Some(live), home }
    }

    /// Returns whether the session is new: nothing is stored for this visitor yet, or their session
    /// has ended.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// assert!(visitor.is_new());
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// assert!(!visitor.is_new());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.summary().is_none()
    }

    /// Returns the stored owner. It is `None` for an anonymous visitor, and for a login that is not
    /// committed yet.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.user = Some(7);
    /// assert_eq!(visitor.owner(), None);
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.owner(), Some("7"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let owner = self.state().base.owner()?;
        // "app/name/owner", and neither app nor name has a slash.
        owner.splitn(3, '/').nth(2)
    }

    /// Returns when the session was created or its owner logged in, whichever is later. It is
    /// `None` for a new session.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// assert_eq!(visitor.created_at(), None);
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.created_at(), Some(clock.now()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        Some(self.summary()?.created_at)
    }

    /// Returns when the session was last used before this request, with the precision of the
    /// store's touch interval. It is `None` for a new session. Near the end of the session's
    /// lifetime the time may be too early.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.last_seen(), Some(clock.now()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn last_seen(&self) -> Option<SystemTime> {
        let summary = self.summary()?;
        let span = self.state().session_type.span(summary);
        Some(summary.seen_at.unwrap_or(span.last_seen(self.expires_at()?)))
    }

    /// Returns when the session ends if it is not used again. It is `None` for a new session. This
    /// is the idle timeout plus one touch interval after it was last seen, but no later than its
    /// lifetime allows.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { clock, mut visitor, .. } = example().await?;
    /// use std::time::Duration;
    ///
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// // Seven days and an hour, with the default settings.
    /// assert_eq!(visitor.expires_at(), Some(clock.now() + Duration::from_secs(169 * 60 * 60)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        match &self.state().base {
            Base::Live(loaded) => loaded.expires_at,
            Base::Sealed(sealed) => Some(sealed.expires_at),
            Base::Absent { .. }
            | Base::Superseded(_)
            | Base::Unreadable(_)
            | Base::Unproven(_)
            | Base::Ended(..) => None,
        }
    }

    /// Returns the key under which the store keeps the session. It is `None` for a new or
    /// client-side session.
    ///
    /// The key stays the same for the session's whole life, across logins and renewals, so an app
    /// may store it for [`update`](crate::Store::update) or [`revoke`](crate::Store::revoke). It is
    /// not secret. Derive values that must change at a login from [`binding`](Self::binding).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// let key = visitor.key().expect("it was saved").clone();
    /// assert!(store.revoke_any(&key).await?);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&StoreKey> {
        match &self.state().base {
            Base::Live(loaded) => Some(&loaded.key),
            _ => None,
        }
    }

    /// Returns 16 bytes derived from the secret in the cookie, for values that must become invalid
    /// at the next login: a CSRF token, the name of a channel. It is `None` for a new or
    /// client-side session.
    ///
    /// A login and each renewal change these bytes. They cannot be computed from the database.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// let (key, binding) = (visitor.key().cloned(), visitor.binding());
    ///
    /// visitor.renew();
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.key(), key.as_ref());
    /// assert_ne!(visitor.binding(), binding);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn binding(&self) -> Option<[u8; 16]> {
        let State { base: Base::Live(loaded), session_type, .. } = self.state() else {
            return None;
        };
        Some(session_type.binding(&loaded.bearer.as_ref()?.secret))
    }

    /// Returns the owner as its field displays it.
    pub(crate) fn owner_name(&self) -> Result<Option<String>, Error> {
        let State { base, session_type, .. } = self.state();
        if base.owner().is_none() {
            return Ok(None);
        }
        base.fields(session_type)?.owner(session_type.table)
    }

    /// Returns a short name of the session that is safe to log: the first 10 characters of its
    /// [`key`](Self::key), "new" if nothing is stored yet, or "client-side" if the session has no
    /// record.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// assert_eq!(visitor.log_id(), "new");
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.log_id().len(), 10);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn log_id(&self) -> &str {
        match self.key() {
            Some(key) => telemetry::emit::log_id(key),
            None if self.is_new() => "new",
            None => "client-side",
        }
    }

    /// Gives the session a new secret and the browser a new cookie, at the next commit. The old
    /// cookie then stops working. The store renews a session without this call when the owner, or a
    /// field of the group "owner", changes. The session and its [`key`](Self::key) stay the same. A
    /// [client-side](crate::StoreBuilder::client_side) session has no secret to renew.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    /// let before = visitor.binding();
    ///
    /// visitor.renew();
    /// let commit = visitor.commit().await?;
    /// assert!(commit.set_cookie().is_some());
    /// assert_ne!(visitor.binding(), before);
    /// # Ok(()) }
    /// ```
    pub fn renew(&mut self) {
        self.ask(|asks| asks.renew = true);
    }

    /// Ends the session at the next commit, and makes the browser drop the cookie. Other changes
    /// are not saved. The record is deleted even if the response is an error. Other hosts refuse the
    /// session once it is; those with a [cache](crate::guide::caching) at the latest 3 seconds later,
    /// or 5 with a provider that tells of no changes.
    ///
    /// If another request has logged this browser in since this session was loaded, or its owner
    /// again, this cookie may not end that session. The commit then clears the cookie and fails
    /// with [`Error::Gone`], and the layer responds with 409.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let _ = visitor.commit().await?;
    ///
    /// visitor.destroy();
    /// let commit = visitor.commit().await?;
    /// assert_eq!(commit.outcome(), Outcome::Destroyed);
    /// assert!(visitor.is_new());
    /// assert_eq!(visitor.visits, 0);
    /// # Ok(()) }
    /// ```
    pub fn destroy(&mut self) {
        self.ask(|asks| asks.destroy = true);
    }

    /// Returns the label of this session, as it is stored or as [`set_label`](Self::set_label) has
    /// set it in this request.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// assert_eq!(visitor.label(), None);
    /// visitor.set_label("Firefox on Linux");
    /// assert_eq!(visitor.label().as_deref(), Some("Firefox on Linux"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn label(&self) -> Option<Arc<str>> {
        let state = &self.live().state;
        let stored = || state.base.stored()?.header().ok()?.label;
        state.asks.label.clone().or_else(stored)
    }

    /// Sets the label of this session in [`Store::list`](crate::Store::list), such as a device's
    /// name. The label is kept only if the session stores something. A label of more than 256 bytes
    /// makes the commit fail with [`Error::Encode`]: shorten text that comes from a request.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// use sessions::Page;
    ///
    /// visitor.user = Some(7);
    /// visitor.set_label("Firefox on Linux");
    /// let _ = visitor.commit().await?;
    /// let devices = store.list::<Visitor>(7, Page::first(20)).await?.items;
    /// assert_eq!(devices[0].label.as_deref(), Some("Firefox on Linux"));
    /// # Ok(()) }
    /// ```
    pub fn set_label(&mut self, label: impl Into<Arc<str>>) {
        let label = label.into();
        self.ask(|asks| asks.label = Some(label));
    }

    /// Passes the attempt that [`Store::begin_login`](crate::Store::begin_login) made before the
    /// password was checked. To log the visitor in, assign the owner.
    ///
    /// [`revoke_all`](crate::Store::revoke_all) then undoes this login if, and only if, it was
    /// called after the attempt began. If the owner is the same as before, the session is renewed,
    /// because the visitor has proved again who they are.
    ///
    /// [`end_all`](crate::Store::end_all) undoes it if it was called after that, or if the host that
    /// began the attempt did not know of it yet.
    ///
    /// The commit fails with [`Error::LoginUndone`] for an attempt from more than 30 minutes ago,
    /// and with [`Error::Misuse`] for an attempt of another owner.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// let attempt = store.begin_login::<Visitor>(7).await?;
    /// // Check the password here.
    /// visitor.user = Some(7);
    /// visitor.log_in(attempt);
    /// let _ = visitor.commit().await?;
    /// assert_eq!(visitor.owner(), Some("7"));
    /// # Ok(()) }
    /// ```
    pub fn log_in(&mut self, attempt: LoginAttempt) {
        self.ask(|asks| asks.attempt = Some(Box::new(attempt)));
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Asks)) {
        if let Some(home) = &self.home {
            home.borrowed();
        }
        ask(&mut self.live_mut().state.asks);
    }

    fn summary(&self) -> Option<&Summary> {
        self.state().base.summary()
    }

    fn state(&self) -> &State {
        &self.live().state
    }

    pub(crate) fn live(&self) -> &Live<T> {
        self.live.as_ref().expect("only drop takes the value out")
    }

    fn live_mut(&mut self) -> &mut Live<T> {
        self.live.as_mut().expect("only drop takes the value out")
    }
}

/// Returns the outcome of a load, for telemetry.
fn loaded(base: &Base) -> (CallOutcome, Option<&StoreKey>) {
    let ended = match base {
        Base::Live(_) | Base::Sealed(_) => CallOutcome::Live,
        Base::Absent { .. } | Base::Unreadable(_) | Base::Unproven(_) => CallOutcome::New,
        Base::Superseded(_) | Base::Ended(..) => CallOutcome::Gone,
    };
    (ended, base.key())
}

impl<T: SessionData> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.live().value
    }
}

impl<T: SessionData> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        if !self.state().borrowed {
            if let Some(home) = &self.home {
                home.borrowed();
            }
            self.live_mut().state.borrowed = true;
        }
        &mut self.live_mut().value
    }
}

impl<T: SessionData> Drop for Session<T> {
    fn drop(&mut self) {
        match (self.live.take(), &self.home) {
            (Some(live), Some(home)) => home.put_back(live),
            (Some(live), None) if live.is_changed() => {
                live.state.core.events.uncommitted(live.state.session_type.name());
            }
            _ => {}
        }
    }
}

impl<T: SessionData + fmt::Debug> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.log_id())
            .field("value", &self.live().value)
            .finish_non_exhaustive()
    }
}
