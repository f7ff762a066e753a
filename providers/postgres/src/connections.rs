//! Connections that are held open, and the pool of a user's own.

use std::sync::{Arc, Mutex, PoisonError};
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
    since: Instant,
}

/// A connection in the hands of one call. Unless it is given back it is closed, as its call may
/// have been cancelled in the middle of a statement.
#[derive(Debug)]
pub(crate) struct Held<'a>(Kind<'a>);

#[derive(Debug)]
enum Kind<'a> {
    Own { connection: PgConnection, home: &'a Own, _permit: SemaphorePermit<'a> },
    Pool(PoolGuard),
}

/// Dropped before its call has ended, it has the pool close the connection.
#[derive(Debug)]
struct PoolGuard {
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Connections {
    /// A connection for one call. `sure`: one that has just been seen alive, for a statement that
    /// cannot be repeated.
    pub(crate) async fn hold(
        &self,
        deadline: Instant,
        sure: bool,
        table: &str,
    ) -> Result<Held<'_>, ProviderError> {
        match self {
            Self::Own(own) => own.hold(deadline, sure, table).await,
            Self::Pool(pool) => match timeout_at(deadline, pool.acquire()).await {
                Ok(Ok(connection)) => Ok(Held(Kind::Pool(PoolGuard { connection, ended: false }))),
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
        while let Some(Idle { mut connection, since }) = self.take_idle() {
            let idle = since.elapsed();
            if idle >= FORGOTTEN {
                continue;
            }
            if sure && idle >= TRUSTED {
                match timeout_at(deadline, connection.ping()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => {
                        self.lock().clear();
                        continue;
                    }
                    Err(_) => return Err(error::statement_took_long()),
                }
            }
            return Ok(Held(Kind::Own { connection, home: self, _permit: permit }));
        }
        let connection = timeout_at(deadline, self.options.connect())
            .await
            .map_err(|_| error::connecting_took_long())?
            .map_err(|error| error::of_connecting(table, error))?;
        Ok(Held(Kind::Own { connection, home: self, _permit: permit }))
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Kind::Own { connection, .. } => connection,
            Kind::Pool(guard) => &mut guard.connection,
        }
    }

    /// The call has ended and left the connection ready for the next.
    pub(crate) fn give_back(self) {
        match self.0 {
            Kind::Own { connection, home, _permit } => {
                home.lock().push(Idle { connection, since: Instant::now() });
            }
            Kind::Pool(mut guard) => guard.ended = true,
        }
    }
}

impl Drop for PoolGuard {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

/// How long after its last use a connection counts as alive.
const TRUSTED: Duration = Duration::from_secs(2);

/// How long a connection is kept without use: less than the least of what firewalls and load
/// balancers in between keep theirs, some of which drop them without telling.
const FORGOTTEN: Duration = Duration::from_secs(180);
