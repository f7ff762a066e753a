//! `DynamoDbProvider` on DynamoDB Local.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod conformance;
mod faults;
mod settings;
mod storage;
