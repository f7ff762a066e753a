//! `MemoryProvider` keeps the contract of a provider; and the versions of a record are each won once.

use std::sync::Arc;

use sessions::MemoryProvider;
use sessions::provider::conformance::{Subject, suite};
use sessions_tests::racing::{Bytes, race};

async fn memory() -> Subject {
    let provider = MemoryProvider::new();
    // Clones are what two instances are elsewhere.
    Subject::new(provider.clone()).with_twin(provider)
}

suite!(memory);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_race() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let provider = MemoryProvider::new();
        let report = race(Arc::new(provider.clone()), Arc::new(provider), bytes).await;
        assert!(report.won > 0, "{report:?}");
    }
}
