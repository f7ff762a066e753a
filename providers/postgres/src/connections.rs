//! Connections that are held open, and the pool of a user's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sessions::provider::ProviderError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::error;

/// Where connections come from.
#[derive(Clone, Debug)]
pub(crate) enum Connections {
    Own(Arc<Own>),
    Pool(PgPool),
}

/// Connections that stay open between calls, without a word to the server: sqlx's pool asks it
/// after each use, and by default before each, which takes as long as the use itself.
#[derive(Debug)]
pub(crate) struct Own {
    options: PgConnectOptions,
    /// One for each connection that may be in use.
    permits: Semaphore,
    /// The one used last is on top and is used next. A std Mutex, not tokio's, because nothing is
    /// awaited while it is held.
    idle: Mutex<Vec<Idle>>,
    count: u32,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
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
}

#[derive(Debug)]
enum HeldFrom<'a> {
    Own { idle: Option<Idle>, home: &'a Own, _permit: SemaphorePermit<'a> },
    Pool(PoolConnection<Postgres>),
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
            Self::Pool(pool) => match timeout_at(deadline, pool.acquire()).await {
                Ok(Ok(connection)) => Ok(Held { kind: HeldFrom::Pool(connection), busy: false }),
                Ok(Err(error)) => Err(error::of_connecting(table, error)),
                Err(_) => Err(error::no_connection()),
            },
        }
    }

    /// Closes the idle connections: one was found to be lost, and the others most likely are too.
    pub(crate) fn forget_idle(&self) {
        if let Self::Own(own) = self {
            own.lock().clear();
        }
    }

    /// How to open another connection.
    pub(crate) fn options(&self) -> Arc<PgConnectOptions> {
        match self {
            Self::Own(own) => Arc::new(own.options.clone()),
            Self::Pool(pool) => pool.connect_options(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Own(own) => own.permits.is_closed(),
            Self::Pool(pool) => pool.is_closed(),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Own(own) => own.close().await,
            Self::Pool(pool) => pool.close().await,
        }
    }
}

impl Own {
    pub(crate) fn new(options: PgConnectOptions, count: u32) -> Self {
        let count = count.max(1);
        Self {
            // Poolers refuse a setting that they do not know, and no number here is a float.
            options: options.extra_float_digits(None),
            permits: Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
            count,
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
        let connection = timeout_at(deadline, self.options.connect())
            .await
            .map_err(|_| error::connecting_took_long())?
            .map_err(|error| error::of_connecting(table, error))?;
        Ok(self.held(Idle { connection, since: now }, permit))
    }

    fn held<'a>(&'a self, idle: Idle, permit: SemaphorePermit<'a>) -> Held<'a> {
        let kind = HeldFrom::Own { idle: Some(idle), home: self, _permit: permit };
        Held { kind, busy: false }
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

impl Held<'_> {
    /// Marks the beginning of a statement.
    pub(crate) fn begin(&mut self) -> &mut PgConnection {
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

/// How long after its last use a connection counts as alive.
const TRUSTED: Duration = Duration::from_secs(2);

/// How long a connection is kept without use: less than the least of what firewalls and load
/// balancers in between keep theirs, some of which drop them without telling.
const FORGOTTEN: Duration = Duration::from_secs(180);
