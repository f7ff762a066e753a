//! What a token is for.

use std::fmt;
use std::sync::Arc;

/// What a token is for: a token of one purpose does not open as another's.
///
/// Make each purpose once, in a constant place, and keep it: the codec finds the purpose's key
/// by it. Clones are cheap.
///
/// ```
/// use sessions::Purpose;
///
/// let reset = Purpose::new("password reset");
/// assert_ne!(reset, Purpose::new("e-mail address change"));
/// assert_eq!(reset.name(), "password reset");
/// ```
#[derive(Clone)]
pub struct Purpose(Arc<Inner>);

struct Inner {
    kind: &'static str,
    name: Box<str>,
}

impl Purpose {
    /// A purpose of the application's own. The name is part of the key: changing it makes the
    /// tokens that were sealed before invalid.
    ///
    /// ```
    /// use sessions::Purpose;
    /// let _invitation = Purpose::new("invitation");
    /// ```
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::of_kind("value", name)
    }

    /// The purpose of a session's cookie of this name.
    pub(crate) fn session(cookie_name: &str) -> Self {
        Self::of_kind("session", cookie_name)
    }

    /// The purpose of a cookie of this name that holds a whole session.
    pub(crate) fn client_side(cookie_name: &str) -> Self {
        Self::of_kind("client-side session", cookie_name)
    }

    /// The purpose of the data of an app's records.
    pub(crate) fn records() -> Self {
        Self::of_kind("record", "")
    }

    /// The name it was made with.
    ///
    /// ```
    /// assert_eq!(sessions::Purpose::new("invitation").name(), "invitation");
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What keeps the purposes of the application apart from the library's own.
    pub(crate) fn kind(&self) -> &'static str {
        self.0.kind
    }

    fn of_kind(kind: &'static str, name: &str) -> Self {
        Self(Arc::new(Inner { kind, name: name.into() }))
    }
}

impl PartialEq for Purpose {
    fn eq(&self, other: &Self) -> bool {
        // Almost always the same allocation: this is on the way of every request.
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
