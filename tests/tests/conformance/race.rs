//! 32 tasks and two instances race for the versions of a few records: on providers that need no
//! server. Those that do have the same test beside their others.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use sessions::MemoryProvider;
use sessions_sqlite::SqliteProvider;
use sessions_tests::racing::{Bytes, race};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let provider = MemoryProvider::new();
        let report = race(Arc::new(provider.clone()), Arc::new(provider), bytes).await;
        assert!(report.won > 0, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        let one = SqliteProvider::open(&path).await.unwrap();
        let two = SqliteProvider::open(&path).await.unwrap();
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}
