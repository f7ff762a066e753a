//! What a table holds: versions in SQL, ids in order, tables side by side, indexes; and many hosts that
//! create it or write to it at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Page, Provider, Record, Saved, to_unix_millis};
use sessions::{Store, clock::ManualClock};
use sessions_mysql::sqlx;
use sessions_mysql::sqlx::mysql::MySqlPoolOptions;
use sessions_tests::mysql::{Database, sql};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::{now, options, own, permanent, pooled_after, with_table};

#[tokio::test]
async fn versions_are_readable_in_sql_and_keep_all_their_bits() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 1)).await;
    for version in [1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let record = Record::new(version.to_string(), version, "x");
        provider.save(&record, Expect::Absent, now()).await.unwrap();
        let stored = database.sql(&format!("SELECT version FROM sessions WHERE id = '{version}'"));
        assert_eq!(stored, version.to_string());
        let next = Record::new(version.to_string(), version.wrapping_add(1).max(1), "y");
        let missed = provider.save(&next, Expect::Version(version - 1), now()).await.unwrap();
        assert_eq!(missed, Saved::Conflict(Some(record)));
        let saved = provider.save(&next, Expect::Version(version), now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
        assert_eq!(provider.fetch(&next.id, now()).await.unwrap(), Some(next));
    }
}

#[tokio::test]
async fn ids_are_ordered_byte_by_byte_whatever_the_database_sorts_by() {
    let database = Database::create();
    database.sql(&format!(
        "ALTER DATABASE {} CHARACTER SET latin1 COLLATE latin1_german2_ci",
        database.name()
    ));
    let provider = with_table(own(database.url(), 1)).await;
    let ids = ["b", "A", "a", "a ", "a\t", "B", "ä", "-", "_"];
    for id in ids {
        let mut record = Record::new(id, 1, "x");
        record.owner = Some("o".into());
        let saved = provider.save(&record, Expect::Absent, now()).await.unwrap();
        assert_eq!(saved, Saved::Saved, "{id:?}");
    }
    let mut page = Page::first(2);
    let mut listed = Vec::new();
    loop {
        let part = provider.list("o", page, now()).await.unwrap();
        listed.extend(part.records.iter().map(|record| record.id.to_string()));
        let Some(next) = part.next else { break };
        page = Page::after(next, 2);
    }
    assert_eq!(listed, ["-", "A", "B", "_", "a", "a\t", "a ", "b", "ä"]);
    // Nor does padding make owners equal.
    for owner in ["o ", "O", "ö"] {
        assert_eq!(provider.list(owner, Page::first(9), now()).await.unwrap().records, []);
    }
    let ids = database.sql("SELECT CONVERT(id USING utf8mb4) FROM sessions WHERE id = 'ä'");
    assert_eq!(ids, "ä");
}

#[tokio::test]
async fn tables_of_one_server_are_apart_and_may_be_in_another_database() {
    let database = Database::create();
    let other = Database::create();
    let first = with_table(own(database.url(), 2)).await;
    let name = format!("{}.sessions", other.name());
    let second = with_table(first.clone().table(&name).unwrap()).await;
    let third = with_table(first.clone().table("Visitors").unwrap()).await;
    first.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    assert_eq!(second.fetch("a", now()).await.unwrap(), None);
    assert_eq!(third.fetch("a", now()).await.unwrap(), None);
    second.drop_table().await.unwrap();
    second.drop_table().await.unwrap();
    assert!(first.fetch("a", now()).await.unwrap().is_some());
    assert_eq!(database.sql("SHOW TABLES").to_lowercase(), "visitors\nsessions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_hosts_create_the_table_at_once() {
    let database = Database::create();
    let hosts: Vec<_> = (0..16).map(|_| own(database.url(), 1)).collect();
    for round in 0..10 {
        hosts[0].drop_table().await.unwrap();
        if round % 2 == 1 {
            // Only the indexes are missing.
            database.sql(
                "CREATE TABLE sessions (id VARBINARY(255) PRIMARY KEY, version BIGINT UNSIGNED NOT \
                 NULL, expires_at BIGINT, format VARBINARY(255) NOT NULL, owner VARBINARY(255), \
                 data LONGBLOB NOT NULL)",
            );
        }
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
        assert_eq!(indexes(&database), "expires_at(expires_at) owner(owner,id) PRIMARY(id)");
    }
}

/// The table's indexes and their columns.
fn indexes(database: &Database) -> String {
    let indexes = database.sql(
        "SELECT CONCAT(index_name, '(', GROUP_CONCAT(column_name ORDER BY seq_in_index), ')') \
         FROM information_schema.statistics WHERE table_schema = DATABASE() \
         AND table_name = 'sessions' GROUP BY index_name ORDER BY index_name",
    );
    indexes.replace('\n', " ")
}

#[tokio::test]
async fn an_index_that_is_missing_is_created() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 1)).await;
    let all = indexes(&database);
    database.sql("ALTER TABLE sessions DROP KEY owner, DROP KEY expires_at");
    provider.create_table().await.unwrap();
    assert_eq!(indexes(&database), all);
    // Indexes of one's own do as well, by whatever name.
    database.sql(
        "ALTER TABLE sessions DROP KEY owner, ADD KEY mine (owner), ADD note TEXT, \
         ADD at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
    );
    provider.create_table().await.unwrap();
    assert_eq!(indexes(&database), "expires_at(expires_at) mine(owner) PRIMARY(id)");
    let record = Record::new("a", 1, "x");
    assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
    database.sql("ALTER TABLE sessions DROP KEY mine, ADD KEY owner (version)");
    let error = provider.create_table().await.unwrap_err();
    permanent(&error, "lacks an index, and another one has its name");
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

/// Also in the hour that a time zone has twice.
#[tokio::test]
async fn the_clock_is_the_same_in_every_time_zone() {
    let database = Database::create();
    for zone in ["SET time_zone = '+05:45'", "SET time_zone = '-12:00'", "SET time_zone = 'SYSTEM'"]
    {
        let provider = pooled_after(options(database.url()), zone);
        let before = SystemTime::now();
        let clock = provider.clock().await.unwrap().unwrap();
        let after = SystemTime::now();
        let [before, clock, after] = [before, clock, after].map(to_unix_millis);
        assert!(
            before <= clock + 1 && clock <= after + 1,
            "{before} <= {clock} <= {after}: {zone}"
        );
    }
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
    let pool = MySqlPoolOptions::new().connect_lazy_with(options(database.url()));
    let mut writer = pool.begin().await.unwrap();
    let save = "UPDATE sessions SET version = 7, expires_at = NULL WHERE id = 'b'";
    sqlx::query(save).execute(&mut *writer).await.unwrap();
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
        "INSERT INTO sessions SELECT CONCAT('dead', seq), 1, seq, '', 'o', '' FROM seq_1_to_20000",
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

/// What `table.sql` says works as a migration of one's own.
#[tokio::test]
async fn the_statement_of_the_docs_makes_the_table() {
    let database = Database::create();
    sql(database.url(), include_str!("../../../providers/mysql/src/table.sql"));
    let provider = own(database.url(), 1);
    let record = Record::new("a", 1, "x");
    assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
    provider.create_table().await.unwrap();
}
