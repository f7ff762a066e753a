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
