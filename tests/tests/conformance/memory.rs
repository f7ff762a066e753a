//! `MemoryProvider` keeps the contract of a provider.

use sessions::MemoryProvider;
use sessions::provider::conformance::{Subject, suite};

async fn memory() -> Subject {
    let provider = MemoryProvider::new();
    // Clones are what two instances are elsewhere.
    Subject::new(provider.clone()).with_twin(provider)
}

suite!(memory);
