//! `DynamoDbProvider` on DynamoDB Local.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod conformance;
mod faults;
mod settings;
mod storage;

use std::time::SystemTime;

use sessions::provider::{from_unix_millis, to_unix_millis};

/// In whole milliseconds.
fn now() -> SystemTime {
    from_unix_millis(to_unix_millis(SystemTime::now()))
}
