//! Sessions in a PostgreSQL table: one statement for each call, without an explicit transaction, and
//! one more to tell other hosts that sessions ended.
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
//! [`create_table`](PostgresProvider::create_table) runs these statements. You can also put them into
//! a migration of your own. They need PostgreSQL 12 or newer.
//!
//! ```sql
#![doc = include_str!("table.sql")]
//! ```
//!
//! `version` holds the 64 bits of a `u64` as a signed number, so versions from 2^63 on show as
//! negative numbers. The provider only compares them for equality. `expires_at` counts milliseconds
//! since 1970 (`to_timestamp(expires_at / 1000.0)` shows it); `NULL` means never. You may add columns
//! that are nullable or have a default, and indexes.
//!
//! Each save moves the expiry a little. Each such move would write an index on the expiry, and the
//! other indexes with it. So the index is on `expires_slot`, which changes every 2^20 ms, about 17
//! minutes. Within a slot an update touches no index (a heap-only tuple). With 400 bytes of data, that
//! saves a third of the write-ahead log, and indexes stay a third smaller. `fillfactor = 90` leaves the
//! room on each page that such updates need. Larger data goes to PostgreSQL's TOAST table as usual:
//! keeping it in the row was no faster.
//!
//! # Permissions
//!
//! The role of the service needs these permissions, and `CREATE` on the schema if it creates the table
//! (`create_table` needs no right to create if the table is complete):
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
//! | `fetch_many` | 1 `SELECT` by primary key for all ids | none |
//! | `save` | 1 `INSERT` or `UPDATE` by primary key; after a conflict also 1 `SELECT` | its row |
//! | `save_and_announce` | as `save`, then its share of an `announce` | its row |
//! | `touch` | 1 `UPDATE` by primary key; after a conflict also 1 `SELECT` | its row |
//! | `delete` | 1 `DELETE` by primary key; under a version, if it removes nothing, also 1 `SELECT`; then its share of an `announce` | its row |
//! | `announce` | 1 `SELECT` for the ids of all calls that wait for it | at the commit the server's queue of notices |
//! | `list` | 1 `SELECT` on the index of owners | none |
//! | `scan`, for operators | 1 `SELECT` by primary key for each page | none |
//! | `purge` | 1 `DELETE` for each 500 records, on the index of expiry | the rows it removes |
//! | `clock`, before a purge and before the key ring drops keys | 1 `SELECT` | none |
//! | `changes` | 5 to begin, then 1 `SELECT` a second | none |
//!
//! The first use of a statement on a connection prepares it, which takes one more round trip.
//!
//! # Connections
//!
//! [`connect`](PostgresProvider::connect) and [`connect_with`](PostgresProvider::connect_with) use
//! connections of the provider's own. The provider opens them on demand, replaces them after an error,
//! and closes them after three minutes without use. As many calls run at once as there are
//! connections; the others queue in order. About ten for each process are enough: the server works on
//! a few statements at a time, and must accept the connections of all processes together
//! (`max_connections`).
//!
//! [`new`](PostgresProvider::new) shares a [`PgPool`](sqlx::PgPool) with the rest of your service.
//! Each call takes a connection from the pool and gives it back. sqlx's pool asks the server after
//! each use of a connection, and by default before each, whether the connection is alive; connections
//! of the provider's own save those round trips. Set the pool's `acquire_timeout` to the time that a
//! request may wait. Do not change the settings of a connection permanently.
//!
//! PostgreSQL's default isolation level, `read committed`, is the fastest here. Under `repeatable read`
//! and `serializable`, and in databases that know nothing else, such as CockroachDB, a statement that
//! gives way to another transaction (40001, 40P01) was undone. The provider sends it again, until the
//! timeout, and it then finds what the other transaction has written.
//!
//! For TLS, enable one of this crate's features `tls-rustls-ring-webpki` (the certificates of the
//! webpki-roots crate) and `tls-rustls-ring-native-roots` (the system's certificates), or any TLS
//! feature of sqlx, and put `sslmode=verify-full` into the URL.
//!
//! ## Poolers
//!
//! A pooler that gives a client a server connection for one transaction at a time (PgBouncer with
//! `pool_mode = transaction`) does not support prepared statements, unless it is PgBouncer 1.21 or
//! newer with `max_prepared_statements` above 0. With any other, call
//! [`unprepared`](PostgresProvider::unprepared). Without this call, statements fail, or worse, run
//! another client's statement of the same name. sqlx's `statement_cache_capacity(0)` does not help.
//! Set `extra_float_digits(None)` on a `PgPool` of your own, because PgBouncer refuses this setting.
//! The feed of [changes](#changes) needs a direct connection.
//!
//! # Changes
//!
//! A store that keeps records in memory calls [`changes`](sessions::provider::Provider::changes), so
//! that every host learns at once of a session that ended elsewhere. `changes` opens one connection
//! of its own for each process, beside the provider's connections or your pool, and listens on it
//! (`LISTEN`). Count it in `max_connections`. Once a second it asks the server on this connection
//! whether it still hears everything. It ends with an error if the connection is lost, if an answer
//! takes longer than 10 seconds, or if the table is dropped or renamed. The store then calls it
//! again.
//!
//! A notice names records by their ids, and says whether they ended. It holds no other data. The
//! channel is `sessions_` and the number (`oid`) of the table. PostgreSQL lets every role of a
//! database listen to all channels and notify on them, so treat the ids as visible to all roles. A
//! forged notice makes hosts read a record again.
//!
//! `delete` and `save_and_announce` notify behind their statement, and end only when the server has
//! answered that too: then every listener hears of the change before it next proves that it hears
//! everything. `save` does not notify: the store calls `announce` for many saves at once. `touch` and
//! `purge` do not notify. A process has one announcement under way at a time, and what its calls
//! change meanwhile is announced together by the next one. If it fails, the call fails with an error
//! that [is unavailable](sessions::provider::ProviderError::is_unavailable), although the change may
//! have been made. The store repeats the call, which announces the change again. A call that is
//! cancelled after its statement was sent comes to its end in the background, and is announced. Only
//! where the statement outlasts the call's timeout, for example behind a lock, and changes the record
//! later, other hosts may learn of it as late as of a change of which nobody tells.
//!
//! The statements do not notify themselves, because PostgreSQL commits transactions that notify one
//! after another, also those of other databases of the server, and each waits until the one before is
//! on the disk. With 64 writers, saves that notified in their statement reached a rate between 0.03
//! (on a slow disk) and 0.26 of that of plain saves. Saves that waited for an announcement behind
//! them reached between 0.74 and 0.88. `BENCHMARKS.md` has the table. An announcement does not wait for
//! the disk, and plain saves and reads do not wait for any of this. A service whose stores neither
//! cache records nor watch sessions needs no notices, and saves the second round trip with
//! [`without_changes`](PostgresProvider::without_changes).
//!
//! The server keeps notices until every connection that listens has read them, in up to 8 GB. When
//! they are full, announcements fail, and deletions with them. This can only happen if a process that listens hangs for long, or if
//! another program listens and then leaves a transaction open. The share in use is
//! `SELECT pg_notification_queue_usage()`.
//!
//! A pooler in transaction mode accepts `LISTEN` and passes no notices on. `changes` detects that:
//! before it begins, it sends itself a notice through the provider's connections, and fails if the
//! notice does not arrive. Give it a direct connection with
//! [`listen_with`](PostgresProvider::listen_with):
//!
//! ```
//! use sessions_postgres::PostgresProvider;
//! use sessions_postgres::sqlx::postgres::PgConnectOptions;
//!
//! let shop = PgConnectOptions::new().database("shop");
//! let pooler = shop.clone().host("pgbouncer.internal").port(6432);
//! let provider = PostgresProvider::connect_lazy_with(pooler, 8)
//!     .unprepared()
//!     .listen_with(shop.host("db.internal"));
//! ```
//!
//! If no direct connection is possible, call
//! [`without_changes`](PostgresProvider::without_changes) on every host: `changes` is then
//! unsupported, and nothing notifies.
//!
//! # Failures
//!
//! A call ends within its [`timeout`](PostgresProvider::timeout), 5 seconds by default. Errors that
//! [are unavailable](sessions::provider::ProviderError::is_unavailable) are temporary: the server is
//! down, starting, overloaded, or read-only after a failover. The other errors need somebody to fix
//! them: a missing table, a wrong password, a missing permission, other columns. Each says what to do.
//! Nothing needs a restart: the next call opens a new connection if one was lost.
//!
//! If its connection was lost, the provider sends an idempotent call (`fetch`, `touch`, `list`,
//! `announce`) once more. It sends a `save`, `delete` or `purge`, and a `touch` that expects the
//! expiry it moves (`Expect::Untouched`), again only if the first one was certainly not committed:
//! the server ended the connection before it ran the statement, or never received all of it. To
//! reduce the other cases, these calls first check a connection that has been idle for two seconds,
//! which takes one more round trip. The remaining case is the error of a save that may have
//! happened. The store retries it, and recognizes its own save by an id in the record.
//!
//! A timeout closes the connection, but the server may continue with the statement, for example while
//! it waits for a lock. `ALTER ROLE app SET statement_timeout = '5s'` ends it there too.
//!
//! # Expiry
//!
//! An expired record is never returned, but it stays in the table until a save replaces it or
//! [`purge`](sessions::provider::Provider::purge) removes it. Spawn the store's `purge_task` to call
//! that regularly, on one host or on several. A purge skips rows that somebody is saving, and removes
//! no row that was saved since it expired. Autovacuum makes the space usable again. The time that the
//! caller passes decides. For a purge the store passes the earlier of the host's time and the
//! server's.
//!
//! # Durability
//!
//! A completed save survives a crash of the server, because `synchronous_commit` is on by default. If
//! you turn it off (`ALTER ROLE app SET synchronous_commit = off`), a crash of the server loses the
//! saves of about the last 600 ms, and a session that its user has ended would be live again; no data
//! is corrupted. Reads must come from the primary: a standby lags, and would return old sessions.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod announcer;
mod calls;
mod connections;
mod error;
mod feed;
mod notice;
mod provider;
mod sql;
mod statement;

pub use crate::provider::PostgresProvider;
pub use sqlx;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
