//! The provider: its settings, its table, and how it runs a statement.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sessions::provider::ProviderError;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::connections::{Connections, Held, Own, Pool};
use crate::error::{self, Verdict, verdict};
use crate::sql::{DEFAULT_TABLE, Statements};
use crate::statement::{Answer, Nature, Work};
use crate::table::{self, Lacks};

/// Keeps records in a table of a MySQL or MariaDB database. Clones share their connections.
///
/// The [crate's docs](crate) describe the table, the permissions, the cost of each call and
/// durability.
///
/// ```no_run
/// use sessions_mysql::MySqlProvider;
///
/// # async fn example() -> Result<(), sessions::provider::ProviderError> {
/// let provider = MySqlProvider::connect("mysql://app:secret@localhost/shop").await?;
/// provider.create_table().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MySqlProvider {
    pub(crate) connections: Connections,
    pub(crate) statements: Arc<Statements>,
    timeout: Duration,
}

impl MySqlProvider {
    /// Connects to a server by its URL, such as
    /// `mysql://user:password@host:port/database?ssl-mode=VERIFY_IDENTITY`, with up to 10
    /// connections of the provider's own.
    ///
    /// It opens one connection, so that wrong settings fail at once. The others are opened on
    /// demand.
    ///
    /// # Errors
    /// Fails if the URL is invalid, or if the server cannot be reached, refuses the user, or has no
    /// such database.
    ///
    /// ```
    /// use sessions_mysql::MySqlProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let error = MySqlProvider::connect("mysql://localhost:1/shop").await.unwrap_err();
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
    /// use sessions_mysql::MySqlProvider;
    /// use sessions_mysql::sqlx::mysql::MySqlConnectOptions;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let options = MySqlConnectOptions::new().host("db.internal").database("shop");
    /// let provider = MySqlProvider::connect_with(options, 32).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect_with(
        options: MySqlConnectOptions,
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
    /// use sessions_mysql::MySqlProvider;
    /// use sessions_mysql::sqlx::mysql::MySqlConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let options = MySqlConnectOptions::new().host("localhost").port(1);
    /// let provider = MySqlProvider::connect_lazy_with(options, 8);
    /// let error = provider.fetch("a", std::time::SystemTime::now()).await.unwrap_err();
    /// assert!(error.is_unavailable());
    /// # }
    /// ```
    #[must_use]
    pub fn connect_lazy_with(options: MySqlConnectOptions, connections: u32) -> Self {
        install_cryptography();
        Self::over(Connections::Own(Arc::new(Own::new(options, connections))))
    }

    /// Uses a pool of your own, with one connection for each call. Its size may be 1. The
    /// connections must commit each statement (`autocommit`, on by default); the first call checks
    /// that.
    ///
    /// sqlx's pool asks the server after each use of a connection, and by default before each,
    /// whether the connection is alive.
    ///
    /// ```no_run
    /// use sessions_mysql::{MySqlProvider, sqlx::MySqlPool};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = MySqlPool::connect("mysql://app:secret@localhost/shop").await?;
    /// let provider = MySqlProvider::new(pool.clone());
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(pool: MySqlPool) -> Self {
        install_cryptography();
        Self::over(Connections::Pool(Arc::new(Pool::new(pool))))
    }

    fn over(connections: Connections) -> Self {
        let statements =
            Statements::new(DEFAULT_TABLE).expect("the default name is a plain identifier");
        Self { connections, statements: Arc::new(statements), timeout: DEFAULT_TIMEOUT }
    }

    /// Uses a table other than `sessions`, given as `table` or `database.table`. Each name has 1 to
    /// 64 ASCII letters, digits and underscores, and does not begin with a digit. Whether upper and
    /// lower case differ is a setting of the server, `lower_case_table_names`.
    ///
    /// # Errors
    /// Fails for any other name.
    ///
    /// ```
    /// use sessions_mysql::MySqlProvider;
    /// use sessions_mysql::sqlx::mysql::MySqlConnectOptions;
    ///
    /// let provider = MySqlProvider::connect_lazy_with(MySqlConnectOptions::new(), 8);
    /// assert!(provider.clone().table("app.visitors").is_ok());
    /// assert!(provider.table("visitors; --").is_err());
    /// ```
    pub fn table(self, name: &str) -> Result<Self, ProviderError> {
        let statements = Statements::new(name).ok_or_else(|| {
            ProviderError::permanent(format!(
                "table name {name:?} is refused: use 1 to 64 ASCII letters, digits and \
                 underscores, no digit first, and before it a database's name and a dot if needed"
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
    /// use sessions_mysql::MySqlProvider;
    /// use sessions_mysql::sqlx::mysql::MySqlConnectOptions;
    ///
    /// let provider = MySqlProvider::connect_lazy_with(MySqlConnectOptions::new(), 8)
    ///     .timeout(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Creates the table and its indexes if they are missing, and checks the columns of an existing
    /// table. Any number of processes may do so at once. The database must exist. If nothing is
    /// missing, it needs no right to create.
    ///
    /// # Errors
    /// Fails if the database cannot answer, does not let the user create tables, or has a table of
    /// this name with other columns.
    ///
    /// ```no_run
    /// use sessions_mysql::MySqlProvider;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = MySqlProvider::connect("mysql://localhost/shop").await?;
    /// provider.create_table().await?;
    /// provider.create_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_table(&self) -> Result<(), ProviderError> {
        let (mut held, statements) = (None, &self.statements);
        let mut lacks = self.lacks(&mut held).await?;
        if lacks == Lacks::Table {
            self.define(&mut held, Work::Text(&statements.create)).await?;
            lacks = self.lacks(&mut held).await?;
        }
        if let Lacks::Indexes(indexes) = &lacks {
            for index in indexes {
                let sql = statements.add_index(index);
                self.define(&mut held, Work::Text(&sql)).await?;
            }
            if !indexes.is_empty() {
                lacks = self.lacks(&mut held).await?;
            }
        }
        match lacks {
            Lacks::Indexes(indexes) if indexes.is_empty() => Ok(()),
            Lacks::Indexes(_) => Err(error::index_name_taken(&statements.table)),
            Lacks::Columns => Err(error::other_columns(&statements.table)),
            // Somebody has dropped it meanwhile.
            Lacks::Table => Err(error::missing_table(&statements.table)),
        }
    }

    /// Drops the table with all its records. It is for tests.
    ///
    /// # Errors
    /// Fails if the database cannot answer, or if the user has no right to drop it.
    ///
    /// ```no_run
    /// use sessions_mysql::MySqlProvider;
    ///
    /// # async fn example() -> Result<(), sessions::provider::ProviderError> {
    /// let provider = MySqlProvider::connect("mysql://localhost/test").await?;
    /// provider.drop_table().await?;
    /// # Ok(()) }
    /// ```
    pub async fn drop_table(&self) -> Result<(), ProviderError> {
        self.define(&mut None, Work::Text(&self.statements.drop)).await
    }

    /// Waits for running calls and closes the connections, including those of [`new`](Self::new)'s
    /// pool. Durability does not need this.
    ///
    /// ```
    /// use sessions::provider::Provider;
    /// use sessions_mysql::MySqlProvider;
    /// use sessions_mysql::sqlx::mysql::MySqlConnectOptions;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let provider = MySqlProvider::connect_lazy_with(MySqlConnectOptions::new(), 8);
    /// provider.close().await;
    /// let error = provider.fetch("a", std::time::SystemTime::now()).await.unwrap_err();
    /// assert!(error.to_string().contains("closed"));
    /// # }
    /// ```
    pub async fn close(&self) {
        self.connections.close().await;
    }

    /// What the table lacks.
    async fn lacks<'a>(&'a self, held: &mut Option<Held<'a>>) -> Result<Lacks, ProviderError> {
        let statements = &self.statements;
        let columns = match self.ask(held, Work::Text(&statements.columns)).await? {
            Ok(answer) => answer.rows,
            Err(error) if error::is_missing_table(&error) => return Ok(Lacks::Table),
            Err(error) => return Err(self.error(error)),
        };
        let indexes = match self.ask(held, Work::Text(&statements.indexes)).await? {
            Ok(answer) => answer.rows,
            Err(error) => return Err(self.error(error)),
        };
        table::lacks(&columns, &indexes).map_err(|error| self.error(error))
    }

    /// Runs a statement that creates or drops something. An index that another process has created
    /// meanwhile is as good.
    async fn define<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        work: Work<'_>,
    ) -> Result<(), ProviderError> {
        match self.ask(held, work).await? {
            Ok(_) => Ok(()),
            Err(error) if error::is_duplicate_index(&error) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Runs a statement that may be repeated, and gives the server's own error.
    async fn ask<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        work: Work<'_>,
    ) -> Result<Result<Answer, sqlx::Error>, ProviderError> {
        self.run(held, self.time(), Nature::Repeatable, work).await
    }

    /// Runs what a call sends, on the connection that is held, or on one that is held from then on.
    pub(crate) async fn call<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        nature: Nature,
        work: Work<'_>,
    ) -> Result<Answer, ProviderError> {
        self.run(held, time, nature, work).await?.map_err(|error| self.error(error))
    }

    /// As `call`, which gives the server's own error. What fails with its connection is run once
    /// more where it may be, and what gave way to another transaction until the call's time is over.
    pub(crate) async fn run<'a>(
        &'a self,
        held: &mut Option<Held<'a>>,
        time: Time,
        nature: Nature,
        work: Work<'_>,
    ) -> Result<Result<Answer, sqlx::Error>, ProviderError> {
        let mut first = true;
        let mut pauses = Pauses::new();
        loop {
            let mut connection = match held.take() {
                Some(held) => held,
                None => {
                    let (sure, table) = (nature == Nature::Once, &self.statements.table);
                    self.connections.hold(time.start, time.end, sure, table).await?
                }
            };
            if work.size() >= connection.packet {
                return Err(error::too_large(work.size(), connection.packet));
            }
            let failed = match timeout_at(time.end, work.run(connection.begin())).await {
                Ok(Ok(answer)) => {
                    connection.end();
                    *held = Some(connection);
                    return Ok(Ok(answer));
                }
                Ok(Err(failed)) => failed,
                Err(_) => return Err(error::statement_took_long()),
            };
            let verdict = verdict(&failed);
            if matches!(verdict, Verdict::Refused | Verdict::GaveWay) {
                // A transaction may still be open, and ends with its connection.
                if !matches!(work, Work::Transaction(_)) {
                    connection.end();
                    *held = Some(connection);
                }
                if verdict == Verdict::Refused || !pauses.pause_until(time.end).await {
                    return Ok(Err(failed));
                }
                continue;
            }
            drop(connection);
            self.connections.forget_idle();
            let repeats = nature == Nature::Repeatable || verdict == Verdict::LostBefore;
            if !(first && repeats) {
                return Ok(Err(failed));
            }
            first = false;
        }
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

impl fmt::Debug for MySqlProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the password.
        f.debug_struct("MySqlProvider")
            .field("table", &self.statements.table)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// When a call began and when it must have ended.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

/// What lies between the tries of a statement that gives way to others.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(Duration::from_millis(1))
    }

    /// Waits for the next pause. Returns whether there is time for it.
    pub(crate) async fn pause_until(&mut self, end: Instant) -> bool {
        let next = Instant::now() + self.0;
        let fits = next < end;
        if fits {
            sleep_until(next).await;
            self.0 = (self.0 * 2).min(LONGEST_PAUSE);
        }
        fits
    }
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

/// How many connections of its own a provider opens where nothing else is said.
const DEFAULT_CONNECTIONS: u32 = 10;

/// How long a request may wait for its session.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const LONGEST_PAUSE: Duration = Duration::from_millis(50);
