//! What a table holds: versions in SQL, ids in order, tables side by side, indexes; and many hosts that
//! create it or write to it at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Page, Provider, Record, Saved};
use sessions::{Store, clock::ManualClock};
use sessions_postgres::sqlx::postgres::PgPoolOptions;
use sessions_tests::postgres::Database;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::{now, options, own, with_table};

#[tokio::test]
async fn versions_are_readable_in_sql_and_keep_all_their_bits() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 1)).await;
    for version in [1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let record = Record::new(version.to_string(), version, "x");
        provider.save(&record, Expect::Absent, now()).await.unwrap();
        let next = Record::new(version.to_string(), version.wrapping_add(1).max(1), "y");
        let missed = provider.save(&next, Expect::Version(version - 1), now()).await.unwrap();
        assert_eq!(missed, Saved::Conflict(Some(record)));
        let saved = provider.save(&next, Expect::Version(version), now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
        assert_eq!(provider.fetch(&next.id, now()).await.unwrap(), Some(next));
    }
    assert_eq!(database.sql("SELECT version FROM sessions WHERE id = '1'"), "2");
}

#[tokio::test]
async fn ids_are_ordered_byte_by_byte_whatever_the_database_sorts_by() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 1)).await;
    for id in ["b", "A", "a", "B", "ä", "-", "_"] {
        let mut record = Record::new(id, 1, "x");
        record.owner = Some("o".into());
        provider.save(&record, Expect::Absent, now()).await.unwrap();
    }
    let mut page = Page::first(2);
    let mut listed = Vec::new();
    loop {
        let part = provider.list("o", page, now()).await.unwrap();
        listed.extend(part.records.iter().map(|record| record.id.to_string()));
        let Some(next) = part.next else { break };
        page = Page::after(next, 2);
    }
    assert_eq!(listed, ["-", "A", "B", "_", "a", "b", "ä"]);
}

#[tokio::test]
async fn tables_of_one_database_are_apart_and_may_stand_in_a_schema() {
    let database = Database::create();
    database.sql("CREATE SCHEMA app");
    let first = with_table(own(database.url(), 2)).await;
    let second = with_table(first.clone().table("app.sessions").unwrap()).await;
    let third = with_table(first.clone().table("Visitors").unwrap()).await;
    first.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    assert_eq!(second.fetch("a", now()).await.unwrap(), None);
    assert_eq!(third.fetch("a", now()).await.unwrap(), None);
    second.drop_table().await.unwrap();
    second.drop_table().await.unwrap();
    assert!(first.fetch("a", now()).await.unwrap().is_some());
    let tables =
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('app', 'public')";
    assert_eq!(database.sql(&format!("{tables} ORDER BY 2")), "public|Visitors\npublic|sessions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_hosts_create_the_table_at_once() {
    let database = Database::create();
    let hosts: Vec<_> = (0..16).map(|_| own(database.url(), 1)).collect();
    for round in 0..10 {
        hosts[0].drop_table().await.unwrap();
        let barrier = Arc::new(Barrier::new(hosts.len()));
        let mut tasks = JoinSet::new();
        for (number, host) in hosts.iter().enumerate() {
            let (host, barrier) = (host.clone(), barrier.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                host.create_table().await.unwrap();
                // It can be used at once.
                let record = Record::new(number.to_string(), 1, "x");
                assert_eq!(host.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        assert_eq!(database.sql("SELECT count(*) FROM sessions"), "16", "round {round}");
        let indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'sessions' ORDER BY 1";
        assert_eq!(database.sql(indexes), "sessions_expires_slot\nsessions_owner\nsessions_pkey");
    }
}

/// What is complete is left alone: no lock that would wait for a writer, or make one wait.
#[tokio::test]
async fn creating_a_table_that_is_there_waits_for_nobody() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    let pool = PgPoolOptions::new().connect_lazy_with(options(database.url()));
    let mut writer = pool.begin().await.unwrap();
    let lock = sessions_postgres::sqlx::query("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
    lock.execute(&mut *writer).await.unwrap();
    provider.create_table().await.unwrap();
}

#[tokio::test]
async fn an_index_that_is_missing_is_created() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 1)).await;
    database.sql("DROP INDEX sessions_owner");
    provider.create_table().await.unwrap();
    let count = "SELECT count(*) FROM pg_indexes WHERE tablename = 'sessions'";
    assert_eq!(database.sql(count), "3");
    // Indexes of one's own do as well, by whatever name.
    database.sql(
        "DROP INDEX sessions_owner; CREATE INDEX mine ON sessions (owner, id);
         ALTER TABLE sessions ADD note text, ADD at timestamptz NOT NULL DEFAULT now()",
    );
    provider.create_table().await.unwrap();
    assert_eq!(database.sql(count), "3");
    let record = Record::new("a", 1, "x");
    assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
}

#[tokio::test]
async fn the_indexes_serve_list_and_purge() {
    let database = Database::create();
    with_table(own(database.url(), 1)).await;
    database.sql(
        "INSERT INTO sessions (id, version, expires_at, format, owner, data)
         SELECT i, 1, i::bigint << 16, '', 'o' || i % 1000, '' FROM generate_series(1, 20000) i;
         ANALYZE sessions",
    );
    let list = database.sql(
        "EXPLAIN (COSTS OFF) SELECT data FROM sessions WHERE owner = 'o7' AND id > '' \
         AND coalesce(expires_at, 9223372036854775807) > 5 ORDER BY id LIMIT 3",
    );
    assert!(list.contains("Index Scan using sessions_owner"), "{list}");
    assert!(!list.contains("Sort"), "{list}");
    let statement = database.sql(
        "EXPLAIN (COSTS OFF) DELETE FROM sessions WHERE expires_at <= 900 AND ctid = ANY(ARRAY(\
         SELECT ctid FROM sessions WHERE expires_slot <= 900 >> 20 AND expires_at <= 900 \
         ORDER BY expires_slot LIMIT 500 \
         FOR UPDATE SKIP LOCKED))",
    );
    assert!(statement.contains("Tid Scan"), "{statement}");
    assert!(statement.contains("Index Scan using sessions_expires_slot"), "{statement}");
    assert!(!statement.contains("Sort"), "{statement}");
}

#[tokio::test]
async fn a_host_whose_clock_is_a_year_ahead_purges_nobody() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    let now = SystemTime::now(); // The server's time too.
    let clock = ManualClock::new(now);
    let store = Store::builder(provider.clone()).clock(clock.clone()).build().unwrap();
    let mut record = Record::new("live", 1, "x");
    record.expires_at = Some(now + Duration::from_secs(3_600));
    provider.save(&record, Expect::Absent, now).await.unwrap();
    let mut dead = Record::new("dead", 1, "x");
    dead.expires_at = Some(now - Duration::from_secs(3_600));
    provider.save(&dead, Expect::Any, now - Duration::from_secs(7_200)).await.unwrap();

    clock.advance(Duration::from_secs(365 * 86_400));
    assert_eq!(store.purge_expired(100).await.unwrap(), 1);
    assert!(provider.fetch("live", now).await.unwrap().is_some());
}

/// Rows under another's lock are neither waited for nor removed.
#[tokio::test]
async fn a_purge_passes_over_rows_that_somebody_is_saving() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    for id in ["a", "b", "c"] {
        let mut record = Record::new(id, 1, "x");
        record.expires_at = Some(now());
        provider.save(&record, Expect::Absent, now() - Duration::from_secs(1)).await.unwrap();
    }
    let pool = PgPoolOptions::new().connect_lazy_with(options(database.url()));
    let mut writer = pool.begin().await.unwrap();
    let save = "UPDATE sessions SET version = 7, expires_at = NULL WHERE id = 'b'";
    sessions_postgres::sqlx::query(save).execute(&mut *writer).await.unwrap();
    assert_eq!(provider.purge(now(), 100).await.unwrap(), 2);
    writer.commit().await.unwrap();
    assert_eq!(provider.purge(now(), 100).await.unwrap(), 0);
    assert_eq!(provider.fetch("b", now()).await.unwrap().unwrap().version, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_purge_lets_others_write_in_between() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 4)).await;
    database.sql(
        "INSERT INTO sessions (id, version, expires_at, format, owner, data)
         SELECT 'dead' || i, 1, i, '', 'o', '' FROM generate_series(1, 20000) i",
    );
    let purge = tokio::spawn({
        let provider = provider.clone();
        async move { provider.purge(now(), 19_999).await }
    });
    let mut version = 1;
    let mut during = 0;
    provider.save(&Record::new("live", version, "x"), Expect::Absent, now()).await.unwrap();
    while !purge.is_finished() {
        let record = Record::new("live", version + 1, "x");
        let saved = provider.save(&record, Expect::Version(version), now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
        version += 1;
        during += 1;
    }
    assert_eq!(purge.await.unwrap().unwrap(), 19_999);
    assert!(during > 3, "only {during} saves went through during the purge");
    assert_eq!(database.sql("SELECT count(*) FROM sessions"), "2");
}
