//! The purpose of a token.

use std::fmt;
use std::sync::Arc;

/// The purpose of a token. A token of one purpose does not open as another's.
///
/// Create each purpose once, and keep it: the codec looks its key up by the purpose. Clones are
/// cheap.
///
/// ```
/// use sessions::codec::Purpose;
///
/// let reset = Purpose::new("password reset");
/// assert_ne!(reset, Purpose::new("e-mail address change"));
/// assert_eq!(reset.name(), "password reset");
/// ```
#[derive(Clone)]
pub struct Purpose(Arc<PurposeParts>);

struct PurposeParts {
    kind: &'static str,
    name: Box<str>,
}

impl Purpose {
    /// Creates a purpose of the application. The name is part of the key, so changing it makes
    /// earlier tokens invalid.
    ///
    /// ```
    /// use sessions::codec::Purpose;
    /// let _invitation = Purpose::new("invitation");
    /// ```
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::of_kind("value", name)
    }

    /// Creates the purpose of a session's cookie of this name.
    pub(crate) fn session(cookie_name: &str) -> Self {
        Self::of_kind("session", cookie_name)
    }

    /// Creates the purpose of the tokens that clients of this session type carry in a header.
    pub(crate) fn session_header(session: &str) -> Self {
        Self::of_kind("session header", session)
    }

    /// Creates the purpose of the paths that visitors come back to.
    pub(crate) fn return_path() -> Self {
        Self::of_kind("return path", "")
    }

    /// Creates the purpose of a cookie of this name that holds a whole session.
    pub(crate) fn client_side(cookie_name: &str) -> Self {
        Self::of_kind("client-side session", cookie_name)
    }

    /// Creates the purpose of the data of an app's records.
    pub(crate) fn records() -> Self {
        Self::of_kind("record", "")
    }

    /// Creates a purpose of what binds sessions to devices.
    #[cfg(feature = "dbsc")]
    pub(crate) fn device(kind: &'static str, name: &str) -> Self {
        Self::of_kind(kind, name)
    }

    /// Returns the name that it was created with.
    ///
    /// ```
    /// assert_eq!(sessions::codec::Purpose::new("invitation").name(), "invitation");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The prefix that separates the application's purposes from the library's own.
    pub(crate) fn kind(&self) -> &'static str {
        self.0.kind
    }

    fn of_kind(kind: &'static str, name: &str) -> Self {
        Self(Arc::new(PurposeParts { kind, name: name.into() }))
    }
}

impl PartialEq for Purpose {
    fn eq(&self, other: &Self) -> bool {
        // Almost always the same allocation. Every request compares purposes.
        Arc::ptr_eq(&self.0, &other.0)
            || (self.kind() == other.kind() && self.name() == other.name())
    }
}

impl Eq for Purpose {}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Purpose").field(&self.kind()).field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_purpose_is_not_the_applications() {
        assert_ne!(Purpose::session("visitor"), Purpose::new("visitor"));
        assert_eq!(Purpose::session("visitor"), Purpose::session("visitor"));
    }
}
