//! How many sessions an owner may have at once.

use super::Store;
use super::edit::Edit;
use super::id::StoreKey;
use super::origin::Content;
use crate::provider::Page;
use crate::{Error, event};

impl Store {
    /// Ends the oldest sessions of an edit's new owner, down to what an owner may have. Returns
    /// whether the session of `key`, which is about to be the owner's newest, is one of them.
    ///
    /// Logins that happen at the same time all sort alike, so that they agree on who stays.
    pub(super) async fn cap(&self, edit: &Edit, key: &StoreKey) -> Result<bool, Error> {
        let (Some(most), Some(owner)) = (self.inner.most_sessions, edit.owner()) else {
            return Ok(false);
        };
        let mut sessions = Vec::new();
        let mut after = None;
        loop {
            let page = Page { after, limit: super::end::PAGE };
            let listed = self.inner.provider.list(owner, page, self.now()).await?;
            for record in listed.records {
                let created = match Content::parse(edit.kind.name(), &record.data) {
                    Ok(Content::Session(stored)) => stored.summary.created_at,
                    // Nobody can tell how old it is; it counts as the oldest.
                    _ => std::time::SystemTime::UNIX_EPOCH,
                };
                if let Ok(key) = record.id.parse::<StoreKey>() {
                    sessions.push((created, key));
                }
            }
            match listed.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        sessions.sort_unstable();
        let mut ends = false;
        let above = sessions.len().saturating_sub(most);
        for (_, oldest) in sessions.drain(..above) {
            if oldest == *key {
                ends = true;
            } else if self.end(&oldest).await?.is_some() {
                event::ended(edit.kind.name(), &oldest, "cap");
            }
        }
        Ok(ends)
    }
}
