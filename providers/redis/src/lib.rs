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
//! `+cluster|slots`.
//!
//! # Connections
//!
//! [`Connection`] is one multiplexed connection, which all tasks share. Calls do not wait for each
//! other, and a cancelled call does not damage the connection. If the connection is lost, the next call
//! opens a new one; no command is sent twice. A save whose answer was lost is an error that
//! [is unavailable](sessions::provider::ProviderError::is_unavailable), and the save may have happened:
//! the conflict of the next try contains the stored record.

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod error;
mod keys;
mod provider;
mod record;
mod script;
mod server;

pub use redis;

pub use crate::connection::{AnyConnection, Connection};
pub use crate::provider::RedisProvider;

/// The rules of `ACL SETUSER` for a user that may access only the keys under the default prefix,
/// and run only the commands that the provider sends. `+info` is only for
/// [`warnings`](RedisProvider::warnings) and the check of the version.
///
/// ```
/// let command = format!("ACL SETUSER shop on >secret {}", sessions_redis::PERMISSIONS);
/// assert!(command.contains(" ~sessions:* +evalsha "));
/// ```
pub const PERMISSIONS: &str = include_str!("permissions.txt");
