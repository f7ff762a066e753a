//! Sessions in Redis, on one server or on a cluster. Redis removes expired records.
//!
//! ```no_run
//! use sessions::Store;
//! use sessions_redis::RedisProvider;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sessions::provider::ProviderError> {
//! let provider = RedisProvider::connect("redis://127.0.0.1:6379").await?;
//! for warning in provider.warnings().await? {
//!     eprintln!("warning: {warning}");
//! }
//! let store = Store::new(provider);
//! # Ok(()) }
//! ```
//!
//! It needs Redis 7 or later, or a server that speaks its protocol and runs its scripts. Pass a
//! connection of your own, also one to a cluster, to [`RedisProvider::new`].
//!
//! # Features
//!
//! - `cluster`: [`RedisProvider::connect_cluster`](RedisProvider#method.connect_cluster).
//! - `sentinel`: [`RedisProvider::connect_sentinel`](RedisProvider#method.connect_sentinel).
//! - `tls-rustls`: `rediss://` URLs, with the system's root certificates. It uses the cryptography
//!   provider that the process has installed in rustls. If there is none, this crate installs ring.
//!
//! # The keys
//!
//! All keys begin with the [prefix](RedisProvider::prefix), `sessions` by default.
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `sessions:record:<id>` | hash | `v` the version, `e` the expiry, `f` the format, `o` the owner, `d` the data, `l` until when the owner's sets hold the id |
//! | `sessions:{owner:<owner>}:ids` | sorted set | the ids of the owner's records, each with the score 0, so in their order |
//! | `sessions:{owner:<owner>}:until` | sorted set | the same ids, each scored by when it may be forgotten |
//!
//! Times count milliseconds since 1970. A record without an expiry has no `e`, and one without an
//! owner has neither `o` nor `l`. Versions are decimals and are compared as strings, because Lua's
//! numbers have 53 bits.
//!
//! No script and no command touches two slots of a cluster: a record is in the slot of its id, and an
//! owner's two sets are in the slot of the owner.
//!
//! # What a call costs
//!
//! | call | commands, one after the other |
//! |---|---|
//! | `fetch` | 1 `HMGET` |
//! | `save`, also with a conflict | 1 script |
//! | `save` of a new record with an owner | 2 scripts: the owner's sets, the record |
//! | `save` of an update that changes the owner | 3 scripts: the record, which asks for the owner's sets, then the sets, then the record |
//! | `touch`, also with a conflict | 1 script |
//! | `delete`, also with a conflict | 1 script; 2 if it removes a record with an owner: the record, the owner's sets |
//! | `list` | 1 `ZRANGE`, and for each 500 ids of the page an `HMGET` each, all at once |
//! | `fetch_many` | an `HMGET` each, all at once |
//! | `scan` | 1 `SCAN`, on a cluster 256 `CLUSTER GETKEYSINSLOT`, until there is a record; then an `HMGET` each, all at once |
//! | `purge` | unsupported: Redis does it |
//! | `clock`, before the key ring drops keys | 1 `TIME` |
//!
//! An owner's sets hold an id for one and a half times the time that its record had to live. A `save`
//! or a `touch` that extends a record beyond that extends the sets too, which takes 3 scripts. For a
//! session of 7 days this happens once in three and a half days.
//!
//! A script is sent by its hash, and with its text if the server does not know it, as after a restart.
//! The script has not run in that case, so nothing is repeated.
//!
//! # Changes
//!
//! A store that keeps records in memory needs to hear of changes:
//! [`changes`](sessions::provider::Provider::changes). Redis pushes the key of each changed record to
//! a connection that asks for it with RESP3 and `CLIENT TRACKING ON BCAST PREFIX sessions:record:`. The
//! feed opens one such connection, and on a cluster one to each master, for any number of tasks. It
//! opens none until a store asks for the feed.
//!
//! - **What it reports.** Redis does not say what happened to a record: a save, a touch, a deletion, an
//!   expiry and an eviction all arrive as a change. `FLUSHDB` and `FLUSHALL` arrive as a gap. Redis does
//!   not report `SWAPDB`: do not use it beside a store that caches. It does not say either in which of
//!   its databases a key changed. Give two apps on one server two prefixes, or each hears the other's
//!   changes too.
//! - **What it costs.** Each second 1 `INFO replication`; on a cluster 1 `CLUSTER INFO` and 1 `CLUSTER
//!   SHARDS` to each master. Beginning takes 2 scripts, which save and delete a record with the id
//!   `probe`: the feed begins only if Redis reports that change. For each changed record, Redis sends its
//!   key, some 60 bytes, to each host. If a host stops reading, Redis buffers them without a limit by
//!   default: set `client-output-buffer-limit normal` or `maxmemory-clients`. A feed that Redis cuts off
//!   for this fails, and the store begins it again.
//! - **When it ends.** The feed fails as unavailable if its connection is lost, if an answer takes 10
//!   seconds, or if the server has become a replica. On a cluster it also fails if a master sees the
//!   cluster as failed, or sees a master that the feed is not connected to: after a failover, or after
//!   an operator added a node. The store then begins it again. A cluster has no feed while one of its
//!   masters is down.
//! - **What it cannot see.** A primary that was cut off and replaced accepts saves until it notices, and
//!   reports only those. In that time, a feed that is connected to it hears of no save to the new
//!   primary; see "What can be lost" below. After a failover in a cluster, the nodes notice within
//!   milliseconds of each other, and the feed within a second.
//! - **Who refuses.** A server or a proxy without RESP3 or `CLIENT TRACKING` is a permanent error, and so
//!   is a user without the permission `+client|tracking`. Call
//!   [`without_changes`](RedisProvider::without_changes) to do without the feed. A provider on a
//!   connection of your own does not know where to connect the feed: call
//!   [`changes_from`](RedisProvider::changes_from).
//!
//! # Expiry
//!
//! Redis removes a record at its expiry, by the server's clock (`PEXPIREAT`), but not before it has
//! expired by the clock of the host that saved or touched it. Each call also compares the expiry with
//! the host's time, so a host whose clock is ahead of the server's no longer sees the record either.
//!
//! An owner's sets end with the last id in them. They hold an id before its record is written, so that
//! a "log out everywhere" misses none, and drop the id when the record is deleted. In two cases the id
//! stays: if dropping it would race with another save (which put the id in again, or extended the
//! record), and if the record has another owner now. `list` skips such an id, until its time comes and
//! the next save adds another id.
//!
//! # What can be lost
//!
//! A completed save is in the server's memory.
//!
//! - **A crash** loses what was not yet on the disk: with `appendonly yes`, the last second; with
//!   `appendfsync always` as well, nothing; with snapshots alone, minutes.
//! - **A failover** to a replica loses what the primary had acknowledged but not yet sent on, because
//!   replication is asynchronous. `min-replicas-to-write` makes this less likely, but not impossible.
//! - **Eviction** removes any record when the memory is full, unless `maxmemory-policy` is
//!   `noeviction`. With `noeviction` saves fail as unavailable, while reads, touches and deletes work.
//!
//! After a crash or a failover, a session that its user has ended can be live again. After an
//! eviction, the keys that open cookies can be gone, because they are a record too. Keep sessions that
//! must not come back in a database that waits for its disk. [`warnings`](RedisProvider::warnings)
//! reports settings of the server that can lose sessions.
//!
//! # Permissions
//!
//! Create a user with only these permissions:
//!
//! ```text
//! ACL SETUSER shop on >secret
#![doc = concat!("    ", include_str!("permissions.txt"))]
//! ```
//!
//! [`PERMISSIONS`] holds them. [`clear`](RedisProvider::clear), which is for tests, also needs `+scan`
//! and `+unlink`, on a cluster `+keys` in place of `+scan`. The driver of a cluster needs
//! `+cluster|slots`, and the feed of its changes `+cluster|info`, `+cluster|shards` and
//! `+cluster|myid`. [`scan`](sessions::provider::Provider::scan), which no request uses, needs `+scan`,
//! on a cluster `+cluster|getkeysinslot`, and misses records that are moved to another node meanwhile: do
//! not reshard then. Without the feed, `+client|tracking` is not needed.
//!
//! # Connections
//!
//! [`Connection`] is one multiplexed connection, which all tasks share. Calls do not wait for each
//! other, and a cancelled call does not damage the connection. If the connection is lost, the next call
//! opens a new one; no command is sent twice. A save whose answer was lost is an error that
//! [is unavailable](sessions::provider::ProviderError::is_unavailable), and the save may have happened:
//! the conflict of the next try contains the stored record.
//!
//! Commands that several tasks send at once go out together, which costs Redis and the host less
//! processor time. With TLS, on a cluster, and on a connection of another kind, most commands go out
//! by themselves.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod error;
mod feed;
mod giving_way;
mod keys;
mod provider;
mod record;
mod scan;
mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod server;
mod source;
mod target;

pub use redis;

pub use crate::connection::{AnyConnection, Connection};
pub use crate::provider::RedisProvider;

/// The rules of `ACL SETUSER` for a user that may access only the keys under the default prefix,
/// and run only the commands that the provider sends. `+info` is only for
/// [`warnings`](RedisProvider::warnings), the check of the version and the
/// [feed of changes](crate#changes), and `+client|tracking` only for the feed.
///
/// ```
/// let command = format!("ACL SETUSER shop on >secret {}", sessions_redis::PERMISSIONS);
/// assert!(command.contains(" ~sessions:* +evalsha "));
/// ```
pub const PERMISSIONS: &str = include_str!("permissions.txt");

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
