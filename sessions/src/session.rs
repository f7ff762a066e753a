//! [`Session<T>`], the handle that a handler holds.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cookie::CookieHeaders;
use crate::event::{self, Call, Ended, observe};
use crate::request::Home;
use crate::schema::{Fields, Summary};
use crate::store::{Asks, Change, Kind, Origin, Outcome, Settled, Store, StoreKey};
use crate::{Commit, Error, SessionData};

/// A visitor's session, as a typed value.
///
/// It derefs to `T`: read and assign the struct's fields. Reading never marks it changed; whether
/// anything really changed is decided by comparing the encoded fields when it is committed. In a
/// handler of a web framework the layer commits it once the handler has answered; without one,
/// [`Store::commit`] does.
///
/// The handle's methods hide the struct's methods of the same name: `(*session).save()` reaches
/// the struct's. Two fields borrowed mutably at once need one borrow of the struct first:
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
    /// `None` only while it is being dropped.
    live: Option<Box<Live<T>>>,
    /// The request that it goes back to.
    home: Option<Home>,
}

/// A session out of its request's slot, or in it.
pub(crate) struct Live<T> {
    value: T,
    pub(crate) state: State,
}

/// What a handle knows besides its value.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) kind: Arc<Kind>,
    pub(crate) origin: Origin,
    pub(crate) loaded_at: SystemTime,
    /// How often the request's session had been destroyed when this was loaded.
    pub(crate) epoch: u32,
    /// Somebody could have changed the value.
    pub(crate) borrowed: bool,
    pub(crate) asks: Asks,
}

impl State {
    pub(crate) fn new(
        store: Store,
        kind: Arc<Kind>,
        origin: Origin,
        loaded_at: SystemTime,
    ) -> Self {
        Self { store, kind, origin, loaded_at, epoch: 0, borrowed: false, asks: Asks::default() }
    }

    /// Whether a commit has anything to look at.
    pub(crate) fn is_touched(&self) -> bool {
        self.borrowed || !self.asks.is_empty()
    }
}

/// A session that waits for its commit, without its type.
pub(crate) trait Pending: Send {
    fn state(&self) -> &State;
    /// What it asks of the store; encodes the value if somebody could have changed it.
    fn change(&self) -> Result<Change, Error>;
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<T: SessionData> Live<T> {
    /// Loads what a request's cookies stand for.
    // Not an async function, for that would have room for its arguments twice.
    pub(crate) fn find<'a>(
        store: &'a Store,
        kind: &'a Arc<Kind>,
        cookies: &'a impl CookieHeaders,
    ) -> impl Future<Output = Result<Box<Self>, Error>> + 'a {
        let work = async move {
            let now = store.now();
            Self::found(store, kind, store.find(kind, cookies, now).await, now)
        };
        observe(Call::Load, kind.name(), Some(&kind.tallies), work, |live| {
            let ended = match live.state.origin {
                Origin::Record(_) | Origin::Client(_) => Ended::Live,
                Origin::New { .. } => Ended::New,
                Origin::Ended { .. } => Ended::Gone,
            };
            (ended, live.state.origin.key())
        })
    }

    fn found(
        store: &Store,
        kind: &Arc<Kind>,
        found: Result<Origin, Error>,
        loaded_at: SystemTime,
    ) -> Result<Box<Self>, Error> {
        let state = |origin| State::new(store.clone(), kind.clone(), origin, loaded_at);
        match found.and_then(|origin| Self::new(state(origin))) {
            Err(error) if error.is_unreadable() && store.resets_unreadable() => {
                event::reset(kind.name(), &error);
                Self::new(state(Origin::New { cookie: true }))
            }
            found => found,
        }
    }

    pub(crate) fn new(state: State) -> Result<Box<Self>, Error> {
        let value = match &state.origin {
            Origin::Record(loaded) => T::load(&loaded.stored)?,
            Origin::Client(sealed) => T::load(&sealed.stored)?,
            Origin::New { .. } | Origin::Ended { .. } => T::fresh(),
        };
        Ok(Box::new(Self { value, state }))
    }

    /// The value of these fields, which another handle of this request has changed.
    pub(crate) fn from_fields(state: State, fields: &Fields) -> Result<Box<Self>, Error> {
        Ok(Box::new(Self { value: fields.decode()?, state }))
    }

    /// Takes over what a commit did.
    fn settle(&mut self, done: Settled) -> Result<(), Error> {
        if let Some(fields) = &done.merged {
            self.value = fields.decode()?;
        }
        if done.outcome == Outcome::Destroyed {
            self.value = T::fresh();
        }
        self.state.origin = done.origin;
        self.state.epoch += u32::from(done.outcome == Outcome::Destroyed);
        self.state.borrowed = false;
        self.state.asks = Asks::default();
        Ok(())
    }
}

impl<T: SessionData> Pending for Live<T> {
    fn state(&self) -> &State {
        &self.state
    }

    fn change(&self) -> Result<Change, Error> {
        let State { kind, origin, loaded_at, borrowed, asks, .. } = &self.state;
        Ok(Change {
            kind: kind.clone(),
            origin: origin.clone(),
            fields: if *borrowed { Some(self.value.fields()?) } else { None },
            asks: asks.clone(),
            loaded_at: *loaded_at,
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

    /// Whether there was no live session: nothing is stored for this visitor yet, or what their
    /// cookie names has ended.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert!(visitor.is_new());
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// assert!(!visitor.is_new());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.summary().is_none()
    }

    /// Who owns the session, as its record has it: `None` for an anonymous visitor, and for a
    /// login that is not committed yet.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64>, visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// assert_eq!(visitor.owner(), None);
    /// let _ = store.commit(&mut visitor).await?;
    /// assert_eq!(visitor.owner(), Some("7"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        let owner = match &self.state().origin {
            Origin::Record(loaded) => loaded.owner.as_deref()?,
            Origin::Client(sealed) => sealed.owner.as_deref()?,
            Origin::New { .. } | Origin::Ended { .. } => return None,
        };
        // "app/name/owner", and neither app nor name has a slash.
        owner.splitn(3, '/').nth(2)
    }

    /// When the session began, or its owner logged in; `None` if it is new.
    ///
    /// ```
    /// # use sessions::{Clock, ManualClock, MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let clock = ManualClock::default();
    /// # let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(visitor.created_at(), None);
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// assert_eq!(visitor.created_at(), Some(clock.now()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        Some(self.summary()?.created_at)
    }

    /// When the session was last used before this request, to within the store's touch interval;
    /// `None` if it is new. Near the end of its lifetime an earlier time.
    ///
    /// ```
    /// # use sessions::{Clock, ManualClock, MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let clock = ManualClock::default();
    /// # let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// assert_eq!(visitor.last_seen(), Some(clock.now()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn last_seen(&self) -> Option<SystemTime> {
        Some(self.state().store.span(self.summary()?).last_seen(self.expires_at()?))
    }

    /// When the session ends if it is not used again; `None` if it is new. That is the idle timeout
    /// and one touch interval after it was last seen, and never later than its lifetime allows.
    ///
    /// ```
    /// # use sessions::{Clock, ManualClock, MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let clock = ManualClock::default();
    /// # let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// use std::time::Duration;
    ///
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// // Seven days and an hour, with the default settings.
    /// assert_eq!(visitor.expires_at(), Some(clock.now() + Duration::from_secs(169 * 60 * 60)));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        match &self.state().origin {
            Origin::Record(loaded) => loaded.expires_at,
            Origin::Client(sealed) => Some(sealed.expires_at),
            Origin::New { .. } | Origin::Ended { .. } => None,
        }
    }

    /// The name under which the store keeps the session; `None` if it is new or client-side.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// let key = visitor.key().expect("it was saved").clone();
    /// assert!(store.revoke(&key).await?);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key(&self) -> Option<&StoreKey> {
        match &self.state().origin {
            Origin::Record(loaded) => Some(&loaded.key),
            Origin::New { .. } | Origin::Client(_) | Origin::Ended { .. } => None,
        }
    }

    /// A short name of the session that is safe to log: the first 10 characters of its
    /// [`key`](Self::key), which changes with the id; "new" if nothing is stored yet, and
    /// "client-side" where no record is.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(visitor.log_id(), "new");
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// assert_eq!(visitor.log_id().len(), 10);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn log_id(&self) -> &str {
        match self.key() {
            Some(key) => event::log_id(key),
            None if self.is_new() => "new",
            None => "client-side",
        }
    }

    /// Gives the session a new id when it is committed: the old cookie is dead from then on. Done
    /// by itself when the owner, or a field of the group "owner", changes. A
    /// [client-side](crate::StoreBuilder::client_side) session has no id to renew.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    /// let before = visitor.key().cloned();
    ///
    /// visitor.renew();
    /// let commit = store.commit(&mut visitor).await?;
    /// assert!(commit.set_cookie().is_some());
    /// assert_ne!(visitor.key(), before.as_ref());
    /// # Ok(()) }
    /// ```
    pub fn renew(&mut self) {
        self.ask(|asks| asks.renew = true);
    }

    /// Ends the session when it is committed, and makes the browser forget it. What was changed
    /// in it is not saved. The record is deleted even when the response is an error.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Outcome, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let _ = store.commit(&mut visitor).await?;
    ///
    /// visitor.destroy();
    /// let commit = store.commit(&mut visitor).await?;
    /// assert_eq!(commit.outcome(), Outcome::Destroyed);
    /// assert!(visitor.is_new());
    /// assert_eq!(visitor.visits, 0);
    /// # Ok(()) }
    /// ```
    pub fn destroy(&mut self) {
        self.ask(|asks| asks.destroy = true);
    }

    /// "Remember me": this session lives for `time` from when it was created or its owner logged
    /// in, however rarely it is used, and its cookie survives the end of the browser.
    ///
    /// The store grants at most its [`longest_remember`](crate::StoreBuilder::longest_remember). A
    /// time shorter than the store's own makes the session end earlier. Only a session that stores
    /// something keeps it.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64>, visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// use std::time::Duration;
    ///
    /// visitor.user = Some(7);
    /// visitor.remember(Duration::from_secs(60 * 24 * 60 * 60));
    /// let commit = store.commit(&mut visitor).await?;
    /// let cookie = commit.set_cookie().expect("a login sets one").to_str().expect("it is ASCII");
    /// assert!(cookie.ends_with("Max-Age=5184000"));
    /// # Ok(()) }
    /// ```
    pub fn remember(&mut self, time: Duration) {
        let state = self.state();
        let granted = time.min(state.store.longest_remember());
        if granted < time {
            event::remember_capped(state.kind.name(), time.as_secs(), granted.as_secs());
        }
        self.ask(|asks| asks.remember = Some(granted));
    }

    /// Sets what [`Store::list`] calls this session, such as a device's name. Only a session that
    /// stores something keeps it.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { #[session(owner)] user: Option<u64>, visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// use sessions::provider::Page;
    ///
    /// visitor.user = Some(7);
    /// visitor.set_label("Firefox on Linux");
    /// let _ = store.commit(&mut visitor).await?;
    /// let devices = store.list::<Visitor>(7, Page::first(20)).await?.sessions;
    /// assert_eq!(devices[0].label.as_deref(), Some("Firefox on Linux"));
    /// # Ok(()) }
    /// ```
    pub fn set_label(&mut self, label: impl Into<Arc<str>>) {
        let label = label.into();
        self.ask(|asks| asks.label = Some(label));
    }

    /// Saves the session now, in the middle of a handler, a stream or a task: for where the
    /// layer's commit would come too late, or its error is wanted here.
    ///
    /// Afterwards the value is what is stored, with the changes that others made meanwhile.
    ///
    /// # Errors
    /// As [`Store::commit`], and [`Error::Gone`] if the session has ended. [`Error::Config`] when
    /// the session needs a new cookie but its response has already been sent.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// visitor.save().await?;
    /// visitor.visits = 2;
    /// visitor.save().await?;
    /// assert!(!visitor.is_new());
    /// # Ok(()) }
    /// ```
    pub async fn save(&mut self) -> Result<(), Error> {
        match self.commit_now().await?.outcome() {
            Outcome::Dropped => Err(Error::Gone),
            _ => Ok(()),
        }
    }

    /// Saves what was changed; [`Store::commit`] and [`save`](Self::save) say the rest.
    pub(crate) async fn commit_now(&mut self) -> Result<Commit, Error> {
        let change = self.live().change()?;
        if let Some(home) = &self.home {
            home.check_save(&change)?;
        }
        let store = self.state().store.clone();
        let commits = store.commits().clone();
        let plan = store.plan(change, store.now())?;
        let done = commits.track(async move { store.carry_out(plan).await }).await?.settle()?;
        if let Some(home) = &self.home {
            home.saved(&done);
        }
        let commit = Commit::of(&done);
        self.live_mut().settle(done)?;
        Ok(commit)
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Asks)) {
        if let Some(home) = &self.home {
            home.borrowed();
        }
        ask(&mut self.live_mut().state.asks);
    }

    fn summary(&self) -> Option<&Summary> {
        match &self.state().origin {
            Origin::Record(loaded) => Some(&loaded.stored.summary),
            Origin::Client(sealed) => Some(&sealed.stored.summary),
            Origin::New { .. } | Origin::Ended { .. } => None,
        }
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
        if let (Some(live), Some(home)) = (self.live.take(), &self.home) {
            home.put_back(live);
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
