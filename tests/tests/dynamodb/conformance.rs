//! `DynamoDbProvider` keeps the contract of a provider: two instances with a client each;
//! and the versions of a record are each won once.

use std::sync::Arc;

use sessions::provider::conformance::Subject;
use sessions_tests::dynamodb::Table;
use sessions_tests::racing::{Bytes, race};

async fn subject() -> Subject {
    let table = Table::create().await;
    let (provider, twin) = (table.provider().await, table.provider().await);
    // `purge` is not needed: DynamoDB deletes expired items by itself.
    Subject::new(provider)
        .with_twin(twin)
        .keep(table)
        .max_data(MAX_DATA)
        .without_purge()
        .without_changes()
}

/// An item of 400 KB less all but the data of the suite's record.
const MAX_DATA: usize = 400 * 1024 - 139;

sessions::provider::conformance::suite!(subject);

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
