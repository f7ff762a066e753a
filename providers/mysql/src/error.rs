//! What MySQL's, MariaDB's and sqlx's errors mean to a caller.

use std::fmt;
use std::io::ErrorKind;

use sessions::provider::ProviderError;
use sqlx::Error;
use sqlx::mysql::MySqlDatabaseError;

/// What to do about a connection on which a statement failed, and about the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The server refused the statement; the connection is as good as before.
    Refused,
    /// As `Refused`. The statement gave way to another one, and nothing of it was done.
    GaveWay,
    /// The connection is of no more use. The statement was certainly not committed.
    LostBefore,
    /// The connection is of no more use. Whether the statement was committed is not known.
    Lost,
}

pub(crate) fn verdict(error: &Error) -> Verdict {
    match error {
        Error::Database(database) => match database.try_downcast_ref::<MySqlDatabaseError>() {
            Some(error) => verdict_of_server(error.number()),
            None => Verdict::Lost,
        },
        // Only a write breaks a pipe, and the server runs no statement of which bytes are missing.
        Error::Io(error) if error.kind() == ErrorKind::BrokenPipe => Verdict::LostBefore,
        // Read by this process, after the server had done its part.
        Error::Encode(_) | Error::ColumnDecode { .. } | Error::Decode(_) => Verdict::Refused,
        _ => Verdict::Lost,
    }
}

/// A statement that fails is rolled back before the server says so, except where its commit fails.
fn verdict_of_server(number: u16) -> Verdict {
    match number {
        COMMIT_FAILED => Verdict::Lost,
        DEADLOCK | RECORD_CHANGED | DEFINITION_CHANGED | ROLLED_BACK_AT_COMMIT => Verdict::GaveWay,
        // The server ends the connection: it shuts down, or an administrator or a timeout has ended
        // it. A message that is too large ends it too.
        SHUTDOWN | FORCING_CLOSE | KILLED | SESSION_KILLED | IDLE_TOO_LONG | ABORTED
        | PACKET_TOO_LARGE => Verdict::LostBefore,
        // The server could not read the message; it could not write the answer.
        1156..=1159 => Verdict::LostBefore,
        1160 | 1161 => Verdict::Lost,
        // The server, or a proxy, knows nothing of this connection's prepared statements any more.
        UNKNOWN_STATEMENT | REPREPARE => Verdict::LostBefore,
        // A new connection may lead to another server, which is the primary now.
        READ_ONLY_OPTION | READ_ONLY_INNODB | READ_ONLY_TRANSACTION | READ_ONLY_TABLE => {
            Verdict::LostBefore
        }
        _ => Verdict::Refused,
    }
}

/// A statement's error.
pub(crate) fn of_statement(table: &str, error: Error) -> ProviderError {
    let found = match &error {
        Error::Database(database) => match database.try_downcast_ref::<MySqlDatabaseError>() {
            Some(database) => {
                let found = of_server(table, database);
                // The text of these may quote what was to be stored, or the statement.
                if matches!(database.number(), DUPLICATE | 1064 | 1265 | 1292 | 1366 | 1411 | 3988)
                {
                    let code = database.code().unwrap_or_default().to_owned();
                    return found.with_source(Quoting { number: database.number(), code });
                }
                found
            }
            None => ProviderError::permanent("the MySQL driver failed"),
        },
        Error::Io(_) => ProviderError::unavailable(
            "the connection to MySQL was lost; the next call opens another",
        ),
        Error::Protocol(_) => ProviderError::unavailable(
            "the connection to MySQL carried something else than its protocol; the next call opens \
             another",
        ),
        Error::PoolTimedOut => ProviderError::unavailable(NO_CONNECTION),
        Error::PoolClosed => ProviderError::unavailable("the pool of connections is closed"),
        Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnDecode { .. }
        | Error::Decode(_) => other_columns(table),
        Error::Tls(_) => of_tls(),
        Error::Configuration(cause) if cause.to_string().contains("RSA") => {
            ProviderError::permanent(
                "MySQL takes this user's password only over TLS: enable a tls feature of \
                 sessionful-mysql, and set ssl-mode=VERIFY_IDENTITY in the URL",
            )
        }
        Error::Configuration(_) => of_configuration(),
        _ => ProviderError::permanent("the MySQL driver failed"),
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
                "MySQL cannot be reached: nothing listens at this host and port; start the server, \
                 or check the address"
            }
            ErrorKind::NotFound => {
                "MySQL cannot be reached: the socket is not there; start the server, or check the \
                 path"
            }
            _ => "MySQL cannot be reached: check the server, the address and the network",
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
    ProviderError::unavailable("the MySQL provider is closed, connect again")
}

pub(crate) fn connecting_took_long() -> ProviderError {
    ProviderError::unavailable(
        "connecting to MySQL took longer than the timeout: check the server, the address and the \
         network",
    )
}

pub(crate) fn statement_took_long() -> ProviderError {
    ProviderError::unavailable(
        "MySQL did not answer within the timeout: it is overloaded, waits for a lock, or the \
         network is down",
    )
}

pub(crate) fn no_autocommit() -> ProviderError {
    ProviderError::permanent(
        "autocommit is off on the pool's connections: set it on the server or in the pool's \
         after_connect, or let the provider open connections of its own",
    )
}

/// A message that the server would not take. It would end the connection instead of saying so.
pub(crate) fn too_large(size: usize, packet: usize) -> ProviderError {
    ProviderError::permanent(format!(
        "the record takes {size} bytes, which is more than the server's max_allowed_packet of \
         {packet} allows: raise it, or store less in the record"
    ))
}

pub(crate) fn other_columns(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` has other columns or unique indexes than this provider's: choose another \
         name with table(), or drop it and call create_table()"
    ))
}

pub(crate) fn missing_table(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` is missing: call create_table(), or check the database's name"
    ))
}

pub(crate) fn index_name_taken(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` lacks an index, and another one has its name: drop or rename that one"
    ))
}

/// Whether a statement failed because the table is missing.
pub(crate) fn is_missing_table(error: &Error) -> bool {
    has_number(error, MISSING_TABLE)
}

/// Whether a record could not be inserted because there is one of its id.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    has_number(error, DUPLICATE)
}

/// Whether an index could not be created because it is there.
pub(crate) fn is_duplicate_index(error: &Error) -> bool {
    has_number(error, DUPLICATE_INDEX)
}

fn has_number(error: &Error, number: u16) -> bool {
    let database = error.as_database_error();
    let database = database.and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    database.is_some_and(|error| error.number() == number)
}

/// By number, https://mariadb.com/kb/en/mariadb-error-codes/ and
/// https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html. What only one of the
/// two has is marked.
fn of_server(table: &str, error: &MySqlDatabaseError) -> ProviderError {
    if let Some(why) = temporary(error) {
        return ProviderError::unavailable(why);
    }
    match error.number() {
        MISSING_TABLE => missing_table(table),
        1046 | 1049 => ProviderError::permanent(
            "the database is missing: create it, or check its name in the URL",
        ),
        // No such column; too few or too many; NULL refused in a column, of ours or not; a type that
        // a value does not fit; a duplicate in a unique index that is not ours.
        1054 | 1048 | DUPLICATE | 1136 | 1264 | 1265 | 1292 | 1364 | 1366 => other_columns(table),
        1347 | 1288 | 1356 | 1471 | 4086 => ProviderError::permanent(format!(
            "`{table}` is not a table: choose another name with table()"
        )),
        1406 => ProviderError::permanent(format!(
            "the record is too large for a column of table `{table}`: store less in it, or give \
             the table the columns of create_table()"
        )),
        PACKET_TOO_LARGE | 1118 => ProviderError::permanent(
            "the record is too large for MySQL: raise max_allowed_packet, or store less in it",
        ),
        1044 | 1142 | 1143 | 1227 => ProviderError::permanent(format!(
            "the user may not do this to table `{table}`: GRANT SELECT, INSERT, UPDATE, DELETE on \
             it, and CREATE, INDEX and ALTER to let it call create_table()"
        )),
        1045 | 1698 => ProviderError::permanent(
            "MySQL refused the user or the password: check both, from which hosts the user may \
             connect, and whether it must use TLS",
        ),
        1130 => ProviderError::permanent(
            "MySQL lets nobody in from this host: create the user for it, as 'user'@'host'",
        ),
        1820 | 1862 => ProviderError::permanent("the user's password has expired, set another"),
        // MySQL; MariaDB.
        3118 | 4151 => ProviderError::permanent("the user is locked: ALTER USER .. ACCOUNT UNLOCK"),
        3159 => ProviderError::permanent(
            "MySQL takes this user only over TLS: enable a tls feature of sessionful-mysql, and set \
             ssl-mode=VERIFY_IDENTITY in the URL",
        ),
        1064 | 1235 => ProviderError::permanent(
            "the server does not know the provider's SQL: it must be MySQL 8.0 or newer, or MariaDB \
             10.6 or newer",
        ),
        1286 | 1289 => ProviderError::permanent("the server has no InnoDB, which the table needs"),
        1665 => ProviderError::permanent(
            "the server's binlog_format is STATEMENT, which cannot log READ COMMITTED: set it to \
             ROW or MIXED",
        ),
        _ => ProviderError::permanent("MySQL refused the statement"),
    }
}

/// Why a retry can help, if it can.
fn temporary(error: &MySqlDatabaseError) -> Option<&'static str> {
    Some(match error.number() {
        READ_ONLY_OPTION if !error.message().contains("read") => return None,
        READ_ONLY_OPTION | READ_ONLY_INNODB | READ_ONLY_TRANSACTION | READ_ONLY_TABLE => {
            "the server is read-only: it is a replica, or was the primary until just now; if it \
             stays so, connect to the primary"
        }
        1040 | 1203 | 1226 => {
            "MySQL takes no more connections: raise max_connections, or let each process open fewer"
        }
        1129 => {
            "MySQL has blocked this host after failed connections: mend their cause, and run FLUSH \
             HOSTS"
        }
        1461 => {
            "MySQL keeps no more prepared statements: raise max_prepared_stmt_count, or let each \
             process open fewer connections"
        }
        1205 => "another transaction has locked the record for too long",
        DEADLOCK | RECORD_CHANGED | DEFINITION_CHANGED | ROLLED_BACK_AT_COMMIT => {
            "the statement gave way to other transactions until its time was over"
        }
        // Interrupted; MariaDB's max_statement_time; MySQL's max_execution_time.
        1317 | 1969 | 3024 => "the statement was cancelled, by a time limit or by an administrator",
        1021 | 1114 => "MySQL's disk is full, make room",
        SHUTDOWN | FORCING_CLOSE | 1077 | 1079 | 3168 => "MySQL is starting up or shutting down",
        KILLED | SESSION_KILLED | IDLE_TOO_LONG | ABORTED => {
            "the connection was ended, by a timeout or by an administrator; the next call opens \
             another"
        }
        UNKNOWN_STATEMENT | REPREPARE => {
            "the server has lost the connection's prepared statements; the next call opens another \
             connection"
        }
        // What a node of a Galera cluster says that is not in it.
        1047 if error.message().contains("WSREP") => "the node is not in its cluster, or not yet",
        // Out of memory, or of locks; a message torn; the storage engine; the commit.
        1037 | 1038 | 1041 | 1156..=1161 | 1206 | 1637 | 1015 | 1030 | COMMIT_FAILED => {
            "MySQL is not available at the moment"
        }
        _ => return None,
    })
}

fn of_tls() -> ProviderError {
    ProviderError::permanent(
        "TLS to MySQL failed: check ssl-mode, the certificates, and that a tls feature of \
         sessionful-mysql is on",
    )
}

fn of_configuration() -> ProviderError {
    ProviderError::permanent(
        "the settings of the connection are refused: use a URL such as \
         mysql://user:password@host:3306/database, or MySqlConnectOptions",
    )
}

/// The source of an error whose text may quote data.
#[derive(Debug)]
struct Quoting {
    number: u16,
    code: String,
}

impl fmt::Display for Quoting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {} ({}) of the server, whose text may quote data", self.number, self.code)
    }
}

impl std::error::Error for Quoting {}

const NO_CONNECTION: &str = "no MySQL connection became free in time: calls are too many or too \
     slow for the number of connections";

const RECORD_CHANGED: u16 = 1020;
const READ_ONLY_TABLE: u16 = 1036;
const SHUTDOWN: u16 = 1053;
const DUPLICATE_INDEX: u16 = 1061;
const DUPLICATE: u16 = 1062;
const FORCING_CLOSE: u16 = 1080;
const MISSING_TABLE: u16 = 1146;
const PACKET_TOO_LARGE: u16 = 1153;
const COMMIT_FAILED: u16 = 1180;
const ABORTED: u16 = 1184;
const DEADLOCK: u16 = 1213;
const UNKNOWN_STATEMENT: u16 = 1243;
const READ_ONLY_OPTION: u16 = 1290;
const DEFINITION_CHANGED: u16 = 1412;
const REPREPARE: u16 = 1615;
const READ_ONLY_TRANSACTION: u16 = 1792;
const READ_ONLY_INNODB: u16 = 1836; // MySQL
const KILLED: u16 = 1927; // MariaDB
const ROLLED_BACK_AT_COMMIT: u16 = 3101; // MySQL
const SESSION_KILLED: u16 = 3169; // MySQL
const IDLE_TOO_LONG: u16 = 4031; // MySQL
