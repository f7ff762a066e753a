//! The calls: each is one round trip, and a save or a touch another one after a conflict.

use std::time::SystemTime;

use async_trait::async_trait;
use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    from_unix_millis,
};
use sqlx::{Error, Row as _, SqlStr};
use tokio::time::timeout_at;

use crate::connections::Held;
use crate::error::{self, Verdict, verdict};
use crate::provider::{MySqlProvider, Pauses, Time};
use crate::record::{check, millis, to_record};
use crate::sql::MANY;
use crate::statement::{Answer, Arg, Nature, Work};

#[async_trait]
impl Provider for MySqlProvider {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        let mut held = None;
        self.fetch_by(&mut held, self.time(), id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        check(record)?;
        let (mut held, time) = (None, self.time());
        let (id, at) = (Arg::text(&record.id), Arg::Int(Some(millis(now))));
        let fields = [
            Arg::Unsigned(record.version),
            Arg::Int(record.expires_at.map(millis)),
            Arg::text(&record.format),
            Arg::Bytes(record.owner.as_deref().map(str::as_bytes)),
            Arg::Bytes(Some(&record.data)),
        ];
        let new = [&[id], &fields[..]].concat();
        let mut over = [&fields[..], &[id, at]].concat();
        let saves = &self.statements.saves;
        let (sql, args) = match expect {
            Expect::Absent => return self.create(held, time, record, &new, now).await,
            Expect::Any => (&saves.any, new),
            Expect::Version(version) => {
                over.push(Arg::Unsigned(version));
                (&saves.version, over)
            }
            Expect::Untouched { version, expires_at } => {
                over.extend([Arg::Unsigned(version), Arg::Int(expires_at.map(millis))]);
                (&saves.untouched, over)
            }
        };
        let work = Work::Prepared(sql, &args);
        let answer = self.call(&mut held, time, Nature::Once, work).await?;
        if answer.affected > 0 || expect == Expect::Any {
            return Ok(Saved::Saved);
        }
        // A read that begins now sees every commit that made the statement above miss.
        let current = self.fetch_by(&mut held, time, &record.id, now).await?;
        Ok(Saved::Conflict(current))
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        // What expects nothing removes nothing.
        if expect == Expect::Absent {
            let current = self.fetch(id, now).await?;
            return Ok(current.map_or(Deleted::Deleted(None), Deleted::Conflict));
        }
        let sql = self.statements.delete(id, expect, millis(now));
        let work = Work::Transaction(&sql);
        let answer = self.call(&mut None, self.time(), Nature::Once, work).await?;
        let stored = self.first_record(&answer)?;
        Ok(match stored {
            removed if answer.affected > 0 => Deleted::Deleted(removed),
            Some(current) if current.is_live(now) => Deleted::Conflict(current),
            _ => Deleted::Deleted(None),
        })
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let touches = &self.statements.touches;
        let (mut held, time) = (None, self.time());
        // Done twice it is as done once, but for a condition that the first time changes.
        let (sql, count, version, seen, nature) = match expect {
            Expect::Any => (Some(&touches.any), 3, 0, None, Nature::Repeatable),
            Expect::Version(version) => {
                (Some(&touches.version), 4, version, None, Nature::Repeatable)
            }
            Expect::Untouched { version, expires_at } => {
                (Some(&touches.untouched), 5, version, expires_at, Nature::Once)
            }
            Expect::Absent => (None, 0, 0, None, Nature::Once),
        };
        if let Some(sql) = sql {
            let args = [
                Arg::Int(Some(millis(expires_at))),
                Arg::text(id),
                Arg::Int(Some(millis(now))),
                Arg::Unsigned(version),
                Arg::Int(seen.map(millis)),
            ];
            let work = Work::Prepared(sql, &args[..count]);
            if self.call(&mut held, time, nature, work).await?.affected > 0 {
                return Ok(Touched::Touched);
            }
            if expect == Expect::Any {
                // There was none. A read might find one that has come since, and meets it.
                return Ok(Touched::Conflict(None));
            }
        }
        let current = self.fetch_by(&mut held, time, id, now).await?;
        Ok(Touched::Conflict(current))
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let args = [Arg::text(owner)];
        self.page(&self.statements.list, &args, &page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.page(&self.statements.scan, &[], &page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let mut purged = 0;
        // Each batch is a transaction of its own, so that no lock is held for long.
        while purged < u64::from(limit) {
            let wanted = u64::from(limit) - purged;
            let (removed, locked_all) = self.purge_batch(millis(expired_before), wanted).await?;
            purged += removed;
            if !locked_all {
                break;
            }
        }
        Ok(purged)
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        let work = Work::Prepared(&self.statements.clock, &[]);
        let answer = self.call(&mut None, self.time(), Nature::Repeatable, work).await?;
        let millis = answer.rows.first().map(|row| row.try_get::<i64, _>(0)).transpose();
        let millis = millis.map_err(|error| self.error(error))?;
        Ok(millis.map(|millis| from_unix_millis(u64::try_from(millis).unwrap_or_default())))
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        let (mut held, time) = (None, self.time());
        let mut records = Vec::new();
        for ids in ids.chunks(MANY) {
            let (sql, count) = self.statements.fetch_some(ids.len());
            // The first once more where the statement takes more of them.
            let ids = ids.iter().chain(std::iter::repeat(&ids[0])).take(count);
            let mut args: Vec<_> = ids.map(|id| Arg::text(id)).collect();
            args.push(Arg::Int(Some(millis(now))));
            let work = Work::Prepared(&sql, &args);
            let answer = self.call(&mut held, time, Nature::Repeatable, work).await?;
            records.extend(self.records(&answer)?);
        }
        Ok(records)
    }
}

impl MySqlProvider {
    async fn fetch_by<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Record>, ProviderError> {
        let args = [Arg::text(id), Arg::Int(Some(millis(now)))];
        let work = Work::Prepared(&self.statements.fetch, &args);
        let answer = self.call(held, time, Nature::Repeatable, work).await?;
        self.first_record(&answer)
    }

    /// Saves a record, whose columns are `new`, where there is no live one.
    ///
    /// An `INSERT .. ON DUPLICATE KEY UPDATE` could do that in one statement, and would not say
    /// whether it has: its count of rows is the same where it inserts one and where it leaves one as
    /// it is. An insertion that fails says so, whatever the table's triggers do.
    async fn create<'a>(
        &'a self,
        mut held: Option<Held<'a>>,
        time: Time,
        record: &Record,
        new: &[Arg<'_>],
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let saves = &self.statements.saves;
        for _ in 0..MOST_ROUNDS {
            let work = Work::Prepared(&saves.absent, new);
            match self.run(&mut held, time, Nature::Once, work).await? {
                Ok(_) => return Ok(Saved::Saved),
                Err(error) if error::is_duplicate(&error) => {}
                Err(error) => return Err(self.error(error)),
            }
            if let Some(current) = self.fetch_by(&mut held, time, &record.id, now).await? {
                return Ok(Saved::Conflict(Some(current)));
            }
            // It has expired. One of those that replace it finds it so.
            let (id, fields) = new.split_at(1);
            let args = [fields, id, &[Arg::Int(Some(millis(now)))]].concat();
            let work = Work::Prepared(&saves.expired, &args);
            if self.call(&mut held, time, Nature::Once, work).await?.affected > 0 {
                return Ok(Saved::Saved);
            }
            // It was purged, or replaced by a record that may have gone as well.
        }
        Ok(Saved::Conflict(self.fetch_by(&mut held, time, &record.id, now).await?))
    }

    /// One page of a statement that takes, behind `args`, a mark, the time and a limit.
    async fn page(
        &self,
        sql: &SqlStr,
        args: &[Arg<'_>],
        page: &Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        // One more than asked for tells whether another page follows. Every id is behind "".
        let rest = [
            Arg::text(page.after.as_deref().unwrap_or_default()),
            Arg::Int(Some(millis(now))),
            Arg::Unsigned(u64::from(page.limit) + 1),
        ];
        let args = [args, &rest].concat();
        let work = Work::Prepared(sql, &args);
        let answer = self.call(&mut None, self.time(), Nature::Repeatable, work).await?;
        let mut records = self.records(&answer)?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { records, next })
    }

    /// Removes a batch of expired records: how many, and whether there may be more.
    async fn purge_batch(&self, before: i64, wanted: u64) -> Result<(u64, bool), ProviderError> {
        let (time, mut pauses) = (self.time(), Pauses::new());
        loop {
            match self.try_purge(time, before, wanted).await? {
                Ok(purged) => return Ok(purged),
                Err(error) => {
                    let gave_way = verdict(&error) == Verdict::GaveWay;
                    if !gave_way || !pauses.pause_until(time.end).await {
                        return Err(self.error(error));
                    }
                }
            }
        }
    }

    /// Tries once what `purge_batch` does, and gives the server's own error.
    ///
    /// The records are locked first, by two statements in one text, so that none is saved before it
    /// is removed, and nobody who saves one is waited for. The connection is in a transaction between
    /// the two texts, and is closed if the call ends there.
    async fn try_purge(
        &self,
        time: Time,
        before: i64,
        wanted: u64,
    ) -> Result<Result<(u64, bool), Error>, ProviderError> {
        let table = &self.statements.table;
        let mut held = self.connections.hold(time.start, time.end, true, table).await?;
        // The ids, of 255 bytes at most and in hexadecimal digits, must fit into a message.
        let fits = u64::try_from(held.packet / (2 * 255 + 4)).unwrap_or(PURGE_BATCH);
        let batch = wanted.min(PURGE_BATCH).min(fits.saturating_sub(1)).max(1);
        let transaction = async {
            let sql = self.statements.lock_expired(before, batch);
            let locked = Work::Transaction(&sql).run(held.begin()).await?;
            let ids = locked.rows.iter().map(|row| row.try_get::<Vec<u8>, _>(0));
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            let sql = self.statements.delete_locked(&ids);
            let removed = Work::Transaction(&sql).run(held.begin()).await?.affected;
            held.end();
            Ok((removed, u64::try_from(ids.len()).is_ok_and(|count| count == batch)))
        };
        let purged = timeout_at(time.end, transaction).await;
        purged.map_err(|_| error::statement_took_long())
    }

    fn first_record(&self, answer: &Answer) -> Result<Option<Record>, ProviderError> {
        answer.rows.first().map(to_record).transpose().map_err(|error| self.error(error))
    }

    fn records(&self, answer: &Answer) -> Result<Vec<Record>, ProviderError> {
        let records: Result<_, Error> = answer.rows.iter().map(to_record).collect();
        records.map_err(|error| self.error(error))
    }
}

/// How often a creator whose expired predecessor is gone each time tries to insert its record.
const MOST_ROUNDS: u32 = 10;

/// How many records a purge removes in one transaction.
const PURGE_BATCH: u64 = 500;
