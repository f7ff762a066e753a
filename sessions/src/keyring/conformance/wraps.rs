//! What is wrapped, and what of it can be seen.

use super::subject::{Subject, context, material};
use crate::keyring::encryption::{MAX_BLOB, MAX_KEK_ID};

pub(super) async fn what_was_wrapped_unwraps(subject: Subject) {
    let rising = std::array::from_fn(|at| at as u8);
    let materials = [material(1), [0; 32], [0xff; 32], [0x80; 32], rising];
    for (turn, material) in materials.iter().enumerate() {
        let wrapped = subject.one.wrap(material, &context(1)).await;
        let handle = subject.handle(turn);
        handle.must_open(&wrapped, material, &context(1), "a wrapped key").await;
        handle.must_open(&wrapped, material, &context(1), "a key unwrapped again").await;
    }
}

pub(super) async fn contexts_of_any_bytes_work(subject: Subject) {
    // The library's own have 31 and 43 bytes, and 66 in a set of recipients.
    for length in [0, 1, 2, 31, 43, 64, 66, 128] {
        for byte in [0, b'a', 0x80, 0xff] {
            let context = vec![byte; length];
            let wrapped = subject.one.wrap(&material(2), &context).await;
            let what = format!("a key in a context of {length} bytes {byte:#x}");
            subject.two.must_open(&wrapped, &material(2), &context, &what).await;
        }
    }
}

pub(super) async fn wrapping_twice_gives_two_blobs(subject: Subject) {
    let mut blobs = Vec::new();
    for turn in 0..20 {
        let wrapped = subject.handle(turn).wrap(&material(3), &context(3)).await;
        assert!(!blobs.contains(&wrapped.blob), "the same key must be wrapped to another blob");
        blobs.push(wrapped.blob);
    }
}

pub(super) async fn blobs_and_ids_fit_into_a_record(subject: Subject) {
    for number in 0..4 {
        let wrapped = subject.one.wrap(&material(number), &context(4)).await;
        let (blob, id) = (wrapped.blob.len(), wrapped.kek_id.len());
        assert!(blob <= MAX_BLOB, "a blob must have at most {MAX_BLOB} bytes, but has {blob}");
        assert!(
            (1..=MAX_KEK_ID).contains(&id),
            "a key-encryption key's id must have 1 to {MAX_KEK_ID} bytes, but has {id}"
        );
    }
}

pub(super) async fn blobs_and_ids_hold_no_material(subject: Subject) {
    for number in 0..20 {
        let material = material(100 + number);
        let wrapped = subject.one.wrap(&material, &context(5)).await;
        // 6 letters that are there by chance: one in 10^6 for a blob of 8 KiB.
        for (what, bytes) in [("a blob", &*wrapped.blob), ("an id", wrapped.kek_id.as_bytes())] {
            for part in material.windows(6) {
                let found = bytes.windows(part.len()).any(|window| window == part);
                assert!(!found, "{what} must not contain the material, but does");
            }
        }
    }
}
