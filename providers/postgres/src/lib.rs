//! Sessions in a PostgreSQL table: one statement a call, no transaction to open or to commit.
//!
//! ```no_run
//! use sessions::provider::{Expect, Provider, Record, Saved};
//! use sessions_postgres::PostgresProvider;
//!
//! # async fn example() -> Result<(), sessions::provider::ProviderError> {
//! let provider = PostgresProvider::connect("postgres://app:secret@localhost/shop").await?;
//! provider.create_table().await?;
//! let now = std::time::SystemTime::now();
//! let record = Record::new("a", 1, &b"data"[..]);
//! assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Saved);
//! assert_eq!(provider.fetch("a", now).await?, Some(record));
//! # Ok(()) }
//! ```
//!
//! # The table
//!
//! [`create_table`](PostgresProvider::create_table) runs these statements, which may as well stand
//! in a migration of your own. They need PostgreSQL 12 or newer.
//!
//! ```sql
#![doc = include_str!("table.sql")]
//! ```
//!
//! `version` holds the 64 bits of a `u64` as a signed number: versions from 2^63 on show as
//! negative ones. They are only compared for equality. `expires_at` counts milliseconds since 1970
//! (`to_timestamp(expires_at / 1000.0)` shows it); `NULL` means never. You may add columns that are
//! nullable or have a default, and indexes.
//!
//! Each save moves the expiry by a little. An index on it would be written each time, and the other
//! indexes with it; so the index is on `expires_slot`, which moves every 2^20 ms, about 17 minutes.
//! Within a slot an update touches no index at all (a heap-only tuple): with 400 bytes of data that
//! is a third less in the write-ahead log, and indexes that stay a third smaller. `fillfactor = 90`
//! leaves the room on each page that this takes. Larger data goes to PostgreSQL's TOAST table as
//! usual: keeping it in the row was no faster.
//!
//! # Permissions
//!
//! The role of the service needs this much, and `CREATE` on the schema if it is to create the table
//! itself (`create_table` needs no right to create where the table is complete):
//!
//! ```sql
//! GRANT USAGE ON SCHEMA public TO app;
//! GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO app;
//! ```
//!
//! # What a call costs
//!
//! | call | statements, each one round trip | locks |
//! |---|---|---|
//! | `fetch` | 1 `SELECT` by primary key | none |
//! | `save` | 1 `INSERT` or `UPDATE` by primary key; after a conflict also 1 `SELECT` | its row |
//! | `touch` | 1 `UPDATE` by primary key; after a conflict also 1 `SELECT` | its row |
//! | `delete` | 1 `DELETE` by primary key; under a version, where it removes nothing, also 1 `SELECT` | its row |
//! | `list` | 1 `SELECT` on the index of owners | none |
//! | `purge` | 1 `DELETE` for each 500 records, on the index of expiry | the rows it removes |
//!
//! The first use of a statement on a connection prepares it, which is a round trip more.
//!
//! # Connections
//!
//! [`connect`](PostgresProvider::connect) and [`connect_with`](PostgresProvider::connect_with) hold
//! connections of their own: opened as they are needed, replaced after an error, closed after three
//! minutes without use. As many calls run at once as there are connections; the others queue in
//! order. Some ten for each process are plenty: the server works on a few statements at a time, and
//! must take the connections of all processes together (`max_connections`).
//!
//! [`new`](PostgresProvider::new) shares a [`PgPool`](sqlx::PgPool) with the rest of your service.
//! sqlx's pool asks the server after each use of a connection, and by default before each, whether
//! it is alive. So a connection that a call has used is kept until its task waits for something
//! else, for the next call of the same request, but for 16 calls at most. Set the pool's `acquire_timeout` to what a request may wait,
//! leave its `test_before_acquire` on, and let nothing of yours change the settings of a
//! connection for good: a `default_transaction_isolation` above `read committed` turns conflicts
//! into errors.
//!
//! TLS takes one of this crate's features `tls-rustls-ring-webpki` (certificates of the webpki-roots
//! crate) and `tls-rustls-ring-native-roots` (the system's), or any TLS feature of sqlx itself, and
//! `sslmode=verify-full` in the URL.
//!
//! ## Poolers
//!
//! A pooler that gives a client a server connection for one transaction at a time (PgBouncer with
//! `pool_mode = transaction`) does not take prepared statements along, unless it is PgBouncer 1.21
//! or newer with `max_prepared_statements` above 0. Before any other, call
//! [`unprepared`](PostgresProvider::unprepared): not doing so fails at best, and at worst runs
//! another client's statement of the same name. sqlx's `statement_cache_capacity(0)` is no remedy.
//! Give a `PgPool` of your own `extra_float_digits(None)` too, a setting that PgBouncer refuses.
//!
//! # Failures
//!
//! A call ends within its [`timeout`](PostgresProvider::timeout), 5 seconds unless set. Errors that
//! [are unavailable](sessions::provider::ProviderError::is_unavailable) pass by themselves: the
//! server is down, starting, overloaded, read-only after a failover. The others wait for somebody:
//! a missing table, a wrong password, no permission, other columns. Each says what to do. Nothing
//! needs a restart: the next call opens a connection where one was lost.
//!
//! What can be done twice (`fetch`, `touch`, `list`) is sent once more where its connection was
//! lost. A `save`, `delete` or `purge`, and a `touch` that expects the expiry it moves
//! (`Expect::Untouched`), is sent again only if it certainly was not committed: the
//! server ended the connection before it ran the statement, or never got all of it. To be surer,
//! they ask first whether a connection that has been idle for two seconds is alive, one round trip
//! more. What remains is the error of a save that may or may not have happened; the store tries
//! that again, and knows its own save by an id that it wrote into the record.
//!
//! A timeout closes the connection, yet the server may go on with the statement, waiting for a
//! lock, say. `ALTER ROLE app SET statement_timeout = '5s'` ends it there too.
//!
//! # Expiry
//!
//! An expired record is never returned, but stays in the table until a save replaces it or
//! [`purge`](sessions::provider::Provider::purge) removes it: let a task call that from time to
//! time, on one host or on many. It passes over rows that somebody is saving, and removes none that
//! was saved since. Autovacuum makes the space usable again. What counts is the time that the
//! caller passes, not the server's.
//!
//! # Durability
//!
//! A save that was answered survives a crash of the server, as `synchronous_commit` is on unless
//! you turn it off. Turned off (`ALTER ROLE app SET synchronous_commit = off`), a crash of the
//! server takes back the saves of the last moments, some 600 ms, and a session that its user has
//! ended would be alive again; nothing is torn. Reads must come from the primary: a standby lags, and
//! would show sessions as they were.

mod connections;
mod error;
mod provider;
mod sql;
mod statement;

pub use crate::provider::PostgresProvider;
pub use sqlx;
