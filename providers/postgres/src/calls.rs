//! The calls: each is one statement, and another one after a conflict and to notify listeners.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use async_trait::async_trait;
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    from_unix_millis, to_unix_millis,
};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlStr};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::connections::Held;
use crate::notice::Told;
use crate::provider::{PostgresProvider, Time};
use crate::statement::{Answer, Arg, Nature};
use crate::{error, feed};

#[async_trait]
impl Provider for PostgresProvider {
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
        self.save_by(None, self.time(), record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        // What expects nothing removes nothing.
        if !self.announces || expect == Expect::Absent {
            return self.delete_by(None, self.time(), id, expect, now).await;
        }
        let id = id.into();
        in_a_task(|caller| self.clone().announced_delete(caller, id, expect, now)).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        let statements = &self.statements;
        let (mut held, time) = (None, self.time());
        // Done twice it is as done once, but for a condition that the first time changes.
        let (sql, count, version, seen, nature) = match expect {
            Expect::Any => (Some(&statements.touch_any), 3, 0, None, Nature::Repeatable),
            Expect::Version(version) => {
                (Some(&statements.touch_version), 4, version, None, Nature::Repeatable)
            }
            Expect::Untouched { version, expires_at } => {
                (Some(&statements.touch_untouched), 5, version, expires_at, Nature::Once)
            }
            Expect::Absent => (None, 0, 0, None, Nature::Once),
        };
        if let Some(sql) = sql {
            let args = [
                Arg::Text(Some(id)),
                Arg::Int(Some(millis(expires_at))),
                Arg::Int(Some(millis(now))),
                Arg::Int(Some(version.cast_signed())),
                Arg::Int(seen.map(millis)),
            ];
            let args = &args[..count];
            let answer = self.call(&mut held, time, self.form, nature, sql, args).await?;
            if answer.affected > 0 {
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
        let [after, now, limit] = place(&page, now);
        let args = [Arg::Text(Some(owner)), after, now, limit];
        self.page(&self.statements.list, &args, &page).await
    }

    async fn scan(&self, page: Page, now: SystemTime) -> Result<Listed, ProviderError> {
        self.page(&self.statements.scan, &place(&page, now), &page).await
    }

    async fn purge(&self, expired_before: SystemTime, limit: u32) -> Result<u64, ProviderError> {
        let mut purged = 0;
        // Each batch is a transaction of its own, so that no lock is held for long.
        while purged < u64::from(limit) {
            let batch = (u64::from(limit) - purged).min(PURGE_BATCH);
            let args =
                [Arg::Int(Some(millis(expired_before))), Arg::Int(Some(batch.cast_signed()))];
            let sql = &self.statements.purge;
            let removed = self.single(Nature::Once, sql, &args).await?.affected;
            purged += removed;
            if removed < batch {
                break;
            }
        }
        Ok(purged)
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        let answer = self.single(Nature::Repeatable, &self.statements.clock, &[]).await?;
        let millis = answer.rows.first().map(|row| row.try_get::<i64, _>(0)).transpose();
        let millis = millis.map_err(|error| self.error(error))?;
        Ok(millis.map(|millis| from_unix_millis(u64::try_from(millis).unwrap_or_default())))
    }

    async fn fetch_many(
        &self,
        ids: &[&str],
        now: SystemTime,
    ) -> Result<Vec<Record>, ProviderError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let args = [Arg::Texts(ids), Arg::Int(Some(millis(now)))];
        let answer = self.single(Nature::Repeatable, &self.statements.fetch_many, &args).await?;
        let records = answer.rows.iter().map(to_record).collect::<Result<_, _>>();
        records.map_err(|error| self.error(error))
    }

    async fn changes(&self, listener: ChangeListener) -> Result<Infallible, ProviderError> {
        if !self.announces {
            return Err(ProviderError::unsupported("changes"));
        }
        feed::run(self, &listener).await
    }

    async fn save_and_announce(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        if !self.announces {
            return self.save(record, expect, now).await;
        }
        let record = record.clone();
        in_a_task(|caller| self.clone().announced_save(caller, record, expect, now)).await
    }

    async fn announce(&self, ids: &[&str]) -> Result<(), ProviderError> {
        if ids.is_empty() || !self.announces {
            return Ok(());
        }
        let told = || ids.iter().map(|id| Told::changed(id)).collect();
        let announced = self.announcer.announce(self, told, self.time().end);
        announced.await.map_err(error::of_announcement)
    }
}

impl PostgresProvider {
    /// A page of records, in the order of their ids.
    async fn page(
        &self,
        sql: &SqlStr,
        args: &[Arg<'_>],
        page: &Page,
    ) -> Result<Listed, ProviderError> {
        let answer = self.single(Nature::Repeatable, sql, args).await?;
        let records = answer.rows.iter().map(to_record).collect::<Result<Vec<_>, _>>();
        let mut records = records.map_err(|error| self.error(error))?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { records, next })
    }

    /// Runs one statement that is a call of its own.
    pub(crate) async fn single(
        &self,
        nature: Nature,
        sql: &SqlStr,
        args: &[Arg<'_>],
    ) -> Result<Answer, ProviderError> {
        let mut held = None;
        let answer = self.call(&mut held, self.time(), self.form, nature, sql, args).await?;
        Ok(answer)
    }

    async fn fetch_by<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Record>, ProviderError> {
        let args = [Arg::Text(Some(id)), Arg::Int(Some(millis(now)))];
        let sql = &self.statements.fetch;
        let answer = self.call(held, time, self.form, Nature::Lookup, sql, &args).await?;
        self.first_record(&answer)
    }

    async fn announced_save(
        self,
        mut caller: Caller<Saved>,
        record: Record,
        expect: Expect,
        now: SystemTime,
    ) {
        let (time, mut change) = (self.time(), self.announcer.change(&self, &record.id));
        let Some(held) = self.hold_for(&mut caller, time).await else { return };
        let saved = match held {
            Ok(held) => {
                change.begin();
                self.save_by(Some(held), time, &record, expect, now).await
            }
            Err(error) => Err(error),
        };
        let told = match &saved {
            // An earlier try, whose answer was lost, may have begun the record: nobody has read what
            // was before it.
            Ok(Saved::Conflict(_)) if expect == Expect::Absent => {
                change.did_nothing();
                Ok(())
            }
            // After a conflict too: an earlier try may have saved the record.
            Ok(_) => change.tell(false, time.end).await,
            Err(_) => Ok(()),
        };
        // The caller may have gone.
        let _ = caller.send(told.map_err(error::of_untold_change).and(saved));
    }

    async fn announced_delete(
        self,
        mut caller: Caller<Deleted>,
        id: Box<str>,
        expect: Expect,
        now: SystemTime,
    ) {
        let (time, mut change) = (self.time(), self.announcer.change(&self, &id));
        let Some(held) = self.hold_for(&mut caller, time).await else { return };
        let deleted = match held {
            Ok(held) => {
                change.begin();
                self.delete_by(Some(held), time, &id, expect, now).await
            }
            Err(error) => Err(error),
        };
        let told = match &deleted {
            // Whatever was found: an earlier try, whose answer was lost, may have removed the record.
            Ok(deleted) => {
                let ended = matches!(deleted, Deleted::Deleted(_));
                change.tell(ended, time.end).await
            }
            Err(_) => Ok(()),
        };
        // The caller may have gone.
        let _ = caller.send(told.map_err(error::of_untold_change).and(deleted));
    }

    /// A connection for a statement that cannot be repeated, or `None` if the caller has gone: then
    /// nothing is sent.
    async fn hold_for<A>(
        &self,
        caller: &mut Caller<A>,
        time: Time,
    ) -> Option<Result<Held<'_>, ProviderError>> {
        let table = &self.statements.table;
        let mut hold = pin!(self.connections.hold(time.start, time.end, true, table));
        poll_fn(|context| match caller.poll_closed(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => hold.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Saves and does not announce it, as [`delete_by`](Self::delete_by) does.
    async fn save_by<'a>(
        &'a self,
        mut held: Option<Held<'a>>,
        time: Time,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let saves = &self.statements.saves;
        let (sql, count, version, seen) = match expect {
            Expect::Any => (&saves.any, 6, 0, None),
            Expect::Absent => (&saves.absent, 7, 0, None),
            Expect::Version(version) => (&saves.version, 8, version, None),
            Expect::Untouched { version, expires_at } => (&saves.untouched, 9, version, expires_at),
        };
        let args = [
            Arg::Text(Some(&record.id)),
            Arg::Int(Some(record.version.cast_signed())),
            Arg::Int(record.expires_at.map(millis)),
            Arg::Text(Some(&record.format)),
            Arg::Text(record.owner.as_deref()),
            Arg::Bytes(&record.data),
            Arg::Int(Some(millis(now))),
            Arg::Int(Some(version.cast_signed())),
            Arg::Int(seen.map(millis)),
        ];
        let nature = Nature::Once;
        let saved = self.call(&mut held, time, self.form, nature, sql, &args[..count]).await?;
        if saved.affected > 0 {
            return Ok(Saved::Saved);
        }
        // A read that begins now sees every commit that made the statement above miss.
        let current = self.fetch_by(&mut held, time, &record.id, now).await?;
        Ok(Saved::Conflict(current))
    }

    /// Deletes and does not announce it. No connection is held any more when it returns, so that the
    /// announcement finds one.
    async fn delete_by<'a>(
        &'a self,
        mut held: Option<Held<'a>>,
        time: Time,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        let deletes = &self.statements.deletes;
        let (sql, count, version, seen) = match expect {
            Expect::Any => (Some(&deletes.any), 1, 0, None),
            Expect::Version(version) => (Some(&deletes.version), 3, version, None),
            Expect::Untouched { version, expires_at } => {
                (Some(&deletes.untouched), 4, version, expires_at)
            }
            Expect::Absent => (None, 0, 0, None),
        };
        if let Some(sql) = sql {
            let args = [
                Arg::Text(Some(id)),
                Arg::Int(Some(version.cast_signed())),
                Arg::Int(Some(millis(now))),
                Arg::Int(seen.map(millis)),
            ];
            let nature = Nature::Once;
            let args = &args[..count];
            let answer = self.call(&mut held, time, self.form, nature, sql, args).await?;
            let removed = self.first_record(&answer)?;
            if removed.is_some() || expect == Expect::Any {
                return Ok(Deleted::Deleted(removed));
            }
        }
        // As for a save: a read that begins now sees what made the statement above miss.
        let current = self.fetch_by(&mut held, time, id, now).await?;
        Ok(current.map_or(Deleted::Deleted(None), Deleted::Conflict))
    }

    fn first_record(&self, answer: &Answer) -> Result<Option<Record>, ProviderError> {
        answer.rows.first().map(to_record).transpose().map_err(|error| self.error(error))
    }
}

/// Whoever waits for the answer of a call that runs in a task of its own.
type Caller<A> = oneshot::Sender<Result<A, ProviderError>>;

/// Makes a call of which other hosts are told in a task of its own, so that a statement that was sent
/// comes to its end before it is told of, even if the caller goes. A notice that overtakes its change
/// would let another host read the old record once more, and keep it.
async fn in_a_task<A: Send + 'static, F: Future<Output = ()> + Send + 'static>(
    call: impl FnOnce(Caller<A>) -> F,
) -> Result<A, ProviderError> {
    let runtime = Handle::try_current().map_err(|_| error::no_runtime())?;
    let (caller, answer) = oneshot::channel();
    runtime.spawn(call(caller));
    answer.await.unwrap_or_else(|_| Err(error::no_runtime()))
}

/// Times end with the year 9999, so they fit.
fn millis(time: SystemTime) -> i64 {
    to_unix_millis(time).cast_signed()
}

fn to_record(row: &PgRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        id: row.try_get::<&str, _>(0)?.into(),
        version: row.try_get::<i64, _>(1)?.cast_unsigned(),
        expires_at: row
            .try_get::<Option<i64>, _>(2)?
            .map(|at| from_unix_millis(u64::try_from(at).unwrap_or_default())),
        format: Cow::Owned(row.try_get(3)?),
        owner: row.try_get::<Option<&str>, _>(4)?.map(Into::into),
        data: row.try_get::<Vec<u8>, _>(5)?.into(),
    })
}

/// The last arguments of a statement that reads a page: where it begins, what has expired, and how
/// many rows it reads.
fn place(page: &Page, now: SystemTime) -> [Arg<'_>; 3] {
    // One more than asked for tells whether another page follows. Every id is behind "".
    [
        Arg::Text(Some(page.after.as_deref().unwrap_or_default())),
        Arg::Int(Some(millis(now))),
        Arg::Int(Some(i64::from(page.limit) + 1)),
    ]
}

/// How many records a purge removes in one statement.
const PURGE_BATCH: u64 = 500;
