//! The feed of changes: a connection that listens, and the proof that it hears everything.
//!
//! Why the answer to a question on the listening connection proves that every earlier change was
//! told: a writer signals the processes of all listeners before its own client learns that the write
//! is complete. (Since PostgreSQL 15 as part of the commit, before that right before
//! `ReadyForQuery`.) So the signal of a write that completed before the question was sent has reached
//! the listener's process before the question has. That process sends the notices that it was
//! signalled for when it reads the next command and, since PostgreSQL 14, also before
//! `ReadyForQuery`. No notice waits behind one of a transaction that is still open: the notices of a
//! database are queued in the order of the commits, under one lock. See `ProcessClientReadInterrupt`
//! and `src/backend/commands/async.c` of PostgreSQL.

use std::convert::Infallible;
use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sessions::provider::{ChangeListener, Ping, ProviderError};
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Either, Executor as _, Row as _, SqlSafeStr as _, SqlStr};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error;
use crate::notice;
use crate::provider::PostgresProvider;
use crate::statement::{Arg, Nature};

/// Tells `listener` of changes until the feed is lost.
pub(crate) async fn run(
    provider: &PostgresProvider,
    listener: &ChangeListener,
) -> Result<Infallible, ProviderError> {
    let table = Table::find(provider).await?;
    let mut connection = Connection::open(provider).await?;
    connection.check(provider).await?;
    connection.listen(&table).await?;
    listener.began();
    let mut proved = Instant::now();
    loop {
        let ping = match next(&mut connection, listener).await? {
            Either::Left(notice) => {
                notice::tell(listener, notice.payload());
                if proved.elapsed() > ANSWER {
                    return Err(error::feed_is_behind());
                }
                continue;
            }
            Either::Right(ping) => ping,
        };
        if provider.connections.is_closed() {
            return Err(error::closed());
        }
        let answer = connection.ask(&table).await;
        // What came before the answer.
        while let Some(notice) = connection.buffered() {
            notice::tell(listener, notice.payload());
        }
        answer?;
        listener.proved(ping);
        proved = Instant::now();
    }
}

/// The next notice, or the next ping once no notice waits: what waits is passed on one by one,
/// whereas the driver would keep all that comes before an answer.
async fn next(
    connection: &mut Connection,
    listener: &ChangeListener,
) -> Result<Either<PgNotification, Ping>, ProviderError> {
    let (mut notice, mut ping) = (pin!(connection.next()), pin!(listener.next_ping()));
    poll_fn(|context| match notice.as_mut().poll(context) {
        Poll::Ready(notice) => Poll::Ready(notice.map(Either::Left)),
        Poll::Pending => ping.as_mut().poll(context).map(|ping| Ok(Either::Right(ping))),
    })
    .await
}

/// The table whose changes are told.
struct Table {
    channel: String,
    /// Asks whether the connection still hears of what is written to the table.
    question: SqlStr,
}

impl Table {
    /// Asks on the connections that write, which alone decide which table a name means.
    async fn find(provider: &PostgresProvider) -> Result<Self, ProviderError> {
        let statements = &provider.statements;
        let name = [Arg::Text(Some(&statements.quoted))];
        let answer = provider.single(Nature::Repeatable, &statements.identity, &name).await?;
        let identity = answer.rows.first().map(to_identity).transpose();
        let (number, encoding) =
            identity.map_err(|error| provider.error(error))?.unwrap_or_default();
        let number = number.ok_or_else(|| error::missing_table(&statements.table))?;
        // The driver panics where a notice is not UTF-8, and any client could send one.
        if encoding == "SQL_ASCII" {
            return Err(error::no_encoding());
        }
        let channel = format!("sessions_{number}");
        let name = statements.table.rsplit('.').next().unwrap_or_default();
        // The name is a plain identifier, and the number the server's.
        let question = format!(
            "SELECT pg_is_in_recovery(), \
             EXISTS (SELECT FROM pg_listening_channels() AS channel WHERE channel = '{channel}'), \
             EXISTS (SELECT FROM pg_class WHERE oid = {number} AND relname = '{name}')"
        );
        Ok(Self { channel, question: AssertSqlSafe(question).into_sql_str() })
    }
}

fn to_identity(row: &PgRow) -> Result<(Option<String>, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// The connection that listens. It is never replaced by another, which would have missed changes.
struct Connection {
    /// `None` only while it is dropped.
    listener: Option<PgListener>,
    table: String,
    runtime: Handle,
}

impl Connection {
    /// Opens a connection outside of the provider's, which calls would miss.
    async fn open(provider: &PostgresProvider) -> Result<Self, ProviderError> {
        let time = provider.time();
        let options = match &provider.direct {
            Some(direct) => direct.clone(),
            None => provider.connections.options(),
        };
        // Notices reach nobody but a `PgListener`, and that takes its connection out of a pool.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.as_ref().clone());
        let table = provider.statements.table.clone();
        let mut listener = timeout_at(time.end, PgListener::connect_with(&pool))
            .await
            .map_err(|_| error::connecting_took_long())?
            .map_err(|error| error::of_connecting(&table, error))?;
        // It would replace a lost connection before it says that it was lost.
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Ok(Self { listener: Some(listener), table, runtime: Handle::current() })
    }

    /// Sends a notice through the provider's connections and waits for it. A pooler in transaction
    /// mode accepts `LISTEN` and passes no notice on.
    async fn check(&mut self, provider: &PostgresProvider) -> Result<(), ProviderError> {
        // Unique, not secret.
        let token = RandomState::new().build_hasher().finish();
        let channel = format!("sessions_check_{token:016x}");
        self.execute(format!("LISTEN \"{channel}\"")).await?;
        let args = [Arg::Text(Some(&channel))];
        let sent = provider.single(Nature::Repeatable, &provider.statements.notify, &args).await;
        sent.map_err(|error| match error::is_of_protocol(&error) {
            // The notice came to the sender, whom the pooler gave the server connection that listens.
            true => error::no_notices(),
            false => error,
        })?;
        match timeout(ARRIVAL, self.next()).await {
            Ok(notice) => notice?,
            Err(_) => {
                // A server that answers now would have passed the notice on long ago.
                self.execute("SELECT 1".to_owned()).await?;
                self.buffered().ok_or_else(error::no_notices)?
            }
        };
        self.execute(format!("UNLISTEN \"{channel}\"")).await
    }

    async fn listen(&mut self, table: &Table) -> Result<(), ProviderError> {
        // Not with the listener's own call, which notes the channel for its next connection.
        self.execute(format!("LISTEN \"{}\"", table.channel)).await
    }

    async fn execute(&mut self, sql: String) -> Result<(), ProviderError> {
        let answer = self.listener().execute(sqlx::raw_sql(AssertSqlSafe(sql)));
        let answer = timeout(ANSWER, answer).await.map_err(|_| error::feed_is_stalled())?;
        answer.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Asks whether the connection still hears of every change.
    async fn ask(&mut self, table: &Table) -> Result<(), ProviderError> {
        let answer = self.listener().fetch_one(sqlx::query(table.question.clone()));
        let row = timeout(ANSWER, answer).await.map_err(|_| error::feed_is_stalled())?;
        let row = row.map_err(|error| self.error(error))?;
        let [recovers, listens, exists] = to_flags(&row).map_err(|error| self.error(error))?;
        if recovers {
            return Err(error::feed_of_standby());
        }
        if !listens || !exists {
            return Err(error::feed_of_nothing());
        }
        Ok(())
    }

    /// The next notice. Cancelling it loses none.
    async fn next(&mut self) -> Result<PgNotification, ProviderError> {
        let notice = self.listener().try_recv().await.map_err(|error| self.error(error))?;
        notice.ok_or_else(error::feed_lost)
    }

    /// A notice that came with an answer.
    fn buffered(&mut self) -> Option<PgNotification> {
        self.listener().next_buffered()
    }

    fn listener(&mut self) -> &mut PgListener {
        self.listener.as_mut().expect("only dropping takes it")
    }

    fn error(&self, error: sqlx::Error) -> ProviderError {
        error::of_statement(&self.table, error)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A listener that is dropped spawns a task that closes the connection, and panics outside of
        // a runtime. The feed may be dropped there.
        let _runtime = self.runtime.enter();
        drop(self.listener.take());
    }
}

fn to_flags(row: &PgRow) -> Result<[bool; 3], sqlx::Error> {
    Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?])
}

/// How long the server may take to answer on the listening connection, and how long a feed may go
/// without a proof.
const ANSWER: Duration = Duration::from_secs(10);

/// How long the first notice may take.
const ARRIVAL: Duration = Duration::from_secs(5);
