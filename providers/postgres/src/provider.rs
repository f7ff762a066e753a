//! The provider: each call is one statement, and a second one after a conflict.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sessions::provider::{
    Deleted, Expect, Listed, Page, Provider, ProviderError, Record, Saved, Touched,
    from_unix_millis, to_unix_millis,
};
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::{Row as _, SqlStr};
use tokio::time::{Instant, timeout_at};

use crate::connections::{Connections, Held, Own};
use crate::error::{self, Verdict, verdict};
use crate::sql::{DEFAULT_TABLE, Statements};
use crate::statement::{Answer, Arg, Form, Nature, run};

/// Keeps records in a table of a PostgreSQL database. Clones share their connections.
///
/// The [crate's docs](crate) describe the table, the permissions, the cost of each call and
/// durability.
///
/// ```no_run
/// use sessions_postgres::PostgresProvider;
///
/// # async fn example() -> Result<(), sessions::provider::ProviderError> {
/// let provider = PostgresProvider::connect("postgres://app:secret@localhost/shop").await?;
/// provider.create_table().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresProvider {
    connections: Connections,
    statements: Arc<Statements>,
    form: Form,
    timeout: Duration,
}

impl PostgresProvider {
    /// Connects to a server by its URL, such as
    /// `postgres://user:password@host:port/database?sslmode=require`, with up to 10 connections of
    /// the provider's own. Parts that the URL omits come from libpq's environment variables, such
    /// as `PGPASSWORD`.
    ///
    /// It opens one connection, so that wrong settings fail at once. The others are opened on
    /// demand.
    ///
    /// # Errors
    /// Fails if the URL is invalid, or if the server cannot be reached, refuses the user, or has no
    /// such database.
    ///
    /// ```
    /// use sessions_postgres::PostgresProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let error = PostgresProvider::connect("postgres://localhost:1/shop").await.unwrap_err();
    /// assert!(error.is_unavailable());
    /// assert!(error.to_string().contains("start the server"));
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, ProviderError> {
        let options = url.parse().map_err(error::of_url)?;
        Self::connect_with(options, DEFAULT_CONNECTIONS).await
    }

    /// Connects with up to `connections` connections of the provider's own; 0 counts as 1. It opens
    /// one connection, and the others on demand.
    ///
    /// # Errors
    /// Fails if the server cannot be reached, refuses the user, or has no such database.
    ///
    /// ```no_run
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let options = PgConnectOptions::new().host("db.internal").database("shop");
    /// let provider = PostgresProvider::connect_with(options, 32).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(
        options: PgConnectOptions,
        connections: u32,
    ) -> Result<Self, ProviderError> {
        let provider = Self::connect_lazy_with(options, connections);
        let time = provider.time();
        provider.connections.hold(time.start, time.end, false, DEFAULT_TABLE).await?;
        Ok(provider)
    }

    /// Connects as [`connect_with`](Self::connect_with) does, but opens the first connection on
    /// demand too. It is for a service that must start while its database is down.
    ///
    /// ```
    /// use sessions::provider::Provider;
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let options = PgConnectOptions::new().host("localhost").port(1);
    /// let provider = PostgresProvider::connect_lazy_with(options, 8);
    /// let error = provider.fetch("a", std::time::SystemTime::now()).await.unwrap_err();
    /// assert!(error.is_unavailable());
    /// # }
    /// ```
    #[must_use]
    pub fn connect_lazy_with(options: PgConnectOptions, connections: u32) -> Self {
        install_cryptography();
        Self::over(Connections::Own(Arc::new(Own::new(options, connections))))
    }

    /// Uses a pool of your own, with one connection for each call. Its size may be 1.
    ///
    /// sqlx's pool asks the server after each use of a connection, and by default before each,
    /// whether the connection is alive.
    ///
    /// ```no_run
    /// use sessions_postgres::{PostgresProvider, sqlx::PgPool};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPool::connect("postgres://app:secret@localhost/shop").await?;
    /// let provider = PostgresProvider::new(pool.clone());
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        install_cryptography();
        Self::over(Connections::Pool(pool))
    }

    fn over(connections: Connections) -> Self {
        let statements =
            Statements::new(DEFAULT_TABLE).expect("the default name is a plain identifier");
        Self {
            connections,
            statements: Arc::new(statements),
            form: Form::Prepared,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Uses a table other than `sessions`, given as `table` or `schema.table`. A table's name has 1
    /// to 50 ASCII letters, digits and underscores, and does not begin with a digit; a schema's
    /// name has up to 63. Upper case is preserved. PostgreSQL looks a name without a schema up
    /// along the search path.
    ///
    /// # Errors
    /// Fails for any other name.
    ///
    /// ```
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// let provider = PostgresProvider::connect_lazy_with(PgConnectOptions::new(), 8);
    /// assert!(provider.clone().table("app.visitors").is_ok());
    /// assert!(provider.table("visitors; --").is_err());
    /// ```
    pub fn table(self, name: &str) -> Result<Self, ProviderError> {
        let statements = Statements::new(name).ok_or_else(|| {
            ProviderError::permanent(format!(
                "table name {name:?} is refused: use 1 to 50 ASCII letters, digits and \
                 underscores, no digit first, and before it a schema's name and a dot if needed"
            ))
        })?;
        Ok(Self { statements: Arc::new(statements), ..self })
    }

    /// Sets the timeout of a call, including the time to wait for a connection and to open one. A
    /// call that times out ends with an error that [is unavailable](ProviderError::is_unavailable).
    /// The default is 5 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// let provider = PostgresProvider::connect_lazy_with(PgConnectOptions::new(), 8)
    ///     .timeout(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends each statement as one text, without preparing it. It is for a pooler in transaction
    /// mode, such as PgBouncer, which moves a client from one server connection to another without
    /// its prepared statements. A call is still one round trip. The server parses each statement
    /// again, and data takes twice its size on the wire.
    ///
    /// Setting the capacity of sqlx's statement cache to 0 does not help, because sqlx still
    /// prepares statements.
    ///
    /// ```
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// let options = PgConnectOptions::new().host("pgbouncer.internal").port(6432);
    /// let provider = PostgresProvider::connect_lazy_with(options, 8).unprepared();
    /// ```
    #[must_use]
    pub fn unprepared(self) -> Self {
        Self { form: Form::Text, ..self }
    }

    /// Creates the table and its indexes if they are missing, and checks the columns of an existing
    /// table. Any number of processes may do so at once. The schema must exist. If nothing is
    /// missing, it locks nothing and needs no right to create.
    ///
    /// # Errors
    /// Fails if the database cannot answer, does not let the role create tables, or has a table of
    /// this name with other columns.
    ///
    /// ```no_run
    /// use sessions_postgres::PostgresProvider;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = PostgresProvider::connect("postgres://localhost/shop").await?;
    /// provider.create_table().await?;
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_table(&self) -> Result<(), ProviderError> {
        if self.is_complete().await? {
            return Ok(());
        }
        self.define(&self.statements.create).await?;
        if self.is_complete().await? {
            return Ok(());
        }
        Err(ProviderError::permanent(format!(
            "table `{}` lacks an index, and the name of the index is taken: drop or rename what has \
             it",
            self.statements.table
        )))
    }

    /// Drops the table with all its records. It is for tests.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or if the table belongs to another role.
    ///
    /// ```no_run
    /// use sessions_postgres::PostgresProvider;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = PostgresProvider::connect("postgres://localhost/test").await?;
    /// provider.drop_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn drop_table(&self) -> Result<(), ProviderError> {
        self.define(&self.statements.drop).await
    }

    /// Waits for running calls and closes the connections, including those of [`new`](Self::new)'s
    /// pool. Durability does not need this.
    ///
    /// ```
    /// use sessions::provider::Provider;
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let provider = PostgresProvider::connect_lazy_with(PgConnectOptions::new(), 8);
    /// provider.close().await;
    /// let error = provider.fetch("a", std::time::SystemTime::now()).await.unwrap_err();
    /// assert!(error.to_string().contains("closed"));
    /// # }
    /// ```
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// Whether the table is there with its columns and indexes.
    async fn is_complete(&self) -> Result<bool, ProviderError> {
        let statements = &self.statements;
        let time = self.time();
        let name = [Arg::Text(Some(&statements.quoted))];
        let mut held = None;
        let again = Nature::Repeatable;
        let columns =
            self.call(&mut held, time, self.form, again, &statements.columns, &name).await?;
        let columns = columns.rows.iter().map(to_column).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|error| self.error(error))?;
        if columns.is_empty() {
            return Ok(false);
        }
        let ours = |(name, of_type): &(&str, &str)| {
            columns.iter().any(|column| column.name == *name && column.of_type == *of_type)
        };
        let strange = |column: &Column<'_>| {
            !column.optional && !COLUMNS.iter().any(|(name, _)| *name == column.name)
        };
        if !COLUMNS.iter().all(ours) || columns.iter().any(strange) {
            return Err(error::other_columns(&statements.table));
        }
        let indexes =
            self.call(&mut held, time, self.form, again, &statements.indexes, &name).await?;
        let counts = indexes.rows.first().map(to_counts).transpose();
        let [unique, expiry, owner] = counts.map_err(|error| self.error(error))?.unwrap_or([0; 3]);
        if unique == 0 {
            return Err(error::other_columns(&statements.table));
        }
        Ok(expiry > 0 && owner > 0)
    }

    /// Runs a statement on the connection that is held, or on one that is held from then on. One
    /// that fails with its connection is run once more where it may be.
    async fn call<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        form: Form,
        nature: Nature,
        sql: &SqlStr,
        args: &[Arg<'_>],
    ) -> Result<Answer, ProviderError> {
        let mut first = true;
        loop {
            let mut connection = match held.take() {
                Some(held) => held,
                None => {
                    let sure = nature == Nature::Once;
                    self.connections
                        .hold(time.start, time.end, sure, &self.statements.table)
                        .await?
                }
            };
            let statement = run(connection.begin(), form, nature, sql, args);
            let failed = match timeout_at(time.end, statement).await {
                Ok(Ok(answer)) => {
                    connection.end();
                    *held = Some(connection);
                    return Ok(answer);
                }
                Ok(Err(failed)) => failed,
                Err(_) => return Err(error::statement_took_long()),
            };
            let verdict = verdict(&failed);
            if verdict == Verdict::Refused {
                connection.end();
                return Err(self.error(failed.error));
            }
            drop(connection);
            self.connections.forget_idle();
            let repeats = nature != Nature::Once || verdict == Verdict::LostBefore;
            if !(first && repeats) {
                return Err(self.error(failed.error));
            }
            first = false;
        }
    }

    /// Runs statements that create or drop tables, as one text.
    async fn define(&self, sql: &SqlStr) -> Result<(), ProviderError> {
        let mut held = None;
        self.call(&mut held, self.time(), Form::Text, Nature::Repeatable, sql, &[]).await?;
        Ok(())
    }

    /// Runs one statement that is a call of its own.
    async fn single(
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

    fn first_record(&self, answer: &Answer) -> Result<Option<Record>, ProviderError> {
        answer.rows.first().map(to_record).transpose().map_err(|error| self.error(error))
    }

    fn time(&self) -> Time {
        let start = Instant::now();
        // A timeout beyond all clocks is none.
        let end = start.checked_add(self.timeout);
        Time { start, end: end.unwrap_or(start + Duration::from_secs(86_400 * 365)) }
    }

    fn error(&self, error: sqlx::Error) -> ProviderError {
        error::of_statement(&self.statements.table, error)
    }
}

impl fmt::Debug for PostgresProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the password.
        f.debug_struct("PostgresProvider")
            .field("table", &self.statements.table)
            .field("form", &self.form)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

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
        let statements = &self.statements;
        let (sql, count, version, seen) = match expect {
            Expect::Any => (&statements.save_any, 6, 0, None),
            Expect::Absent => (&statements.save_absent, 7, 0, None),
            Expect::Version(version) => (&statements.save_version, 8, version, None),
            Expect::Untouched { version, expires_at } => {
                (&statements.save_untouched, 9, version, expires_at)
            }
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
        let (mut held, time) = (None, self.time());
        let nature = Nature::Once;
        let saved = self.call(&mut held, time, self.form, nature, sql, &args[..count]).await?;
        if saved.affected > 0 {
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
        let statements = &self.statements;
        let (mut held, time) = (None, self.time());
        let (sql, count, version, seen) = match expect {
            Expect::Any => (Some(&statements.delete_any), 1, 0, None),
            Expect::Version(version) => (Some(&statements.delete_version), 3, version, None),
            Expect::Untouched { version, expires_at } => {
                (Some(&statements.delete_untouched), 4, version, expires_at)
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
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        // One more than asked for tells whether another page follows. Every id is behind "".
        let args = [
            Arg::Text(Some(owner)),
            Arg::Text(Some(page.after.as_deref().unwrap_or_default())),
            Arg::Int(Some(millis(now))),
            Arg::Int(Some(i64::from(page.limit) + 1)),
        ];
        let answer = self.single(Nature::Repeatable, &self.statements.list, &args).await?;
        let records = answer.rows.iter().map(to_record).collect::<Result<Vec<_>, _>>();
        let mut records = records.map_err(|error| self.error(error))?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().filter(|_| more).map(|record| record.id.to_string());
        Ok(Listed { records, next })
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
}

/// When a call began and when it must have ended.
#[derive(Clone, Copy)]
struct Time {
    start: Instant,
    end: Instant,
}

struct Column<'a> {
    name: &'a str,
    of_type: &'a str,
    optional: bool,
}

fn to_column(row: &PgRow) -> Result<Column<'_>, sqlx::Error> {
    Ok(Column { name: row.try_get(0)?, of_type: row.try_get(1)?, optional: row.try_get(2)? })
}

fn to_counts(row: &PgRow) -> Result<[i64; 3], sqlx::Error> {
    Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])
}

/// Times end with the year 9999, so they fit.
fn millis(time: SystemTime) -> i64 {
    to_unix_millis(time).cast_signed()
}

/// Rustls panics where nobody has chosen its cryptography and more than one is compiled in, as
/// another crate of the app may do.
fn install_cryptography() {
    #[cfg(any(feature = "tls-rustls-ring-native-roots", feature = "tls-rustls-ring-webpki"))]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
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

/// The columns and their types, as PostgreSQL names them.
const COLUMNS: [(&str, &str); 7] = [
    ("id", "text"),
    ("version", "bigint"),
    ("expires_at", "bigint"),
    ("expires_slot", "bigint generated"),
    ("format", "text"),
    ("owner", "text"),
    ("data", "bytea"),
];

/// How many connections of its own a provider opens where nothing else is said.
const DEFAULT_CONNECTIONS: u32 = 10;

/// How long a request may wait for its session.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many records a purge removes in one statement.
const PURGE_BATCH: u64 = 500;
