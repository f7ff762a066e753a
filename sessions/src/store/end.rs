//! Ending sessions: one's own, another, or all of an owner's.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::commit::Done;
use super::edit::Edit;
use super::id::StoreKey;
use super::origin::successor;
use super::save::{Patience, Put};
use super::{Kind, Origin, Outcome, Store};
use crate::cookie::{self, CookieHeaders};
use crate::event::{self, Call, Ended, observe};
use crate::provider::{Deleted, Expect, Page, Record};
use crate::{Error, SessionData};

impl Store {
    /// Ends the session of this key, as [`list`](Self::list) names it. Returns whether there was
    /// a live one.
    ///
    /// It does not ask whose session it is: an app that lets people end their own checks that
    /// the key is in their list.
    ///
    /// # Errors
    /// When the provider cannot answer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse()?;
    /// assert!(!store.revoke(&key).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke(&self, key: &StoreKey) -> Result<bool, Error> {
        self.needs_records("revoke()")?;
        let work = self.end(key);
        let ended = observe(Call::Revoke, "", None, work, |ended| match ended {
            Some((_, key)) => (Ended::Done, Some(key)),
            None => (Ended::Gone, None),
        })
        .await?;
        if let Some((format, key)) = &ended {
            event::ended(format.split('/').next().unwrap_or_default(), key, "revoked");
        }
        Ok(ended.is_some())
    }

    /// Deletes the record of a key, or what took its place: the format of the live one, and its
    /// key.
    pub(super) async fn end(
        &self,
        key: &StoreKey,
    ) -> Result<Option<(Cow<'static, str>, StoreKey)>, Error> {
        let mut key = key.clone();
        for _ in 0..MOST_RENEWALS {
            let deleted = self.inner.provider.delete(key.as_str(), Expect::Any, self.now()).await?;
            let Deleted::Deleted(Some(record)) = deleted else { break };
            match successor(&record) {
                Some(next) => key = next,
                None if record.is_live(self.now()) => return Ok(Some((record.format, key))),
                None => break,
            }
        }
        Ok(None)
    }

    /// Ends all sessions of an owner but `except`: "log out everywhere". Returns how many.
    ///
    /// A login of this owner that is under way at this moment, with a password that was checked
    /// before, is undone.
    ///
    /// # Errors
    /// When the provider cannot answer; some sessions may have ended by then.
    ///
    /// ```
    /// use sessions::Session;
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
    /// let ended = store.revoke_all::<Visitor>(7, None).await?;
    /// assert_eq!(ended, 0);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_all<T: SessionData>(
        &self,
        owner: impl Display + Send,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        self.needs_records("revoke_all()")?;
        let kind = self.kind::<T>()?;
        let name = owner.to_string();
        drop(owner);
        let work = self.end_all(&kind, &name, except);
        let end = |_: &u64| (Ended::Done, None);
        let ended = observe(Call::RevokeAll, kind.name(), None, work, end).await?;
        event::revoked_all(kind.name(), ended);
        Ok(ended)
    }

    async fn end_all(
        &self,
        kind: &Kind,
        name: &str,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        self.raise_fence(kind, name).await?;
        let owner = kind.owner(name);
        let mut ended = 0;
        // A session that takes a new id meanwhile may move to where this has been already. So it
        // goes through the list again until nothing is left to end.
        loop {
            let found = self.revoke_listed(kind, &owner, except).await?;
            ended += found;
            if found == 0 {
                return Ok(ended);
            }
        }
    }

    async fn revoke_listed(
        &self,
        kind: &Kind,
        owner: &str,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let mut ended = 0;
        let mut after = None;
        loop {
            let page = Page { after, limit: PAGE };
            let listed = self.inner.provider.list(owner, page, self.now()).await?;
            for record in listed.records {
                let Ok(key) = record.id.parse::<StoreKey>() else { continue };
                if Some(&key) != except && self.end(&key).await?.is_some() {
                    event::ended(kind.name(), &key, "revoked_all");
                    ended += 1;
                }
            }
            match listed.next {
                Some(next) => after = Some(next),
                None => return Ok(ended),
            }
        }
    }

    /// Ends what a request's cookies stand for. Nothing is decoded.
    pub(crate) async fn destroy_unread(
        &self,
        kind: &Kind,
        cookies: &impl CookieHeaders,
    ) -> Result<Done, Error> {
        let work = self.destroy_now(kind, cookies);
        observe(Call::Destroy, kind.name(), None, work, Done::told).await
    }

    async fn destroy_now(&self, kind: &Kind, cookies: &impl CookieHeaders) -> Result<Done, Error> {
        let (bearer, cookie) = if self.is_client_side() {
            (None, cookie::values(cookies, &kind.cookie.name).next().is_some())
        } else {
            self.open_cookies(kind, cookies, self.now()).await?
        };
        if let Some(bearer) = bearer {
            let key = kind.key(&bearer.id);
            self.end(&key).await?;
            event::ended(kind.name(), &key, "destroyed");
        }
        self.destroy_origin(kind, Origin::New { cookie }).await
    }

    /// `destroy()` of a loaded session. It needs no decoding, so logging out works whatever the
    /// record holds.
    pub(super) async fn destroy_origin(&self, kind: &Kind, origin: Origin) -> Result<Done, Error> {
        let cookie = match &origin {
            Origin::Client(_) => true,
            Origin::New { cookie } => *cookie,
            Origin::Record(loaded) => {
                self.end(&loaded.key).await?;
                event::ended(kind.name(), &loaded.key, "destroyed");
                true
            }
            Origin::Ended { key } => {
                self.end(key).await?;
                event::ended(kind.name(), key, "destroyed");
                true
            }
        };
        let set_cookie = if cookie { Some(kind.cookie.clear()?) } else { None };
        Ok(Done::new(Outcome::Destroyed, Origin::New { cookie: false }, set_cookie))
    }

    /// Whether the owner that an edit logs in was logged out everywhere since the session was
    /// loaded: then its password may have been checked before that.
    pub(super) async fn is_fenced(
        &self,
        edit: &Edit,
        loaded_at: SystemTime,
    ) -> Result<bool, Error> {
        let Some(owner) = &edit.owner_name else { return Ok(false) };
        let key = edit.kind.fence(owner);
        let fence = self.inner.provider.fetch(key.as_str(), self.now()).await?;
        Ok(fence.and_then(|fence| fence_time(&fence)).is_some_and(|time| time >= loaded_at))
    }

    async fn raise_fence(&self, kind: &Kind, owner: &str) -> Result<(), Error> {
        let key = kind.fence(owner);
        let now = self.now();
        let mut patience = Patience::new();
        let mut expect = Expect::Absent;
        loop {
            let record = Record {
                id: key.shared(),
                version: match expect {
                    Expect::Version(version) => version + 1,
                    Expect::Absent | Expect::Untouched { .. } | Expect::Any => 1,
                },
                expires_at: Some(now + FENCE_LIFE),
                format: "fence".into(),
                data: Bytes::copy_from_slice(&nanos(now).to_be_bytes()),
                owner: None,
            };
            let is_mine = |it: &Record| fence_time(it).is_some_and(|time| time >= now);
            match self.put(&record, expect, self.now(), &mut patience, is_mine).await? {
                Put::Saved | Put::Found(_) => return Ok(()),
                Put::Conflict(Some(fence)) if is_mine(&fence) => return Ok(()),
                Put::Conflict(Some(fence)) => expect = Expect::Version(fence.version),
                Put::Conflict(None) | Put::Moved => expect = Expect::Absent,
            }
            patience.after_conflict().await?;
        }
    }
}

/// To the nanosecond: a login right after a `revoke_all` is none that was under way.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn fence_time(fence: &Record) -> Option<SystemTime> {
    let nanos = fence.data.as_ref().try_into().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(u64::from_be_bytes(nanos)))
}

/// A chain of tombstones is as long as the renewals of its last minute.
pub(super) const MOST_RENEWALS: usize = 64;

/// Longer than any request that checks a password.
const FENCE_LIFE: Duration = Duration::from_secs(60 * 60);

/// How many sessions to ask for at once.
pub(super) const PAGE: u32 = 100;
