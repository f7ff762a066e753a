//! After which responses the changes of a request are kept.

/// Which responses keep the changes of a request. Destroying a session always takes effect.
///
/// ```
/// use sessions::{MemoryProvider, Store, commit::KeepChanges};
///
/// let store = Store::builder(MemoryProvider::new()).keep_changes(KeepChanges::OnSuccess).build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepChanges {
    /// Keeps changes unless the status is 5xx or 408. This is the default. A timeout inside the
    /// layer answers 408 and drops the handler before it ends.
    #[default]
    UnlessFailed,
    /// Keeps changes only if the status is 2xx or 3xx.
    OnSuccess,
}

impl KeepChanges {
    #[cfg(any(test, feature = "actix", feature = "axum"))]
    pub(crate) fn keeps(self, status: http::StatusCode) -> bool {
        match self {
            Self::UnlessFailed => {
                !status.is_server_error() && status != http::StatusCode::REQUEST_TIMEOUT
            }
            Self::OnSuccess => status.is_success() || status.is_redirection(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn changes_are_kept_unless_the_response_failed() {
        let kept = |keep: KeepChanges| {
            [200, 302, 404, 408, 500, 503]
                .map(|code| keep.keeps(StatusCode::from_u16(code).unwrap()))
        };
        assert_eq!(kept(KeepChanges::UnlessFailed), [true, true, true, false, false, false]);
        assert_eq!(kept(KeepChanges::OnSuccess), [true, true, false, false, false, false]);
    }
}
