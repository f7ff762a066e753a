//! An owner's sessions: listing them, ending them, and the limit on their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::SystemTime;

use super::core::Core;
use super::fence::{Fence, LoginAttempt};
use super::patch::Patch;
use super::save::{EndOutcome, Patience, SaveOutcome, key_of};
use super::sent::Login;
use super::session_type::SessionType;
use crate::data::SessionData;
use crate::error::Error;
use crate::id::{Mark, StoreKey};
use crate::provider::{Expect, Listed, Page, Record};
use crate::schema::header::Header;
use crate::schema::stored::Stored;
use crate::telemetry;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;

/// One session of an owner, as [`Store::list`](crate::Store::list) returns it.
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
    /// The key of the session, for [`revoke`](crate::Store::revoke).
    pub key: StoreKey,
    /// When the session's owner logged in.
    pub created_at: SystemTime,
    /// When the session was last used, with the precision of the touch interval. Near the end of
    /// the session's lifetime the time may be too early.
    pub last_seen: SystemTime,
    /// When the session ends if it is not used again.
    pub expires_at: Option<SystemTime>,
    /// The label that the app set with [`Session::set_label`](crate::Session::set_label).
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
    /// The live sessions, in an order that is the same on all pages.
    pub items: Vec<SessionInfo>,
    /// The next page: pass it to [`Store::list`](crate::Store::list). It is `None` on the last page.
    pub next: Option<Page>,
}

impl Core {
    /// See [`Store::list`](crate::Store::list).
    pub(crate) async fn list<T: SessionData>(
        &self,
        owner: &str,
        page: Page,
    ) -> Result<SessionPage, Error> {
        self.needs_records("list()")?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(owner);
        let limit = page.limit;
        let work = async { Ok::<_, Error>(self.provider.list(&owner, page, self.now()).await?) };
        let end = |_: &Listed| (CallOutcome::Done, None);
        let listed = observe(Operation::List, session_type.name(), None, work, end).await?;
        let next = listed.next.map(|mark| Page::after(mark, limit));
        let items = listed.records.into_iter();
        let items = items.filter_map(|record| self.info(&session_type, &record)).collect();
        Ok(SessionPage { items, next })
    }

    fn info(&self, session_type: &SessionType, record: &Record) -> Option<SessionInfo> {
        let stored = Stored::parse(session_type.name(), &record.data).ok()?;
        let (span, created_at) = (session_type.span(&stored.summary), stored.summary.created_at);
        Some(SessionInfo {
            key: key_of(record)?,
            created_at,
            last_seen: record.expires_at.map_or(created_at, |at| span.last_seen(at)),
            expires_at: record.expires_at,
            label: stored.header().ok()?.label.as_deref().map(str::to_owned),
        })
    }

    /// See [`Store::revoke`](crate::Store::revoke).
    pub(crate) async fn revoke<T: SessionData>(
        &self,
        owner: &str,
        key: &StoreKey,
    ) -> Result<bool, Error> {
        self.needs_records("revoke()")?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(owner);
        let work = async { Ok::<_, Error>((self.end_of(&owner, key).await?, key.clone())) };
        let (ended, _) = observe(Operation::Revoke, "", None, work, revoked).await?;
        if ended.is_some() {
            telemetry::ended(session_type.name(), key, "revoked");
        }
        Ok(ended.is_some())
    }

    /// See [`Store::revoke_any`](crate::Store::revoke_any).
    pub(crate) async fn revoke_any(&self, key: &StoreKey) -> Result<bool, Error> {
        self.needs_records("revoke_any()")?;
        let work = async {
            let record = self.delete_any(key.as_str(), &mut Patience::new()).await?;
            Ok::<_, Error>((record.filter(|record| record.is_live(self.now())), key.clone()))
        };
        let (ended, _) = observe(Operation::Revoke, "", None, work, revoked).await?;
        if let Some(record) = &ended {
            telemetry::ended(record.format.split('/').next().unwrap_or_default(), key, "revoked");
        }
        Ok(ended.is_some())
    }

    /// Ends the session of a key while it belongs to this owner.
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
            // An earlier try, whose answer was lost, may have ended it.
            EndOutcome::Gone => Ok(Some(record).filter(|_| lost)),
            EndOutcome::Refused(_) => Ok(None),
        }
    }

    /// See [`Store::revoke_all`](crate::Store::revoke_all).
    pub(crate) async fn revoke_all<T: SessionData>(&self, owner: &str) -> Result<u64, Error> {
        self.needs_records("revoke_all()")?;
        let session_type = self.session_type::<T>()?;
        self.observe_revoke_all(&session_type, owner, None).await
    }

    /// See [`Store::revoke_others`](crate::Store::revoke_others): all of an owner's but this one.
    pub(crate) async fn revoke_others<T: SessionData>(
        &self,
        session: Option<(&str, &StoreKey)>,
    ) -> Result<u64, Error> {
        self.needs_records("revoke_others()")?;
        let session_type = self.session_type::<T>()?;
        let Some((owner, key)) = session else { return Ok(0) };
        self.observe_revoke_all(&session_type, owner, Some(key)).await
    }

    async fn observe_revoke_all(
        &self,
        session_type: &SessionType,
        name: &str,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let work = self.end_all(session_type, name, except);
        let end = |_: &u64| (CallOutcome::Done, None);
        let ended = observe(Operation::RevokeAll, session_type.name(), None, work, end).await?;
        telemetry::revoked_all(session_type.name(), ended);
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
        // A login that is being undone may still be in the list, so this reads the list again until
        // nothing is left to end. Logins without an attempt could continue for ever, so the number
        // of passes is limited.
        for _ in 0..MOST_PASSES {
            let found = self.end_listed(session_type, &owner, mark, except).await?;
            ended += found;
            if found == 0 {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends the owner's sessions except `except` and those that began with this fence's mark.
    async fn end_listed(
        &self,
        session_type: &SessionType,
        owner: &str,
        mark: Mark,
        except: Option<&StoreKey>,
    ) -> Result<u64, Error> {
        let mut patience = Patience::new();
        let mut ended = 0;
        let mut page = Some(Page::first(PAGE));
        // The session must belong to the owner, and must not have begun after the fence was raised.
        let may = |record: &Record| {
            record.owner.as_deref() == Some(owner)
                && header_of(session_type, record).and_then(|header| header.mark) != Some(mark)
        };
        while let Some(next) = page {
            let records;
            (records, page) = self.owned(owner, next, &mut patience).await?;
            for record in records {
                let Some(key) = key_of(&record) else { continue };
                if Some(&key) == except || !may(&record) {
                    continue;
                }
                let (version, lost) = (record.version, &mut false);
                let end = self.end(key.as_str(), version, &mut patience, lost, may).await?;
                if matches!(end, EndOutcome::Ended(_)) {
                    telemetry::ended(session_type.name(), &key, "revoked_all");
                    patience.progressed();
                    ended += 1;
                }
            }
        }
        Ok(ended)
    }

    /// See [`Store::begin_login`](crate::Store::begin_login).
    pub(crate) async fn begin_login<T: SessionData>(
        &self,
        owner: &str,
    ) -> Result<LoginAttempt, Error> {
        self.needs_records("begin_login()")?;
        let session_type = self.session_type::<T>()?;
        let fence = self.fence(&session_type.fence(owner), &mut Patience::new()).await?;
        Ok(LoginAttempt::new(session_type.name(), owner.to_owned(), fence.as_ref(), self.now()))
    }

    async fn fence(&self, id: &str, patience: &mut Patience) -> Result<Option<Fence>, Error> {
        Ok(self.fetch(id, patience).await?.as_ref().and_then(Fence::read))
    }

    /// Raises an owner's fence, above any earlier one.
    async fn raise_fence(&self, id: &str) -> Result<Mark, Error> {
        let mark = Mark::random(&self.random);
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

    /// Whether a saved login is valid: its owner was not logged out everywhere since it began, and
    /// does not have too many other sessions.
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
                // The host that raised the fence has a clock far ahead. Until that time the fence
                // would undo every login.
                self.raise_fence(&id).await?;
            }
            if fence.undoes(attempt, login.loaded_at, now) {
                telemetry::login_undone(session_type.name(), key, "revoke_all");
                return Ok(false);
            }
        }
        let (Some(most), Some(owner)) = (self.most_sessions, &record.owner) else {
            return Ok(true);
        };
        let stays = self.cap(session_type, owner, key, most, patience).await?;
        if !stays {
            telemetry::login_undone(session_type.name(), key, "cap");
        }
        Ok(stays)
    }

    /// Returns the ticket of a login, above those of all of its owner's sessions. It is needed only
    /// if there is a limit.
    pub(super) async fn ticket(
        &self,
        patch: &Patch,
        patience: &mut Patience,
    ) -> Result<u64, Error> {
        let (Some(_), Some(owner)) = (self.most_sessions, patch.owner()) else {
            return Ok(0);
        };
        let (mut highest, mut page) = (0, Some(Page::first(PAGE)));
        while let Some(next) = page {
            let tickets;
            (tickets, page) = self.tickets(&patch.session_type, owner, next, patience).await?;
            highest = tickets.iter().fold(highest, |highest, (ticket, ..)| highest.max(*ticket));
        }
        Ok(highest.saturating_add(1))
    }

    /// Ends the owner's sessions with the lowest tickets, down to the limit. Returns whether the
    /// session of `key` stays.
    ///
    /// Simultaneous logins sort the sessions in the same order, so they agree on which ones stay.
    /// The memory holds one page of sessions and the tickets of those that may stay, however many
    /// sessions the owner has.
    async fn cap(
        &self,
        session_type: &SessionType,
        owner: &Arc<str>,
        key: &StoreKey,
        most: usize,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        // An id has at most one owner in its life, so a session that was saved since is theirs too.
        let is_theirs = |record: &Record| record.owner.as_ref() == Some(owner);
        let (mut stays, mut page) = (true, Some(Page::first(PAGE)));
        // Those with the highest tickets so far; the lowest of them is at hand.
        let mut highest = BinaryHeap::new();
        while let Some(next) = page {
            let tickets;
            (tickets, page) = self.tickets(session_type, owner, next, patience).await?;
            for ticket in tickets {
                highest.push(Reverse(ticket));
                if highest.len() <= most {
                    continue;
                }
                let Some(Reverse((_, lowest, version))) = highest.pop() else { continue };
                if lowest == *key {
                    stays = false;
                    continue;
                }
                let lost = &mut false;
                let end = self.end(lowest.as_str(), version, patience, lost, is_theirs).await?;
                if matches!(end, EndOutcome::Ended(_)) {
                    telemetry::ended(session_type.name(), &lowest, "cap");
                    patience.progressed();
                }
            }
        }
        Ok(stays)
    }

    /// Returns the ticket, the key and the version of each session on a page of an owner's, and the
    /// next page.
    async fn tickets(
        &self,
        session_type: &SessionType,
        owner: &str,
        page: Page,
        patience: &mut Patience,
    ) -> Result<(Vec<Ticket>, Option<Page>), Error> {
        let (records, next) = self.owned(owner, page, patience).await?;
        let tickets = records.iter().filter_map(|record| {
            // A session that cannot be read is the first to end.
            let ticket = header_of(session_type, record).map_or(0, |header| header.ticket);
            Some((ticket, key_of(record)?, record.version))
        });
        Ok((tickets.collect(), next))
    }

    /// Returns a page of an owner's records, and the next page.
    async fn owned(
        &self,
        owner: &str,
        page: Page,
        patience: &mut Patience,
    ) -> Result<(Vec<Record>, Option<Page>), Error> {
        loop {
            match self.provider.list(owner, page.clone(), self.now()).await {
                Ok(listed) => {
                    let next = listed.next.map(|mark| Page::after(mark, page.limit));
                    return Ok((listed.records, next));
                }
                Err(error) if error.is_unavailable() && patience.after_failure().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The place of a session among its owner's, its key and its version.
type Ticket = (u64, StoreKey, u64);

fn header_of(session_type: &SessionType, record: &Record) -> Option<Header> {
    Stored::parse(session_type.name(), &record.data).ok()?.header().ok()
}

/// Returns how a revocation is reported.
fn revoked((ended, key): &(Option<Record>, StoreKey)) -> (CallOutcome, Option<&StoreKey>) {
    match ended {
        Some(_) => (CallOutcome::Done, Some(key)),
        None => (CallOutcome::Gone, None),
    }
}

/// How many sessions to list in one call.
const PAGE: u32 = 100;

/// How often `revoke_all` reads an owner's list.
const MOST_PASSES: u32 = 8;
