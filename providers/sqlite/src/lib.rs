//! Sessions in a SQLite file: they survive a restart, with no server to run.
//!
//! ```
//! use sessions::provider::{Expect, Provider, Record, Saved};
//! use sessions_sqlite::SqliteProvider;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sessions::provider::ProviderError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("sessions.db");
//! let provider = SqliteProvider::open(&path).await?;
//! let now = std::time::SystemTime::now();
//! let record = Record::new("a", 1, &b"data"[..]);
//! assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Saved);
//! assert_eq!(provider.fetch("a", now).await?, Some(record));
//! # Ok(()) }
//! ```
//!
//! # The table
//!
//! [`create_table`](SqliteProvider::create_table) runs these statements. You can also put them into
//! a migration of your own:
//!
//! ```sql
#![doc = include_str!("table.sql")]
//! ```
//!
//! `version` holds the 64 bits of a `u64` as a signed number, so versions from 2^63 on show as
//! negative numbers. The provider only compares them for equality. `expires_at` counts milliseconds
//! since 1970; `NULL` means never.
//!
//! # What a call costs
//!
//! | call | statements | waits for the one writer |
//! |---|---|---|
//! | `fetch` | 1 `SELECT` by primary key | no |
//! | `save` | 1 `INSERT` or `UPDATE`; after a conflict also 1 `SELECT` | yes |
//! | `touch` | 1 `UPDATE`; after a conflict also 1 `SELECT` | yes |
//! | `delete` | 1 `DELETE`; under a version, if it removes nothing, also 1 `SELECT` | yes |
//! | `list` | 1 `SELECT` on the index of owners | no |
//! | `scan`, for operators | 1 `SELECT` by primary key for each page | no |
//! | `fetch_many` | 1 `SELECT` for each 100 ids | no |
//! | `purge` | 1 `DELETE` for each 500 records, on the index of expiry | yes |
//!
//! Each connection prepares a statement once. A statement is a transaction of its own, except where
//! calls go together:
//!
//! # Calls that wait go together
//!
//! SQLite lets one connection write at a time, across all processes. The other connections poll with
//! growing pauses, in no order. So [`SqliteProvider::open`] keeps a single connection for writing, for
//! which the tasks of a process queue in order without polling, and a few more for reading. In WAL
//! mode readers never wait for the writer, and the writer never waits for readers. The provider waits
//! for other processes that write to the same file, up to the busy timeout of 5 seconds. A call that
//! queues behind such a wait may wait once more.
//!
//! Writes that queue while another one runs become one transaction of up to 64 statements, and wait
//! for the disk once. Each has its own answer, which it gets after the commit. If one of them fails,
//! all run again on their own. Fetches that find every reader busy become one `SELECT` of up to 64
//! ids. A call that finds a connection free waits for nobody.
//!
//! # Changes
//!
//! A store that keeps records in memory needs to hear of changes:
//! [`changes`](sessions::provider::Provider::changes). While a feed runs, the provider asks SQLite 20
//! times a second whether another connection has written (`PRAGMA data_version`), which takes about
//! 0.4 % of a processor. The provider names the records that it has written itself. SQLite does not say
//! what others have written, in any table of the file, so each of their writes is a gap, also a touch
//! and a purge: the store asks again for what it knows. A cache therefore helps most if one process has
//! the file to itself.
//!
//! [`SqliteProvider::open`] and [`open_with`](SqliteProvider::open_with) ask on the connection that
//! writes. The question waits for the write that runs. While that write waits for another process's
//! lock, the feed proves nothing. With a pool of your own ([`new`](SqliteProvider::new)), the feed opens
//! a connection beside the pool, and the provider's own writes are gaps too.
//!
//! The feed fails as unavailable if an answer takes 10 seconds. If the file was removed or replaced, the
//! feed fails permanently: restart the process.
//!
//! # Expiry
//!
//! An expired record is never returned, but it stays in the file until a save replaces it or
//! [`purge`](sessions::provider::Provider::purge) removes it. Spawn the store's `purge_task` to call
//! that regularly. SQLite reuses the freed space; the file itself shrinks only on `VACUUM`.
//!
//! # Durability
//!
//! A completed save survives a crash of the process, a crash of the system, and a power cut:
//! [`SqliteProvider::open`] sets `synchronous = FULL`, so each write waits for the disk. With
//! `NORMAL`, SQLite's usual advice for WAL mode, a power cut loses the last writes, and a session that
//! its user has ended would be live again. If that is acceptable, `NORMAL` makes writes several times
//! faster:
//!
//! ```
//! use sessions_sqlite::{SqliteProvider, sqlx::sqlite::SqliteSynchronous};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sessions::provider::ProviderError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("sessions.db");
//! let options = SqliteProvider::options(&path).synchronous(SqliteSynchronous::Normal);
//! let provider = SqliteProvider::open_with(options).await?;
//! provider.create_table().await?;
//! # Ok(()) }
//! ```
//!
//! # What the file system must offer
//!
//! A new file and the two beside it have mode 0600: they hold sessions, and the keys of their cookies.
//! The permissions of an existing file stay as they are.
//!
//! A local disk: in WAL mode processes share memory, which network file systems do not support. The
//! process must also be able to write to the folder, because SQLite keeps the files `-wal` and `-shm`
//! beside the database while it is open. Copy a database in use with SQLite's backup command, not
//! with `cp`. Do not remove it either: a process that has it open continues with the removed file,
//! without an error, and what it stores is lost when it ends.

mod calls;
mod error;
mod feed;
mod fetches;
mod file;
mod own;
mod private;
mod provider;
mod queue;
mod row;
mod sql;
mod writes;

pub use crate::provider::SqliteProvider;
pub use sqlx;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
