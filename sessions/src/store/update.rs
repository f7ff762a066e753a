//! A session changed in the background, by its key.

use std::sync::Arc;

use super::edit::{Asks, Edit};
use super::id::StoreKey;
use super::origin::{Content, successor};
use super::save::{Patience, Put, SaveId};
use super::{Kind, Loaded, Store};
use crate::event::{self, Call, Ended, observe};
use crate::provider::{Expect, Record};
use crate::{Error, SessionData};

impl Store {
    /// Changes the session of this key, wherever its visitor is: from a background job, a webhook,
    /// an operator's page. `None` if there is no live session; else what `change` returned.
    ///
    /// `change` runs again, on the newer value, when somebody else saved the session meanwhile.
    /// The session keeps its id, also where a field of the group "owner" changes: only its
    /// visitor's own request can take a new one. It does not count as activity: the session ends
    /// when it would have ended. It follows a session that has taken a new id within the last
    /// minute.
    ///
    /// # Errors
    /// As [`Store::commit`]. [`Error::Config`] when the key names a session of another type, or when
    /// `change` assigns the owner: a session whose owner changes needs a new id, and only its
    /// visitor's next request can take one.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, Session, Store};
    /// # #[derive(Session)]
    /// # #[session(name = "visitor", version = 1)]
    /// # struct Visitor { notices: Vec<String> }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = Store::new(MemoryProvider::new());
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.notices.push("hello".to_owned());
    /// let _ = store.commit(&mut visitor).await?;
    ///
    /// // Later, in a job that kept the key:
    /// let key = visitor.key().expect("it was saved").clone();
    /// let told = store
    ///     .update::<Visitor, _>(&key, |visitor| visitor.notices.push("your order left".to_owned()))
    ///     .await?;
    /// assert!(told.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn update<T: SessionData, R: Send>(
        &self,
        key: &StoreKey,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<Option<R>, Error> {
        self.needs_records("update()")?;
        let kind = self.kind::<T>()?;
        let work = self.update_now(&kind, key, &mut change);
        let (result, _, _) =
            observe(Call::Update, kind.name(), None, work, |(_, ended, key)| (*ended, Some(key)))
                .await?;
        Ok(result)
    }

    /// The change's result, how it ended, and the session's key.
    async fn update_now<T: SessionData, R: Send>(
        &self,
        kind: &Arc<Kind>,
        key: &StoreKey,
        change: &mut (impl FnMut(&mut T) -> R + Send),
    ) -> Result<(Option<R>, Ended, StoreKey), Error> {
        let save = SaveId::random();
        let mut patience = Patience::new();
        let Some(mut found) = self.follow(key).await? else {
            return Ok((None, Ended::Gone, key.clone()));
        };
        loop {
            let (key, record) = &found;
            // The key of another type's session must not be read as this one's.
            let name = record.format.split('/').next().unwrap_or_default();
            if name != kind.name() {
                return Err(Error::config(format!(
                    "the key names a session of type \"{name}\", not of type \"{}\"",
                    kind.name()
                )));
            }
            let Content::Session(stored) = Content::parse(kind.name(), &record.data)? else {
                return Ok((None, Ended::Gone, key.clone()));
            };
            let mut value = T::load(&stored)?;
            let result = change(&mut value);
            let base = stored.fields(kind.table)?;
            let now = self.now();
            let edit = Edit::new(
                kind.clone(),
                base,
                value.fields()?,
                record.owner.as_ref(),
                &Asks::default(),
                now,
            )?;
            if edit.diff.owner {
                return Err(Error::config(
                    "update() cannot change a session's owner, for that takes a new id; end the \
                     session with revoke() instead",
                ));
            }
            if !edit.diff.changed {
                return Ok((Some(result), Ended::Unchanged, key.clone()));
            }
            let loaded = Loaded::new(key.clone(), None, record.clone(), stored);
            let mut draft = edit.over(&loaded)?;
            save.stamp(&mut draft.header);
            let mut next = self.record(&record.id, record.version + 1, &draft, now)?;
            // What happens behind a visitor's back is no activity of theirs.
            next.expires_at = record.expires_at;
            let expect = Expect::Version(record.version);
            let is_mine = |record: &Record| save.is_in(record);
            let theirs = match self.put(&next, expect, now, &mut patience, is_mine).await? {
                Put::Saved | Put::Found(_) | Put::Moved => {
                    return Ok((Some(result), Ended::Saved, key.clone()));
                }
                Put::Conflict(None) => return Ok((None, Ended::Gone, key.clone())),
                Put::Conflict(Some(theirs)) => theirs,
            };
            event::conflicted(kind.name(), key);
            patience.after_conflict().await?;
            found = match successor(&theirs) {
                None => (key.clone(), theirs),
                Some(next) => match self.follow(&next).await? {
                    Some(found) => found,
                    None => return Ok((None, Ended::Gone, next)),
                },
            };
        }
    }

    /// The live record of a key, or of what took its place.
    async fn follow(&self, key: &StoreKey) -> Result<Option<(StoreKey, Record)>, Error> {
        let mut key = key.clone();
        for _ in 0..super::end::MOST_RENEWALS {
            let record = self.inner.provider.fetch(key.as_str(), self.now()).await?;
            let Some(record) = record else { return Ok(None) };
            match successor(&record) {
                Some(next) => key = next,
                None => return Ok(Some((key, record))),
            }
        }
        Ok(None)
    }
}
