//! `RedisProvider` on servers that these tests start.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod changes;
mod cluster_changes;
mod conformance;
mod faults;
mod sentinel;
mod settings;
mod storage;

use std::time::{Duration, SystemTime};

use sessions::provider::{Record, from_unix_millis, to_unix_millis};
use sessions_redis::RedisProvider;
use sessions_tests::redis::RedisServer;

const ADA: &str = "app/visitor/ada";

/// In whole milliseconds.
fn now() -> SystemTime {
    from_unix_millis(to_unix_millis(SystemTime::now()))
}

fn record(id: &str, version: u64, lives: Duration, owner: Option<&str>) -> Record {
    let mut record = Record::new(id, version, format!("data {version}").into_bytes());
    record.format = "visitor/1".into();
    record.expires_at = Some(now() + lives);
    record.owner = owner.map(Into::into);
    record
}

async fn on(server: &RedisServer) -> RedisProvider {
    RedisProvider::connect(&server.url()).await.unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);
