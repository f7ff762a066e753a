//! Connections that are held open, and the pool of a user's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sessions::provider::ProviderError;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Error, MySql, MySqlConnection, Row as _,
    SqlSafeStr as _,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::error;
use crate::statement::Work;

/// Where connections come from.
#[derive(Clone, Debug)]
pub(crate) enum Connections {
    Own(Arc<Own>),
    Pool(Arc<Pool>),
}

/// Connections that stay open between calls, without a word to the server: sqlx's pool asks it
/// after each use, and by default before each, which takes as long as the use itself.
#[derive(Debug)]
pub(crate) struct Own {
    options: MySqlConnectOptions,
    /// One for each connection that may be in use.
    permits: Semaphore,
    /// The one used last is on top and is used next. A std Mutex, not tokio's, because nothing is
    /// awaited while it is held.
    idle: Mutex<Vec<Idle>>,
    count: u32,
    packet: AtomicUsize,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pool: MySqlPool,
    /// As the first connection had it, 0 before.
    packet: AtomicUsize,
}

#[derive(Debug)]
struct Idle {
    connection: MySqlConnection,
    /// When its last call began.
    since: Instant,
}

/// A connection in the hands of one call. Dropped between two statements, it serves the next call.
/// Dropped in the middle of one, as when its call is cancelled or the connection fails, it is closed.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    kind: HeldFrom<'a>,
    /// Whether a statement is under way.
    busy: bool,
    /// The server's `max_allowed_packet`: a message must be smaller.
    pub(crate) packet: usize,
}

#[derive(Debug)]
enum HeldFrom<'a> {
    Own { idle: Option<Idle>, home: &'a Own, _permit: SemaphorePermit<'a> },
    Pool(PoolConnection<MySql>),
}

impl Connections {
    /// A connection for one call. `sure`: one that has just been seen alive, for a statement that
    /// cannot be repeated.
    pub(crate) async fn hold(
        &self,
        now: Instant,
        deadline: Instant,
        sure: bool,
        table: &str,
    ) -> Result<Held<'_>, ProviderError> {
        match self {
            Self::Own(own) => own.hold(now, deadline, sure, table).await,
            Self::Pool(pool) => pool.hold(deadline, table).await,
        }
    }

    /// Closes the idle connections: one was found to be lost, and the others most likely are too.
    pub(crate) fn forget_idle(&self) {
        if let Self::Own(own) = self {
            own.lock().clear();
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Own(own) => own.close().await,
            Self::Pool(pool) => pool.pool.close().await,
        }
    }
}

impl Own {
    pub(crate) fn new(options: MySqlConnectOptions, count: u32) -> Self {
        let count = count.max(1);
        Self {
            options,
            permits: Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
            count,
            packet: AtomicUsize::new(0),
        }
    }

    async fn hold(
        &self,
        now: Instant,
        deadline: Instant,
        sure: bool,
        table: &str,
    ) -> Result<Held<'_>, ProviderError> {
        // Without a timer where there is nothing to wait for. Whoever waits is served first: a
        // permit that is given back to a waiter is never free.
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => timeout_at(deadline, self.permits.acquire())
                .await
                .map_err(|_| error::no_connection())?
                .map_err(|_| error::closed())?,
        };
        while let Some(mut idle) = self.take_idle() {
            let unused = now.saturating_duration_since(idle.since);
            if unused >= FORGOTTEN {
                continue;
            }
            if sure && unused >= TRUSTED {
                match timeout_at(deadline, idle.connection.ping()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        self.lock().clear();
                        continue;
                    }
                    Err(_) => return Err(error::statement_took_long()),
                }
            }
            idle.since = now;
            return Ok(self.held(idle, permit));
        }
        let patience = deadline.saturating_duration_since(now);
        let connection = timeout_at(deadline, self.open(patience))
            .await
            .map_err(|_| error::connecting_took_long())?
            .map_err(|error| error::of_connecting(table, error))?;
        Ok(self.held(Idle { connection, since: now }, permit))
    }

    /// Opens a connection whose settings do not depend on the server's.
    async fn open(&self, patience: Duration) -> Result<MySqlConnection, Error> {
        let mut connection = self.options.connect().await?;
        // A call that has timed out waits for a lock no longer than this.
        let lock_wait = (patience.as_secs() + 1).min(MOST_LOCK_WAIT);
        let sql = AssertSqlSafe(format!("{SETTINGS}{lock_wait}; {LIMITS}")).into_sql_str();
        let answer = Work::Text(&sql).run(&mut connection).await?;
        let (_, packet) = limits(&answer.rows)?;
        self.packet.store(packet, Ordering::Relaxed);
        Ok(connection)
    }

    fn held<'a>(&'a self, idle: Idle, permit: SemaphorePermit<'a>) -> Held<'a> {
        let kind = HeldFrom::Own { idle: Some(idle), home: self, _permit: permit };
        Held { kind, busy: false, packet: self.packet.load(Ordering::Relaxed) }
    }

    fn take_idle(&self) -> Option<Idle> {
        self.lock().pop()
    }

    async fn close(&self) {
        // All permits: no call is under way then.
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.lock());
        for idle in idle {
            // The server notices a closed socket too.
            let _ = idle.connection.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(crate) fn new(pool: MySqlPool) -> Self {
        Self { pool, packet: AtomicUsize::new(0) }
    }

    async fn hold(&self, deadline: Instant, table: &str) -> Result<Held<'_>, ProviderError> {
        let connection = match timeout_at(deadline, self.pool.acquire()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(error::of_connecting(table, error)),
            Err(_) => return Err(error::no_connection()),
        };
        let packet = self.packet.load(Ordering::Relaxed);
        let mut held = Held { kind: HeldFrom::Pool(connection), busy: false, packet };
        if packet == 0 {
            let sql = LIMITS.into_sql_str();
            let answer = match timeout_at(deadline, Work::Text(&sql).run(held.begin())).await {
                Ok(answer) => answer.map_err(|error| error::of_connecting(table, error))?,
                Err(_) => return Err(error::statement_took_long()),
            };
            held.end();
            let limits = limits(&answer.rows);
            let (autocommit, packet) =
                limits.map_err(|error| error::of_connecting(table, error))?;
            // A save would be answered, and undone when its connection closes.
            if !autocommit {
                return Err(error::no_autocommit());
            }
            held.packet = packet;
            self.packet.store(packet, Ordering::Relaxed);
        }
        Ok(held)
    }
}

impl Held<'_> {
    /// Marks the beginning of a statement.
    pub(crate) fn begin(&mut self) -> &mut MySqlConnection {
        self.busy = true;
        match &mut self.kind {
            HeldFrom::Own { idle, .. } => {
                let idle = idle.as_mut().expect("only dropping takes it");
                &mut idle.connection
            }
            HeldFrom::Pool(connection) => connection,
        }
    }

    /// Marks the end of a statement that left the connection ready for the next.
    pub(crate) fn end(&mut self) {
        self.busy = false;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        match &mut self.kind {
            HeldFrom::Own { idle, home, .. } => {
                if let Some(idle) = idle.take().filter(|_| !self.busy) {
                    home.lock().push(idle);
                }
            }
            HeldFrom::Pool(connection) if self.busy => connection.close_on_drop(),
            HeldFrom::Pool(_) => {}
        }
    }
}

/// Whether each statement commits, and the largest message, from [`LIMITS`].
fn limits(rows: &[MySqlRow]) -> Result<(bool, usize), Error> {
    let row = rows.first().ok_or(Error::RowNotFound)?;
    // Servers differ in the types of these.
    let number = |index| -> Result<usize, Error> {
        let text: Vec<u8> = row.try_get_unchecked(index)?;
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        number.ok_or(Error::RowNotFound)
    };
    Ok((number(0)? != 0, number(1)?))
}

/// The settings of a connection of the provider's own, but for the number at the end.
///
/// Under `READ COMMITTED`, a statement that finds no record locks nothing. A `sql_mode` of the
/// server's could turn empty data into `NULL`. What was given up waiting for a lock must not happen
/// long afterwards.
const SETTINGS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = ";

const LIMITS: &str = "SELECT @@autocommit, @@max_allowed_packet";

/// The server's own default, in seconds.
const MOST_LOCK_WAIT: u64 = 50;

/// How long after its last use a connection counts as alive.
const TRUSTED: Duration = Duration::from_secs(2);

/// How long a connection is kept without use: less than the least of what firewalls and load
/// balancers in between keep theirs, some of which drop them without telling.
const FORGOTTEN: Duration = Duration::from_secs(180);
