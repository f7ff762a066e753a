//! Wrong files and wrong tables: each error says what to do.

use sessions::provider::{Expect, Page, Provider, ProviderError, Record};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::{self, Row, SqlitePool};

use crate::{file, now, pool_of_one, quick};

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
    assert!(std::error::Error::source(error).is_some(), "{error:?}");
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
        assert!(!std::path::Path::new(":memory:").exists(), "no file is created");
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
