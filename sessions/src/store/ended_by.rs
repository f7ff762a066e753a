//! What ended a session.

/// What ended a session, as [`Session::ended_by`](crate::Session::ended_by) returns it.
///
/// ```
/// use sessions::EndedBy;
///
/// fn message(by: Option<EndedBy>) -> &'static str {
///     match by {
///         Some(EndedBy::Limit) => "You logged in on another device.",
///         Some(EndedBy::RevokeAll) => "You were logged out everywhere.",
///         _ => "Your session has ended.",
///     }
/// }
/// # let _ = message;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// [`Session::destroy`](crate::Session::destroy).
    Logout,
    /// [`Store::revoke`](crate::Store::revoke) or [`revoke_any`](crate::Store::revoke_any).
    Revoke,
    /// [`Store::revoke_all`](crate::Store::revoke_all),
    /// [`revoke_others`](crate::Store::revoke_others) or
    /// [`revoke_credential`](crate::Store::revoke_credential).
    RevokeAll,
    /// A login above [`max_sessions_per_owner`](crate::StoreBuilder::max_sessions_per_owner).
    Limit,
    /// Another owner, or none, in the same browser.
    NewOwner,
}

impl EndedBy {
    /// The reason in events.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Logout => "destroyed",
            Self::Revoke => "revoked",
            Self::RevokeAll => "revoked_all",
            Self::Limit => "cap",
            Self::NewOwner => "replaced",
        }
    }
}
