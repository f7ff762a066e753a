//! Sessions in Redis, on one server or on a cluster: records that end by themselves.
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
//! It takes Redis 7 or later, or what speaks its protocol and runs its scripts. Your own connection,
//! also one to a cluster, goes to [`RedisProvider::new`].
//!
//! # Features
//!
//! - `cluster`: [`RedisProvider::connect_cluster`](RedisProvider#method.connect_cluster).
//! - `tls-rustls`: `rediss://` URLs, with the system's root certificates. The cryptography is that
//!   which the process has installed in rustls, or else ring, which this crate installs then.
//!
//! # The keys
//!
//! All begin with the [prefix](RedisProvider::prefix), `sessions` unless set.
//!
//! | key | type | what it holds |
//! |---|---|---|
//! | `sessions:record:<id>` | hash | `v` the version, `e` the expiry, `f` the format, `o` the owner, `d` the data, `l` until when the owner's sets hold the id |
//! | `sessions:{owner:<owner>}:ids` | sorted set | the ids of the owner's records, each with the score 0, so in their order |
//! | `sessions:{owner:<owner>}:until` | sorted set | the same ids, each scored by when it may be forgotten |
//!
//! Times count milliseconds since 1970. A record without expiry has no `e`, one without owner
//! neither `o` nor `l`. Versions are decimals, compared as strings: Lua's numbers have 53 bits.
//!
//! No script and no command touches two slots of a cluster: a record is in the slot of its id, an
//! owner's two sets are in that of the owner.
//!
//! # What a call costs
//!
//! | call | commands, one after the other |
//! |---|---|
//! | `fetch` | 1 `HMGET` |
//! | `save`, also one in conflict | 1 script |
//! | `save` of a new record with an owner | 2 scripts: the owner's sets, the record |
//! | `save` of an update that changes the owner | 3 scripts: the record, which asks for the owner's sets, those, the record |
//! | `touch`, also one in conflict | 1 script |
//! | `delete`, also one in conflict | 1 script; where it removes a record with an owner 2: the record, the owner's sets |
//! | `list` | 1 `ZRANGE`, and for each 500 ids of the page an `HMGET` each, all at once |
//! | `purge` | unsupported: Redis does it |
//!
//! An owner's sets hold an id for half as long again as its record was to live. A `save` or a
//! `touch` that prolongs a record beyond that prolongs the sets too, which takes 3 scripts: of a
//! session of 7 days, once in three and a half days.
//!
//! A script is sent by its hash, and with its text where the server does not know it, as after a
//! restart. That script has not run then, so this repeats nothing.
//!
//! # Expiry
//!
//! Redis removes a record when its expiry comes, by the server's clock (`PEXPIREAT`). A host whose
//! clock is ahead of the server's does not see it any longer either, as each call compares the
//! expiry with the host's time. Where the server's is ahead, sessions end that much earlier.
//!
//! An owner's sets end with the last id in them. They hold an id before its record is written, so
//! that a "log out everywhere" misses none, and drop it when the record is deleted. Where that would
//! be a race with another save (the id was put in again, or the record was prolonged), or the
//! record has got another owner, the id stays and a `list` passes over it, until its time comes and
//! the next save puts another id in.
//!
//! # What can be lost
//!
//! A save that was answered is in the server's memory.
//!
//! - **A crash** takes back what was not yet on the disk: with `appendonly yes`, the last second; with
//!   `appendfsync always` besides, nothing; with snapshots alone, minutes.
//! - **A failover** to a replica takes back what the primary had answered and not yet sent on, as
//!   replication does not wait. `min-replicas-to-write` narrows that, and does not close it.
//! - **Eviction** takes away any record when the memory is full, unless `maxmemory-policy` is
//!   `noeviction`; then saves fail as unavailable, while reads, touches and deletes go on.
//!
//! A session that its user has ended can be alive again after the first two, and the keys that open
//! cookies, which are a record too, can be gone after the third. Keep sessions that must not come
//! back in a database that waits for its disk. [`warnings`](RedisProvider::warnings) tells of the
//! settings.
//!
//! # Permissions
//!
//! A user with no more than this:
//!
//! ```text
//! ACL SETUSER shop on >secret
#![doc = concat!("    ", include_str!("permissions.txt"))]
//! ```
//!
//! They are [`PERMISSIONS`]. [`clear`](RedisProvider::clear), which is for tests, takes `+scan` and
//! `+unlink` as well, on a cluster `+keys` for `+scan`; the driver of a cluster takes
//! `+cluster|slots`.
//!
//! # Connections
//!
//! [`Connection`] is one multiplexed connection, shared by all tasks: calls do not wait for each
//! other, and one that is cancelled leaves it whole. It is opened again when it was lost, by the
//! next call; no command is sent twice. A save whose answer was lost is an error that
//! [is unavailable](sessions::provider::ProviderError::is_unavailable), and may have happened: the
//! conflict of the next try carries what is stored.

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod error;
mod keys;
mod provider;
mod script;
mod server;

pub use redis;

pub use crate::connection::{AnyConnection, Connection};
pub use crate::provider::RedisProvider;

/// The rules of `ACL SETUSER` for a user that has just the keys under the default prefix, and just
/// the commands that the provider sends. `+info` is only for
/// [`warnings`](RedisProvider::warnings) and the check of the version.
///
/// ```
/// let command = format!("ACL SETUSER shop on >secret {}", sessions_redis::PERMISSIONS);
/// assert!(command.contains(" ~sessions:* +evalsha "));
/// ```
pub const PERMISSIONS: &str = include_str!("permissions.txt");
