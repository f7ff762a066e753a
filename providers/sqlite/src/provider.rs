//! The provider: each call is one statement, and a second one after a conflict. Calls that wait for
//! a connection go together.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use sessions::provider::{
    ChangeListener, Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
};
use sqlx::SqlStr;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::oneshot;

use crate::error::{is_busy, provider_error};
use crate::feed::Feed;
use crate::fetches::{Fetch, Fetches};
use crate::file::FileId;
use crate::own::{Effect, OwnWrites};
use crate::private;
use crate::queue::{Queue, Turn};
use crate::row::{millis, to_record};
use crate::sql::{DEFAULT_TABLE, Statements};
use crate::writes::{Waiting, Write, Writes, Written};

/// Keeps records in a table of a SQLite file. Clones share their connections.
///
/// The [crate's docs](crate) describe the table, the cost of each call and durability.
///
/// ```
/// use sessions_sqlite::SqliteProvider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), sessions::provider::ProviderError> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("sessions.db");
/// let provider = SqliteProvider::open(&path).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteProvider {
    writer: SqlitePool,
    readers: SqlitePool,
    statements: Arc<Statements>,
    own: Option<Arc<OwnWrites>>,
    fetches: Arc<Queue<Fetches>>,
    writes: Arc<Queue<Writes>>,
}

impl SqliteProvider {
    /// Opens a database file and the table `sessions` in it. It creates the file and the table if
    /// they are missing, but no folder. Any number of processes may do so at once.
    ///
    /// It uses the settings of [`options`](Self::options). One connection writes; a few more,
    /// opened on demand, read. Waiting for a connection ends after 5 seconds.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, is no database, has another table of this name, or stays
    /// locked for 5 seconds.
    ///
    /// ```
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let error = SqliteProvider::open("no/such/folder/sessions.db").await.unwrap_err();
    /// assert!(!error.is_unavailable());
    /// assert!(error.to_string().contains("create its folder"));
    /// # }
    /// ```
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, ProviderError> {
        let options = Self::options(&path);
        // Before a file of that name is created.
        refuse_memory(&options)?;
        private::create(path.as_ref());
        let provider = Self::open_with(options).await?;
        provider.create_table().await?;
        Ok(provider)
    }

    /// Returns the settings that [`open`](Self::open) uses, so that you can change one and pass
    /// them to [`open_with`](Self::open_with): create the file if it is missing, journal mode WAL,
    /// `synchronous = FULL`, a busy timeout of 5 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// let options = SqliteProvider::options("sessions.db").busy_timeout(Duration::from_secs(1));
    /// assert!(options.get_filename().ends_with("sessions.db"));
    /// ```
    pub fn options(path: impl AsRef<Path>) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(WAIT)
    }

    /// Opens a database file with settings of your own. It creates no table: call
    /// [`create_table`](Self::create_table).
    ///
    /// # Errors
    /// Fails if the file cannot be opened, is no database, or stays locked for 5 seconds. Also
    /// fails for a database in memory, because each connection would have a separate one.
    ///
    /// ```
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("sessions.db");
    /// let options = SqliteProvider::options(&path).pragma("cache_size", "-16000");
    /// let provider = SqliteProvider::open_with(options).await?.table("visitors")?;
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn open_with(options: SqliteConnectOptions) -> Result<Self, ProviderError> {
        refuse_memory(&options)?;
        let path = options.get_filename().to_owned();
        let is_new = !path.exists();
        // The first connection switches a new file to WAL mode. SQLite does not wait for a lock
        // there where two processes do it at once, so the wait is here.
        let own = Arc::new(OwnWrites::default());
        let opened = own.clone();
        let writer = Self::pool(1).after_connect(move |_, _| {
            opened.note_opened();
            Box::pin(ready(Ok(())))
        });
        let writer = patiently(|| writer.clone().connect_with(options.clone()))
            .await
            .map_err(|error| provider_error(DEFAULT_TABLE, error))?;
        if is_new {
            private::restrict(&path);
        }
        if let Some(file) = FileId::of(&path) {
            own.note_file(file);
        }
        let readers = available_parallelism().map_or(2, NonZero::get).clamp(2, 8);
        let readers = Self::pool(u32::try_from(readers).unwrap_or(2)).connect_lazy_with(options);
        Ok(Self::with(writer, readers, default_statements(), Some(own)))
    }

    /// Uses connections of your own, for reading and for writing.
    ///
    /// Set the journal mode to WAL, and the busy timeout to the time that a request may wait. The
    /// provider writes through one connection of the pool at a time. Other writers that use the pool
    /// collide with it: they poll instead of queueing, and under load some wait long.
    ///
    /// ```
    /// use sessions_sqlite::{SqliteProvider, sqlx::SqlitePool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("shop.db");
    /// let pool = SqlitePool::connect_with(SqliteProvider::options(&path)).await?;
    /// let provider = SqliteProvider::new(pool.clone());
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self::with(pool.clone(), pool, default_statements(), None)
    }

    /// Uses another table than `sessions`. Its name has 1 to 63 ASCII letters, digits and
    /// underscores, no digit first, and does not begin with `sqlite_`.
    ///
    /// # Errors
    /// Fails for any other name.
    ///
    /// ```
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("sessions.db");
    /// let provider = SqliteProvider::open(&path).await?;
    /// assert!(provider.clone().table("visitors").is_ok());
    /// assert!(provider.table("visitors; --").is_err());
    /// # Ok(()) }
    /// ```
    pub fn table(self, name: &str) -> Result<Self, ProviderError> {
        let statements = Statements::new(name).ok_or_else(|| {
            ProviderError::permanent(format!(
                "table name {name:?} is refused: use 1 to 63 ASCII letters, digits and \
                 underscores, no digit first, and no `sqlite_` in front"
            ))
        })?;
        Ok(Self::with(self.writer, self.readers, statements, self.own))
    }

    fn with(
        writer: SqlitePool,
        readers: SqlitePool,
        statements: Statements,
        own: Option<Arc<OwnWrites>>,
    ) -> Self {
        let statements = Arc::new(statements);
        let fetches = Fetches { readers: readers.clone(), statements: statements.clone() };
        let most = readers.options().get_max_connections() as usize;
        let table = statements.table.clone();
        let writes = Writes { writer: writer.clone(), table, own: own.clone() };
        // One at a time even in a pool of more connections, which would wait for each other.
        let (fetches, writes) = (Queue::new(fetches, most), Queue::new(writes, 1));
        Self { writer, readers, statements, own, fetches, writes }
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

    /// Creates the table and its indexes if they are missing. Any number of processes may do so at
    /// once.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or if a table of this name has other columns.
    ///
    /// ```
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("sessions.db");
    /// let provider = SqliteProvider::open(&path).await?.table("visitors")?;
    /// provider.create_table().await?;
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_table(&self) -> Result<(), ProviderError> {
        let statements = &self.statements;
        // The check stands before the indexes, whose errors would say less.
        let (table, indexes) = statements.create.split_at(1);
        for statement in table.iter().chain([&statements.check]).chain(indexes) {
            patiently(|| sqlx::query(statement.clone()).execute(&self.writer))
                .await
                .map_err(|error| self.error(error))?;
        }
        Ok(())
    }

    /// Drops the table with all its records. It is for tests.
    ///
    /// # Errors
    /// Fails if the database cannot answer.
    ///
    /// ```
    /// use sessions::provider::Provider;
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("sessions.db");
    /// let provider = SqliteProvider::open(&path).await?;
    /// provider.drop_table().await?;
    /// let error = provider.fetch("a", std::time::SystemTime::now()).await.unwrap_err();
    /// assert!(error.to_string().contains("call create_table()"));
    /// # Ok(()) }
    /// ```
    pub async fn drop_table(&self) -> Result<(), ProviderError> {
        let mut connection = self.writer.acquire().await.map_err(|error| self.error(error))?;
        // What it drops has no names here, so a listener must assume anything.
        let _unsure = self.own.as_ref().map(|own| own.writing());
        sqlx::query(self.statements.drop.clone())
            .execute(&mut *connection)
            .await
            .map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Waits for running calls and closes the connections, including those of [`new`](Self::new)'s
    /// pool. SQLite then moves the log into the database and removes its `-wal` and `-shm` files.
    /// Durability does not need this.
    ///
    /// ```
    /// use sessions_sqlite::SqliteProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sessions::provider::ProviderError> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("sessions.db");
    /// let provider = SqliteProvider::open(&path).await?;
    /// provider.close().await;
    /// assert!(!path.with_extension("db-wal").exists());
    /// # Ok(()) }
    /// ```
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    fn pool(size: u32) -> SqlitePoolOptions {
        // A file does not go away as a server does: no test before use, and no reopening.
        SqlitePoolOptions::new()
            .max_connections(size)
            .acquire_timeout(WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    }

    fn error(&self, error: sqlx::Error) -> ProviderError {
        provider_error(&self.statements.table, error)
    }
}

impl fmt::Debug for SqliteProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteProvider")
            .field("path", &self.writer.connect_options().get_filename())
            .field("table", &self.statements.table)
            .finish_non_exhaustive()
    }
}

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
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        // One more than asked for tells whether another page follows. Every id is behind "".
        let mut records = sqlx::query(self.statements.list.clone())
            .bind(owner)
            .bind(page.after.as_deref().unwrap_or_default())
            .bind(millis(now))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.readers)
            .await
            .and_then(|rows| rows.iter().map(to_record).collect::<Result<Vec<_>, _>>())
            .map_err(|error| self.error(error))?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { records, next })
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

/// Each connection would have a database of its own.
fn refuse_memory(options: &SqliteConnectOptions) -> Result<(), ProviderError> {
    let name = options.get_filename().to_string_lossy();
    if name.is_empty() || name == ":memory:" || name.starts_with("file:sqlx-in-memory") {
        return Err(ProviderError::permanent(
            "a SQLite database in memory is no use here: give the path of a file, or use \
             MemoryProvider",
        ));
    }
    Ok(())
}

fn default_statements() -> Statements {
    Statements::new(DEFAULT_TABLE).expect("the default name is a plain identifier")
}

/// The error of a call whose runtime shut down while another task ran it.
fn dropped() -> ProviderError {
    ProviderError::unavailable("the runtime shut down during the call, which may have taken place")
}

/// Repeats what did not happen because of a lock, for as long as a request waits. Not for saves.
async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Err(error) if is_busy(&error) && start.elapsed() < WAIT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
}

/// How long a call waits for a connection, and a connection for a lock.
const WAIT: Duration = Duration::from_secs(5);

/// How many records a purge removes in one statement: the others' wait.
const PURGE_BATCH: u64 = 500;
