//! How many statements a call costs, counted by what sqlx reports of each one that it ran.
//!
//! A test program of its own: the connections' threads report to the process's one subscriber.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Page, Provider, Record};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::SqlitePool;
use sessions_sqlite::sqlx::sqlite::SqlitePoolOptions;
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// Counts sqlx's reports.
struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, _: &Event<'_>) {
        STATEMENTS.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Values<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The statements since the last call of this.
async fn counted(pool: &SqlitePool) -> u64 {
    // The one connection answers in order: behind this, everything before it is reported.
    sessions_sqlite::sqlx::Connection::ping(&mut *pool.acquire().await.unwrap()).await.unwrap();
    STATEMENTS.swap(0, Ordering::SeqCst)
}

#[tokio::test]
async fn each_call_is_one_statement_and_a_conflict_two() {
    tracing::subscriber::set_global_default(Counter).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteProvider::options(folder.path().join("sessions.db"));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let now = SystemTime::now();
    let later = now + Duration::from_secs(60);
    let first = Record::new("a", 1, "x");
    let second = Record::new("a", 2, "y");
    assert!(counted(&pool).await > 0, "nothing is reported");

    provider.save(&first, Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "create");
    provider.save(&second, Expect::Version(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "update");
    provider.save(&second, Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "unchecked save");
    provider.save(&first, Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "create in conflict");
    provider.save(&second, Expect::Version(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "update in conflict");
    provider.fetch("a", now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "fetch");
    let seen = |version| Expect::Untouched { version, expires_at: None };
    provider.save(&second, seen(2), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "update of what is untouched");
    provider.save(&second, seen(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "update of what is untouched in conflict");
    for expect in [Expect::Any, Expect::Version(2), seen(2)] {
        provider.touch("a", later, expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 1, "touch, {expect:?}");
    }
    for expect in [Expect::Version(1), seen(1)] {
        provider.touch("a", later, expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 2, "touch in conflict, {expect:?}");
        provider.delete("a", expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 2, "delete in conflict, {expect:?}");
    }
    provider.touch("b", later, Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "touch of nothing");
    provider.touch("a", later, Expect::Absent, now).await.unwrap();
    provider.delete("a", Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "a touch and a delete that expect nothing");
    provider.list("owner", Page::first(10), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "list");
    provider.purge(now, 100).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "purge");
    for expect in [Expect::Any, Expect::Version(1), seen(1)] {
        provider.save(&first, Expect::Any, now).await.unwrap();
        counted(&pool).await;
        provider.delete("a", expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 1, "delete, {expect:?}");
    }
    provider.delete("a", Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "delete of nothing");
}
