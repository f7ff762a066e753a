//! What is SQLite's own: the file, other processes, wrong settings, the cost of a call.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved, from_unix_millis};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sessions_sqlite::sqlx::{self, Row, SqlitePool};
use tempfile::TempDir;

fn now() -> SystemTime {
    from_unix_millis(1_767_225_600_000)
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    (folder, path)
}

/// Without waiting for the disk, where the test is not about that.
async fn quick(path: &Path) -> SqliteProvider {
    let options = SqliteProvider::options(path).synchronous(SqliteSynchronous::Off);
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    provider
}

async fn pool_of_one(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteProvider::options(path))
        .await
        .unwrap()
}

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
    assert!(std::error::Error::source(error).is_some(), "{error:?}");
}

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[tokio::test]
async fn records_survive_a_restart() {
    let (_folder, path) = file();
    let mut record = Record::new("a", u64::MAX, vec![0, 255, 128]);
    record.owner = Some("app/visitor/7".into());
    record.format = "visitor/3".into();
    record.expires_at = Some(now() + Duration::from_secs(1));
    let provider = SqliteProvider::open(&path).await.unwrap();
    assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
    provider.close().await;
    let provider = SqliteProvider::open(&path).await.unwrap();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record));
}

#[tokio::test]
async fn open_sets_wal_and_waits_for_the_disk() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    let pragma = async |name: &'static str| -> String {
        let row = sqlx::query(name).fetch_one(&pool).await.unwrap();
        row.try_get::<i64, _>(0).map_or_else(|_| row.get(0), |number| number.to_string())
    };
    assert_eq!(pragma("PRAGMA journal_mode").await, "wal");
    assert_eq!(pragma("PRAGMA synchronous").await, "2");
    assert_eq!(pragma("PRAGMA busy_timeout").await, "5000");
}

#[tokio::test]
async fn versions_are_readable_in_sql_and_keep_all_their_bits() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
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
    let row = sqlx::query("SELECT version FROM sessions WHERE id = '1'").fetch_one(&pool).await;
    assert_eq!(row.unwrap().get::<i64, _>(0), 2);
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let (_folder, path) = file();
    let provider = SqliteProvider::new(pool_of_one(&path).await);
    provider.create_table().await.unwrap();
    let record = Record::new("a", 1, "x");
    provider.save(&record, Expect::Absent, now()).await.unwrap();
    let conflict = provider.save(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!(conflict, Saved::Conflict(Some(record)));
    assert_eq!(provider.purge(now(), 10).await.unwrap(), 0);
}

#[tokio::test]
async fn each_statement_is_prepared_once() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let mut sizes = Vec::new();
    for round in 0..3 {
        for expect in [Expect::Any, Expect::Absent, Expect::Version(7), Expect::Version(9)] {
            let record = Record::new(format!("{round}"), 7, "x");
            provider.save(&record, expect, now()).await.unwrap();
        }
        provider.fetch("a", now()).await.unwrap();
        provider.touch("a", now(), Expect::Any, now()).await.unwrap();
        provider.list("o", Page::first(3), now()).await.unwrap();
        provider.purge(now(), 3).await.unwrap();
        provider.delete("0", Expect::Any, now()).await.unwrap();
        sizes.push(sqlx::Connection::cached_statements_size(&*pool.acquire().await.unwrap()));
    }
    assert_eq!(sizes[0], sizes[2]);
}

#[tokio::test]
async fn the_indexes_serve_list_and_purge() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    SqliteProvider::new(pool.clone()).create_table().await.unwrap();
    let plan = async |sql: &'static str| -> String {
        let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    };
    let list = plan(
        "EXPLAIN QUERY PLAN SELECT data FROM sessions WHERE owner = ?1 AND id > ?2 \
         AND coalesce(expires_at, 9223372036854775807) > ?3 ORDER BY id LIMIT ?4",
    );
    let list = list.await;
    assert!(list.contains("INDEX sessions_owner (owner=? AND id>?)"), "{list}");
    assert!(!list.contains("TEMP B-TREE"), "{list}");
    let purge = plan(
        "EXPLAIN QUERY PLAN DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions \
         WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    );
    let purge = purge.await;
    assert!(purge.contains("INDEX sessions_expires_at (expires_at<?)"), "{purge}");
    assert!(!purge.contains("TEMP B-TREE"), "{purge}");
}

#[tokio::test]
async fn tables_in_one_file_are_apart() {
    let (_folder, path) = file();
    let first = quick(&path).await;
    let second = first.clone().table("others").unwrap();
    second.create_table().await.unwrap();
    first.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    assert_eq!(second.fetch("a", now()).await.unwrap(), None);
    second.drop_table().await.unwrap();
    assert!(first.fetch("a", now()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_missing_table_says_what_to_call() {
    let (_folder, path) = file();
    let provider = quick(&path).await.table("elsewhere").unwrap();
    let record = Record::new("a", 1, "x");
    let errors = [
        provider.fetch("a", now()).await.unwrap_err(),
        provider.save(&record, Expect::Any, now()).await.unwrap_err(),
        provider.delete("a", Expect::Any, now()).await.unwrap_err(),
        provider.touch("a", now(), Expect::Any, now()).await.unwrap_err(),
        provider.list("o", Page::first(1), now()).await.unwrap_err(),
        provider.purge(now(), 1).await.unwrap_err(),
    ];
    for error in errors {
        permanent(&error, "table `elsewhere` is missing: call create_table()");
    }
}

#[tokio::test]
async fn a_table_with_other_columns_is_named() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    for table in [
        "CREATE TABLE sessions (id TEXT PRIMARY KEY, data BLOB)",
        "CREATE TABLE sessions (id TEXT, version, expires_at, format, owner, data)",
        "CREATE TABLE sessions (id TEXT PRIMARY KEY, version, expires_at, format, owner, data, \
         extra NOT NULL)",
    ] {
        sqlx::query("DROP TABLE IF EXISTS sessions").execute(&pool).await.unwrap();
        sqlx::query(table).execute(&pool).await.unwrap();
        let provider = SqliteProvider::new(pool.clone());
        let record = Record::new("a", 1, "x");
        let error = provider.save(&record, Expect::Absent, now()).await.unwrap_err();
        permanent(&error, "other columns");
        if table.len() < 60 {
            permanent(&provider.create_table().await.unwrap_err(), "other columns");
        }
    }
}

#[tokio::test]
async fn a_row_that_somebody_else_wrote_is_an_error_not_a_panic() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    sqlx::query("CREATE TABLE sessions (id PRIMARY KEY, version, expires_at, format, owner, data)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO sessions VALUES ('a', 'one', NULL, 'f', NULL, x'00')")
        .execute(&pool)
        .await
        .unwrap();
    let error = SqliteProvider::new(pool).fetch("a", now()).await.unwrap_err();
    permanent(&error, "other columns");
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let (folder, path) = file();
    std::fs::write(&path, "this is a text file, and long enough to have a header of some kind....")
        .unwrap();
    permanent(&SqliteProvider::open(&path).await.unwrap_err(), "not a SQLite database");
    permanent(&SqliteProvider::open(folder.path()).await.unwrap_err(), "cannot be opened");
    for memory in ["", ":memory:"] {
        let error = SqliteProvider::open(memory).await.unwrap_err();
        assert!(!error.is_unavailable() && error.to_string().contains("MemoryProvider"));
    }
}

#[tokio::test]
async fn a_read_only_database_says_so() {
    let (_folder, path) = file();
    quick(&path).await.close().await;
    let options = SqliteProvider::options(&path).read_only(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let provider = SqliteProvider::new(pool);
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    let record = Record::new("a", 1, "x");
    let error = provider.save(&record, Expect::Absent, now()).await.unwrap_err();
    permanent(&error, "read-only");
}

#[tokio::test]
async fn a_lock_held_too_long_makes_it_unavailable_and_readers_go_on() {
    let (_folder, path) = file();
    let options = SqliteProvider::options(&path).busy_timeout(Duration::ZERO);
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    let record = Record::new("a", 1, "x");
    provider.save(&record, Expect::Absent, now()).await.unwrap();

    let other = pool_of_one(&path).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let next = Record::new("a", 2, "y");
    let error = provider.save(&next, Expect::Version(1), now()).await.unwrap_err();
    unavailable(&error, "locked");
    unavailable(&provider.delete("a", Expect::Any, now()).await.unwrap_err(), "locked");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record));
    drop(lock);
    other.close().await;
    assert_eq!(provider.save(&next, Expect::Version(1), now()).await.unwrap(), Saved::Saved);
}

#[tokio::test]
async fn a_full_disk_makes_it_unavailable_and_tears_nothing() {
    let (_folder, path) = file();
    let options = SqliteProvider::options(&path).pragma("max_page_count", "20");
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    let small = Record::new("a", 1, "x");
    provider.save(&small, Expect::Absent, now()).await.unwrap();
    let large = Record::new("a", 2, vec![1; 200_000]);
    let error = provider.save(&large, Expect::Version(1), now()).await.unwrap_err();
    unavailable(&error, "full");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(small));
}

#[tokio::test]
async fn a_closed_provider_is_unavailable() {
    let (_folder, path) = file();
    let provider = quick(&path).await;
    provider.close().await;
    unavailable(&provider.fetch("a", now()).await.unwrap_err(), "closed");
}

#[tokio::test]
async fn a_large_purge_lets_others_write_in_between() {
    let (_folder, path) = file();
    let provider = quick(&path).await;
    let pool = pool_of_one(&path).await;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO sessions SELECT 'dead' || i, 1, i, '', 'o', x'00' FROM n",
    )
    .execute(&pool)
    .await
    .unwrap();
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
    assert!(during > 10, "only {during} saves went through during the purge");
    let left: i64 =
        sqlx::query("SELECT count(*) FROM sessions").fetch_one(&pool).await.unwrap().get(0);
    assert_eq!(left, 2);
}

/// What a child process of these tests does: this binary again, told by the environment.
const CHILD: &str = "SESSIONS_TEST_CHILD";
const PATH: &str = "SESSIONS_TEST_PATH";

fn child(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_child_process", "--nocapture"])
        .env(CHILD, role)
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does nothing unless it runs in a child process.
#[tokio::test]
async fn as_a_child_process() {
    let (Ok(role), Some(path)) = (std::env::var(CHILD), std::env::var_os(PATH)) else {
        return;
    };
    let provider = SqliteProvider::open(&path).await.unwrap();
    match role.as_str() {
        "open" => {}
        "write" => {
            for version in 2.. {
                let record = Record::new("a", version, vec![version as u8; 5_000]);
                let saved = provider.save(&record, Expect::Version(version - 1), now()).await;
                assert_eq!(saved.unwrap(), Saved::Saved);
                println!("\nsaved {version}");
            }
        }
        "race" => {
            let mut won = 0;
            while won < 100 {
                let Some(record) = provider.fetch("a", now()).await.unwrap() else { continue };
                let next = Record::new("a", record.version + 1, "same");
                let saved = provider.save(&next, Expect::Version(record.version), now()).await;
                if saved.unwrap() == Saved::Saved {
                    won += 1;
                    println!("\nwon {}", next.version);
                }
            }
        }
        other => panic!("unknown role {other}"),
    }
}

/// The numbers that a child printed behind a word.
fn printed(child: &mut Child, word: &str) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = format!("{word} ");
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(&word)?.parse().ok())
}

#[test]
fn many_processes_open_a_new_file_at_once() {
    let (_folder, path) = file();
    let children: Vec<_> = (0..12).map(|_| child("open", &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

#[tokio::test]
async fn processes_race_and_each_version_is_won_once() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    provider.save(&Record::new("a", 1, "same"), Expect::Absent, now()).await.unwrap();
    let mut children: Vec<_> = (0..3).map(|_| child("race", &path)).collect();
    let mut won: Vec<u64> = children.iter_mut().flat_map(|child| printed(child, "won")).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    won.sort_unstable();
    assert_eq!(won, (2..=301).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_killed_process_loses_no_answered_save_and_tears_none() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    provider.save(&Record::new("a", 1, vec![1; 5_000]), Expect::Absent, now()).await.unwrap();
    for _ in 0..3 {
        provider.save(&Record::new("a", 1, vec![1; 5_000]), Expect::Any, now()).await.unwrap();
        let mut child = child("write", &path);
        let mut saved = printed(&mut child, "saved");
        let mut last = saved.by_ref().take(50).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = saved.last().unwrap_or(last);
        let stored = provider.fetch("a", now()).await.unwrap().unwrap();
        assert!(stored.version >= last, "{} was answered, {} is stored", last, stored.version);
        assert_eq!(stored.data, vec![stored.version as u8; 5_000]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_open_a_new_file_at_once() {
    for _ in 0..100 {
        let (_folder, path) = file();
        let open = (0..8).map(|_| tokio::spawn(SqliteProvider::open(path.clone())));
        for opened in open.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}
