//! `SqliteProvider` keeps the contract of a provider: two instances on one file, in each of the
//! ways to open it; and the versions of a record are each won once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sessions::provider::conformance::Subject;
use sessions::provider::{Expect, Provider, Record, Saved};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::SqlitePoolOptions;
use sessions_tests::racing::{Bytes, race};

use crate::{as_a_child, child, file, now, printed};

/// As a service opens it.
mod opened {
    use super::*;

    async fn subject() -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let provider = SqliteProvider::open(&path).await.unwrap();
        let twin = SqliteProvider::open(&path).await.unwrap();
        Subject::new(provider).with_twin(twin).keep(folder)
    }

    sessions::provider::conformance::suite!(subject);
}

/// Each instance on a pool of the user's own, one of them with a single connection.
mod pools {
    use super::*;

    async fn instance(path: &Path, connections: u32) -> SqliteProvider {
        let pool = SqlitePoolOptions::new().max_connections(connections);
        let pool = pool.connect_with(SqliteProvider::options(path)).await.unwrap();
        let provider = SqliteProvider::new(pool).table("visitors").unwrap();
        provider.create_table().await.unwrap();
        provider
    }

    async fn subject() -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let (provider, twin) = (instance(&path, 1).await, instance(&path, 4).await);
        Subject::new(provider).with_twin(twin).keep(folder)
    }

    sessions::provider::conformance::suite!(subject);
}

#[tokio::test]
async fn processes_race_and_each_version_is_won_once() {
    if let Some(path) = as_a_child() {
        return win(path).await;
    }
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    provider.save(&Record::new("a", 1, "same"), Expect::Absent, now()).await.unwrap();
    let test = "conformance::processes_race_and_each_version_is_won_once";
    let mut children: Vec<_> = (0..3).map(|_| child(test, &path)).collect();
    let mut won: Vec<u64> = children.iter_mut().flat_map(|child| printed(child, "won")).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    won.sort_unstable();
    assert_eq!(won, (2..=301).collect::<Vec<u64>>());
}

/// Wins a hundred versions.
async fn win(path: PathBuf) {
    let provider = SqliteProvider::open(path).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_race() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let one = SqliteProvider::open(&path).await.unwrap();
        let two = SqliteProvider::open(&path).await.unwrap();
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}
