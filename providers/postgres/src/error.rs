//! What PostgreSQL's and sqlx's errors mean to a caller.

use std::error::Error as StdError;
use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;

use sessions::provider::ProviderError;
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::announcer::Untold;
use crate::statement::Failed;

/// What to do about a connection on which a statement failed, and about the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server refused the statement; the connection is as good as before.
    Refused,
    /// The server has undone the statement in favour of another transaction. Sent again, it finds what
    /// that one has written.
    GaveWay,
    /// The connection is lost. The statement was certainly not committed.
    LostBefore,
    /// The connection is lost. Whether the statement was committed is not known.
    Lost,
}

pub(crate) fn verdict(failed: &Failed) -> Verdict {
    match &failed.error {
        Error::Database(error) => {
            let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
                return Verdict::Lost;
            };
            let fatal = matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic);
            match error.code() {
                // A statement reports that it ran before it commits, so one that has not reported
                // was not committed.
                _ if fatal && failed.ran => Verdict::Lost,
                _ if fatal => Verdict::LostBefore,
                // The server would refuse this connection's prepared statement for ever.
                CHANGED_RESULT | UNKNOWN_STATEMENT => Verdict::LostBefore,
                // A new connection may lead to another server, which is the primary now.
                READ_ONLY => Verdict::LostBefore,
                SERIALIZATION | DEADLOCK => Verdict::GaveWay,
                _ => Verdict::Refused,
            }
        }
        // Only a write breaks a pipe, and the last bytes written are those that commit.
        Error::Io(error) if error.kind() == ErrorKind::BrokenPipe && !failed.ran => {
            Verdict::LostBefore
        }
        // Read by this process, after the server had done its part.
        Error::Encode(_) | Error::ColumnDecode { .. } | Error::Decode(_) => Verdict::Refused,
        _ => Verdict::Lost,
    }
}

/// A statement's error.
pub(crate) fn of_statement(table: &str, error: Error) -> ProviderError {
    let found = match &error {
        Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
            Some(database) => of_server(table, database),
            None => ProviderError::permanent("the PostgreSQL driver failed"),
        },
        Error::Io(_) => ProviderError::unavailable(
            "the connection to PostgreSQL was lost; the next call opens another",
        ),
        Error::Protocol(_) => ProviderError::unavailable(
            "the connection to PostgreSQL carried something else than its protocol; the next call \
             opens another",
        ),
        Error::PoolTimedOut => ProviderError::unavailable(NO_CONNECTION),
        Error::PoolClosed => ProviderError::unavailable("the pool of connections is closed"),
        Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnDecode { .. }
        | Error::Decode(_) => other_columns(table),
        Error::Encode(_) => {
            ProviderError::permanent("the record is too large for PostgreSQL, store less in it")
        }
        Error::Tls(_) => of_tls(),
        Error::Configuration(_) => of_configuration(),
        _ => ProviderError::permanent("the PostgreSQL driver failed"),
    };
    found.with_source(error)
}

/// An error from opening a connection.
pub(crate) fn of_connecting(table: &str, error: Error) -> ProviderError {
    let found = match &error {
        // A certificate that is refused, as rustls tells it.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => of_tls(),
        Error::Io(error) => ProviderError::unavailable(match error.kind() {
            ErrorKind::ConnectionRefused => {
                "PostgreSQL cannot be reached: nothing listens at this host and port; start the \
                 server, or check the address"
            }
            ErrorKind::NotFound => {
                "PostgreSQL cannot be reached: the socket is not there; start the server, or check \
                 the path"
            }
            _ => "PostgreSQL cannot be reached: check the server, the address and the network",
        }),
        _ => return of_statement(table, error),
    };
    found.with_source(error)
}

pub(crate) fn of_url(error: Error) -> ProviderError {
    of_configuration().with_source(error)
}

pub(crate) fn no_connection() -> ProviderError {
    ProviderError::unavailable(NO_CONNECTION)
}

pub(crate) fn closed() -> ProviderError {
    ProviderError::unavailable("the PostgreSQL provider is closed, connect again")
}

pub(crate) fn connecting_took_long() -> ProviderError {
    ProviderError::unavailable(
        "connecting to PostgreSQL took longer than the timeout: check the server, the address and \
         the network",
    )
}

pub(crate) fn no_runtime() -> ProviderError {
    ProviderError::unavailable("the runtime ended during the call, or there was none")
}

pub(crate) fn statement_took_long() -> ProviderError {
    ProviderError::unavailable(
        "PostgreSQL did not answer within the timeout: it is overloaded, waits for a lock, or the \
         network is down",
    )
}

/// An announcement's error.
pub(crate) fn of_announcement(untold: Untold) -> ProviderError {
    match untold {
        Untold::Failed(cause) => {
            let message = cause.to_string();
            let error = match cause.is_unavailable() {
                true => ProviderError::unavailable(message),
                false => ProviderError::permanent(message),
            };
            Cause::of(cause, error)
        }
        Untold::TooLate => ProviderError::unavailable(
            "PostgreSQL did not notify other hosts within the timeout: it is overloaded, or the \
             network is down",
        ),
        Untold::TooMany => ProviderError::unavailable(
            "too many changes wait until PostgreSQL notifies other hosts: it is overloaded, or the \
             network is down",
        ),
        Untold::Abandoned => no_runtime(),
    }
}

/// The error of a call whose change may have been made, and of which listeners were not told.
pub(crate) fn of_untold_change(untold: Untold) -> ProviderError {
    let error = of_announcement(untold);
    let message =
        format!("the change may have been made, and other hosts were not told of it: {error}");
    let untold = ProviderError::unavailable(message);
    Cause::of(Arc::new(error), untold)
}

/// The source of an error that several calls share, whose message is in the message of each.
#[derive(Debug)]
struct Cause(Arc<ProviderError>);

impl Cause {
    fn of(shared: Arc<ProviderError>, error: ProviderError) -> ProviderError {
        if shared.source().is_some() { error.with_source(Self(shared)) } else { error }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()?.source()
    }
}

pub(crate) fn feed_lost() -> ProviderError {
    ProviderError::unavailable("the connection that listens to PostgreSQL's notices was lost")
}

pub(crate) fn feed_is_stalled() -> ProviderError {
    ProviderError::unavailable(
        "PostgreSQL did not answer on the connection that listens to notices: it is overloaded, or \
         the network is down",
    )
}

pub(crate) fn feed_is_behind() -> ProviderError {
    ProviderError::unavailable("PostgreSQL's notices come faster than this process can read them")
}

pub(crate) fn feed_of_standby() -> ProviderError {
    ProviderError::unavailable(
        "the server that should send notices is a standby, which sends none; if it stays so, connect \
         to the primary",
    )
}

pub(crate) fn feed_of_nothing() -> ProviderError {
    ProviderError::unavailable(
        "the table was dropped or renamed, or a pooler has reset the connection that listens to \
         PostgreSQL's notices",
    )
}

pub(crate) fn no_notices() -> ProviderError {
    ProviderError::permanent(
        "PostgreSQL's notices do not arrive: the connection goes through a pooler in transaction \
         mode, or listen_with() leads to another database; give the feed a direct connection with \
         listen_with(), or call without_changes() on every host",
    )
}

/// Whether the driver met a message that it did not expect.
pub(crate) fn is_of_protocol(error: &ProviderError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    matches!(source, Some(Error::Protocol(_)))
}

pub(crate) fn no_encoding() -> ProviderError {
    ProviderError::permanent(
        "the database has the encoding SQL_ASCII, in which notices may be any bytes: create the \
         database with another encoding, such as UTF8, or call without_changes() on every host",
    )
}

pub(crate) fn other_columns(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` has other columns than this provider's: choose another name with table(), \
         or drop it and call create_table()"
    ))
}

pub(crate) fn missing_table(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` is missing: call create_table(), or check the database and the search path"
    ))
}

/// By SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
fn of_server(table: &str, error: &PgDatabaseError) -> ProviderError {
    match error.code() {
        "42P01" => missing_table(table),
        "3F000" => ProviderError::permanent(format!(
            "the schema of table `{table}` is missing: create it, or check the database and the \
             search path"
        )),
        // Undefined column, no unique index for ON CONFLICT, a type that does not fit, a NULL
        // refused in a column that is not ours, a result of other columns than before.
        "42703" | "42P10" | "42804" | "42883" | "23502" | CHANGED_RESULT => other_columns(table),
        "42809" => ProviderError::permanent(format!(
            "`{table}` is not a table: choose another name with table()"
        )),
        "42501" => ProviderError::permanent(format!(
            "the role may not do this to table `{table}`: GRANT SELECT, INSERT, UPDATE, DELETE on \
             it, USAGE on its schema, and CREATE on the schema to let it call create_table()"
        )),
        "28P01" => ProviderError::permanent(
            "PostgreSQL refused the password: check the user and the password",
        ),
        "28000" => ProviderError::permanent(
            "PostgreSQL refused the user: check that the role exists, and that pg_hba.conf lets it \
             in from here, with or without TLS as sslmode says",
        ),
        "3D000" => ProviderError::permanent(
            "the database is missing: create it, or check its name in the URL",
        ),
        UNKNOWN_STATEMENT | DUPLICATE_STATEMENT => ProviderError::permanent(
            "the prepared statements of several clients are mixed up: a pooler in transaction mode \
             stands before PostgreSQL; call unprepared()",
        ),
        // A pooler's, such as PgBouncer's own errors.
        "08P01" => ProviderError::permanent(
            "the protocol was violated: if a pooler stands before PostgreSQL, check its settings, \
             and call unprepared() if it works in transaction mode",
        ),
        READ_ONLY => ProviderError::unavailable(
            "the server is read-only: it is a standby, or was the primary until just now; if it \
             stays so, connect to the primary",
        ),
        "53300" => ProviderError::unavailable(
            "PostgreSQL takes no more connections: raise max_connections, or let each process open \
             fewer",
        ),
        "53100" => ProviderError::unavailable("PostgreSQL's disk is full, make room"),
        "57014" => ProviderError::unavailable(
            "the statement was cancelled, by statement_timeout or by an administrator",
        ),
        "57P03" => ProviderError::unavailable("PostgreSQL is starting up or shutting down"),
        SERIALIZATION | DEADLOCK | "55P03" => ProviderError::unavailable(
            "the statement gave way to other transactions until its time was over: if this lasts, use \
             READ COMMITTED, PostgreSQL's default",
        ),
        code if matches!(code.get(..2), Some("08" | "53" | "57" | "58" | "40")) => {
            ProviderError::unavailable("PostgreSQL is not available at the moment")
        }
        // The one with this code that is not about the record.
        "54000" if error.routine() == Some("PreCommit_Notify") => ProviderError::unavailable(
            "PostgreSQL's queue of notices is full: a connection listens and reads nothing, end it; \
             see pg_notification_queue_usage()",
        ),
        "54000" | "22001" => {
            ProviderError::permanent("the record is too large for PostgreSQL, store less in it")
        }
        _ => ProviderError::permanent("PostgreSQL refused the statement"),
    }
}

fn of_tls() -> ProviderError {
    ProviderError::permanent(
        "TLS to PostgreSQL failed: check sslmode, the certificates, and that a tls feature of \
         sessionful-postgres is on",
    )
}

fn of_configuration() -> ProviderError {
    ProviderError::permanent(
        "the settings of the connection are refused: use a URL such as \
         postgres://user:password@host:5432/database, or PgConnectOptions",
    )
}

const NO_CONNECTION: &str = "no PostgreSQL connection became free in time: calls are too many or \
     too slow for the number of connections";

const CHANGED_RESULT: &str = "0A000";
const UNKNOWN_STATEMENT: &str = "26000";
const DUPLICATE_STATEMENT: &str = "42P05";
const READ_ONLY: &str = "25006";
/// Under REPEATABLE READ and SERIALIZABLE, and in databases that know nothing else.
const SERIALIZATION: &str = "40001";
const DEADLOCK: &str = "40P01";
