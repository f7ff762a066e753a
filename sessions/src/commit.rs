//! The result of a commit: its outcome, and the cookie that the response must carry.

use std::fmt;

use http::HeaderValue;

use crate::error::Error;
pub use crate::store::change::Outcome;
pub use crate::store::keep::KeepChanges;

/// The result of [`Session::commit`](crate::Session::commit): its outcome, and the cookie that the
/// response must carry.
///
/// ```
/// use sessions::commit::Commit;
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
    /// // The browser has it now.
    /// visitor.visits = 2;
    /// assert!(visitor.commit().await?.set_cookie().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        self.set_cookie.as_ref()
    }

    /// Returns the outcome of the commit.
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

/// The error of a [commit](crate::Session::commit). `?` converts it into an [`Error`].
///
/// ```
/// use sessions::commit::CommitError;
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
    /// fn cookie(error: &sessions::commit::CommitError) -> Option<&http::HeaderValue> {
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
    /// fn status(error: &sessions::commit::CommitError) -> u16 {
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
    /// fn error(error: sessions::commit::CommitError) -> sessions::Error {
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
