//! The error of the crate.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;

use crate::provider::{ProviderError, Source};

/// An error of a [`Store`](crate::Store), a [`Session`](struct@crate::Session) or a
/// [`Codec`](crate::codec::Codec).
///
/// Branch on [`status`](Self::status) or the predicates ([`is_unavailable`](Self::is_unavailable),
/// [`is_conflict`](Self::is_conflict)) if they are precise enough, because later versions may add
/// variants.
///
/// ```
/// use sessions::Error;
///
/// fn advice(error: &Error) -> &'static str {
///     match error {
///         Error::Conflict { .. } | Error::Gone => "load the session again",
///         Error::NewerSchema { .. } => "finish the deploy, or let visitors log in again",
///         Error::Decode { .. } => "this build cannot read its own record: look at the source",
///         Error::Config(_) | Error::Misuse(_) => "the text says what to write instead",
///         _ => "try again later",
///     }
/// }
/// # assert_eq!(advice(&Error::Gone), "load the session again");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The token is forged, expired, damaged, or sealed for another app, purpose or cookie. The
    /// error deliberately does not say which; a debug event does.
    InvalidToken,

    /// The provider or a key service is down, timed out or throttled. Nothing is known to be lost,
    /// and a later retry may succeed.
    Unavailable(Source),

    /// The provider failed, and a retry does not help: a missing table, bad credentials, a record
    /// too large for the database.
    Provider(ProviderError),

    /// Another request changed the same field at the same time, and the field's merge policy
    /// refuses to choose. Nothing was saved.
    Conflict {
        /// The session type's name.
        session: Cow<'static, str>,
        /// The field that both requests changed, or the group's first.
        field: Cow<'static, str>,
    },

    /// After it was loaded, the session ended (it was destroyed, was revoked or expired), or
    /// another request renewed it. The changes are not saved: an ended session is never revived,
    /// and a cookie from before a login changes nothing after it.
    Gone,

    /// The login was undone: its owner was logged out everywhere while it was under way, or
    /// [everybody](crate::Store::end_all) was, the owner has too many other sessions, or it took more
    /// than 30 minutes since [`begin_login`](crate::Store::begin_login). Nobody is logged in, and the
    /// visitor may log in again.
    LoginUndone,

    /// The login was refused: its owner has as many sessions as
    /// [`max_sessions_per_owner`](crate::StoreBuilder::max_sessions_per_owner) allows, and the store
    /// [refuses more](crate::AtLimit::RefuseLogin). Nothing was saved, and the handle keeps its
    /// changes: end one of them, and save again.
    TooManySessions {
        /// The limit.
        most: usize,
    },

    /// The session is [bound to a device](crate::DeviceBinding), and the request does not prove that
    /// it comes from there. Nothing was saved. A web service redirects to its login, or answers 401.
    DeviceUnproven,

    /// The visitor has to prove who they are first: nobody is logged in, or the last proof is too
    /// old for what they asked for. [`Session::require_authentication`](crate::Session::require_authentication)
    /// and the extractors `Authenticated` return it. A web service redirects to its login, or
    /// answers 401.
    NotAuthenticated {
        /// The path to come back to, sealed: see
        /// [`Store::open_return_path`](crate::Store::open_return_path).
        return_path: Option<String>,
    },

    /// The record was written by a newer build whose changes this build cannot read. The record
    /// is neither overwritten nor deleted. After a rollback, which no deploy finishes, the handlers
    /// that log in and out take `OrNew` or [`load_or_new`](crate::request::RequestSessions::load_or_new);
    /// [`reset_unreadable`](crate::StoreBuilder::reset_unreadable) gives every such visitor a new
    /// session.
    NewerSchema {
        /// The session type's name.
        session: Cow<'static, str>,
        /// The schema version of the record.
        found: u16,
        /// The lowest schema version that can read the record.
        min_reader: u16,
        /// The schema version of this build.
        supported: u16,
    },

    /// The record could not be decoded or migrated to this build's schema version. It stays
    /// unchanged.
    Decode {
        /// The session type's name.
        session: Cow<'static, str>,
        /// The field at fault, if there is one.
        field: Option<Cow<'static, str>>,
        /// The schema version of the record, or zero if its envelope is unreadable.
        version: u16,
        /// The cause.
        source: Source,
    },

    /// A field could not be encoded. Nothing was saved.
    Encode {
        /// The session type's name.
        session: Cow<'static, str>,
        /// The field at fault.
        field: Cow<'static, str>,
        /// The cause.
        source: Source,
    },

    /// The name and value of a cookie together exceed the 4096 bytes that browsers keep (RFC
    /// 6265bis, section 5.6). The cookie was not written.
    CookieTooLarge {
        /// The cookie's name.
        name: String,
        /// The length of its name and value in bytes.
        length: usize,
    },

    /// A text is no [`StoreKey`](crate::StoreKey).
    InvalidKey,

    /// A setting cannot work. The text says what to write instead. Only building a store, a codec
    /// or a key, and the first use of a key ring, return it.
    Config(Cow<'static, str>),

    /// The program uses the library in a way that cannot work: a handler takes a session but no
    /// layer serves it, two session types have one name, a call needs a runtime. The text says what
    /// to write. The layer's response shows it if it is the same for every request, so whoever
    /// wrote the program sees it.
    Misuse(Cow<'static, str>),
}

impl Error {
    /// Returns whether a later retry may succeed: the store or a key service is down, or the record
    /// needs a newer build, which a rolling deploy may bring. A web service answers 503.
    ///
    /// ```
    /// use sessions::Error;
    /// assert!(!Error::InvalidToken.is_unavailable());
    /// ```
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::NewerSchema { .. } => true,
            Self::Provider(error) => error.is_unavailable(),
            _ => false,
        }
    }

    /// Returns whether two requests changed the same field and its policy refused to choose. A web
    /// service answers 409.
    ///
    /// ```
    /// use sessions::Error;
    /// let error = Error::Conflict { session: "visitor".into(), field: "seat".into() };
    /// assert!(error.is_conflict());
    /// ```
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Returns whether the visitor has to prove who they are first. A web service redirects to its
    /// login, or answers 401.
    ///
    /// ```
    /// use sessions::Error;
    /// assert!(Error::NotAuthenticated { return_path: None }.is_not_authenticated());
    /// ```
    #[must_use]
    pub fn is_not_authenticated(&self) -> bool {
        matches!(self, Self::NotAuthenticated { .. } | Self::DeviceUnproven)
    }

    /// Returns the status that a web service answers: 503 if a retry can help, 409 if another
    /// request was faster, the session has ended, a login was undone or its owner has too many
    /// sessions, 401 if the visitor has to prove who they are, otherwise 500. The layers answer it
    /// too, unless their `on_error` says otherwise.
    ///
    /// ```
    /// use http::StatusCode;
    /// use sessions::Error;
    ///
    /// assert_eq!(Error::LoginUndone.status(), StatusCode::CONFLICT);
    /// assert_eq!(Error::InvalidToken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    /// ```
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            _ if self.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Conflict { .. }
            | Self::Gone
            | Self::LoginUndone
            | Self::TooManySessions { .. } => StatusCode::CONFLICT,
            _ if self.is_not_authenticated() => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the sealed path that the visitor comes back to after they have proved who they are.
    ///
    /// ```
    /// use sessions::Error;
    ///
    /// fn login(error: &Error) -> Option<String> {
    ///     let next = error.return_path()?;
    ///     Some(format!("/login?next={next}"))
    /// }
    /// assert_eq!(login(&Error::Gone), None);
    /// ```
    #[must_use]
    pub fn return_path(&self) -> Option<&str> {
        match self {
            Self::NotAuthenticated { return_path } => return_path.as_deref(),
            _ => None,
        }
    }

    /// Whether a record holds what this build cannot read.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::NewerSchema { .. } | Self::Decode { .. })
    }

    pub(crate) fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    pub(crate) fn config(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Config(text.into())
    }

    pub(crate) fn misuse(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Misuse(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidToken => f.write_str("invalid token"),
            Self::Unavailable(_) => {
                f.write_str("the session store is unavailable, try again later")
            }
            Self::Provider(_) => f.write_str("the session store failed"),
            Self::Conflict { session, field } => write!(
                f,
                "another request changed field `{field}` of session `{session}` at the same time; \
                 load it again, or give the field a merge policy"
            ),
            Self::Gone => f.write_str(
                "the session has ended or was renewed by another request, its changes were not \
                 saved",
            ),
            Self::LoginUndone => f.write_str("the login was undone, log in again"),
            Self::TooManySessions { most } => {
                write!(
                    f,
                    "the owner has {most} sessions already; end one of them, and log in again"
                )
            }
            Self::NotAuthenticated { .. } => f.write_str(
                "the visitor has to log in, or to prove again who they are; redirect to the login",
            ),
            Self::DeviceUnproven => f.write_str(
                "the session is bound to a device, and the request does not prove that it comes \
                 from there; its changes were not saved, log in again",
            ),
            Self::NewerSchema { session, min_reader, supported, .. } if min_reader <= supported => {
                write!(
                    f,
                    "the record of session `{session}` was written by a newer version of this \
                     library; {AFTER_A_ROLLBACK}"
                )
            }
            Self::NewerSchema { session, found, min_reader, supported } => write!(
                f,
                "the record of session `{session}` has schema version {found} and needs a build \
                 of version {min_reader} or later, this one has {supported}; {AFTER_A_ROLLBACK}"
            ),
            Self::Decode { session, field: Some(field), version, .. } => write!(
                f,
                "field `{field}` of a version {version} record of session `{session}` cannot be \
                 read; {WAYS_OUT}"
            ),
            Self::Decode { session, field: None, version: 0, .. } => {
                write!(f, "a record of session `{session}` cannot be read; {WAYS_OUT}")
            }
            Self::Decode { session, field: None, version, .. } => {
                write!(
                    f,
                    "a version {version} record of session `{session}` cannot be read; {WAYS_OUT}"
                )
            }
            Self::Encode { session, field, .. } => {
                write!(f, "field `{field}` of session `{session}` cannot be encoded")
            }
            Self::CookieTooLarge { name, length } => write!(
                f,
                "cookie `{name}` would have {length} bytes, above the 4096 that browsers keep; \
                 store less in it"
            ),
            Self::InvalidKey => f.write_str(
                "the text is no store key: one has the 43 characters that `StoreKey` displays",
            ),
            Self::Config(text) | Self::Misuse(text) => f.write_str(text),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable(source)
            | Self::Decode { source, .. }
            | Self::Encode { source, .. } => Some(&**source),
            Self::Provider(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        if error.is_unavailable() {
            Self::Unavailable(Box::new(error))
        } else {
            Self::Provider(error)
        }
    }
}

const AFTER_A_ROLLBACK: &str = "finish the deploy; after a rollback, `OrNew` lets visitors log in \
    again, and `reset_unreadable` gives them all a new session";

const WAYS_OUT: &str = "`OrNew` lets its visitor log in again, and `reset_unreadable` gives all \
    such visitors a new session";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_down_makes_the_error_unavailable() {
        let down = Error::from(ProviderError::unavailable("connection refused"));
        assert!(down.is_unavailable());
        assert!(down.source().unwrap().to_string().contains("connection refused"));
        let broken = Error::from(ProviderError::permanent("no such table"));
        assert!(!broken.is_unavailable());
    }
}
