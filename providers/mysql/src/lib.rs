//! Sessions in a table of MySQL or MariaDB: one round trip for each call, and one more after a
//! conflict.
//!
//! ```no_run
//! use sessions::provider::{Expect, Provider, Record, Saved};
//! use sessions_mysql::MySqlProvider;
//!
//! # async fn example() -> Result<(), sessions::provider::ProviderError> {
//! let provider = MySqlProvider::connect("mysql://app:secret@localhost/shop").await?;
//! provider.create_table().await?;
//! let now = std::time::SystemTime::now();
//! let record = Record::new("a", 1, &b"data"[..]);
//! assert_eq!(provider.save(&record, Expect::Absent, now).await?, Saved::Saved);
//! assert_eq!(provider.fetch("a", now).await?, Some(record));
//! # Ok(()) }
//! ```
//!
//! # Which servers
//!
//! MariaDB 10.6 or newer, or MySQL 8.0 or newer. The tests run on MariaDB 10.11 and on no other
//! server. The provider sends only what both document, but nobody has tested it on MySQL. Before you
//! use it there, run the conformance suite on your server: `sessions::provider::conformance`, with the
//! feature `conformance` of `sessionful`.
//!
//! # The table
//!
//! [`create_table`](MySqlProvider::create_table) runs this statement. You can also put it into a
//! migration of your own:
//!
//! ```sql
#![doc = include_str!("table.sql")]
//! ```
//!
//! Ids, owners and formats are bytes of UTF-8, so neither the character set of the database nor a
//! collation changes what is equal. To read them, write `CONVERT(format USING utf8mb4)`.
//! `expires_at` counts milliseconds since 1970 (`FROM_UNIXTIME(expires_at / 1000)` shows it); `NULL`
//! means never. You may add columns that are nullable or have a default, and indexes, but no unique
//! index: a save would fail, or replace the record that has the same value in it.
//!
//! Each save moves the expiry a little. An index on the expiry would be written each time, so the index
//! is on `expires_slot`, which changes every 2^20 ms, about 17 minutes. With records of 171 bytes that
//! halves what a save writes to the redo log (about 290 bytes instead of 590), and its time on the
//! server falls to 0.6. A session of 171 bytes with an owner takes 660 bytes with all indexes (10^6
//! sessions, inserted in random order).
//!
//! # Permissions
//!
//! The user of the service needs these permissions, and `CREATE`, `INDEX` and `ALTER` if it creates
//! the table (`create_table` needs no right to create if the table is complete):
//!
//! ```sql
//! GRANT SELECT, INSERT, UPDATE, DELETE ON shop.sessions TO app;
//! ```
//!
//! # What a call costs
//!
//! | call | statements | round trips | locks |
//! |---|---|---|---|
//! | `fetch` | 1 `SELECT` by primary key | 1 | none |
//! | `fetch_many` | 1 `SELECT` by primary key for each 100 ids | 1 | none |
//! | `save` | 1 `INSERT` or `UPDATE` by primary key; after a conflict also 1 `SELECT`; over a record that has expired 1 `INSERT`, 1 `SELECT` and 1 `UPDATE` | 1; after a conflict 2; over an expired record 3 | its row |
//! | `touch` | 1 `UPDATE` by primary key; after a conflict also 1 `SELECT` | 1; after a conflict 2 | its row |
//! | `delete` | a transaction of 5, with 1 `SELECT` and 1 `DELETE` by primary key | 1 | its row |
//! | `list` | 1 `SELECT` on the index of owners | 1 | none |
//! | `scan` | 1 `SELECT` on the primary key for each page | 1 | none |
//! | `purge` | for each 500 records a transaction of 5, with 1 `SELECT` on the index of expiry and 1 `DELETE` by primary key | 2 | the rows it removes |
//! | `clock`, before a purge and before the key ring drops keys | 1 `SELECT` | 1 | none |
//!
//! The first use of a statement on a connection prepares it, which takes one more round trip. The
//! statements of a transaction travel as one text, and are not prepared. A connection keeps up to 15
//! prepared statements: the server's `max_prepared_stmt_count` (16 382 by default) must allow that
//! for the connections of all processes.
//!
//! An update tells by the number of rows that it has found whether its expectation was met. sqlx asks
//! the server to count found rows, and not only changed ones (`CLIENT_FOUND_ROWS`); a proxy must pass
//! that on.
//!
//! # Connections
//!
//! [`connect`](MySqlProvider::connect) and [`connect_with`](MySqlProvider::connect_with) use
//! connections of the provider's own. The provider opens them on demand, replaces them after an
//! error, and closes them after three minutes without use; `wait_timeout` must be longer. As many
//! calls run at once as there are connections; the others queue in order. About ten for each process
//! are enough: the server works on a few statements at a time, and must accept the connections of all
//! processes together (`max_connections`). On these connections the provider sets the isolation
//! level `READ COMMITTED`, `autocommit`, a `sql_mode` and `innodb_lock_wait_timeout`, so these
//! settings of the server do not matter. The time zone matters nowhere.
//!
//! [`new`](MySqlProvider::new) shares a [`MySqlPool`](sqlx::MySqlPool) with the rest of your service.
//! Each call takes a connection from the pool and gives it back. sqlx's pool asks the server after
//! each use of a connection, and by default before each, whether the connection is alive; connections
//! of the provider's own save those round trips. Set the pool's `acquire_timeout` to the time that a
//! request may wait. The provider changes no setting of these connections. They must have
//! `autocommit` on, and any isolation level will do.
//!
//! If the server keeps a binary log, `binlog_format` must be `ROW` or `MIXED`, which are the defaults:
//! `STATEMENT` cannot log `READ COMMITTED`.
//!
//! For TLS, enable one of this crate's features `tls-rustls-ring-webpki` (the certificates of the
//! webpki-roots crate) and `tls-rustls-ring-native-roots` (the system's certificates), or any TLS
//! feature of sqlx, and put `ssl-mode=VERIFY_IDENTITY` into the URL. MySQL 8 takes the password of a
//! user with its usual plugin, `caching_sha2_password`, only over TLS or a Unix socket.
//!
//! A proxy in between, such as ProxySQL or MaxScale, must send reads to the primary too, and pass on
//! texts of several statements. None is tested.
//!
//! # Failures
//!
//! A call ends within its [`timeout`](MySqlProvider::timeout), 5 seconds by default. Errors that
//! [are unavailable](sessions::provider::ProviderError::is_unavailable) are temporary: the server is
//! down, starting, overloaded, or read-only after a failover. The other errors need somebody to fix
//! them: a missing table, a wrong password, a missing permission, other columns. Each says what to do.
//! Nothing needs a restart: the next call opens a new connection if one was lost.
//!
//! If its connection was lost, the provider sends an idempotent call (`fetch`, `touch`, `list`) once
//! more. It sends a `save` or `delete`, and a `touch` that expects the expiry it moves
//! (`Expect::Untouched`), again only if the first one was certainly not committed: the server ended
//! the connection before it ran the statement, or never received all of it. To reduce the other
//! cases, these calls first check a connection that has been idle for two seconds, which takes one
//! more round trip. The remaining case is the error of a save that may have happened. The store
//! retries it, and recognizes its own save by an id in the record.
//!
//! InnoDB ends a deadlock by rolling one transaction back. Each statement here is one, or ends one,
//! so a victim has written nothing. The provider sends it again, until the timeout, and it then finds
//! what the other transaction has written. What has waited for a lock for too long is not sent again.
//!
//! A server that is read-only (`read_only`, `super_read_only`, `innodb_read_only`) is a replica, or
//! was the primary until a failover. Reads work there. A write closes its connection and tries once
//! more on a new one, which leads to the new primary if the address already does. If it does not, the
//! error is unavailable, so that requests are answered with 503 until it does.
//!
//! A timeout closes the connection, but the server continues with the statement until it notices. On
//! connections of the provider's own it waits for a lock no longer than about the timeout of the call
//! that opened the connection; for a pool, set `innodb_lock_wait_timeout` (50 seconds by default).
//!
//! A record must be smaller than the server's `max_allowed_packet`, 16 MiB by default (64 MiB on
//! MySQL 8). The provider refuses a larger one with an error that says so, because the server would
//! close the connection.
//!
//! # Expiry
//!
//! An expired record is never returned, but it stays in the table until a save replaces it or
//! [`purge`](sessions::provider::Provider::purge) removes it. Spawn the store's `purge_task` to call
//! that regularly, on one host or on several. A purge skips rows that somebody is saving, and removes
//! no row that was saved since it expired. InnoDB uses the space again, and does not give it back to
//! the file system unless you run `OPTIMIZE TABLE`. The time that the caller passes decides. For a
//! purge the store passes the earlier of the host's time and the server's.
//!
//! # Durability
//!
//! A completed save survives a crash of the server, and a power cut, if
//! `innodb_flush_log_at_trx_commit` is 1, the default. With 2, a power cut loses the saves of about
//! the last second; with 0, a crash of the server does so too. A session that its user has ended
//! would then be live again; no data is corrupted. Replication is asynchronous unless you configure
//! it otherwise: a failover loses what the replica has not received. Reads must come from the
//! primary, because a replica lags and would return old sessions. Of a Galera or group replication
//! cluster, let all hosts use the same node; several nodes are not tested.
//!
//! # Changes
//!
//! Neither server tells clients of changes, so
//! [`changes`](sessions::provider::Provider::changes) is unsupported. A store with a cache trusts
//! what it knows for 5 seconds unless set otherwise, and an open socket closes within 30 seconds
//! after its session has ended on another host.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod calls;
mod connections;
mod error;
mod provider;
mod record;
mod sql;
mod statement;
mod table;

pub use crate::provider::MySqlProvider;
pub use sqlx;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
