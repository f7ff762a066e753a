//! `KmsKey` on moto, and on a stand-in that answers as AWS KMS does.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod conformance;
mod faults;
mod settings;

use std::error::Error;

use sessions_aws_kms::KmsKey;
use sessions_tests::kms::{Front, client, create_key, endpoint};

/// A context like those of the ring's keys.
const CONTEXT: &[u8] = b"sessions/v1 key\x01\xff";

/// A key of the shared server.
async fn key(arn: &str) -> KmsKey {
    KmsKey::new(client(endpoint().await), arn).app("shop")
}

/// A key of its own behind a stand-in of its own.
async fn behind_a_front() -> (KmsKey, Front) {
    let front = Front::start().await;
    let key = KmsKey::new(client(&front.url()), &create_key().await).app("shop");
    (key, front)
}

/// The text of an error and of those behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
