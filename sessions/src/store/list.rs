//! The sessions of an owner.

use std::fmt::Display;
use std::time::SystemTime;

use super::Store;
use super::id::StoreKey;
use super::origin::Content;
use crate::event::{Call, Ended, observe};
use crate::provider::{Listed, Page};
use crate::{Error, SessionData};

/// One of an owner's sessions, as [`Store::list`] tells of it.
///
/// ```
/// fn line(session: &sessions::SessionInfo) -> String {
///     format!("{} since {:?}", session.label.as_deref().unwrap_or("a device"), session.created_at)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its name, to [`revoke`](Store::revoke) it by.
    pub key: StoreKey,
    /// When its owner logged in.
    pub created_at: SystemTime,
    /// When it was last used, to within the touch interval; near the end of a session's lifetime
    /// an earlier time.
    pub last_seen: SystemTime,
    /// When it ends if it is not used again.
    pub expires_at: Option<SystemTime>,
    /// What the app called it with [`Session::set_label`](crate::Session::set_label).
    pub label: Option<String>,
}

/// One page of an owner's sessions.
///
/// ```
/// assert!(sessions::Sessions::default().next.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sessions {
    /// The live sessions, in an order that stays the same from page to page.
    pub sessions: Vec<SessionInfo>,
    /// What to ask for the next page with; `None` on the last.
    pub next: Option<String>,
}

impl Store {
    /// The live sessions of an owner, a page at a time.
    ///
    /// A session whose record this build cannot read is left out.
    ///
    /// # Errors
    /// When the provider cannot answer or keeps no list.
    ///
    /// ```
    /// use sessions::{Session, provider::Page};
    /// # use sessions::{MemoryProvider, Store};
    ///
    /// #[derive(Session)]
    /// #[session(name = "visitor", version = 1)]
    /// struct Visitor {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// let page = store.list::<Visitor>(7, Page::first(20)).await?;
    /// assert!(page.sessions.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn list<T: SessionData>(
        &self,
        owner: impl Display + Send,
        page: Page,
    ) -> Result<Sessions, Error> {
        self.needs_records("list()")?;
        let kind = self.kind::<T>()?;
        let owner = kind.owner(&owner.to_string());
        let work = async { Ok(self.inner.provider.list(&owner, page, self.now()).await?) };
        let end = |_: &Listed| (Ended::Done, None);
        let listed = observe(Call::List, kind.name(), None, work, end).await?;
        let sessions = listed
            .records
            .into_iter()
            .filter_map(|record| {
                let Ok(Content::Session(stored)) = Content::parse(kind.name(), &record.data) else {
                    return None;
                };
                let span = self.span(&stored.summary);
                Some(SessionInfo {
                    key: record.id.parse().ok()?,
                    created_at: stored.summary.created_at,
                    last_seen: record
                        .expires_at
                        .map_or(stored.summary.created_at, |at| span.last_seen(at)),
                    expires_at: record.expires_at,
                    label: stored.header().ok()?.label.as_deref().map(str::to_owned),
                })
            })
            .collect();
        Ok(Sessions { sessions, next: listed.next })
    }
}
