//! What a login does whose owner has too many sessions.

/// What a login does whose owner has as many sessions as
/// [`max_sessions_per_owner`](crate::StoreBuilder::max_sessions_per_owner) allows.
///
/// ```
/// use sessions::{AtLimit, MemoryProvider, Store};
///
/// let store = Store::builder(MemoryProvider::new())
///     .max_sessions_per_owner(3)
///     .at_limit(AtLimit::RefuseLogin)
///     .build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtLimit {
    /// It ends the session with the oldest login. This is the default.
    #[default]
    EndOldest,
    /// It fails with [`Error::TooManySessions`](crate::Error::TooManySessions), and nothing is saved
    /// or ended. The handler can show the list and end what the owner chooses, then save again. Of
    /// several logins at the same moment, all may be refused.
    RefuseLogin,
}

/// The limit of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(super) most: usize,
    pub(super) at: AtLimit,
}
