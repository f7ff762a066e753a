//! Changing a session in the background, by its key.

use std::fmt::Display;
use std::sync::Arc;

use super::Store;
use super::patch::{Asks, Patch};
use super::save::{Patience, SaveOutcome};
use super::session_type::SessionType;
use crate::event::{self, Call, Ended, observe};
use crate::id::StoreKey;
use crate::provider::{Expect, Record};
use crate::schema::{MAX_SAVES, Stored};
use crate::{Error, SessionData};

impl Store {
    /// Changes the session of this key if it belongs to this owner, without a request of its
    /// visitor: from a background job, a webhook, or a page of the app. For the session of an
    /// anonymous visitor, pass `None::<u64>` as `owner`.
    ///
    /// Returns what `change` returned, or `None` if there is no live session of this key or it
    /// belongs to somebody else. If another request saves the session in the meantime, `change`
    /// runs again on the newer value. The session keeps its secret, and the change does not count
    /// as activity: the session still ends when it would have ended.
    ///
    /// A save whose answer was lost is applied once. A second call applies the change a second
    /// time.
    ///
    /// # Errors
    /// The errors of [`Session::commit`](crate::Session::commit). [`Error::Config`] if the key
    /// names a session of another type, or if `change` assigns the owner: only a visitor's own
    /// request can log them in.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// // Later, in a job that kept the key:
    /// let key = visitor.key().expect("it was saved").clone();
    /// let add = |visitor: &mut Visitor| visitor.notices.push("your order left".to_owned());
    /// assert!(store.update::<Visitor, _>(Some(7), &key, add).await?.is_some());
    /// assert!(store.update::<Visitor, _>(Some(8), &key, add).await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn update<T: SessionData, R: Send>(
        &self,
        owner: Option<impl Display + Send>,
        key: &StoreKey,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<Option<R>, Error> {
        let owner = owner.map(|owner| owner.to_string());
        let whose = Whose::Of(owner.as_deref());
        self.observe_update(whose, key, &mut change).await
    }

    /// Changes the session of this key, no matter who owns it. It is for operators. Otherwise it
    /// behaves as [`update`](Self::update).
    ///
    /// # Errors
    /// The errors of [`update`](Self::update).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.notices.push("hello".to_owned());
    /// let _ = visitor.commit().await?;
    ///
    /// let key = visitor.key().expect("it was saved").clone();
    /// let count = |visitor: &mut Visitor| visitor.notices.len();
    /// assert_eq!(store.update_any::<Visitor, _>(&key, count).await?, Some(1));
    /// # Ok(()) }
    /// ```
    pub async fn update_any<T: SessionData, R: Send>(
        &self,
        key: &StoreKey,
        mut change: impl FnMut(&mut T) -> R + Send,
    ) -> Result<Option<R>, Error> {
        self.observe_update(Whose::Anybodys, key, &mut change).await
    }

    async fn observe_update<T: SessionData, R: Send>(
        &self,
        whose: Whose<'_>,
        key: &StoreKey,
        change: &mut (impl FnMut(&mut T) -> R + Send),
    ) -> Result<Option<R>, Error> {
        self.needs_records("update()")?;
        let session_type = self.session_type::<T>()?;
        let work = async {
            let updated = self.update_session(&session_type, whose, key, change).await?;
            Ok::<_, Error>((updated, key))
        };
        let ((result, _), _) = observe(
            Call::Update,
            session_type.name(),
            None,
            work,
            |done: &((Option<R>, Ended), &StoreKey)| (done.0.1, Some(done.1)),
        )
        .await?;
        Ok(result)
    }

    /// Returns the change's result, and how the update ended.
    async fn update_session<T: SessionData, R: Send>(
        &self,
        session_type: &Arc<SessionType>,
        whose: Whose<'_>,
        key: &StoreKey,
        change: &mut (impl FnMut(&mut T) -> R + Send),
    ) -> Result<(Option<R>, Ended), Error> {
        let name = session_type.name();
        let owner = match whose {
            Whose::Anybodys => None,
            Whose::Of(owner) => Some(owner.map(|owner| session_type.owner(owner))),
        };
        let save = rand::random();
        let mut patience = Patience::new();
        let mut lost = false;
        // The change's result, and the version that it was saved over.
        let mut sent: Option<(R, u64)> = None;
        let mut found = self.fetch(key.as_str(), &mut patience).await?;
        loop {
            let Some(record) = found else { return Ok((None, Ended::Gone)) };
            // A key of another session type must not be read as this type.
            let other = record.format.split('/').next().unwrap_or_default();
            if other != name {
                return Err(Error::config(format!(
                    "the key names a session of type \"{other}\", not of type \"{name}\""
                )));
            }
            let stored = Stored::parse(name, &record.data)?;
            if let (true, Some((result, version))) = (lost, sent.take()) {
                if stored.header()?.saves.contains(&save) {
                    return Ok((Some(result), Ended::Saved));
                }
                if record.version > version.saturating_add(MAX_SAVES as u64) {
                    return Err(Error::unavailable(
                        "the answer to an update was lost, and so many saves followed that nobody \
                         can tell whether it took place",
                    ));
                }
                // The earlier save did not happen, and can no longer happen over this version.
                lost = false;
            }
            if owner
                .as_ref()
                .is_some_and(|owner| *owner != record.owner.as_deref().map(str::to_owned))
            {
                return Ok((None, Ended::Gone));
            }
            let mut value = T::load(&stored)?;
            let result = change(&mut value);
            let patch = Patch::new(
                session_type.clone(),
                stored.fields(session_type.table)?,
                value.fields()?,
                record.owner.as_ref(),
                Asks::default(),
                self.now(),
            )?;
            if patch.diff.owner {
                return Err(Error::config(
                    "update() cannot change a session's owner: only a visitor's own request can \
                     log them in; end the session with revoke() instead",
                ));
            }
            if !patch.diff.changed {
                return Ok((Some(result), Ended::Unchanged));
            }
            let mut draft = patch.over(&stored, record.owner.as_ref(), None)?;
            draft.stamp(save);
            let mut next = self.record(&record.id, record.version, &draft, patch.now)?;
            // A background change is no activity of the visitor, and must not undo an expiry that a
            // touch moves at the same time.
            next.expires_at = record.expires_at;
            let Record { version, expires_at, .. } = record;
            let expect = Expect::Untouched { version, expires_at };
            sent = Some((result, version));
            match self.save(&next, expect, patch.now, &mut patience, &mut lost).await? {
                SaveOutcome::Saved => {
                    return Ok((sent.map(|(result, _)| result), Ended::Saved));
                }
                SaveOutcome::Conflict(None) => return Ok((None, Ended::Gone)),
                SaveOutcome::Conflict(theirs) => found = theirs,
            }
            event::conflicted(name, key);
            patience.after_conflict().await?;
        }
    }
}

/// Whose session may be changed.
#[derive(Clone, Copy)]
enum Whose<'o> {
    Anybodys,
    /// This owner's, or nobody's.
    Of(Option<&'o str>),
}
