//! The provider: its settings, its table, and how it runs a statement.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sessions::provider::ProviderError;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::{Row as _, SqlStr};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::announcer::{Announcer, Teller};
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
    pub(crate) connections: Connections,
    pub(crate) statements: Arc<Statements>,
    pub(crate) form: Form,
    timeout: Duration,
    /// Whether writes notify the feeds of other hosts.
    pub(crate) announces: bool,
    /// Shared with clones that send the same statements in the same way.
    pub(crate) announcer: Arc<Announcer>,
    /// Where the feed of changes connects, if elsewhere than calls do.
    pub(crate) direct: Option<Arc<PgConnectOptions>>,
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
            announces: true,
            announcer: Arc::default(),
            direct: None,
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
        Ok(Self { statements: Arc::new(statements), announcer: Arc::default(), ..self })
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
        Self { timeout, announcer: Arc::default(), ..self }
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
        Self { form: Form::Text, announcer: Arc::default(), ..self }
    }

    /// Sets the options of the connection that [`changes`](sessions::provider::Provider::changes)
    /// opens, so that it does not go through a pooler in transaction mode. It must lead to the same
    /// database as the other connections. Without this call, `changes` uses the options of the
    /// provider's connections, or of the pool.
    ///
    /// ```
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// let shop = PgConnectOptions::new().database("shop");
    /// let pooler = shop.clone().host("pgbouncer.internal").port(6432);
    /// let provider = PostgresProvider::connect_lazy_with(pooler, 8)
    ///     .unprepared()
    ///     .listen_with(shop.host("db.internal"));
    /// ```
    #[must_use]
    pub fn listen_with(self, options: PgConnectOptions) -> Self {
        // As for every connection of the provider's own.
        let options = options.extra_float_digits(None);
        Self { direct: Some(Arc::new(options)), ..self }
    }

    /// Turns notices of changes off: no save and no deletion notifies other hosts, which saves a round
    /// trip, and [`changes`](sessions::provider::Provider::changes) is unsupported. It is for a
    /// database to which every connection goes through a pooler in transaction mode, and for a service
    /// that neither caches records nor watches sessions. Call it on every host of a service, because
    /// the others do not learn what this one writes.
    ///
    /// ```
    /// use sessions::provider::{ChangeListener, Provider};
    /// use sessions_postgres::PostgresProvider;
    /// use sessions_postgres::sqlx::postgres::PgConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let provider =
    ///     PostgresProvider::connect_lazy_with(PgConnectOptions::new(), 8).without_changes();
    /// let error = provider.changes(ChangeListener::new(|_| {})).await.unwrap_err();
    /// assert!(error.is_unsupported());
    /// # }
    /// ```
    #[must_use]
    pub fn without_changes(self) -> Self {
        Self { announces: false, ..self }
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
        // What a call has changed is announced behind its statement, on another connection.
        self.announcer.quiet(self.time().end).await;
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
    /// that fails with its connection is run once more where it may be, and one that gave way to
    /// another transaction until the call's time is over.
    pub(crate) async fn call<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        form: Form,
        nature: Nature,
        sql: &SqlStr,
        args: &[Arg<'_>],
    ) -> Result<Answer, ProviderError> {
        let mut first = true;
        let mut pause = SHORTEST_PAUSE;
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
            if verdict == Verdict::GaveWay {
                connection.end();
                *held = Some(connection);
                let next = Instant::now() + pause;
                if next >= time.end {
                    return Err(self.error(failed.error));
                }
                sleep_until(next).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
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

    pub(crate) fn time(&self) -> Time {
        let start = Instant::now();
        // A timeout beyond all clocks is none.
        let end = start.checked_add(self.timeout);
        Time { start, end: end.unwrap_or(start + Duration::from_secs(86_400 * 365)) }
    }

    pub(crate) fn error(&self, error: sqlx::Error) -> ProviderError {
        error::of_statement(&self.statements.table, error)
    }
}

impl Teller for PostgresProvider {
    async fn tell(&self, notices: &[&str]) -> Result<(), ProviderError> {
        let args = [Arg::Texts(notices)];
        self.single(Nature::Repeatable, &self.statements.announce, &args).await?;
        Ok(())
    }

    fn end(&self) -> Instant {
        self.time().end
    }
}

impl fmt::Debug for PostgresProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the password.
        f.debug_struct("PostgresProvider")
            .field("table", &self.statements.table)
            .field("form", &self.form)
            .field("timeout", &self.timeout)
            .field("announces", &self.announces)
            .finish_non_exhaustive()
    }
}

/// When a call began and when it must have ended.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
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

/// Rustls panics where nobody has chosen its cryptography and more than one is compiled in, as
/// another crate of the app may do.
fn install_cryptography() {
    #[cfg(any(feature = "tls-rustls-ring-native-roots", feature = "tls-rustls-ring-webpki"))]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
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

/// How long a statement waits before it is run again, if it gave way to another.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long a request may wait for its session.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
