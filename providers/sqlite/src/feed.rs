//! The feed of changes: SQLite says that another connection has written, and the writes of this
//! provider's own tell what they changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sessions::provider::{ChangeListener, ProviderError};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, query_scalar};
use tokio::time::timeout;

use crate::error::provider_error;
use crate::file::FileId;
use crate::own::OwnWrites;

/// What the feed asks each time.
pub(crate) struct Feed<'p> {
    /// The provider's connections that write: one, unless it has no [`OwnWrites`].
    pub(crate) writer: &'p SqlitePool,
    pub(crate) own: Option<&'p Arc<OwnWrites>>,
    /// The table, for errors.
    pub(crate) table: &'p str,
}

/// The connection whose `data_version` is asked.
///
/// SQLite raises it when it sees a commit of any other connection, in this process or another, and
/// never for one of its own (<https://www.sqlite.org/pragma.html#pragma_data_version>). So asked of
/// the one connection that this provider writes through, it tells of everybody else's writes. The
/// provider knows of its own and names them, which a store need not answer by reading all again.
enum Eye<'p> {
    Writer(&'p SqlitePool, &'p Arc<OwnWrites>),
    /// Where the user's pool writes through any of its connections, one that never writes: every
    /// write is another's. It is not of that pool, which may have only one.
    Beside(Box<SqliteConnection>),
}

/// What one look has shown. If anything differs in the next, something may have changed.
#[derive(PartialEq)]
struct Seen {
    data_version: i64,
    /// How often the connection was opened: a new one counts from the beginning.
    opened: u64,
    /// How many writes have failed or were cancelled, so that nobody knows what they did.
    unsure: u64,
}

impl Feed<'_> {
    pub(crate) async fn follow(
        self,
        listener: ChangeListener,
    ) -> Result<Infallible, ProviderError> {
        let file = match self.own {
            Some(own) => own.file().cloned(),
            None => FileId::of(self.writer.connect_options().get_filename()),
        };
        let mut eye = self.open().await?;
        let (mut seen, _heard) = self.in_time(eye.begin(&listener)).await?;
        loop {
            // The time of the question, not of its answer.
            let ping = timeout(POLL, listener.next_ping()).await.ok();
            let now = self.in_time(eye.look()).await?;
            if now != seen {
                seen = now;
                listener.gap();
            }
            if let Some(ping) = ping {
                if file.as_ref().is_some_and(FileId::is_gone) {
                    return Err(ProviderError::permanent(
                        "the database file was removed or replaced, and this process still uses \
                         the removed one: restart it",
                    ));
                }
                listener.proved(ping);
            }
        }
    }

    async fn open(&self) -> Result<Eye<'_>, ProviderError> {
        if let Some(own) = self.own {
            return Ok(Eye::Writer(self.writer, own));
        }
        let options = (*self.writer.connect_options()).clone().create_if_missing(false);
        let connection = self.in_time(SqliteConnection::connect_with(&options)).await?;
        Ok(Eye::Beside(Box::new(connection)))
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, ProviderError> {
        match timeout(PATIENCE, call).await {
            Ok(answer) => answer.map_err(|error| provider_error(self.table, error)),
            Err(_) => Err(ProviderError::unavailable(format!(
                "SQLite has not answered within {PATIENCE:?} whether others have written: the disk or \
                 the writer is too slow"
            ))),
        }
    }
}

impl Eye<'_> {
    /// Begins, and looks for the first time. Returns too what ends the listening when dropped.
    async fn begin(&mut self, listener: &ChangeListener) -> Result<(Seen, Listens), sqlx::Error> {
        match self {
            Self::Writer(writer, own) => {
                // While this holds the one connection, no write of the provider's own runs.
                let mut connection = writer.acquire().await?;
                let seen = see(&mut connection, Some(own)).await?;
                listener.began();
                Ok((seen, Some(own.listen(listener.clone()))))
            }
            Self::Beside(connection) => {
                let seen = see(connection, None).await?;
                listener.began();
                Ok((seen, None))
            }
        }
    }

    async fn look(&mut self) -> Result<Seen, sqlx::Error> {
        match self {
            Self::Writer(writer, own) => see(&mut *writer.acquire().await?, Some(own)).await,
            Self::Beside(connection) => see(connection, None).await,
        }
    }
}

type Listens = Option<crate::own::Listening>;

/// Looks through a connection that nobody else uses. Of a write through it that was cancelled, the
/// counter is raised before the connection is free, and its statement ends before this one begins.
async fn see(
    connection: &mut SqliteConnection,
    own: Option<&Arc<OwnWrites>>,
) -> Result<Seen, sqlx::Error> {
    let data_version = query_scalar("PRAGMA data_version").fetch_one(connection).await?;
    let (opened, unsure) = own.map_or((0, 0), |own| (own.opened(), own.unsure()));
    Ok(Seen { data_version, opened, unsure })
}

/// How often it looks: a look takes some tens of microseconds.
const POLL: Duration = Duration::from_millis(50);

/// How long it waits for a look. Without one, nobody knows what has changed.
const PATIENCE: Duration = Duration::from_secs(10);
