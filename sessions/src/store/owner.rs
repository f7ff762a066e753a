//! An owner's sessions: listing them, ending them, and the limit on their number.

use std::time::SystemTime;

use super::core::Core;
use super::ended_by::EndedBy;
use super::fence::{CredentialHash, Fence, LoginAttempt, Raised};
use super::save::{EndOutcome, Patience, SaveOutcome, key_of};
use super::sent::{Login, StepUp};
use super::session_type::SessionType;
use crate::authentication::Authentication;
use crate::data::SessionData;
use crate::device::Devices;
use crate::error::Error;
use crate::id::{Mark, StoreKey};
use crate::provider::{Expect, Listed, Page, Record};
use crate::schema::header::Header;
use crate::schema::stored::Stored;
use crate::telemetry::labels::{CallOutcome, Operation};
use crate::telemetry::span::observe;
use crate::transport::Transport;

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
    /// How the client carries its token: a cookie, or a header.
    pub transport: Transport,
    /// When and how the owner last proved who they are.
    pub authentication: Authentication,
    /// From where it was used, if the app notes it:
    /// [`Session::seen_from`](crate::Session::seen_from).
    pub devices: Option<Box<Devices>>,
    /// Whether the owner has to prove again who they are:
    /// [`Session::is_locked`](crate::Session::is_locked).
    pub is_locked: bool,
    /// Whether it is bound to a device: see [`Session::device_bound`](crate::Session::device_bound).
    pub device_bound: bool,
    /// For whom the owner acts in this session: see [`Session::act_as`](crate::Session::act_as).
    pub acting_as: Option<String>,
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
        let (items, next) = self.list_with::<T, _>(owner, page, |info, _| info).await?;
        Ok(SessionPage { items, next })
    }

    /// See [`Store::list_with`](crate::Store::list_with).
    pub(crate) async fn list_with<T: SessionData, R>(
        &self,
        owner: &str,
        page: Page,
        mut show: impl FnMut(SessionInfo, &dyn Fn() -> Option<T>) -> R,
    ) -> Result<(Vec<R>, Option<Page>), Error> {
        self.needs_records("list()")?;
        self.epochs.read_if_old().await?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(owner);
        let limit = page.limit;
        let work = async { Ok::<_, Error>(self.provider.list(&owner, page, self.now()).await?) };
        let end = |_: &Listed| (CallOutcome::Done, None);
        let listed = observe(Operation::List, session_type.name(), None, work, end).await?;
        let next = listed.next.map(|mark| Page::after(mark, limit));
        let mut items = Vec::with_capacity(listed.records.len());
        items.extend(listed.records.iter().filter_map(|record| {
            let stored = Stored::parse(session_type.name(), &record.data).ok()?;
            let info = self.info(&session_type, record, &stored)?;
            let data = || {
                let value = T::load(&stored).ok()?;
                session_type.files(record.owner.as_deref(), &value).then_some(value)
            };
            Some(show(info, &data))
        }));
        Ok((items, next))
    }

    fn info(
        &self,
        session_type: &SessionType,
        record: &Record,
        stored: &Stored,
    ) -> Option<SessionInfo> {
        if self.is_over(&stored.summary) {
            return None;
        }
        let (span, created_at) = (session_type.span(&stored.summary), stored.summary.created_at);
        let header = stored.header().ok()?;
        Some(SessionInfo {
            key: key_of(record)?,
            created_at,
            last_seen: stored
                .summary
                .seen_at
                .unwrap_or_else(|| record.expires_at.map_or(created_at, |at| span.last_seen(at))),
            devices: header.devices,
            device_bound: stored.summary.is_bound,
            is_locked: session_type.is_locked(&stored.summary, record.owner.is_some(), self.now()),
            expires_at: record.expires_at,
            authentication: header
                .authentication
                .map_or_else(|| Authentication::plain(created_at), |it| *it),
            acting_as: header.acting_as.as_deref().map(str::to_owned),
            label: header.label.as_deref().map(str::to_owned),
            transport: match header.token_in_header {
                true => Transport::Header,
                false => Transport::Cookie,
            },
        })
    }

    /// See [`Store::revoke`](crate::Store::revoke).
    pub(crate) async fn revoke<T: SessionData>(
        &self,
        owner: &str,
        key: &StoreKey,
    ) -> Result<bool, Error> {
        self.needs_records("revoke()")?;
        self.epochs.read_if_old().await?;
        let session_type = self.session_type::<T>()?;
        let owner = session_type.owner(owner);
        let _by = self.endings.begin(key, EndedBy::Revoke);
        let work = async { Ok::<_, Error>((self.end_of(&owner, key).await?, key.clone())) };
        let (ended, _) = observe(Operation::Revoke, "", None, work, revoked).await?;
        if ended.is_some() {
            self.ended(session_type.name(), key, EndedBy::Revoke);
        }
        Ok(ended.is_some())
    }

    /// See [`Store::revoke_any`](crate::Store::revoke_any).
    pub(crate) async fn revoke_any(&self, key: &StoreKey) -> Result<bool, Error> {
        self.needs_records("revoke_any()")?;
        self.epochs.read_if_old().await?;
        let work = async {
            let _by = self.endings.begin(key, EndedBy::Revoke);
            let record = self.delete_any(key.as_str(), &mut Patience::new()).await?;
            let record = self.unless_ended(record).filter(|record| record.is_live(self.now()));
            Ok::<_, Error>((record, key.clone()))
        };
        let (ended, _) = observe(Operation::Revoke, "", None, work, revoked).await?;
        if let Some(record) = &ended {
            let session = record.format.split('/').next().unwrap_or_default();
            self.ended(session, key, EndedBy::Revoke);
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
        self.observe_revoke_all(&session_type, owner, Revoked::All).await
    }

    /// See [`Store::revoke_credential`](crate::Store::revoke_credential).
    pub(crate) async fn revoke_credential<T: SessionData>(
        &self,
        owner: &str,
        credential: &str,
    ) -> Result<u64, Error> {
        self.needs_records("revoke_credential()")?;
        let session_type = self.session_type::<T>()?;
        self.observe_revoke_all(&session_type, owner, Revoked::OfCredential(credential)).await
    }

    /// See [`Store::revoke_others`](crate::Store::revoke_others): all of an owner's but this one.
    pub(crate) async fn revoke_others<T: SessionData>(
        &self,
        session: Option<(&str, &StoreKey)>,
    ) -> Result<u64, Error> {
        self.needs_records("revoke_others()")?;
        let session_type = self.session_type::<T>()?;
        let Some((owner, key)) = session else { return Ok(0) };
        self.observe_revoke_all(&session_type, owner, Revoked::AllBut(key)).await
    }

    async fn observe_revoke_all(
        &self,
        session_type: &SessionType,
        name: &str,
        which: Revoked<'_>,
    ) -> Result<u64, Error> {
        let work = self.end_all(session_type, name, which);
        let end = |_: &u64| (CallOutcome::Done, None);
        let ended = observe(Operation::RevokeAll, session_type.name(), None, work, end).await?;
        self.events.revoked_all(session_type.name(), ended);
        Ok(ended)
    }

    async fn end_all(
        &self,
        session_type: &SessionType,
        name: &str,
        which: Revoked<'_>,
    ) -> Result<u64, Error> {
        let credential = match which {
            Revoked::OfCredential(credential) => Some(session_type.credential(credential)),
            Revoked::All | Revoked::AllBut(_) => None,
        };
        let mark = self.raise_fence(&session_type.fence(name), credential).await?;
        let owner = session_type.owner(name);
        let mut ended = 0;
        // A login that is being undone may still be in the list, so this reads the list again until
        // nothing is left to end. Logins without an attempt could continue for ever, so the number
        // of passes is limited.
        for _ in 0..MOST_PASSES {
            let found = self.end_listed(session_type, &owner, mark, which).await?;
            ended += found;
            if found == 0 {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends these sessions of the owner, except those that began with this fence's mark.
    async fn end_listed(
        &self,
        session_type: &SessionType,
        owner: &str,
        mark: Mark,
        which: Revoked<'_>,
    ) -> Result<u64, Error> {
        let mut patience = Patience::new();
        let mut ended = 0;
        let mut page = Some(Page::first(PAGE));
        // The session must belong to the owner, and must not have begun after the fence was raised.
        let may = |record: &Record| {
            let header = || header_of(session_type, record);
            record.owner.as_deref() == Some(owner)
                && match which {
                    Revoked::All => header().and_then(|header| header.mark) != Some(mark),
                    Revoked::AllBut(key) => {
                        *record.id != *key.as_str()
                            && header().and_then(|header| header.mark) != Some(mark)
                    }
                    Revoked::OfCredential(credential) => header()
                        .and_then(|header| header.authentication)
                        .is_some_and(|authentication| authentication.used(credential)),
                }
        };
        while let Some(next) = page {
            let records;
            (records, page) = self.owned(owner, next, &mut patience).await?;
            for record in records {
                let Some(key) = key_of(&record) else { continue };
                if !may(&record) {
                    continue;
                }
                let (version, lost) = (record.version, &mut false);
                let _by = self.endings.begin(&key, EndedBy::RevokeAll);
                let end = self.end(key.as_str(), version, &mut patience, lost, may).await?;
                // What had ended together with everybody's is removed, and not ended again.
                if let EndOutcome::Ended(record) = end
                    && !self.is_ended_record(&record)
                {
                    self.ended(session_type.name(), &key, EndedBy::RevokeAll);
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
        self.epochs.read_if_old().await?;
        let session_type = self.session_type::<T>()?;
        let fence = self.fence(&session_type.fence(owner), &mut Patience::new()).await?;
        let (name, owner, epoch) = (session_type.name(), owner.to_owned(), self.epochs.number());
        Ok(LoginAttempt::new(name, owner, fence.as_ref(), epoch, self.now()))
    }

    async fn fence(&self, id: &str, patience: &mut Patience) -> Result<Option<Fence>, Error> {
        Ok(self.fetch(id, patience).await?.as_ref().and_then(Fence::read))
    }

    /// Raises an owner's fence, above any earlier one: for the sessions of a credential, or for all.
    async fn raise_fence(
        &self,
        id: &str,
        credential: Option<CredentialHash>,
    ) -> Result<Mark, Error> {
        let mark = Mark::random(&self.random);
        let mut patience = Patience::persistent();
        let (mut expect, mut version) = (Expect::Absent, 0);
        let mut fence = Fence::default();
        loop {
            let now = self.now();
            fence.raise(credential, Raised::new(mark, now));
            let record = fence.record(id, version + 1, now);
            match self.save(&record, expect, false, now, &mut patience, &mut false).await? {
                SaveOutcome::Saved => return Ok(mark),
                SaveOutcome::Conflict(Some(other)) => {
                    fence = Fence::read(&other).unwrap_or_default();
                    if fence.holds(mark) {
                        return Ok(mark);
                    }
                    (expect, version) = (Expect::Version(other.version), other.version);
                }
                SaveOutcome::Conflict(None) => {
                    (expect, version) = (Expect::Absent, 0);
                    fence = Fence::default();
                }
            }
            patience.after_conflict().await?;
        }
    }

    /// Whether the credential of a step-up was revoked since its session was loaded.
    pub(super) async fn is_revoked(
        &self,
        session_type: &SessionType,
        step_up: &StepUp,
        key: &StoreKey,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let fence = self.fence(&session_type.fence(&step_up.name), patience).await?;
        let credential = session_type.credential(&step_up.credential);
        let (loaded_at, now) = (step_up.loaded_at, self.now());
        let is = fence.is_some_and(|fence| fence.revokes(credential, loaded_at, now));
        if is {
            self.events.login_undone(session_type.name(), key, "revoke_all");
        }
        Ok(is)
    }

    /// Fails if a saved login is not valid: its owner was logged out everywhere since it began, or
    /// has too many other sessions.
    ///
    /// # Errors
    /// [`Error::LoginUndone`] or [`Error::TooManySessions`] if the login must be undone.
    pub(super) async fn admits(
        &self,
        session_type: &SessionType,
        login: &Login,
        key: &StoreKey,
        record: &Record,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        if self.is_ended_record(record) {
            self.events.login_undone(session_type.name(), key, "end_all");
            return Err(Error::LoginUndone);
        }
        let id = session_type.fence(&login.name);
        if let Some(fence) = self.fence(&id, patience).await? {
            let now = self.now();
            let attempt = login.attempt.as_deref();
            let credential = login.credential.as_deref().map(|it| session_type.credential(it));
            if let Some(raised) = fence.undoes(attempt, credential, login.loaded_at, now) {
                if attempt.is_none() && raised.is_ahead(now) {
                    // The host that raised the fence has a clock far ahead. Until that time the
                    // fence would undo every login.
                    let of_all = fence.mark() == Some(raised.mark);
                    self.raise_fence(&id, credential.filter(|_| !of_all)).await?;
                }
                self.events.login_undone(session_type.name(), key, "revoke_all");
                return Err(Error::LoginUndone);
            }
        }
        self.fits(session_type, login, key, record, patience).await
    }

    /// Returns a page of an owner's records, and the next page.
    pub(super) async fn owned(
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

pub(super) fn header_of(session_type: &SessionType, record: &Record) -> Option<Header> {
    Stored::parse(session_type.name(), &record.data).ok()?.header().ok()
}

/// Returns how a revocation is reported.
fn revoked((ended, key): &(Option<Record>, StoreKey)) -> (CallOutcome, Option<&StoreKey>) {
    match ended {
        Some(_) => (CallOutcome::Done, Some(key)),
        None => (CallOutcome::Gone, None),
    }
}

/// The sessions of an owner that a revocation ends.
#[derive(Clone, Copy)]
enum Revoked<'r> {
    All,
    AllBut(&'r StoreKey),
    OfCredential(&'r str),
}

/// How many sessions to list in one call.
pub(super) const PAGE: u32 = 100;

/// How often `revoke_all` reads an owner's list.
const MOST_PASSES: u32 = 8;
