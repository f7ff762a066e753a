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
    Pool(Arc<Shared>),
}

/// A user's pool. What a call has used is kept until its task gives way, for the next call of that
/// task: the pool would ask the server twice in between whether the connection is alive.
#[derive(Debug)]
pub(crate) struct Shared {
    pool: PgPool,
    /// Those kept, the newest last, each with a number to find it by.
    kept: Mutex<(u64, Vec<Kept>)>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    uses: u32,
    /// When its last call began.
    since: Instant,
    connection: PoolConnection<Postgres>,
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

/// A connection in the hands of one call. Unless it is given back it is closed, as its call may
/// have been cancelled in the middle of a statement.
#[derive(Debug)]
pub(crate) struct Held<'a>(Kind<'a>);

#[derive(Debug)]
enum Kind<'a> {
    Own { connection: PgConnection, home: &'a Own, since: Instant, _permit: SemaphorePermit<'a> },
    Pool { guard: PoolGuard, home: &'a Arc<Shared>, since: Instant, uses: u32 },
}

/// Dropped with its connection, as when its call is cancelled, it has the pool close it.
#[derive(Debug)]
struct PoolGuard(Option<PoolConnection<Postgres>>);

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
            Self::Pool(shared) => shared.hold(now, deadline, table).await,
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
            Self::Pool(shared) => {
                shared.lock().1.clear();
                shared.pool.close().await;
            }
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
        while let Some(Idle { mut connection, since }) = self.take_idle() {
            let idle = now.saturating_duration_since(since);
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
            return Ok(Held(Kind::Own { connection, home: self, since: now, _permit: permit }));
        }
        let connection = timeout_at(deadline, self.options.connect())
            .await
            .map_err(|_| error::connecting_took_long())?
            .map_err(|error| error::of_connecting(table, error))?;
        Ok(Held(Kind::Own { connection, home: self, since: now, _permit: permit }))
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

impl Shared {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, kept: Mutex::default() }
    }

    async fn hold<'a>(
        self: &'a Arc<Self>,
        now: Instant,
        deadline: Instant,
        table: &str,
    ) -> Result<Held<'a>, ProviderError> {
        let kept = self.lock().1.pop();
        // One kept for long, as its task does not give way, is for the pool to examine.
        if let Some(Kept { uses, since, connection, .. }) = kept
            && now.saturating_duration_since(since) < TRUSTED
        {
            let guard = PoolGuard(Some(connection));
            return Ok(Held(Kind::Pool { guard, home: self, since: now, uses: uses + 1 }));
        }
        match timeout_at(deadline, self.pool.acquire()).await {
            Ok(Ok(connection)) => {
                let guard = PoolGuard(Some(connection));
                Ok(Held(Kind::Pool { guard, home: self, since: now, uses: 1 }))
            }
            Ok(Err(error)) => Err(error::of_connecting(table, error)),
            Err(_) => Err(error::no_connection()),
        }
    }

    fn keep(self: &Arc<Self>, connection: PoolConnection<Postgres>, since: Instant, uses: u32) {
        // Others wait for the pool's connections too: dropped, it goes to the one who is first.
        if uses >= MOST_USES || self.pool.is_closed() {
            return;
        }
        let number = {
            let (last, kept) = &mut *self.lock();
            *last += 1;
            kept.push(Kept { number: *last, uses, since, connection });
            *last
        };
        let shared = self.clone();
        // Runs when the task that made the call waits for something else.
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            let mut kept = shared.lock();
            let place = kept.1.iter().position(|kept| kept.number == number);
            let connection = place.map(|place| kept.1.swap_remove(place));
            drop(kept);
            drop(connection);
        });
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Kept>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            // The runtime ended before they could go back to the pool, to which they cannot go from
            // here without a panic of sqlx's.
            let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
            kept.1.drain(..).for_each(std::mem::forget);
        }
    }
}

impl Held<'_> {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match &mut self.0 {
            Kind::Own { connection, .. } => connection,
            Kind::Pool { guard, .. } => {
                guard.0.as_mut().expect("it is taken only when the call has ended")
            }
        }
    }

    /// The call has ended and left the connection ready for the next.
    pub(crate) fn give_back(self) {
        match self.0 {
            Kind::Own { connection, home, since, _permit } => {
                home.lock().push(Idle { connection, since });
            }
            Kind::Pool { mut guard, home, since, uses } => {
                if let Some(connection) = guard.0.take() {
                    home.keep(connection, since, uses);
                }
            }
        }
    }
}

impl Drop for PoolGuard {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// How many calls in a row may use a pool's connection before it goes back to the pool.
const MOST_USES: u32 = 16;

/// How long after its last use a connection counts as alive.
const TRUSTED: Duration = Duration::from_secs(2);

/// How long a connection is kept without use: less than the least of what firewalls and load
/// balancers in between keep theirs, some of which drop them without telling.
const FORGOTTEN: Duration = Duration::from_secs(180);
