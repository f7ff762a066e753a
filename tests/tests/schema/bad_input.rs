//! Records that no build wrote: cut short, nested, doubled, of other types, with lengths that are
//! not there. Each is an error that names the field where there is one; none costs more memory than
//! its bytes justify, and none panics.

use std::path::Path;
use std::time::SystemTime;

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sessions::__private::{Header, Stored};
use sessions::provider::Bytes;
use sessions::{Error, SessionData};

use crate::fuzz_envelope::{Fuzzed, Tree, run};

fn valid() -> Vec<u8> {
    let mut value = Fuzzed::fresh();
    value.user = Some(7);
    value.roles.insert("editor".into());
    value.total = -5;
    value.look = Some(("dark".into(), 12));
    let leaf = Tree::Many(vec![Tree::Leaf, Tree::Maybe(None)]);
    value.tree = Tree::Named { name: "x".into(), inner: Box::new(leaf) };
    value.cart.push(("tea".into(), 2.5));
    value.counts.insert("a".into(), vec![1, 2]);
    value.log.push('x');
    value.notices.push(Some(true));
    value.token = Some(vec![1]);
    let mut header = Header::new(SystemTime::UNIX_EPOCH);
    header.saves.push(1);
    header.label = Some("a phone".into());
    value.fields().unwrap().to_data(&header).unwrap().to_vec()
}

/// A record in which the value of `key` is replaced by these bytes.
fn with(key: &str, value: &[u8]) -> Vec<u8> {
    let fields = Fuzzed::fresh().fields().unwrap();
    let data = fields.to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap();
    let keys: Vec<&str> = Fuzzed::TABLE.fields.iter().map(|field| field.key).collect();
    let start_of = |key: &str| {
        let head = 0x60 | key.len() as u8;
        let needle: Vec<u8> = [head].into_iter().chain(key.bytes()).collect();
        data.windows(needle.len()).position(|window| window == needle).unwrap()
    };
    let start = start_of(key) + 1 + key.len();
    let next = keys.iter().skip_while(|other| **other != key).nth(1);
    let end = next.map_or(data.len(), |next| start_of(next));
    [&data[..start], value, &data[end..]].concat()
}

/// What reading says, as a value and as fields.
fn errors(data: &[u8]) -> [Error; 2] {
    let stored = Stored::parse("fuzzed", &Bytes::copy_from_slice(data));
    match stored {
        Ok(stored) => [
            Fuzzed::load(&stored).unwrap_err(),
            stored.fields(Fuzzed::TABLE).and_then(|fields| fields.decode::<Fuzzed>()).unwrap_err(),
        ],
        Err(error) => [error, Stored::parse("fuzzed", &Bytes::copy_from_slice(data)).unwrap_err()],
    }
}

#[track_caller]
fn names(data: &[u8], expected: &str, text: &str) {
    for error in errors(data) {
        let Error::Decode { session, field, source, .. } = error else { panic!("{error}") };
        assert_eq!((&*session, field.as_deref()), ("fuzzed", Some(expected)), "{source}");
        assert!(source.to_string().contains(text), "{source}");
    }
}

#[test]
fn a_whole_record_is_read() {
    run(&valid()).unwrap();
    run(&with("visits", b"\x18\x2a")).unwrap();
}

#[test]
fn every_truncation_is_an_error() {
    let data = valid();
    for end in 0..data.len() {
        for error in errors(&data[..end]) {
            assert!(matches!(error, Error::Decode { .. }), "cut at {end}: {error}");
        }
    }
    let mut longer = data;
    longer.push(0);
    errors(&longer);
}

#[test]
fn nesting_is_bounded_and_named() {
    let arrays = [vec![0x81; 10_000], vec![0x00]].concat();
    names(&with("tree", &arrays), "tree", "nested deeper than 64 levels");
    let maps = [b"\xa1\x65Maybe".repeat(10_000), vec![0xf6]].concat();
    names(&with("tree", &maps), "tree", "nested deeper than 64 levels");
    names(&with("cart", &vec![0x9f; 10_000]), "cart", "nested deeper");
    names(&with("log", &vec![0xc1; 10_000]), "log", "nested deeper");
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    let mut value = Fuzzed::fresh();
    for _ in 0..100 {
        value.tree = Tree::Many(vec![std::mem::take(&mut value.tree)]);
    }
    let Error::Encode { field, source, .. } = value.fields().unwrap_err() else { panic!() };
    assert_eq!((&*field, &*source.to_string()), ("tree", "nested deeper than 64 levels"));
    // The deepest that is written is read.
    let mut value = Fuzzed::fresh();
    for _ in 0..31 {
        let name = "x".to_owned();
        value.tree = Tree::Named { name, inner: Box::new(std::mem::take(&mut value.tree)) };
    }
    let data = value.fields().unwrap().to_data(&Header::new(SystemTime::UNIX_EPOCH)).unwrap();
    let stored = Stored::parse("fuzzed", &data).unwrap();
    assert_eq!(Fuzzed::load(&stored).unwrap().tree, value.tree);
}

#[test]
fn a_key_that_is_there_twice_is_named() {
    let mut data = with("token", b"\xf6\x66visits\x05");
    let map = data.iter().position(|byte| *byte == 0xa0 | 11).unwrap();
    data[map] += 1;
    names(&data, "visits", "twice");
    // Also among many unknown ones.
    let unknown: Vec<u8> =
        (0..100).flat_map(|n| [b"\x61".as_slice(), &[n], b"\x00"].concat()).collect();
    let mut data = with("token", &[b"\xf6", unknown.as_slice(), b"\x61\x05\x00"].concat());
    data.splice(map..=map, [0xb8, 11 + 101]);
    names(&data, "\u{5}", "twice");
}

#[test]
fn another_type_is_named_and_told() {
    names(&with("visits", b"\x63abc"), "visits", "expected u64, found a string");
    names(&with("cart", b"\x05"), "cart", "expected array, found a number");
    names(&with("user", b"\xf5"), "user", "expected u64, found a boolean");
    names(&with("counts", b"\x81\x00"), "counts", "expected map, found an array");
    names(&with("look", b"\x82\x61a\x19\x01\x00"), "look", "does not fit u8");
    names(&with("tree", b"\x64Twig"), "tree", "unknown variant, expected one of");
    names(&with("tree", b"\xa1\x64Leaf\x00"), "tree", "left over");
    names(&with("log", b"\x81\x62ab"), "log", "character");
    names(&with("roles", b"\x81\x61\xff"), "roles", "");
    names(&with("visits", b"\xff"), "visits", "does not begin a CBOR item");
}

#[test]
fn a_missing_field_is_named() {
    let mut data = valid();
    let at = data.windows(7).position(|window| window == b"\x66visits").unwrap();
    data[at + 1] = b'w';
    names(&data, "visits", "no key `visits`");
}

#[test]
fn lengths_that_are_not_there_cost_no_memory() {
    let huge: [&[u8]; 8] = [
        b"\x9b\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9a\x7f\xff\xff\xff\x00",
        b"\xbb\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7b\x00\x00\x00\x7f\xff\xff\xff\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x64Many\x9b\x00\x00\x00\x7f\xff\xff\xff\xff",
    ];
    for field in ["cart", "counts", "log", "notices", "roles", "tree", "visits"] {
        for value in huge {
            let data = with(field, value);
            let used = measure(|| names(&data, field, "the bytes end early"));
            assert!(used.bytes_max < 20_000, "{field}: {} bytes", used.bytes_max);
        }
    }
    // The map of fields itself.
    let mut data = valid();
    let map = data.iter().position(|byte| *byte == 0xa0 | 11).unwrap();
    data.splice(map..=map, *b"\xbb\x00\x00\x00\x7f\xff\xff\xff\xff");
    let used = measure(|| drop(errors(&data)));
    assert!(used.bytes_max < 40_000, "{} bytes", used.bytes_max);
}

#[test]
fn memory_follows_the_bytes_also_where_elements_are_large() {
    // Of an array of 10 000 numbers that should be pairs, none is kept.
    let data = with("cart", &[b"\x99\x27\x10".as_slice(), &[0; 10_000]].concat());
    let used = measure(|| names(&data, "cart", "expected array"));
    assert!(used.bytes_max < 64 * 10_000, "{} bytes", used.bytes_max);
}

#[test]
fn what_is_no_record_at_all_says_so() {
    for (data, text) in [
        (&b""[..], "the bytes end early"),
        (b"\x00", "envelope version 0"),
        (b"\x02\x01", "cannot be decrypted"),
        (b"\x03\x01", "envelope version 3"),
        (b"\x01\x00", "0 is not a schema version"),
        (b"\x01\x61a", "expected u64, found a string"),
    ] {
        let error = Stored::parse("fuzzed", &Bytes::copy_from_slice(data)).unwrap_err();
        let Error::Decode { field: None, version: 0, source, .. } = error else { panic!() };
        assert!(source.to_string().contains(text), "{source}");
    }
}

#[test]
fn a_record_above_the_limit_is_neither_read_nor_written() {
    let mut value = Fuzzed::fresh();
    value.counts.insert("all of it".into(), vec![0; 17 << 20]);
    let Error::Encode { field, source, .. } = value.fields().unwrap_err() else { panic!() };
    assert_eq!(&*field, "counts");
    assert!(source.to_string().contains("above the limit of 16777216"), "{source}");
    // The default is far below, and a store may raise it.
    let header = Header::new(SystemTime::UNIX_EPOCH);
    value.counts.insert("all of it".into(), vec![0; 64 << 10]);
    let fields = value.fields().unwrap();
    let Error::Encode { field, source, .. } = fields.to_data(&header).unwrap_err() else {
        panic!()
    };
    assert_eq!(&*field, "counts");
    assert!(source.to_string().contains("above the limit of 65536"), "{source}");
    let length = fields.to_data_within(&header, usize::MAX).unwrap().len();
    assert_eq!(fields.to_data_within(&header, length).unwrap().len(), length);
    assert!(fields.to_data_within(&header, length - 1).is_err());
    let data = Bytes::from(vec![1; (16 << 20) + 1]);
    let error = Stored::parse("fuzzed", &data).unwrap_err();
    assert!(matches!(error, Error::Decode { field: None, .. }));
}

#[test]
fn the_corpus_of_envelope_does_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sessions/fuzz/corpus/envelope");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(files.len() >= 10, "the corpus has only {} files", files.len());
    let read = files
        .into_iter()
        .filter(|file| run(&std::fs::read(file.as_ref().unwrap().path()).unwrap()).is_ok());
    assert!(read.count() >= 2);
}

/// What failed once stays in a file beside this one.
fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_do_no_harm(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = run(&data);
        // Past the envelope, too.
        let body = with("tree", &data);
        let _ = run(&body);
    }

    #[test]
    fn damage_does_no_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut data = valid();
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let _ = run(&data);
    }
}
