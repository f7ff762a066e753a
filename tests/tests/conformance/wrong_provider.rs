//! A provider with one fault at a time, and one that offers only what it must.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sessions::MemoryProvider;
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Notice, Page, Provider, ProviderError, Record, Saved,
    Touched, from_unix_millis, to_unix_millis,
};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    // fetch
    ExpiredIsServed,
    ExpiresLate,
    ExpiresEarly,
    ReadsLagBehind,
    // save
    CreateOverwrites,
    ConflictIsLost,
    ConflictRecordIsStale,
    ConflictRecordIsMissing,
    ConflictRecordIsExpired,
    EqualBytesWinTwice,
    CheckedThenWritten,
    ExpiredBlocksCreate,
    ExpiredIsUpdated,
    MissingIsUpdated,
    OwnerIsKept,
    ExpiryIsKept,
    VersionsAreDoubles,
    VersionsAreSigned,
    IdsAreTrimmed,
    DataIsCut,
    DataIsText,
    EmptyDataIsNothing,
    FormatIsLost,
    BornExpiredIsEndless,
    AnyIsChecked,
    UpdatedInTwoSteps,
    CancelledCallsLeak,
    // delete
    DeleteReturnsNothing,
    DeletedInTwoSteps,
    EmptiedThenDeleted,
    MissingIsNotDeleted,
    DeleteIgnoresTheVersion,
    DeletedVersionIsLost,
    ExpiredVersionIsDeleted,
    DeleteChecksThenDeletes,
    DeleteConflictIsStale,
    ExpiredStays,
    ExpiredIsClearedLate,
    // touch
    TouchRevives,
    TouchShortens,
    TouchRaisesTheVersion,
    TouchWritesTheWholeRecord,
    TouchEndsTheEndless,
    TouchAlwaysAgrees,
    TouchIgnoresTheVersion,
    TouchOfAVersionIsRefused,
    TouchChecksThenTouches,
    UntouchedIgnoresTheExpiry,
    UntouchedCountsNanoseconds,
    UntouchedIsNeverEndless,
    UntouchedIsCheckedThenSaved,
    // list
    ListMissesNew,
    ListKeepsOldOwners,
    ListMatchesPrefixes,
    ListShowsExpired,
    ListIgnoresTheLimit,
    ListRepeatsTheMark,
    ListCountsOffsets,
    ListForgetsTouched,
    ListOrdersByExpiry,
    ListOrdersByLatestExpiry,
    // scan
    ScanShowsExpired,
    ScanMissesTheOwnerless,
    ScanCountsOffsets,
    // purge
    PurgeIgnoresTheLimit,
    PurgeTakesTheLiving,
    PurgedInTwoSteps,
    PurgeDoesNothing,
    // clock
    ClockCountsSeconds,
    // many records, changes
    FetchManyForgets,
    ChangesForgetDeletions,
    ProofsComeFirst,
    OwnClockRemoves,
}

/// A right provider that a fault is put in front of.
pub(crate) struct Wrong {
    inner: MemoryProvider,
    fault: Fault,
    ids: std::sync::Arc<Mutex<BTreeSet<String>>>,
    before: Mutex<Option<Record>>,
    connections: Semaphore,
}

impl Wrong {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            inner: MemoryProvider::new(),
            fault,
            ids: std::sync::Arc::default(),
            before: Mutex::default(),
            connections: Semaphore::new(30),
        }
    }

    pub(crate) fn twin(&self) -> Self {
        let (inner, ids) = (self.inner.clone(), self.ids.clone());
        Self { inner, ids, ..Self::new(self.fault) }
    }

    /// What is stored, whether it has expired or not.
    async fn stored(&self, id: &str) -> Option<Record> {
        self.inner.fetch(id, UNIX_EPOCH).await.unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.ids.lock().unwrap().iter().cloned().collect()
    }

    /// What goes between two steps of a provider that is not atomic.
    async fn pause(&self) {
        // Long enough for the runtime's other threads to wake up, and the others' calls with them.
        for _ in 0..100 {
            std::thread::yield_now();
            yield_now().await;
        }
    }

    /// Takes a connection and, if cancelled, never gives it back.
    async fn leak(&self) -> Result<(), ProviderError> {
        if self.fault == Fault::CancelledCallsLeak {
            let permit = self.connections.try_acquire();
            permit.map_err(|_| ProviderError::unavailable("no connection left"))?.forget();
            self.pause().await;
            self.connections.add_permits(1);
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Wrong {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.leak().await?;
        match self.fault {
            Fault::ExpiredIsServed => self.inner.fetch(id, UNIX_EPOCH).await,
            Fault::ExpiresLate => self.inner.fetch(id, now - MILLISECOND).await,
            Fault::ExpiresEarly => self.inner.fetch(id, now + MILLISECOND).await,
            Fault::ReadsLagBehind => {
                let found = self.inner.fetch(id, now).await?;
                let lagging = std::mem::replace(&mut *self.before.lock().unwrap(), found.clone());
                let lagging = lagging.filter(|record| record.id.as_ref() == id);
                Ok(if found.is_some() { lagging.or(found) } else { None })
            }
            Fault::IdsAreTrimmed => self.inner.fetch(id.trim_end(), now).await,
            Fault::EmptyDataIsNothing => {
                Ok(self.inner.fetch(id, now).await?.filter(|record| !record.data.is_empty()))
            }
            _ => self.inner.fetch(id, now).await,
        }
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.leak().await?;
        self.ids.lock().unwrap().insert(record.id.to_string());
        let mut record = record.clone();
        let stored = self.stored(&record.id).await;
        let expired = stored.as_ref().is_some_and(|stored| !stored.is_live(now));
        match (self.fault, expect) {
            (Fault::CreateOverwrites, Expect::Absent)
            | (Fault::ConflictIsLost, Expect::Version(_)) => {
                self.inner.save(&record, Expect::Any, now).await
            }
            (Fault::MissingIsUpdated, Expect::Version(_)) if stored.is_none() => {
                self.inner.save(&record, Expect::Any, now).await
            }
            (Fault::ExpiredIsUpdated, Expect::Version(_)) => {
                self.inner.save(&record, expect, UNIX_EPOCH).await
            }
            (Fault::ExpiredBlocksCreate, Expect::Absent) if expired => Ok(Saved::Conflict(None)),
            (Fault::AnyIsChecked, Expect::Any) => {
                let expect = stored.map_or(Expect::Absent, |_| Expect::Version(record.version - 1));
                self.inner.save(&record, expect, now).await
            }
            (Fault::CheckedThenWritten, Expect::Absent | Expect::Version(_)) => {
                let live = self.inner.fetch(&record.id, now).await?;
                let version = live.as_ref().map(|live| live.version);
                let expected =
                    if let Expect::Version(version) = expect { Some(version) } else { None };
                if version != expected {
                    return Ok(Saved::Conflict(live));
                }
                self.pause().await;
                self.inner.save(&record, Expect::Any, now).await
            }
            (Fault::UpdatedInTwoSteps, Expect::Version(version)) => {
                let live = self.inner.fetch(&record.id, now).await?;
                if live.as_ref().is_none_or(|live| live.version != version) {
                    return Ok(Saved::Conflict(live));
                }
                self.inner.delete(&record.id, Expect::Any, now).await?;
                self.pause().await;
                self.inner.save(&record, Expect::Any, now).await
            }
            (Fault::ConflictRecordIsStale, _) => {
                let live = self.inner.fetch(&record.id, now).await?;
                self.pause().await;
                let saved = self.inner.save(&record, expect, now).await?;
                Ok(if saved == Saved::Saved { saved } else { Saved::Conflict(live) })
            }
            (Fault::UntouchedIsCheckedThenSaved, Expect::Untouched { version, .. }) => {
                let live = self.inner.fetch(&record.id, now).await?;
                if !expect.is_met(live.as_ref()) {
                    return Ok(Saved::Conflict(live));
                }
                self.pause().await;
                self.inner.save(&record, Expect::Version(version), now).await
            }
            (Fault::UntouchedCountsNanoseconds, Expect::Untouched { expires_at: Some(at), .. })
                if from_unix_millis(to_unix_millis(at)) != at =>
            {
                Ok(Saved::Conflict(self.inner.fetch(&record.id, now).await?))
            }
            (Fault::UntouchedIsNeverEndless, Expect::Untouched { expires_at: None, .. }) => {
                Ok(Saved::Conflict(self.inner.fetch(&record.id, now).await?))
            }
            (fault, expect) => {
                let expect = match (fault, expect) {
                    (Fault::UntouchedIgnoresTheExpiry, Expect::Untouched { version, .. }) => {
                        Expect::Version(version)
                    }
                    (_, expect) => expect,
                };
                match fault {
                    Fault::OwnerIsKept if record.owner.is_none() => {
                        record.owner = stored.and_then(|stored| stored.owner);
                    }
                    Fault::ExpiryIsKept if record.expires_at.is_none() => {
                        record.expires_at = stored.and_then(|stored| stored.expires_at);
                    }
                    Fault::FormatIsLost => record.format = "".into(),
                    Fault::BornExpiredIsEndless if !record.is_live(now) => record.expires_at = None,
                    Fault::VersionsAreDoubles => record.version = record.version as f64 as u64,
                    Fault::VersionsAreSigned => record.version &= i64::MAX as u64,
                    Fault::IdsAreTrimmed => record.id = record.id.trim_end().into(),
                    Fault::DataIsCut => record.data.truncate(1 << 16),
                    Fault::DataIsText => {
                        let text = String::from_utf8_lossy(&record.data).into_owned();
                        record.data = text.into_bytes().into();
                    }
                    _ => {}
                }
                match (fault, self.inner.save(&record, expect, now).await?) {
                    (Fault::ConflictRecordIsMissing, Saved::Conflict(_)) => {
                        Ok(Saved::Conflict(None))
                    }
                    (Fault::ConflictRecordIsExpired, Saved::Conflict(None)) => {
                        Ok(Saved::Conflict(self.stored(&record.id).await))
                    }
                    (Fault::EqualBytesWinTwice, Saved::Conflict(Some(found)))
                        if found == record =>
                    {
                        Ok(Saved::Saved)
                    }
                    (Fault::OwnClockRemoves, saved) => {
                        if !record.is_live(SystemTime::now()) {
                            self.inner.delete(&record.id, Expect::Any, now).await?;
                        }
                        Ok(saved)
                    }
                    (_, saved) => Ok(saved),
                }
            }
        }
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.leak().await?;
        let is_version = matches!(expect, Expect::Version(_));
        match self.fault {
            Fault::DeleteReturnsNothing => {
                self.inner.delete(id, expect, now).await.map(|_| Deleted::Deleted(None))
            }
            Fault::DeletedInTwoSteps => {
                let stored = self.stored(id).await;
                self.pause().await;
                self.inner.delete(id, expect, now).await?;
                Ok(Deleted::Deleted(stored))
            }
            Fault::EmptiedThenDeleted => {
                if let Some(mut emptied) = self.stored(id).await {
                    emptied.data.clear();
                    self.inner.save(&emptied, Expect::Any, UNIX_EPOCH).await?;
                }
                self.pause().await;
                self.inner.delete(id, expect, now).await
            }
            Fault::MissingIsNotDeleted => match self.inner.delete(id, expect, now).await? {
                Deleted::Deleted(None) => Err(ProviderError::permanent("no such record")),
                deleted => Ok(deleted),
            },
            Fault::IdsAreTrimmed => self.inner.delete(id.trim_end(), expect, now).await,
            Fault::DeleteIgnoresTheVersion => self.inner.delete(id, Expect::Any, now).await,
            Fault::DeletedVersionIsLost if is_version => {
                self.inner.delete(id, expect, now).await.map(|_| Deleted::Deleted(None))
            }
            Fault::ExpiredVersionIsDeleted if is_version => {
                self.inner.delete(id, expect, UNIX_EPOCH).await
            }
            Fault::DeleteChecksThenDeletes if is_version => {
                let live = self.inner.fetch(id, now).await?;
                self.pause().await;
                match live {
                    Some(live) if !expect.is_met(Some(&live)) => Ok(Deleted::Conflict(live)),
                    Some(_) => self.inner.delete(id, Expect::Any, now).await,
                    None => Ok(Deleted::Deleted(None)),
                }
            }
            Fault::DeleteConflictIsStale if is_version => {
                let live = self.inner.fetch(id, now).await?;
                self.pause().await;
                Ok(match (self.inner.delete(id, expect, now).await?, live) {
                    (Deleted::Conflict(_), Some(live)) => Deleted::Conflict(live),
                    (deleted, _) => deleted,
                })
            }
            Fault::ExpiredStays if self.inner.fetch(id, now).await?.is_none() => {
                Ok(Deleted::Deleted(None))
            }
            Fault::ExpiredIsClearedLate if self.inner.fetch(id, now).await?.is_none() => {
                self.pause().await;
                self.inner.delete(id, Expect::Any, now).await?;
                Ok(Deleted::Deleted(None))
            }
            _ => self.inner.delete(id, expect, now).await,
        }
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.leak().await?;
        let live = self.inner.fetch(id, now).await?;
        match (self.fault, live) {
            (Fault::TouchRevives, _) => self.inner.touch(id, expires_at, expect, UNIX_EPOCH).await,
            (Fault::TouchAlwaysAgrees, None) => Ok(Touched::Touched),
            (Fault::TouchShortens | Fault::TouchWritesTheWholeRecord, Some(mut live)) => {
                if self.fault == Fault::TouchWritesTheWholeRecord {
                    self.pause().await;
                }
                live.expires_at = live.expires_at.map(|_| expires_at);
                self.inner.save(&live, Expect::Any, now).await.map(|_| Touched::Touched)
            }
            (Fault::TouchRaisesTheVersion, Some(mut live)) => {
                live.expires_at = live.expires_at.map(|at| at.max(expires_at));
                live.version = live.version.wrapping_add(1);
                self.inner.save(&live, Expect::Any, now).await.map(|_| Touched::Touched)
            }
            (Fault::TouchEndsTheEndless, Some(mut live)) if live.expires_at.is_none() => {
                live.expires_at = Some(expires_at);
                self.inner.save(&live, Expect::Any, now).await.map(|_| Touched::Touched)
            }
            (Fault::ListForgetsTouched, Some(live)) => {
                *self.before.lock().unwrap() = Some(live);
                self.inner.touch(id, expires_at, expect, now).await
            }
            (Fault::TouchIgnoresTheVersion, _) => {
                self.inner.touch(id, expires_at, Expect::Any, now).await
            }
            (Fault::TouchChecksThenTouches, Some(live)) if expect.is_met(Some(&live)) => {
                self.pause().await;
                self.inner.touch(id, expires_at, Expect::Any, now).await
            }
            (Fault::TouchOfAVersionIsRefused, live) if expect != Expect::Any => {
                Ok(Touched::Conflict(live))
            }
            _ => self.inner.touch(id, expires_at, expect, now).await,
        }
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.leak().await?;
        let whole = Page::first(u32::MAX);
        match self.fault {
            Fault::ListMissesNew => {
                let newest = self.ids().last().cloned();
                let mut listed = self.inner.list(owner, page, now).await?;
                listed.records.retain(|record| Some(record.id.to_string()) != newest);
                Ok(listed)
            }
            Fault::ListKeepsOldOwners => {
                let listed = self.inner.list(owner, page, now).await?;
                if listed.records.is_empty()
                    && let Some(record) = self.inner.fetch("a", now).await?
                    && record.version > 2
                {
                    return Ok(Listed { records: vec![record], next: None });
                }
                Ok(listed)
            }
            Fault::ListMatchesPrefixes => {
                let mut matching = Vec::new();
                let after = page.after.unwrap_or_default();
                for id in self.ids().into_iter().filter(|id| *id > after) {
                    let record = self.inner.fetch(&id, now).await?;
                    matching.extend(record.filter(|record| {
                        record.owner.as_ref().is_some_and(|of| of.starts_with(owner))
                    }));
                }
                let more = matching.len() > page.limit as usize;
                matching.truncate(page.limit as usize);
                let next = matching.last().filter(|_| more).map(|last| last.id.to_string());
                Ok(Listed { records: matching, next })
            }
            Fault::ListShowsExpired => self.inner.list(owner, page, UNIX_EPOCH).await,
            Fault::ListIgnoresTheLimit => self.inner.list(owner, whole, now).await,
            Fault::ListRepeatsTheMark => {
                let after = page.after.clone();
                let mut listed = self.inner.list(owner, page, now).await?;
                if let Some(after) = after {
                    listed.records.pop();
                    listed.records.insert(0, self.stored(&after).await.unwrap());
                }
                Ok(listed)
            }
            Fault::ListCountsOffsets => {
                let all = self.inner.list(owner, whole, now).await?.records;
                let start = page.after.map_or(0, |mark| mark.parse().unwrap());
                let end = start + page.limit as usize;
                let next = (end < all.len()).then(|| end.to_string());
                let records = all.into_iter().skip(start).take(page.limit as usize).collect();
                Ok(Listed { records, next })
            }
            Fault::ListOrdersByExpiry | Fault::ListOrdersByLatestExpiry => {
                let mut all = self.inner.list(owner, whole, now).await?.records;
                let mark = |record: &Record| {
                    let at = to_unix_millis(record.expires_at.unwrap_or(UNIX_EPOCH));
                    let latest = self.fault == Fault::ListOrdersByLatestExpiry;
                    let at = if latest { u64::MAX - at } else { at };
                    format!("{at:020} {}", record.id)
                };
                all.sort_by_key(mark);
                all.retain(|record| page.after.as_ref().is_none_or(|after| mark(record) > *after));
                let more = all.len() > page.limit as usize;
                all.truncate(page.limit as usize);
                let next = all.last().filter(|_| more).map(mark);
                Ok(Listed { records: all, next })
            }
            Fault::ListForgetsTouched => {
                let touched = self.before.lock().unwrap().clone();
                let forgotten = touched.filter(|touched| !touched.is_live(now));
                let mut listed = self.inner.list(owner, page, now).await?;
                listed.records.retain(|record| {
                    forgotten.as_ref().is_none_or(|forgotten| forgotten.id != record.id)
                });
                Ok(listed)
            }
            _ => self.inner.list(owner, page, now).await,
        }
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        match self.fault {
            Fault::ScanShowsExpired => self.inner.scan(page, UNIX_EPOCH).await,
            Fault::ScanMissesTheOwnerless => {
                let mut listed = self.inner.scan(page, now).await?;
                listed.records.retain(|record| record.owner.is_some());
                Ok(listed)
            }
            Fault::ScanCountsOffsets => {
                let all = self.inner.scan(Page::first(u32::MAX), now).await?.records;
                let start = page.after.map_or(0, |mark| mark.parse().unwrap());
                let end = start + page.limit as usize;
                let next = (end < all.len()).then(|| end.to_string());
                let records = all.into_iter().skip(start).take(page.limit as usize).collect();
                Ok(Listed { records, next })
            }
            _ => self.inner.scan(page, now).await,
        }
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        self.leak().await?;
        match self.fault {
            Fault::PurgeIgnoresTheLimit => self.inner.purge(expired_before, u32::MAX).await,
            Fault::PurgeTakesTheLiving => {
                self.inner.purge(expired_before + MILLISECOND, limit).await
            }
            Fault::PurgedInTwoSteps => {
                let mut expired = Vec::new();
                for id in self.ids() {
                    let stored = self.stored(&id).await;
                    expired.extend(stored.filter(|record| !record.is_live(expired_before)));
                }
                expired.truncate(limit as usize);
                self.pause().await;
                for record in &expired {
                    self.inner.delete(&record.id, Expect::Any, UNIX_EPOCH).await?;
                }
                Ok(expired.len() as u64)
            }
            Fault::PurgeDoesNothing => Ok(0),
            _ => self.inner.purge(expired_before, limit).await,
        }
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        match self.fault {
            Fault::ClockCountsSeconds => {
                Ok(Some(from_unix_millis(to_unix_millis(SystemTime::now()) / 1_000)))
            }
            _ => self.inner.clock().await,
        }
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let mut records = self.inner.fetch_many(ids, now).await?;
        if self.fault == Fault::FetchManyForgets {
            records.pop();
        }
        Ok(records)
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        let (fault, proofs) = (self.fault, Mutex::new((0, Vec::new())));
        let told = ChangeListener::new(move |notice| match notice {
            Notice::Began => listener.began(),
            Notice::Ended(_) if fault == Fault::ChangesForgetDeletions => {}
            Notice::Changed(id) | Notice::Ended(id) if fault == Fault::ProofsComeFirst => {
                proofs.lock().unwrap().1.push(id.to_owned());
            }
            Notice::Changed(id) => listener.changed(id),
            Notice::Ended(id) => listener.ended(id),
            Notice::Proved(ping) => {
                listener.proved(ping);
                let (count, ids) = &mut *proofs.lock().unwrap();
                *count += 1;
                if *count % 2 == 0 {
                    ids.drain(..).for_each(|id| listener.changed(&id));
                }
            }
            _ => listener.gap(),
        });
        self.inner.changes(told).await
    }
}

/// A provider that offers only what it must.
pub(crate) struct ThreeCalls(pub(crate) MemoryProvider);

#[async_trait]
impl Provider for ThreeCalls {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.0.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.0.save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.0.delete(id, expect, now).await
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
