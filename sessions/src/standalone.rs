//! Sessions without a framework: loaded from a request's cookies, committed, destroyed.

use std::fmt;

use http::{HeaderMap, HeaderValue};

use crate::session::Live;
use crate::store::{Outcome, Store};
use crate::{Error, Session, SessionData};

/// The result of [`Session::commit`]: what it did, and what the response must carry.
///
/// ```
/// use sessions::Commit;
///
/// fn respond(commit: &Commit, headers: &mut http::HeaderMap) {
///     if let Some(cookie) = commit.set_cookie() {
///         headers.append(http::header::SET_COOKIE, cookie.clone());
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
    pub(crate) fn new(outcome: Outcome, set_cookie: Option<HeaderValue>) -> Self {
        Self { outcome, set_cookie }
    }

    /// Returns the `Set-Cookie` header that the response must carry, if any.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// assert!(visitor.commit().await?.set_cookie().is_some());
    ///
    /// // The browser has the cookie now.
    /// visitor.visits = 2;
    /// assert!(visitor.commit().await?.set_cookie().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        self.set_cookie.as_ref()
    }

    /// Returns how the commit ended.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// assert_eq!(visitor.commit().await?.outcome(), Outcome::Saved);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// The error of a [commit](Session::commit). `?` converts it into an [`Error`].
///
/// ```
/// use sessions::CommitError;
///
/// fn respond(error: CommitError, headers: &mut http::HeaderMap) -> sessions::Error {
///     if let Some(cookie) = error.set_cookie() {
///         headers.append(http::header::SET_COOKIE, cookie.clone());
///     }
///     error.into_error()
/// }
/// # let _ = respond;
/// ```
#[derive(Debug)]
pub struct CommitError {
    pub(crate) error: Error,
    pub(crate) set_cookie: Option<HeaderValue>,
}

impl CommitError {
    /// Returns the `Set-Cookie` header that the response must carry although the commit failed.
    /// There is one if a session was renewed and the provider's answer was lost, or if `destroy()`
    /// could only clear the cookie.
    ///
    /// ```
    /// fn cookie(error: &sessions::CommitError) -> Option<&http::HeaderValue> {
    ///     error.set_cookie()
    /// }
    /// # let _ = cookie;
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        self.set_cookie.as_ref()
    }

    /// Returns the error.
    ///
    /// ```
    /// fn status(error: &sessions::CommitError) -> u16 {
    ///     if error.error().is_unavailable() { 503 } else { 500 }
    /// }
    /// # let _ = status;
    /// ```
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the error without the cookie.
    ///
    /// ```
    /// fn error(error: sessions::CommitError) -> sessions::Error {
    ///     error.into_error()
    /// }
    /// # let _ = error;
    /// ```
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        error.error
    }
}

impl From<Error> for CommitError {
    fn from(error: Error) -> Self {
        Self { error, set_cookie: None }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Store {
    /// Loads the session that a request's `Cookie` headers name, or a new one.
    ///
    /// # Errors
    /// - [`Error::Unavailable`] if the provider is down. It never returns an empty session in place
    ///   of a real one.
    /// - [`Error::NewerSchema`] or [`Error::Decode`] if this build cannot read the record, which
    ///   stays unchanged.
    /// - [`Error::Config`] if the store has another type of the same name.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert!(visitor.is_new());
    /// # Ok(()) }
    /// ```
    pub async fn load<T: SessionData>(&self, cookies: &HeaderMap) -> Result<Session<T>, Error> {
        let session_type = self.session_type::<T>()?;
        Ok(Session::new(Live::find(self, &session_type, cookies).await?, None))
    }

    /// Ends the session that a request's cookies name, without reading it. So logging out works
    /// even if this build cannot read the record. The response must carry the cookie that the
    /// commit sets.
    ///
    /// If you have a [`Session`](struct@Session), call its [`destroy`](Session::destroy) instead.
    ///
    /// # Errors
    /// - [`Error::Unavailable`] if the provider is down. The session may still be live.
    /// - [`Error::Gone`] if the cookie is from before a login or a renewal, and so may not end the
    ///   session. The error's [`set_cookie`](CommitError::set_cookie) clears it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let store = Store::new(MemoryProvider::new());
    /// let commit = store.destroy::<Visitor>(&http::HeaderMap::new()).await?;
    /// assert_eq!(commit.outcome(), Outcome::Destroyed);
    /// assert!(commit.set_cookie().is_none(), "there was no cookie to clear");
    /// # Ok(()) }
    /// ```
    pub async fn destroy<T: SessionData>(
        &self,
        cookies: &HeaderMap,
    ) -> Result<Commit, CommitError> {
        let session_type = self.session_type::<T>()?;
        match self.destroy_unread(&session_type, cookies).await {
            Ok(done) => Ok(Commit::new(done.outcome, done.set_cookie)),
            Err(failed) => Err(CommitError { error: failed.error, set_cookie: failed.set_cookie }),
        }
    }
}
