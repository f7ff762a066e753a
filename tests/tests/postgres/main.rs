//! `PostgresProvider` on servers that these tests start.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod announced;
mod calls;
mod changes;
mod conformance;
mod faults;
mod feed;
mod settings;
mod storage;

use std::time::{Duration, SystemTime};

use sessions::provider::from_unix_millis;
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};

fn now() -> SystemTime {
    from_unix_millis(1_767_225_600_000)
}

fn options(url: &str) -> PgConnectOptions {
    url.parse().unwrap()
}

fn own(url: &str, connections: u32) -> PostgresProvider {
    PostgresProvider::connect_lazy_with(options(url), connections).timeout(PATIENCE)
}

fn pooled(url: &str, connections: u32) -> PostgresProvider {
    let pool = PgPoolOptions::new().max_connections(connections);
    PostgresProvider::new(pool.connect_lazy_with(options(url))).timeout(PATIENCE)
}

/// For a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

async fn with_table(provider: PostgresProvider) -> PostgresProvider {
    provider.create_table().await.unwrap();
    provider
}
