//! 32 tasks and two instances race for the versions of a few records.

use std::sync::Arc;

use sessions_tests::dynamodb::Table;
use sessions_tests::racing::{Bytes, race};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_different_bytes() {
    runs(Bytes::Different).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_equal_bytes() {
    runs(Bytes::Equal).await;
}

async fn runs(bytes: Bytes) {
    let table = Table::create().await;
    let (one, two) = (table.provider().await, table.provider().await);
    let report = race(Arc::new(one), Arc::new(two), bytes).await;
    println!("{bytes:?}: {report:?}");
    assert!(report.won > 0 && report.lost > 0, "{report:?}");
}
