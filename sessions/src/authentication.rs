//! What is known of how a session's owner proved who they are.

use std::sync::Arc;
use std::time::SystemTime;

/// A proof of who the owner is, for [`Session::authenticated`](crate::Session::authenticated): how
/// they proved it, how strong that is, and with which credential.
///
/// ```
/// use sessions::Proof;
///
/// let password = Proof::new("pwd");
/// let passkey = Proof::new("hwk").level(2).credential("credential-17");
/// # let _ = (password, passkey);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub(crate) method: Arc<str>,
    pub(crate) level: u8,
    pub(crate) credential: Option<Arc<str>>,
}

impl Proof {
    /// Creates a proof of level 1 by this method, at most 64 bytes. RFC 8176 has names: `pwd` for a
    /// password, `otp` for a one-time code, `hwk` for a key in hardware, `mfa` for several factors.
    ///
    /// ```
    /// let proof = sessions::Proof::new("otp");
    /// # let _ = proof;
    /// ```
    #[must_use]
    pub fn new(method: impl Into<Arc<str>>) -> Self {
        Self { method: method.into(), level: 1, credential: None }
    }

    /// Sets how strong the proof is, by the app's own scale: 1 for one factor and 2 for two, say,
    /// as NIST SP 800-63B numbers its levels.
    ///
    /// ```
    /// let both = sessions::Proof::new("mfa").level(2);
    /// # let _ = both;
    /// ```
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Names the credential that was used, such as the id of a passkey: at most 255 bytes, and
    /// nothing secret. [`Store::revoke_credential`](crate::Store::revoke_credential) ends the
    /// sessions that it opened.
    ///
    /// ```
    /// let proof = sessions::Proof::new("hwk").credential("credential-17");
    /// # let _ = proof;
    /// ```
    #[must_use]
    pub fn credential(mut self, id: impl Into<Arc<str>>) -> Self {
        self.credential = Some(id.into());
        self
    }
}

/// When and how a session's owner last proved who they are, as
/// [`Session::authentication`](crate::Session::authentication) returns it.
///
/// ```
/// use sessions::Authentication;
///
/// fn is_strong(authentication: &Authentication) -> bool {
///     authentication.level >= 2
/// }
/// # let _ = is_strong;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authentication {
    /// When, in whole milliseconds.
    pub at: SystemTime,
    /// The level of the [`Proof`], or 1 for a login without one.
    pub level: u8,
    /// The method of the [`Proof`].
    pub method: Option<Arc<str>>,
    /// The credential of the [`Proof`].
    pub credential: Option<Arc<str>>,
    /// The credential of the login that the session goes back to.
    pub(crate) opened_by: Option<Arc<str>>,
}

impl Authentication {
    /// A login of which the app said no more.
    pub(crate) fn plain(at: SystemTime) -> Self {
        Self { at, level: 1, method: None, credential: None, opened_by: None }
    }

    /// A login with this proof.
    pub(crate) fn of(proof: &Proof, at: SystemTime) -> Self {
        let Proof { method, level, credential } = proof;
        Self {
            at,
            level: *level,
            method: Some(method.clone()),
            credential: credential.clone(),
            opened_by: credential.clone(),
        }
    }

    /// Whether the session was opened with this credential, or is used by virtue of it.
    pub(crate) fn used(&self, credential: &str) -> bool {
        [&self.credential, &self.opened_by].into_iter().flatten().any(|used| **used == *credential)
    }
}
