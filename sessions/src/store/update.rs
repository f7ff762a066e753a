//! Changing a session in the background, by its key.

use std::sync::Arc;

use super::core::Core;
use super::patch::{Asks, Patch};
use super::save::{Patience, SaveOutcome};
use super::session_type::SessionType;
use crate::data::SessionData;
use crate::error::Error;
use crate::id::StoreKey;
use crate::provider::{Expect, Record};
use crate::schema::header::MAX_SAVES;
use crate::schema::stored::Stored;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

impl Core {
    /// See [`Store::update`](crate::Store::update).
    pub(crate) async fn update<T: SessionData, R: Send>(
        &self,
        whose: Whose<'_>,
        key: &StoreKey,
        change: &mut (impl FnMut(&mut T) -> R + Send),
    ) -> Result<Option<R>, Error> {
        self.needs_records("update()")?;
        self.epochs.read_if_old().await?;
        let session_type = self.session_type::<T>()?;
        let work = async {
            let updated = self.update_session(&session_type, whose, key, change).await?;
            Ok::<_, Error>((updated, key))
        };
        let ((result, _), _) = observe(
            Operation::Update,
            session_type.name(),
            None,
            work,
            |done: &((Option<R>, CallOutcome), &StoreKey)| (done.0.1, Some(done.1)),
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
    ) -> Result<(Option<R>, CallOutcome), Error> {
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
            let Some(record) = found else { return Ok((None, CallOutcome::Gone)) };
            // A key of another session type must not be read as this type.
            let other = record.format.split('/').next().unwrap_or_default();
            if other != name {
                return Err(Error::misuse(format!(
                    "the key names a session of type \"{other}\", not of type \"{name}\""
                )));
            }
            let stored = Stored::parse(name, &record.data)?;
            if let (true, Some((result, version))) = (lost, sent.take()) {
                if stored.header()?.saves.contains(&save) {
                    return Ok((Some(result), CallOutcome::Saved));
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
                return Ok((None, CallOutcome::Gone));
            }
            let mut value = T::load(&stored)?;
            if !session_type.files(record.owner.as_deref(), &value) {
                self.events.misfiled(name, key);
                return Ok((None, CallOutcome::Gone));
            }
            let result = change(&mut value);
            let patch = Patch::new(
                session_type.clone(),
                stored.fields(session_type.table)?,
                value.fields()?,
                record.owner.as_ref(),
                Asks { skip_touch: true, ..Asks::default() },
                self.now(),
            )?;
            if patch.diff.owner {
                return Err(Error::misuse(
                    "update() cannot change a session's owner: only a visitor's own request can \
                     log them in; end the session with revoke() instead",
                ));
            }
            if !patch.diff.changed {
                return Ok((Some(result), CallOutcome::Unchanged));
            }
            let mut draft = patch.over(&stored, record.owner.as_ref(), None)?;
            draft.stamp(save);
            let mut next =
                self.record(session_type, &record.id, record.version, &draft, patch.now)?;
            // A background change is no activity of the visitor, and must not undo an expiry that a
            // touch moves at the same time.
            next.expires_at = record.expires_at;
            let Record { version, expires_at, .. } = record;
            let expect = Expect::Untouched { version, expires_at };
            sent = Some((result, version));
            match self.save(&next, expect, false, patch.now, &mut patience, &mut lost).await? {
                SaveOutcome::Saved => {
                    return Ok((sent.map(|(result, _)| result), CallOutcome::Saved));
                }
                SaveOutcome::Conflict(None) => return Ok((None, CallOutcome::Gone)),
                SaveOutcome::Conflict(theirs) => found = theirs,
            }
            self.events.conflicted(name, key);
            patience.after_conflict().await?;
        }
    }
}

/// Whose session may be changed.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'o> {
    Anybodys,
    /// This owner's, or nobody's.
    Of(Option<&'o str>),
}
