//! What SQLite's and sqlx's errors mean to a caller.

use std::borrow::Cow;
use std::error::Error as _;

use sessions::provider::ProviderError;
use sqlx::error::DatabaseError;

/// Tells what trying again can mend from what somebody must, and says what to do.
pub(crate) fn provider_error(table: &str, error: sqlx::Error) -> ProviderError {
    let found = match &error {
        sqlx::Error::Database(database) => from_sqlite(table, &**database),
        sqlx::Error::PoolTimedOut => ProviderError::unavailable(
            "no SQLite connection became free in time: the writers are too many or too slow",
        ),
        sqlx::Error::PoolClosed => {
            ProviderError::unavailable("the SQLite provider is closed, open it again")
        }
        sqlx::Error::Io(_) => ProviderError::unavailable("reading or writing the database failed"),
        sqlx::Error::WorkerCrashed => ProviderError::unavailable(
            "a SQLite connection's thread ended, the next call opens one",
        ),
        sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_) => other_columns(table),
        _ => ProviderError::permanent("the SQLite driver failed"),
    };
    found.with_source(error)
}

/// The same error for another call that it holds for.
pub(crate) fn again(error: &ProviderError) -> ProviderError {
    let text: Cow<'static, str> = Cow::Owned(error.to_string());
    let again = if error.is_unavailable() {
        ProviderError::unavailable(text)
    } else {
        ProviderError::permanent(text)
    };
    match error.source() {
        Some(source) => again.with_source(source.to_string()),
        None => again,
    }
}

/// Whether another connection held a lock for longer than this one waits.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database) if matches!(primary_code(&**database), BUSY | LOCKED))
}

/// By the result code, https://www.sqlite.org/rescode.html; the text of [`ERROR`] tells apart what
/// has no code of its own.
fn from_sqlite(table: &str, error: &dyn DatabaseError) -> ProviderError {
    match primary_code(error) {
        ERROR if error.message().starts_with("no such table") => ProviderError::permanent(format!(
            "table `{table}` is missing: call create_table(), or check the file's path"
        )),
        ERROR
            if error.message().contains("column")
                || error.message().starts_with("ON CONFLICT clause does not match") =>
        {
            other_columns(table)
        }
        CONSTRAINT | MISMATCH => other_columns(table),
        BUSY | LOCKED | PROTOCOL => ProviderError::unavailable(
            "the database is locked by another writer for longer than the busy timeout",
        ),
        IOERR => ProviderError::unavailable("reading or writing the database file failed"),
        NOMEM => ProviderError::unavailable("SQLite ran out of memory"),
        FULL => ProviderError::unavailable("the disk of the database is full, make room"),
        ABORT | INTERRUPT | SCHEMA => {
            ProviderError::unavailable("the statement was interrupted, try again")
        }
        PERM | READONLY => ProviderError::permanent(
            "the database is read-only: let this process write to the file and to its folder",
        ),
        CANTOPEN => ProviderError::permanent(
            "the database file cannot be opened: create its folder, and let this process write to \
             the file and to the folder",
        ),
        CORRUPT | NOTADB => ProviderError::permanent(
            "the file is not a SQLite database, or is damaged: check the path, or restore the file",
        ),
        TOOBIG => ProviderError::permanent("the record is too large for SQLite, store less in it"),
        _ => ProviderError::permanent("SQLite refused the statement"),
    }
}

fn other_columns(table: &str) -> ProviderError {
    ProviderError::permanent(format!(
        "table `{table}` has other columns than this provider's: choose another name with table(), \
         or drop it and call create_table()"
    ))
}

/// The extended code's low byte.
fn primary_code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default() & 0xff
}

const ERROR: i32 = 1;
const PERM: i32 = 3;
const ABORT: i32 = 4;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const SCHEMA: i32 = 17;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOTADB: i32 = 26;
