//! The provider: opening it, its settings, and its table.

use std::fmt;
use std::future::ready;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use sessions::provider::ProviderError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::error::{is_busy, provider_error};
use crate::fetches::Fetches;
use crate::file::FileId;
use crate::own::OwnWrites;
use crate::private;
use crate::queue::Queue;
use crate::sql::{DEFAULT_TABLE, Statements};
use crate::writes::Writes;

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
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    pub(crate) statements: Arc<Statements>,
    pub(crate) own: Option<Arc<OwnWrites>>,
    pub(crate) fetches: Arc<Queue<Fetches>>,
    pub(crate) writes: Arc<Queue<Writes>>,
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

    pub(crate) fn error(&self, error: sqlx::Error) -> ProviderError {
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
