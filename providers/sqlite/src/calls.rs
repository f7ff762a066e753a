//! The calls: each is one statement, and a second one after a conflict. Calls that wait for a
//! connection go together.

use std::convert::Infallible;
use std::time::SystemTime;

use async_trait::async_trait;
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{SqlStr, Sqlite};
use tokio::sync::oneshot;

use crate::feed::Feed;
use crate::fetches::Fetch;
use crate::own::Effect;
use crate::provider::SqliteProvider;
use crate::queue::Turn;
use crate::row::{millis, to_record};
use crate::writes::{Waiting, Write, Written};

#[async_trait]
impl Provider for SqliteProvider {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        let turn = self.fetches.enter((), |()| {
            let (answer, answered) = oneshot::channel();
            (Fetch { id: id.to_owned(), now, answer }, answered)
        });
        match turn {
            Turn::Now(place, ()) => {
                let found = self.fetches.batch().fetch(id, now).await;
                drop(place);
                found
            }
            Turn::Later(answered) => answered.await.unwrap_or_else(|_| Err(dropped())),
        }
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let statements = &self.statements;
        let (statement, version, seen): (&SqlStr, _, _) = match expect {
            Expect::Absent => (&statements.save_absent, None, None),
            Expect::Version(version) => (&statements.save_version, Some(version), None),
            Expect::Untouched { version, expires_at } => {
                (&statements.save_untouched, Some(version), Some(expires_at))
            }
            Expect::Any => (&statements.save_any, None, None),
        };
        let mut write = Write::new(statement, Effect::Changes(record.id.clone()))
            .bind(&*record.id)?
            .bind(record.version.cast_signed())?
            .bind(record.expires_at.map(millis))?
            .bind(&*record.format)?
            .bind(record.owner.as_deref())?
            .bind(&*record.data)?
            .bind(millis(now))?
            .bind(version.map(u64::cast_signed))?;
        if let Some(seen) = seen {
            write = write.bind(seen.map(millis))?;
        }
        if self.write(write).await?.affected > 0 {
            return Ok(Saved::Saved);
        }
        // A read that begins now sees every commit that made the statement above miss.
        Ok(Saved::Conflict(self.fetch(&record.id, now).await?))
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let statements = &self.statements;
        let ends = Effect::Ends(id.into());
        let write = match expect {
            Expect::Any => Some(Write::returning(&statements.delete_any, ends).bind(id)?),
            Expect::Version(version) => Some(
                Write::returning(&statements.delete_version, ends)
                    .bind(id)?
                    .bind(version.cast_signed())?
                    .bind(millis(now))?,
            ),
            Expect::Untouched { version, expires_at } => Some(
                Write::returning(&statements.delete_untouched, ends)
                    .bind(id)?
                    .bind(version.cast_signed())?
                    .bind(millis(now))?
                    .bind(expires_at.map(millis))?,
            ),
            Expect::Absent => None,
        };
        if let Some(write) = write {
            let written = self.write(write).await?;
            let removed = written.rows.first().map(to_record).transpose();
            let removed = removed.map_err(|error| self.error(error))?;
            if removed.is_some() || expect == Expect::Any {
                return Ok(Deleted::Deleted(removed));
            }
        }
        // As for a save: a read that begins now sees what made the statement above miss.
        Ok(match self.fetch(id, now).await? {
            Some(record) => Deleted::Conflict(record),
            None => Deleted::Deleted(None),
        })
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let statements = &self.statements;
        let (statement, version, seen) = match expect {
            Expect::Any => (&statements.touch_any, None, None),
            Expect::Version(version) => (&statements.touch_version, Some(version), None),
            Expect::Untouched { version, expires_at } => {
                (&statements.touch_untouched, Some(version), Some(expires_at))
            }
            Expect::Absent => return Ok(Touched::Conflict(self.fetch(id, now).await?)),
        };
        let mut write = Write::new(statement, Effect::Untold)
            .bind(id)?
            .bind(millis(expires_at))?
            .bind(millis(now))?;
        if let Some(version) = version {
            write = write.bind(version.cast_signed())?;
        }
        if let Some(seen) = seen {
            write = write.bind(seen.map(millis))?;
        }
        if self.write(write).await?.affected > 0 {
            return Ok(Touched::Touched);
        }
        if expect == Expect::Any {
            // There was none. A read might find one that has come since, and meets it.
            return Ok(Touched::Conflict(None));
        }
        Ok(Touched::Conflict(self.fetch(id, now).await?))
    }

    async fn list(
        &self,
        owner: &str,
        page: Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        self.page(sqlx::query(self.statements.list.clone()).bind(owner), &page, now).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.page(sqlx::query(self.statements.scan.clone()), &page, now).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let mut purged = 0;
        // Others write between the batches.
        while purged < u64::from(limit) {
            let batch = (u64::from(limit) - purged).min(PURGE_BATCH);
            let write = Write::new(&self.statements.purge, Effect::Untold);
            let write = write.bind(millis(expired_before))?.bind(batch.cast_signed())?;
            let removed = self.write(write).await?.affected;
            purged += removed;
            if removed < batch {
                break;
            }
        }
        Ok(purged)
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        self.fetches.batch().fetch_many(ids, now).await
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        let (own, table) = (self.own.as_ref(), &*self.statements.table);
        Feed { writer: &self.writer, own, table }.follow(listener).await
    }
}

impl SqliteProvider {
    /// A page of records, in the order of their ids, by a statement that lacks its last arguments.
    async fn page<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
        page: &'q Page,
        now: SystemTime,
    ) -> Result<Listed, ProviderError> {
        // One more than asked for tells whether another page follows. Every id is behind "".
        let mut records = query
            .bind(page.after.as_deref().unwrap_or_default())
            .bind(millis(now))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.readers)
            .await
            .and_then(|rows| rows.iter().map(to_record).collect::<Result<Vec<_>, _>>())
            .map_err(|error| self.error(error))?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { records, next })
    }

    /// Runs a statement that writes, at once or with others.
    async fn write(&self, write: Write) -> Result<Written, ProviderError> {
        let turn = self.writes.enter(write, |write| {
            let (answer, answered) = oneshot::channel();
            (Waiting { write, answer }, answered)
        });
        match turn {
            Turn::Now(place, write) => {
                let written = self.writes.batch().write(write).await;
                drop(place);
                written
            }
            Turn::Later(answered) => answered.await.unwrap_or_else(|_| Err(dropped())),
        }
    }
}

/// The error of a call whose runtime shut down while another task ran it.
fn dropped() -> ProviderError {
    ProviderError::unavailable("the runtime shut down during the call, which may have taken place")
}

/// How many records a purge removes in one statement: the others' wait.
const PURGE_BATCH: u64 = 500;
