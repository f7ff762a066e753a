//! The words that events, spans and metrics share: what was called, how it ended, why a token was
//! refused.

use crate::error::Error;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Load,
    Commit,
    Destroy,
    Update,
    Revoke,
    RevokeAll,
    List,
    Purge,
    Refresh,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// The session was there.
    Live,
    /// There is no session yet, or none any more.
    New,
    /// The session has ended, or a login or a renewal has superseded its cookie.
    Gone,
    Unchanged,
    Saved,
    Destroyed,
    Dropped,
    /// What has no other outcome.
    Done,
    Unavailable,
    Conflict,
    Unreadable,
    Failed,
}

impl Operation {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) const ALL: [Self; 9] = [
        Self::Load,
        Self::Commit,
        Self::Destroy,
        Self::Update,
        Self::Revoke,
        Self::RevokeAll,
        Self::List,
        Self::Purge,
        Self::Refresh,
    ];

    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Commit => "commit",
            Self::Destroy => "destroy",
            Self::Update => "update",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke_all",
            Self::List => "list",
            Self::Purge => "purge",
            Self::Refresh => "refresh",
        }
    }
}

impl CallOutcome {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) const ALL: [Self; 12] = [
        Self::Live,
        Self::New,
        Self::Gone,
        Self::Unchanged,
        Self::Saved,
        Self::Destroyed,
        Self::Dropped,
        Self::Done,
        Self::Unavailable,
        Self::Conflict,
        Self::Unreadable,
        Self::Failed,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Unchanged => "unchanged",
            Self::Saved => "saved",
            Self::Destroyed => "destroyed",
            Self::Dropped => "dropped",
            Self::Done => "done",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of(error: &Error) -> Self {
        if matches!(error, Error::Gone | Error::LoginUndone | Error::TooManySessions { .. }) {
            Self::Dropped
        } else if error.is_unreadable() {
            Self::Unreadable
        } else if error.is_unavailable() {
            Self::Unavailable
        } else if error.is_conflict() {
            Self::Conflict
        } else {
            Self::Failed
        }
    }
}

/// Why a token did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// Its text is none that the codec makes.
    Malformed,
    /// Its key does not exist, any more or at all.
    UnknownKey,
    /// Its key was erased by an emergency rotation.
    ErasedKey,
    /// Its key cannot be unwrapped.
    ClosedKey,
    /// It was changed, or sealed for another app, purpose or cookie.
    Forged,
    /// It is too old or too new, or its payload has a wrong length.
    Expired,
}

impl TokenRefusal {
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) const ALL: [Self; 6] = [
        Self::Malformed,
        Self::UnknownKey,
        Self::ErasedKey,
        Self::ClosedKey,
        Self::Forged,
        Self::Expired,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::ErasedKey => "erased_key",
            Self::ClosedKey => "closed_key",
            Self::Forged => "forged",
            Self::Expired => "expired",
        }
    }
}
