//! The result of a commit: its outcome, and the headers that the response must carry.

use std::fmt;

use http::header::{HeaderName, HeaderValue, SET_COOKIE};

use crate::error::Error;
pub use crate::store::change::Outcome;
pub use crate::store::keep::KeepChanges;
use crate::transport::DeliveryHeaders;

/// The result of [`Session::commit`](crate::Session::commit): its outcome, and the headers that the
/// response must carry.
///
/// ```
/// use sessions::commit::Commit;
///
/// fn respond(commit: &Commit, response: &mut http::HeaderMap) {
///     response.extend(commit.headers());
/// }
/// # let _ = respond;
/// ```
#[derive(Clone, Debug)]
#[must_use = "the response must carry its headers"]
pub struct Commit {
    outcome: Outcome,
    headers: DeliveryHeaders,
}

impl Commit {
    pub(crate) fn new(outcome: Outcome, headers: DeliveryHeaders) -> Self {
        Self { outcome, headers }
    }

    /// Returns the headers that the response must carry: none, a `Set-Cookie` (two while a store
    /// [also reads](crate::StoreBuilder::also_read_cookie) another cookie), or the
    /// [token header](crate::StoreBuilder::token_header). Append them: a response may have other
    /// cookies. No shared cache may keep such a response.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// let mut response = http::HeaderMap::new();
    /// response.extend(visitor.commit().await?.headers());
    /// assert!(response.contains_key("set-cookie"));
    ///
    /// // The browser has it now.
    /// visitor.visits = 2;
    /// assert_eq!(visitor.commit().await?.headers().count(), 0);
    /// # Ok(()) }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        self.headers.clone().into_iter()
    }

    /// Returns the `Set-Cookie` header that gives the browser a cookie or clears it, if there is
    /// one.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { mut visitor, .. } = example().await?;
    /// visitor.visits = 1;
    /// assert!(visitor.commit().await?.set_cookie().is_some());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        set_cookie(&self.headers)
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
///     headers.extend(error.headers());
///     error.into_error()
/// }
/// # let _ = respond;
/// ```
#[derive(Debug)]
pub struct CommitError {
    pub(crate) error: Error,
    pub(crate) headers: DeliveryHeaders,
}

impl CommitError {
    /// Returns the headers that the response must carry although the commit failed. There are some
    /// if a session was renewed and the provider's answer was lost, or if `destroy()` could only
    /// clear the cookie.
    ///
    /// ```
    /// fn headers(error: &sessions::commit::CommitError) -> http::HeaderMap {
    ///     let mut headers = http::HeaderMap::new();
    ///     headers.extend(error.headers());
    ///     headers
    /// }
    /// # let _ = headers;
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        self.headers.clone().into_iter()
    }

    /// Returns the `Set-Cookie` header that gives the browser a cookie or clears it, if there is
    /// one.
    ///
    /// ```
    /// fn cookie(error: &sessions::commit::CommitError) -> Option<&http::HeaderValue> {
    ///     error.set_cookie()
    /// }
    /// # let _ = cookie;
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> Option<&HeaderValue> {
        set_cookie(&self.headers)
    }

    /// Returns the error.
    ///
    /// ```
    /// fn status(error: &sessions::commit::CommitError) -> http::StatusCode {
    ///     error.error().status()
    /// }
    /// # let _ = status;
    /// ```
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the error without the headers.
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
        Self { error, headers: DeliveryHeaders::new() }
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

/// The cookie of the current configuration comes last.
fn set_cookie(headers: &DeliveryHeaders) -> Option<&HeaderValue> {
    headers.iter().rev().find(|(name, _)| *name == SET_COOKIE).map(|(_, value)| value)
}
