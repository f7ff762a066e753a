//! Sessions in Redis.

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
