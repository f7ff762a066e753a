//! Sessions without a framework: loaded from a request's cookies, committed, destroyed.

use http::{HeaderMap, HeaderValue};

use crate::session::Live;
use crate::store::{Outcome, Settled, Store};
use crate::{Error, Session, SessionData};

/// What [`Store::commit`] did, and what the response must carry.
///
/// ```
/// use sessions::{Commit, Outcome};
///
/// fn respond(commit: &Commit, headers: &mut http::HeaderMap) {
///     if let Some(cookie) = commit.set_cookie() {
///         headers.append(http::header::SET_COOKIE, cookie.clone());
///     }
///     if commit.outcome() == Outcome::Dropped {
///         // The session was ended by another request, such as a logout.
///     }
/// }
/// # let _ = respond;
/// ```
#[derive(Clone, Debug)]
#[must_use = "the response must carry its `Set-Cookie`"]
pub struct Commit {
    outcome: Outcome,
    set_cookie: Option<HeaderValue>,
}

impl Commit {
    pub(crate) fn of(done: &Settled) -> Self {
        Self { outcome: done.outcome, set_cookie: done.set_cookie.clone() }
    }

    /// The value of the `Set-Cookie` header that the response must carry, if any.
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
    /// let commit = store.commit(&mut visitor).await?;
    /// assert!(commit.set_cookie().is_some());
    ///
    /// // The browser has it now.
    /// visitor.visits = 2;
    /// let commit = store.commit(&mut visitor).await?;
    /// assert!(commit.set_cookie().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        self.set_cookie.as_ref()
    }

    /// How it ended.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Outcome, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// # let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(store.commit(&mut visitor).await?.outcome(), Outcome::Unchanged);
    /// visitor.visits = 1;
    /// assert_eq!(store.commit(&mut visitor).await?.outcome(), Outcome::Saved);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl Store {
    /// Loads the session that a request's `Cookie` headers stand for, or a new one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the provider is down: never an empty session in place of a
    /// real one. [`Error::NewerSchema`] or [`Error::Decode`] for a record that this build cannot
    /// read; it stays as it was. [`Error::Config`] when the store has another type of the same name.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert!(visitor.is_new());
    /// # Ok(()) }
    /// ```
    pub async fn load<T: SessionData>(&self, cookies: &HeaderMap) -> Result<Session<T>, Error> {
        let kind = self.kind::<T>()?;
        Ok(Session::new(Live::find(self, &kind, cookies).await?, None))
    }

    /// Ends the session that a request's cookies stand for, without reading it: logging out works
    /// although the record holds what this build cannot read. The response must carry the cookie
    /// that the commit sets.
    ///
    /// A handler that has a [`Session`](struct@Session) calls its [`destroy`](Session::destroy)
    /// instead.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the provider is down: the session may still be alive.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Outcome, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let commit = store.destroy::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(commit.outcome(), Outcome::Destroyed);
    /// assert!(commit.set_cookie().is_none(), "there was no cookie to clear");
    /// # Ok(()) }
    /// ```
    pub async fn destroy<T: SessionData>(&self, cookies: &HeaderMap) -> Result<Commit, Error> {
        let kind = self.kind::<T>()?;
        let done = self.destroy_unread(&kind, cookies).await?.settle()?;
        Ok(Commit::of(&done))
    }

    /// Saves what was changed, and says what the response must carry.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another request changed the same field and its policy refuses to
    /// choose, [`Error::Unavailable`] when the provider is down, [`Error::Encode`] for a field
    /// that cannot be encoded. Nothing is lost: the handle keeps its changes.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { visits: u32 }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.visits = 1;
    /// let commit = store.commit(&mut visitor).await?;
    /// println!("Set-Cookie: {:?}", commit.set_cookie());
    /// # Ok(()) }
    /// ```
    pub async fn commit<T: SessionData>(&self, session: &mut Session<T>) -> Result<Commit, Error> {
        session.commit_now().await
    }
}
