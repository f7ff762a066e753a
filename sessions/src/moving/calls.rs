//! The calls of a provider, each on two databases.

use std::collections::HashMap;
use std::time::SystemTime;

use async_trait::async_trait;

use super::databases::{Databases, Place, Side, TRIES, contended};
use super::stub::{Seen, gone};
use super::{Moving, pages};
use crate::id::StoreKey;
use crate::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};

#[async_trait]
impl Provider for Moving {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        match self.inner.find(id, now).await? {
            Place::At(_, record) => Ok(Some(record)),
            Place::Nowhere => Ok(None),
        }
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        match expect {
            Expect::Version(_) | Expect::Untouched { .. } => {
                self.inner.update(record, expect, now).await
            }
            Expect::Absent => self.inner.create(record, now).await,
            Expect::Any => self.inner.put(record, now).await,
        }
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        match expect {
            Expect::Version(_) | Expect::Untouched { .. } => {
                self.inner.delete_if(id, expect, now).await
            }
            Expect::Absent => Ok(match self.inner.find(id, now).await? {
                Place::At(_, record) => Deleted::Conflict(record),
                Place::Nowhere => Deleted::Deleted(None),
            }),
            Expect::Any => self.inner.delete_any(id, now).await.map(Deleted::Deleted),
        }
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        match expect {
            Expect::Version(_) | Expect::Untouched { .. } => {
                self.inner.touch_if(id, expires_at, expect, now).await
            }
            Expect::Absent => Ok(Touched::Conflict(match self.inner.find(id, now).await? {
                Place::At(_, record) => Some(record),
                Place::Nowhere => None,
            })),
            Expect::Any => self.inner.touch_any(id, expires_at, now).await,
        }
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        pages::list(&self.inner, owner, page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        pages::scan(&self.inner, page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let supported = |purged: Result<u64, ProviderError>| match purged {
            Err(error) if error.is_unsupported() => Ok(None),
            purged => purged.map(Some),
        };
        let old = supported(self.inner.old.purge(expired_before, limit).await)?;
        let left = limit.saturating_sub(u32::try_from(old.unwrap_or(0)).unwrap_or(u32::MAX));
        let new = supported(self.inner.new.purge(expired_before, left).await)?;
        if (old, new) == (None, None) {
            return Err(ProviderError::unsupported("purge"));
        }
        Ok(old.unwrap_or(0) + new.unwrap_or(0))
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        let (old, new) = (self.inner.old.clock().await?, self.inner.new.clock().await?);
        Ok(match (old, new) {
            (Some(old), Some(new)) => Some(old.min(new)),
            (old, new) => old.or(new),
        })
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let found = self.inner.old.fetch_many(ids, now).await?;
        let mut old: HashMap<_, _> =
            found.into_iter().map(|record| (record.id.clone(), Seen::of(Some(record)))).collect();
        let (mut records, mut rest, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
        for id in ids {
            match old.remove(*id) {
                Some(Seen::Live(record)) => records.push(record),
                Some(Seen::Frozen { .. }) => unsure.push(*id),
                _ => rest.push(*id),
            }
        }
        for record in self.inner.new.fetch_many(&rest, now).await? {
            let id = record.id.clone();
            match Seen::of(Some(record)) {
                Seen::Live(record) => records.push(record),
                Seen::Frozen { .. } => {
                    unsure.extend(rest.iter().find(|it| ***it == *id));
                }
                _ => {}
            }
        }
        for id in unsure {
            records.extend(self.fetch(id, now).await?);
        }
        Ok(records)
    }

    // `changes` stays unsupported: a listener would have to hear both databases in one order.
}

impl Databases {
    /// Saves over a version.
    async fn update(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        Ok(match self.on_either(Change::Save(record), expect, now).await? {
            Met::Yes(_) => Saved::Saved,
            Met::No(seen) => Saved::Conflict(live(seen)),
        })
    }

    async fn delete_if(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        Ok(match self.on_either(Change::Delete(id), expect, now).await? {
            Met::Yes(removed) => Deleted::Deleted(removed),
            Met::No(Seen::Live(current)) => Deleted::Conflict(current),
            Met::No(_) => Deleted::Deleted(None),
        })
    }

    async fn touch_if(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        Ok(match self.on_either(Change::Touch(id, expires_at), expect, now).await? {
            Met::Yes(_) => Touched::Touched,
            Met::No(seen) => Touched::Conflict(live(seen)),
        })
    }

    /// Makes a change that expects a version: in the old database, and in the new one if the record is
    /// not in the old one. The version of a stub is never expected.
    async fn on_either(
        &self,
        change: Change<'_>,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Met, ProviderError> {
        for _ in 0..TRIES {
            match self.change_at(Side::Old, change, expect, now).await? {
                met @ (Met::Yes(_) | Met::No(Seen::Live(_))) => return Ok(met),
                Met::No(Seen::Frozen { placeholder, record }) => {
                    self.fill(Side::New, placeholder, &record, now).await?;
                }
                Met::No(_) => {}
            }
            match self.change_at(Side::New, change, expect, now).await? {
                // Left behind by a move in the other direction.
                Met::No(Seen::Frozen { placeholder, record }) => {
                    if !self.fill(Side::Old, placeholder, &record, now).await? {
                        return Ok(Met::No(Seen::Nothing));
                    }
                }
                met => return Ok(met),
            }
        }
        Err(contended())
    }

    async fn change_at(
        &self,
        side: Side,
        change: Change<'_>,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Met, ProviderError> {
        let database = self.at(side);
        Ok(match change {
            Change::Save(record) => match database.save(record, expect, now).await? {
                Saved::Saved => Met::Yes(None),
                Saved::Conflict(current) => Met::No(Seen::of(current)),
            },
            Change::Delete(id) => match database.delete(id, expect, now).await? {
                Deleted::Deleted(None) => Met::No(Seen::Nothing),
                Deleted::Deleted(removed) => Met::Yes(removed),
                Deleted::Conflict(current) => Met::No(Seen::of(Some(current))),
            },
            Change::Touch(id, expires_at) => {
                match database.touch(id, expires_at, expect, now).await? {
                    Touched::Touched => Met::Yes(None),
                    Touched::Conflict(current) => Met::No(Seen::of(current)),
                }
            }
        })
    }

    /// Creates a record, in the new database once the move has begun.
    async fn create(&self, record: &Record, now: SystemTime) -> Result<Saved, ProviderError> {
        for _ in 0..TRIES {
            if let Place::At(_, current) = self.find(&record.id, now).await? {
                return Ok(Saved::Conflict(Some(current)));
            }
            let begun = self.has_begun(now).await?;
            // One request creates a session, under an id that nobody else has. Any host creates a
            // fence or a key ring, also one that does not know yet that the move has begun.
            if begun && record.id.parse::<StoreKey>().is_err() {
                match self.at(Side::Old).save(&gone(record, now), Expect::Absent, now).await? {
                    Saved::Conflict(current) => match Seen::of(current) {
                        // Created meanwhile, or there and expired.
                        Seen::Live(_) | Seen::Nothing => continue,
                        Seen::Placeholder { version, .. } => {
                            let over = Expect::Version(version);
                            self.at(Side::Old).save(&gone(record, now), over, now).await?;
                            continue;
                        }
                        // Created and on its way since it was looked for, or of one that has ended.
                        Seen::Frozen { placeholder, record } => {
                            if self.fill(Side::New, placeholder, &record, now).await? {
                                continue;
                            }
                        }
                        Seen::Gone { .. } => {}
                    },
                    Saved::Saved => {}
                }
            }
            let side = if begun { Side::New } else { Side::Old };
            if let Some(saved) = self.create_at(side, record, now).await? {
                return Ok(saved);
            }
        }
        Err(contended())
    }

    /// Creates a record in one database, where there is none. Returns `None` if that is to be asked
    /// again.
    async fn create_at(
        &self,
        side: Side,
        record: &Record,
        now: SystemTime,
    ) -> Result<Option<Saved>, ProviderError> {
        let mut expect = Expect::Absent;
        for _ in 0..TRIES {
            let current = match self.at(side).save(record, expect, now).await? {
                Saved::Saved => return Ok(Some(Saved::Saved)),
                Saved::Conflict(current) => current,
            };
            expect = match Seen::of(current) {
                Seen::Nothing => Expect::Absent,
                Seen::Live(current) => return Ok(Some(Saved::Conflict(Some(current)))),
                // Whatever it is for may be on its way.
                Seen::Placeholder { version, .. } => {
                    match self.look(side.other(), &record.id, now).await? {
                        Seen::Live(_) => return Ok(None),
                        Seen::Frozen { placeholder, .. } if placeholder == version => {
                            return Ok(None);
                        }
                        _ => Expect::Version(version),
                    }
                }
                // In the new database from now on.
                Seen::Gone { .. } if side == Side::Old => {
                    return Box::pin(self.create_at(Side::New, record, now)).await;
                }
                Seen::Gone { version } => Expect::Version(version),
                // Of a record that has ended, or comes back.
                Seen::Frozen { placeholder, record: frozen } => {
                    if self.fill(side.other(), placeholder, &frozen, now).await? {
                        return Ok(None);
                    }
                    Expect::Version(placeholder)
                }
            };
        }
        Err(contended())
    }

    /// Saves without an expectation.
    async fn put(&self, record: &Record, now: SystemTime) -> Result<Saved, ProviderError> {
        for _ in 0..TRIES {
            let saved = match self.find(&record.id, now).await? {
                Place::At(side, current) => {
                    let over = Expect::Version(current.version);
                    self.at(side).save(record, over, now).await?
                }
                Place::Nowhere => self.create(record, now).await?,
            };
            if saved == Saved::Saved {
                return Ok(saved);
            }
        }
        Err(contended())
    }

    /// Deletes without an expectation, and returns what it removed.
    async fn delete_any(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        for _ in 0..TRIES {
            let Place::At(side, current) = self.find(id, now).await? else {
                // What has expired is removed too.
                for side in [Side::Old, Side::New] {
                    if self.look(side, id, now).await? != Seen::Nothing {
                        continue;
                    }
                    let removed = self.at(side).delete(id, Expect::Any, now).await?;
                    if let Deleted::Deleted(Some(removed)) = removed
                        && let Seen::Live(removed) = Seen::of(Some(removed))
                    {
                        return Ok(Some(removed));
                    }
                }
                return Ok(None);
            };
            let over = Expect::Version(current.version);
            if let Deleted::Deleted(Some(removed)) = self.at(side).delete(id, over, now).await? {
                return Ok(Some(removed));
            }
        }
        Err(contended())
    }

    async fn touch_any(
        &self,
        id: &str,
        expires_at: SystemTime,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        for _ in 0..TRIES {
            let Place::At(side, current) = self.find(id, now).await? else {
                return Ok(Touched::Conflict(None));
            };
            let over = Expect::Version(current.version);
            let touched = self.at(side).touch(id, expires_at, over, now).await?;
            if touched == Touched::Touched {
                return Ok(touched);
            }
        }
        Err(contended())
    }
}

/// A change that expects a version.
#[derive(Clone, Copy)]
enum Change<'c> {
    Save(&'c Record),
    Delete(&'c str),
    Touch(&'c str, SystemTime),
}

/// Whether a database has met an expectation.
enum Met {
    /// With the record that was removed.
    Yes(Option<Record>),
    /// With what it has.
    No(Seen),
}

fn live(seen: Seen) -> Option<Record> {
    match seen {
        Seen::Live(record) => Some(record),
        _ => None,
    }
}
