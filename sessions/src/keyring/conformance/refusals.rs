//! What must not unwrap, and what the errors say then.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::subject::{Random, Subject, context, material};
use crate::keyring::encryption::KeyEncryptionError;

pub(super) async fn another_context_is_refused_for_good(subject: Subject) {
    let right = context(1);
    let wrapped = subject.one.wrap(&material(1), &right).await;
    let mut others = vec![
        Vec::new(),
        vec![0],
        right[..right.len() - 1].to_vec(),
        right[1..].to_vec(),
        [&right[..], &[0]].concat(),
        [&[0], &right[..]].concat(),
        [&right[..], b" "].concat(),
        context(2),
    ];
    for at in 0..right.len() {
        let mut other = right.clone();
        other[at] ^= 1 << (at % 8);
        others.push(other);
    }
    refuses_contexts(&subject, &wrapped.kek_id, &wrapped.blob, others).await;
    // As text, all of these would look alike.
    let wrapped = subject.one.wrap(&material(2), &[0xff, 0xfe, b'a']).await;
    let others = [vec![0xfe, 0xff, b'a'], vec![0x80, 0x81, b'a'], vec![0xff, 0xfe, b'A']];
    refuses_contexts(&subject, &wrapped.kek_id, &wrapped.blob, others.into()).await;
    let wrapped = subject.one.wrap(&material(3), b"").await;
    refuses_contexts(&subject, &wrapped.kek_id, &wrapped.blob, vec![vec![0], context(1)]).await;
}

async fn refuses_contexts(subject: &Subject, kek_id: &str, blob: &[u8], others: Vec<Vec<u8>>) {
    for (turn, other) in others.iter().enumerate() {
        let what = format!("a key in the context {other:02x?}, which is not its own,");
        let error = subject.handle(turn).must_refuse(kek_id, blob, other, &what).await;
        assert!(
            !error.is_unavailable(),
            "{what} must be refused permanently, because no retry can help; the error is \
             unavailable: {error}"
        );
    }
}

pub(super) async fn changed_blobs_are_refused(subject: Subject) {
    let wrapped = subject.one.wrap(&material(1), &context(1)).await;
    let length = wrapped.blob.len();
    // All bytes of a short blob, a sample of a long one.
    for (turn, at) in (0..length).step_by(length.div_ceil(MOST)).enumerate() {
        let mut blob = wrapped.blob.clone();
        blob[at] ^= 1 << (turn % 8);
        let what = format!("a blob of {length} bytes with a flipped bit in byte {at}");
        subject.handle(turn).must_refuse(&wrapped.kek_id, &blob, &context(1), &what).await;
    }
    let handle = &subject.two;
    handle.must_open(&wrapped, &material(1), &context(1), "the blob as it was").await;
}

pub(super) async fn cut_and_extended_blobs_are_refused(subject: Subject) {
    let wrapped = subject.one.wrap(&material(1), &context(1)).await;
    let length = wrapped.blob.len();
    let lengths = (0..length).step_by(length.div_ceil(MOST));
    for (turn, left) in lengths.chain([length - 1]).enumerate() {
        let what = format!("a blob of {length} bytes that is cut to {left}");
        let blob = &wrapped.blob[..left];
        subject.handle(turn).must_refuse(&wrapped.kek_id, blob, &context(1), &what).await;
    }
    for more in [&[0][..], &[0; 16], &wrapped.blob] {
        let what = format!("a blob with {} more bytes", more.len());
        let blob = [&wrapped.blob, more].concat();
        subject.one.must_refuse(&wrapped.kek_id, &blob, &context(1), &what).await;
    }
}

pub(super) async fn bytes_of_no_service_are_refused(subject: Subject) {
    let wrapped = subject.one.wrap(&material(1), &context(1)).await;
    let mut random = Random(7);
    for length in [1, 2, 12, 16, 32, wrapped.blob.len(), 300, 5_000, 8 * 1024] {
        let mut bytes = vec![0; length];
        for _ in 0..2 {
            let what = format!("{length} bytes that no service made");
            subject.one.must_refuse(&wrapped.kek_id, &bytes, &context(1), &what).await;
            bytes.fill_with(|| u8::try_from(random.below(256)).unwrap_or(0));
        }
    }
}

pub(super) async fn another_key_id_is_refused(subject: Subject) {
    let wrapped = subject.one.wrap(&material(1), &context(1)).await;
    let id = &wrapped.kek_id;
    let letters = || id.chars();
    let others = [
        String::new(),
        format!("{id}x"),
        format!("x{id}"),
        format!("{id} "),
        letters().take(letters().count() - 1).collect(),
        letters().rev().collect(),
        "no such key".to_owned(),
        "\0".to_owned(),
        "\u{fffd}".repeat(300),
    ];
    for other in others.iter().filter(|other| *other != id) {
        let what = format!("a blob of the key {id:?} under the id {other:?}");
        subject.one.must_refuse(other, &wrapped.blob, &context(1), &what).await;
    }
}

pub(super) async fn errors_hold_no_material(subject: Subject) {
    let material = material(9);
    let wrapped = subject.one.wrap(&material, &context(1)).await;
    let (id, blob) = (&*wrapped.kek_id, &*wrapped.blob);
    let mut flipped = blob.to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let refused = "what must be refused";
    for error in [
        subject.one.must_refuse(id, blob, &context(2), refused).await,
        subject.two.must_refuse(id, &flipped, &context(1), refused).await,
        subject.one.must_refuse(id, &blob[..last], &context(1), refused).await,
        subject.two.must_refuse("no such key", blob, &context(1), refused).await,
    ] {
        let text = text_of(&error);
        for (how, needle) in written(&material) {
            assert!(
                !text.contains(&needle),
                "an error must not contain the material, but shows it {how}"
            );
        }
    }
}

/// Whatever an error and its sources show of themselves.
fn text_of(error: &KeyEncryptionError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    text
}

/// The beginning of the material, in the ways that bytes are written.
fn written(material: &[u8; 32]) -> Vec<(&'static str, String)> {
    let start = &material[..9];
    let each = |form: fn(&u8) -> String, between: &str| {
        start.iter().map(form).collect::<Vec<_>>().join(between)
    };
    vec![
        ("as text", String::from_utf8_lossy(start).into_owned()),
        ("in hexadecimal digits", each(|byte| format!("{byte:02x}"), "")),
        ("in hexadecimal digits", each(|byte| format!("{byte:02X}"), "")),
        ("as a list of numbers", each(u8::to_string, ", ")),
        ("in base64", STANDARD_NO_PAD.encode(start)),
        ("in base64", URL_SAFE_NO_PAD.encode(start)),
    ]
}

/// How many places of a blob are tried at most.
const MOST: usize = 256;
