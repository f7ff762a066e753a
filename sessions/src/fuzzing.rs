//! What the fuzz targets call, and the test that replays their corpus: no input may make these
//! panic.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::runtime::{Builder, Runtime};

use crate::clock::Clock;
use crate::clock::ManualClock;
use crate::codec::Codec;
use crate::crypto::purpose::Purpose;
use crate::keyring::fuzzing::{fixed_record, round_trip};
use crate::keyring::local_key::LocalKey;
use crate::memory::MemoryProvider;
use crate::provider::{Expect, Provider, Record};

#[cfg(feature = "dbsc")]
pub use crate::device_binding::fuzzing::{device_proof, device_skipped, device_text};

struct Fixture {
    runtime: Runtime,
    codec: Codec,
    purpose: Purpose,
    clock: ManualClock,
}

impl Fixture {
    /// A codec on a fixed ring, so that a token in the corpus opens in every run.
    fn new() -> Self {
        let runtime = runtime();
        let (provider, clock) = (MemoryProvider::new(), ManualClock::default());
        let record = Record::new("app:keys", 1, fixed_record(&clock));
        let saved = runtime.block_on(provider.save(&record, Expect::Any, clock.now()));
        saved.expect("a memory provider saves");
        let builder = Codec::builder(provider).clock(clock.clone()).danger_plain_keys();
        let codec = builder.build().expect("the defaults work");
        Self { runtime, codec, purpose: Purpose::new("fuzz"), clock }
    }
}

thread_local! {
    static FIXTURE: Fixture = Fixture::new();
}

/// Opens the input as the text of a token and as its bytes; and what the input says if it is
/// sealed by the right key.
pub fn open_token(data: &[u8]) {
    FIXTURE.with(|Fixture { runtime, codec, purpose, clock }| {
        let opens = |text: &str| runtime.block_on(codec.open(purpose, text));
        for text in [String::from_utf8_lossy(data).into_owned(), URL_SAFE_NO_PAD.encode(data)] {
            if let Ok(payload) = opens(&text) {
                assert!(text.len() >= payload.len() + 50);
            }
            let _ = runtime.block_on(codec.open_value::<Vec<Option<String>>>(purpose, &text));
        }
        // Its time is the first bytes of the input, its payload the rest.
        let (time, payload) = data.split_at(data.len().min(8));
        let mut millis = [0; 8];
        millis[..time.len()].copy_from_slice(time);
        let then = ManualClock::new(crate::clock::from_unix_millis(u64::from_be_bytes(millis)));
        clock.set(then.now());
        let sealed = runtime.block_on(codec.seal(purpose, payload));
        if let Ok(token) = &sealed {
            assert_eq!(opens(token).expect("a token opens when it is sealed"), payload);
        }
        clock.set(ManualClock::default().now());
        if let Ok(token) = sealed {
            let _ = opens(&token);
        }
    });
}

/// Reads the input as the record of a ring, in the clear and encrypted, and lives with it.
pub fn ring_record(data: &[u8]) {
    round_trip(data);
    let runtime = runtime();
    for encrypted in [false, true] {
        let (provider, clock) = (MemoryProvider::new(), ManualClock::default());
        let record = Record::new("app:keys", 1, data.to_vec());
        let mut builder = Codec::builder(Arc::new(provider.clone())).clock(clock.clone());
        builder = builder.danger_plain_keys();
        if encrypted {
            builder = builder.key_encryption(LocalKey::from_bytes([1; 32]));
        }
        let codec = builder.build().expect("the defaults work");
        let purpose = Purpose::new("fuzz");
        runtime.block_on(async {
            let saved = provider.save(&record, Expect::Any, clock.now()).await;
            saved.expect("a memory provider saves");
            for _ in 0..3 {
                if let Ok(token) = codec.seal(&purpose, b"value").await {
                    assert_eq!(codec.open(&purpose, &token).await.expect("it opens"), b"value");
                }
                clock.advance(Duration::from_secs(8 * 24 * 60 * 60));
            }
            let _ = codec.rotate_now().await;
            let _ = codec.rewrap_keys().await;
        });
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime without input and output starts")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every file of a target's corpus, and of its crashes that were mended.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            run(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 10, "the corpus of {target} has only {count} files");
    }

    #[test]
    fn the_corpus_of_open_token_does_no_harm() {
        replay("open_token", super::open_token);
    }

    #[test]
    fn the_corpus_of_ring_record_does_no_harm() {
        replay("ring_record", super::ring_record);
    }

    #[test]
    #[cfg(feature = "dbsc")]
    fn the_corpora_of_device_binding_do_no_harm() {
        replay("device_proof", super::device_proof);
        replay("device_text", super::device_text);
        replay("device_skipped", super::device_skipped);
    }

    #[test]
    fn a_token_of_the_corpus_opens() {
        super::FIXTURE.with(|fixture| {
            let token = include_str!("../fuzz/corpus/open_token/valid");
            let opened = fixture.runtime.block_on(fixture.codec.open(&fixture.purpose, token));
            assert_eq!(opened.unwrap(), b"a value");
        });
    }
}
