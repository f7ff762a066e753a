//! The sessions of an owner: listed, ended, and how many there may be.

use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use super::Store;
use super::fence::{Fence, LoginAttempt};
use super::patch::Patch;
use super::save::{EndOutcome, Patience, SaveOutcome, key_of};
use super::session_type::SessionType;
use super::unsettled::Login;
use crate::event::{self, Call, Ended, observe};
use crate::id::{Mark, StoreKey};
use crate::provider::{Expect, Listed, Page, Record};
use crate::schema::{Header, Stored};
use crate::session::Session;
use crate::{Error, SessionData};

/// One of an owner's sessions, as [`Store::list`] describes it.
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
    /// Its key, to [`revoke`](Store::revoke) it by.
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
/// assert!(sessions::SessionPage::default().next.is_none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The live sessions, in an order that stays the same from page to page.
    pub items: Vec<SessionInfo>,
    /// The next page, to be listed as it is; `None` on the last.
    pub next: Option<Page>,
}

impl Store {
    /// Lists the live sessions of an owner, a page at a time.
    ///
    /// A session whose record this build cannot read is left out.
    ///
    /// # Errors
    /// When the provider cannot answer or keeps no list.
    ///
    /// ```
    /// use sessions::{Page, Session};
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
    /// assert!(page.items.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn list<T: SessionData>(
        &self,
        owner: impl Display + Send,
        page: Page,
    ) -> Result<SessionPage, Error> {
        self.needs_records("list()")?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(&owner.to_string());
        let limit = page.limit;
        let work =
            async { Ok::<_, Error>(self.inner.provider.list(&owner, page, self.now()).await?) };
        let end = |_: &Listed| (Ended::Done, None);
        let listed = observe(Call::List, session_type.name(), None, work, end).await?;
        let next = listed.next.map(|mark| Page::after(mark, limit));
        let items = listed.records.into_iter();
        let items = items.filter_map(|record| self.info(&session_type, &record)).collect();
        Ok(SessionPage { items, next })
    }

    fn info(&self, session_type: &SessionType, record: &Record) -> Option<SessionInfo> {
        let stored = Stored::parse(session_type.name(), &record.data).ok()?;
        let (span, created_at) = (self.span(&stored.summary), stored.summary.created_at);
        Some(SessionInfo {
            key: key_of(record)?,
            created_at,
            last_seen: record.expires_at.map_or(created_at, |at| span.last_seen(at)),
            expires_at: record.expires_at,
            label: stored.header().ok()?.label.as_deref().map(str::to_owned),
        })
    }

    /// Ends the session of this key if it is this owner's. Returns whether there was one.
    ///
    /// # Errors
    /// When the provider cannot answer.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    ///
    /// let key = visitor.key().expect("it was saved");
    /// assert!(!store.revoke::<Visitor>(8, key).await?, "another's");
    /// assert!(store.revoke::<Visitor>(7, key).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke<T: SessionData>(
        &self,
        owner: impl Display + Send,
        key: &StoreKey,
    ) -> Result<bool, Error> {
        self.needs_records("revoke()")?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(&owner.to_string());
        let work = async { Ok::<_, Error>((self.end_of(&owner, key).await?, key.clone())) };
        let (ended, _) = observe(Call::Revoke, "", None, work, revoked).await?;
        if ended.is_some() {
            event::ended(session_type.name(), key, "revoked");
        }
        Ok(ended.is_some())
    }

    /// Ends the session of this key, whosever it is: for operators. Returns whether there was a
    /// live one. An app that lets people end their own sessions calls [`revoke`](Self::revoke).
    ///
    /// # Errors
    /// When the provider cannot answer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let store = sessions::Store::new(sessions::MemoryProvider::new());
    /// let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse()?;
    /// assert!(!store.revoke_any(&key).await?);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_any(&self, key: &StoreKey) -> Result<bool, Error> {
        self.needs_records("revoke_any()")?;
        let work = async {
            let record = self.delete_any(key.as_str(), &mut Patience::new()).await?;
            Ok::<_, Error>((record.filter(|record| record.is_live(self.now())), key.clone()))
        };
        let (ended, _) = observe(Call::Revoke, "", None, work, revoked).await?;
        if let Some(record) = &ended {
            event::ended(record.format.split('/').next().unwrap_or_default(), key, "revoked");
        }
        Ok(ended.is_some())
    }

    /// Ends the session of a key as long as it is this owner's.
    async fn end_of(&self, owner: &str, key: &StoreKey) -> Result<Option<Record>, Error> {
        let mut patience = Patience::new();
        let is_theirs = |record: &Record| record.owner.as_deref() == Some(owner);
        let Some(record) = self.fetch(key.as_str(), &mut patience).await? else { return Ok(None) };
        if !is_theirs(&record) {
            return Ok(None);
        }
        let (mut lost, version) = (false, record.version);
        match self.end(key.as_str(), version, &mut patience, &mut lost, is_theirs).await? {
            EndOutcome::Ended(record) => Ok(Some(record)),
            // An earlier try may have ended it.
            EndOutcome::Gone => Ok(Some(record).filter(|_| lost)),
            EndOutcome::Refused(_) => Ok(None),
        }
    }

    /// Ends all sessions of an owner: "log out everywhere". Returns how many.
    ///
    /// It also undoes the logins of this owner that are under way. With
    /// [`begin_login`](Self::begin_login) these are exactly the ones that began before. Without it
    /// the clocks of the two hosts decide: a login is undone if its session was loaded before this
    /// call began, to within the difference of these clocks. Change the password first, then call
    /// this.
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
    /// let ended = store.revoke_all::<Visitor>(7).await?;
    /// assert_eq!(ended, 0);
    /// # Ok(()) }
    /// ```
    pub async fn revoke_all<T: SessionData>(
        &self,
        owner: impl Display + Send,
    ) -> Result<u64, Error> {
        self.needs_records("revoke_all()")?;
        let session_type = self.session_type::<T>()?;
        let name = owner.to_string();
        drop(owner);
        self.observe_revoke_all(&session_type, &name, None).await
    }

    /// Ends all sessions of this session's owner but this one: "log out my other devices". Returns
    /// how many; 0 where the session has no owner.
    ///
    /// # Errors
    /// As [`revoke_all`](Self::revoke_all).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, .. } = example().await?;
    /// let mut visitor = store.load::<Visitor>(&http::HeaderMap::new()).await?;
    /// visitor.user = Some(7);
    /// let _ = visitor.commit().await?;
    /// assert_eq!(store.revoke_others(&visitor).await?, 0);
    /// # Ok(()) }
    /// ```
    // Not an async function, for that would hold the session, and its type need not be `Sync`.
    pub fn revoke_others<'s, T: SessionData>(
        &'s self,
        session: &Session<T>,
    ) -> impl Future<Output = Result<u64, Error>> + Send + use<'s, T> {
        let (owner, key) = (session.owner_name(), session.key().cloned());
        async move {
            self.needs_records("revoke_others()")?;
            let session_type = self.session_type::<T>()?;
            let (Some(owner), Some(key)) = (owner?, key) else { return Ok(0) };
            self.observe_revoke_all(&session_type, &owner, Some(&key)).await
        }
    }

    async fn observe_revoke_all(
        &self,
        session_type: &SessionType,
        name: &str,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let work = self.end_all(session_type, name, except);
        let end = |_: &u64| (Ended::Done, None);
        let ended = observe(Call::RevokeAll, session_type.name(), None, work, end).await?;
        event::revoked_all(session_type.name(), ended);
        Ok(ended)
    }

    async fn end_all(
        &self,
        session_type: &SessionType,
        name: &str,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let mark = self.raise_fence(&session_type.fence(name)).await?;
        let owner = session_type.owner(name);
        let mut ended = 0;
        // A login that is being undone may still be listed, so it goes through the list again
        // until nothing is left to end. Logins without an attempt could go on for ever.
        for _ in 0..MOST_PASSES {
            let found = self.end_listed(session_type, &owner, mark, except).await?;
            ended += found;
            if found == 0 {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends the owner's sessions but `except` and those that began with this fence's mark.
    async fn end_listed(
        &self,
        session_type: &SessionType,
        owner: &str,
        mark: Mark,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let mut patience = Patience::new();
        let mut ended = 0;
        let mut page = Page::first(PAGE);
        // The owner's, as long as it did not begin after the fence was raised.
        let may = |record: &Record| {
            record.owner.as_deref() == Some(owner)
                && header_of(session_type, record).and_then(|header| header.mark) != Some(mark)
        };
        loop {
            let listed = self.inner.provider.list(owner, page, self.now()).await?;
            for record in listed.records {
                let Some(key) = key_of(&record) else { continue };
                if Some(&key) == except || !may(&record) {
                    continue;
                }
                let (version, lost) = (record.version, &mut false);
                let end = self.end(key.as_str(), version, &mut patience, lost, may).await?;
                if matches!(end, EndOutcome::Ended(_)) {
                    event::ended(session_type.name(), &key, "revoked_all");
                    ended += 1;
                }
            }
            match listed.next {
                Some(next) => page = Page::after(next, PAGE),
                None => return Ok(ended),
            }
        }
    }

    /// Begins a login: call it before the password is checked, and hand the attempt to
    /// [`Session::log_in`](crate::Session::log_in) once it was right. It costs one fetch.
    ///
    /// [`revoke_all`](Self::revoke_all) then undoes this login exactly where it is called after
    /// this, whatever the hosts' clocks say.
    ///
    /// # Errors
    /// When the provider cannot answer.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let Example { store, mut visitor, .. } = example().await?;
    /// let attempt = store.begin_login::<Visitor>(7).await?;
    /// // Check the password here.
    /// visitor.user = Some(7);
    /// visitor.log_in(attempt);
    /// let _ = visitor.commit().await?;
    /// # Ok(()) }
    /// ```
    pub async fn begin_login<T: SessionData>(
        &self,
        owner: impl Display + Send,
    ) -> Result<LoginAttempt, Error> {
        self.needs_records("begin_login()")?;
        let session_type = self.session_type::<T>()?;
        let name = owner.to_string();
        drop(owner);
        let fence = self.fence(&session_type.fence(&name), &mut Patience::new()).await?;
        Ok(LoginAttempt::new(session_type.name(), name, fence.as_ref(), self.now()))
    }

    async fn fence(&self, id: &str, patience: &mut Patience) -> Result<Option<Fence>, Error> {
        Ok(self.fetch(id, patience).await?.as_ref().and_then(Fence::read))
    }

    /// Raises an owner's fence, above whatever stands there.
    async fn raise_fence(&self, id: &str) -> Result<Mark, Error> {
        let mark = Mark::random(&self.inner.random);
        let mut patience = Patience::persistent();
        let (mut expect, mut version) = (Expect::Absent, 0);
        loop {
            let now = self.now();
            let record = Fence::new(mark, now).record(id, version + 1, now);
            match self.save(&record, expect, now, &mut patience, &mut false).await? {
                SaveOutcome::Saved => return Ok(mark),
                SaveOutcome::Conflict(Some(other)) => {
                    if Fence::read(&other).is_some_and(|fence| fence.mark == mark) {
                        return Ok(mark);
                    }
                    (expect, version) = (Expect::Version(other.version), other.version);
                }
                SaveOutcome::Conflict(None) => (expect, version) = (Expect::Absent, 0),
            }
            patience.after_conflict().await?;
        }
    }

    /// Whether a login that was saved may stand: its owner was not logged out everywhere since it
    /// began, and does not have too many other sessions.
    pub(super) async fn admits(
        &self,
        session_type: &SessionType,
        login: &Login,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let id = session_type.fence(&login.name);
        if let Some(fence) = self.fence(&id, patience).await? {
            let now = self.now();
            let attempt = login.attempt.as_deref();
            if attempt.is_none() && fence.is_ahead(now) {
                // Its host is far ahead: until that time it would undo every login.
                self.raise_fence(&id).await?;
            }
            if fence.undoes(attempt, login.loaded_at, now) {
                event::login_undone(session_type.name(), key, "revoke_all");
                return Ok(false);
            }
        }
        let (Some(most), Some(owner)) = (self.inner.most_sessions, &record.owner) else {
            return Ok(true);
        };
        let stays = self.cap(session_type, owner, key, most, patience).await?;
        if !stays {
            event::login_undone(session_type.name(), key, "cap");
        }
        Ok(stays)
    }

    /// The ticket of a login: above all of its owner's. Only where there is a cap to keep.
    pub(super) async fn ticket(
        &self,
        patch: &Patch,
        patience: &mut Patience,
    ) -> Result<u64, Error> {
        let (Some(_), Some(owner)) = (self.inner.most_sessions, patch.owner()) else {
            return Ok(0);
        };
        let tickets = self.tickets(&patch.session_type, owner, patience).await?;
        Ok(tickets.iter().map(|(ticket, ..)| *ticket).max().unwrap_or(0).saturating_add(1))
    }

    /// Ends the owner's sessions of the lowest tickets, down to what an owner may have. Returns
    /// whether the session of `key` stays.
    ///
    /// Logins that happen at the same time all sort alike, so that they agree on who stays.
    async fn cap(
        &self,
        session_type: &SessionType,
        owner: &Arc<str>,
        key: &StoreKey,
        most: usize,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let mut tickets = self.tickets(session_type, owner, patience).await?;
        // The highest first.
        tickets.sort_unstable_by(|one, two| two.cmp(one));
        let mut stays = true;
        for (_, lowest, version) in tickets.drain(most.min(tickets.len())..) {
            if lowest == *key {
                stays = false;
                continue;
            }
            // Whatever was saved meanwhile: an id has at most one owner in its life.
            let is_theirs = |record: &Record| record.owner.as_ref() == Some(owner);
            let end = self.end(lowest.as_str(), version, patience, &mut false, is_theirs).await?;
            if matches!(end, EndOutcome::Ended(_)) {
                event::ended(session_type.name(), &lowest, "cap");
            }
        }
        Ok(stays)
    }

    /// The ticket, the key and the version of each of an owner's sessions.
    async fn tickets(
        &self,
        session_type: &SessionType,
        owner: &str,
        patience: &mut Patience,
    ) -> Result<Vec<(u64, StoreKey, u64)>, Error> {
        let mut tickets = Vec::new();
        let mut page = Page::first(PAGE);
        loop {
            let listed = match self.inner.provider.list(owner, page.clone(), self.now()).await {
                Ok(listed) => listed,
                Err(error) if error.is_unavailable() && patience.after_failure().await => continue,
                Err(error) => return Err(error.into()),
            };
            tickets.extend(listed.records.iter().filter_map(|record| {
                // One that cannot be read is the first to go.
                let ticket = header_of(session_type, record).map_or(0, |header| header.ticket);
                Some((ticket, key_of(record)?, record.version))
            }));
            match listed.next {
                Some(next) => page = Page::after(next, PAGE),
                None => return Ok(tickets),
            }
        }
    }
}

fn header_of(session_type: &SessionType, record: &Record) -> Option<Header> {
    Stored::parse(session_type.name(), &record.data).ok()?.header().ok()
}

/// How a revocation is reported.
fn revoked((ended, key): &(Option<Record>, StoreKey)) -> (Ended, Option<&StoreKey>) {
    match ended {
        Some(_) => (Ended::Done, Some(key)),
        None => (Ended::Gone, None),
    }
}

/// How many sessions to ask for at once.
const PAGE: u32 = 100;

/// How often `revoke_all` goes through an owner's list.
const MOST_PASSES: u32 = 8;
