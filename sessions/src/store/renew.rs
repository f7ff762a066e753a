//! A session that goes on under another id: at login, and wherever its rights change.
//!
//! The new record is saved first; then the old one is replaced by a tombstone, under the version
//! that was copied. Whoever changed the old record in between is merged, and whoever ended it has
//! ended this too. A request that still brings the old id finds the tombstone: it can neither
//! reach the new session nor overwrite its cookie.

use std::time::{Duration, SystemTime};

use super::commit::{Done, Place};
use super::edit::Edit;
use super::id::StoreKey;
use super::origin::{Content, TOMBSTONE_FORMAT, successor, tombstone};
use super::save::{Patience, Put, Written};
use super::{Kind, Loaded, Store};
use crate::provider::{Expect, Record};
use crate::{Error, event};

impl Store {
    /// Carries an edit over to a new id.
    pub(super) async fn renew(
        &self,
        edit: &Edit,
        from: &Loaded,
        loaded_at: SystemTime,
    ) -> Result<Done, Error> {
        let (bearer, key) = self.new_id(&edit.kind)?;
        let draft = edit.over(from)?;
        // Sealed before anything is saved: once the old id is dead, a cookie must name the new.
        let set_cookie = self.cookie(&edit.kind, &bearer, &draft.header.summary).await?;
        let mut patience = Patience::new();
        let moved = match self.put_copy(&key, 0, edit, draft, &mut patience).await? {
            Some(copy) => self.move_over(edit, from, &key, copy, loaded_at, &mut patience).await,
            None => Ok(None),
        };
        match moved {
            Ok(Some(written)) => {
                event::renewed(edit.kind.name(), &from.key, &key);
                let place = Place::New(Box::new((key, bearer)));
                Ok(Done::saved(edit.kind.clone(), written, place, Some(set_cookie)))
            }
            Ok(None) => {
                self.inner.provider.delete(key.as_str(), Expect::Any, self.now()).await?;
                Ok(Done::dropped(&edit.kind, from.key.clone(), "ended"))
            }
            Err(error) => {
                self.discard(&edit.kind, &key).await;
                Err(error)
            }
        }
    }

    /// Whether a session that was saved for a new owner may stay: its owner was not logged out
    /// everywhere since it was loaded, and has not too many others that are newer.
    pub(super) async fn admits(
        &self,
        edit: &Edit,
        key: &StoreKey,
        loaded_at: SystemTime,
    ) -> Result<bool, Error> {
        if self.is_fenced(edit, loaded_at).await? {
            event::fenced(edit.kind.name(), key);
            return Ok(false);
        }
        Ok(!self.cap(edit, key).await?)
    }

    /// Removes a record whose id no browser will have. Where that fails it only waits for its
    /// expiry: the error that led here is what counts.
    pub(super) async fn discard(&self, kind: &Kind, key: &StoreKey) {
        if let Err(error) = self.inner.provider.delete(key.as_str(), Expect::Any, self.now()).await
        {
            event::discard_failed(kind.name(), key, &error.into());
        }
    }

    /// Puts a tombstone in the old record's place. `None`: the session ended meanwhile, and the
    /// new record has to go too.
    async fn move_over(
        &self,
        edit: &Edit,
        from: &Loaded,
        to: &StoreKey,
        mut written: Box<Written>,
        loaded_at: SystemTime,
        patience: &mut Patience,
    ) -> Result<Option<Box<Written>>, Error> {
        if !self.admits(edit, to, loaded_at).await? {
            return Ok(None);
        }
        let mut version = from.version;
        let mut turn = None;
        loop {
            let now = self.now();
            let until = now + TOMBSTONE_LIFE;
            let stone = Record {
                id: from.id.clone(),
                version: version + 1,
                expires_at: Some(until),
                format: TOMBSTONE_FORMAT.into(),
                data: tombstone(to, until),
                owner: None,
            };
            let is_mine = |record: &Record| successor(record).as_ref() == Some(to);
            let expect = Expect::Version(version);
            let theirs = match self.put(&stone, expect, now, patience, is_mine).await? {
                Put::Saved | Put::Found(_) => return Ok(Some(written)),
                Put::Conflict(None) | Put::Moved => return Ok(None),
                Put::Conflict(Some(theirs)) => theirs,
            };
            event::conflicted(edit.kind.name(), &from.key);
            let Some(theirs) = self.newest(theirs, patience, &mut turn).await? else {
                return Ok(None);
            };
            let Content::Session(stored) = Content::parse(edit.kind.name(), &theirs.data)? else {
                return Ok(None);
            };
            // The old session was saved since it was copied.
            let draft = edit.onto(to, &stored, theirs.owner)?;
            let copy = written.record.version;
            written = match self.put_copy(to, copy, edit, draft, patience).await? {
                Some(written) => written,
                None => return Ok(None),
            };
            version = theirs.version;
        }
    }
}

/// How long a request that was under way at a renewal may still bring the old id.
const TOMBSTONE_LIFE: Duration = Duration::from_secs(60);
