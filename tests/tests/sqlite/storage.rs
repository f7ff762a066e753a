//! What a file holds: records that stay, versions in SQL, tables side by side; and who may open it and
//! write in it at once.

use std::time::Duration;

use sessions::provider::{Expect, Provider, Record, Saved};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::{self, Row};

use crate::{as_a_child, child, file, now, pool_of_one, quick};

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

#[tokio::test]
async fn many_processes_open_a_new_file_at_once() {
    if let Some(path) = as_a_child() {
        SqliteProvider::open(path).await.unwrap();
        return;
    }
    let (_folder, path) = file();
    let test = "storage::many_processes_open_a_new_file_at_once";
    let children: Vec<_> = (0..12).map(|_| child(test, &path)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
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

#[cfg(unix)]
#[tokio::test]
async fn a_new_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("by_path.db", false), ("by_options.db", true)] {
        let path = folder.path().join(name);
        let provider = if options {
            SqliteProvider::open_with(SqliteProvider::options(&path)).await.unwrap()
        } else {
            SqliteProvider::open(&path).await.unwrap()
        };
        provider.create_table().await.unwrap();
        for end in ["", "-wal", "-shm"] {
            let file = folder.path().join(format!("{name}{end}"));
            assert_eq!(mode(&file), 0o600, "{file:?}");
        }
        // The permissions of a file that was there are its owner's choice.
        drop(provider);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        SqliteProvider::open(&path).await.unwrap();
        assert_eq!(mode(&path), 0o640);
    }
}
