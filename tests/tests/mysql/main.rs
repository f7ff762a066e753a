//! `MySqlProvider` on MariaDB servers that these tests start.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod conformance;
mod deadlocks;
mod faults;
mod settings;
mod storage;

use std::time::{Duration, SystemTime};

use sessions::provider::{ProviderError, from_unix_millis};
use sessions_mysql::MySqlProvider;
use sessions_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

fn now() -> SystemTime {
    from_unix_millis(1_767_225_600_000)
}

fn options(url: &str) -> MySqlConnectOptions {
    url.parse().unwrap()
}

fn own(url: &str, connections: u32) -> MySqlProvider {
    MySqlProvider::connect_lazy_with(options(url), connections).timeout(PATIENCE)
}

fn pooled(url: &str, connections: u32) -> MySqlProvider {
    let pool = MySqlPoolOptions::new().max_connections(connections);
    MySqlProvider::new(pool.connect_lazy_with(options(url))).timeout(PATIENCE)
}

/// A provider over a pool whose connections begin with a statement.
fn pooled_after(options: MySqlConnectOptions, first: &'static str) -> MySqlProvider {
    let pool = MySqlPoolOptions::new().max_connections(8).after_connect(move |connection, _| {
        Box::pin(async move {
            sessions_mysql::sqlx::raw_sql(first).execute(connection).await?;
            Ok(())
        })
    });
    MySqlProvider::new(pool.connect_lazy_with(options)).timeout(PATIENCE)
}

/// For a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

async fn with_table(provider: MySqlProvider) -> MySqlProvider {
    provider.create_table().await.unwrap();
    provider
}

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}
