//! Create, update, delete: one caller at a time.

use bytes::Bytes;

use super::subject::{HOUR, Subject, must_be, must_be_absent, must_conflict, record};
use crate::provider::{Expect, Page, Record};

pub(super) async fn create_stores_every_field(subject: Subject) {
    let now = subject.at(0);
    must_be_absent(subject.one.fetch("a", now).await.as_ref(), "a record before it is created");
    let full = record(&subject, "a", 1);
    subject.one.put(&full, Expect::Absent, now).await;
    must_be(subject.one.fetch("a", now).await.as_ref(), &full, "a created record");
    let bare = Record::new("b", 7, &b"bare"[..]);
    subject.one.put(&bare, Expect::Absent, now).await;
    let found = subject.one.fetch("b", now).await;
    must_be(found.as_ref(), &bare, "a record without expiry, format and owner");
    must_be(subject.one.fetch("a", now).await.as_ref(), &full, "another record");
}

pub(super) async fn create_conflicts_with_a_live_record(subject: Subject) {
    let now = subject.at(0);
    let first = record(&subject, "a", 3);
    subject.one.put(&first, Expect::Absent, now).await;
    for version in [1, 3, 4] {
        let second = Record::new("a", version, &b"second"[..]);
        let saved = subject.two.save(&second, Expect::Absent, now).await;
        must_conflict(&saved, Some(&first), "creating a record where one is");
    }
    let saved = subject.two.save(&first, Expect::Absent, now).await;
    must_conflict(&saved, Some(&first), "creating the very same record again");
    must_be(subject.one.fetch("a", now).await.as_ref(), &first, "the record after conflicts");
}

pub(super) async fn update_replaces_the_whole_record(subject: Subject) {
    let now = subject.at(0);
    subject.one.put(&record(&subject, "a", 1), Expect::Absent, now).await;
    let mut shorter = record(&subject, "a", 2);
    shorter.expires_at = Some(subject.at(HOUR / 2));
    subject.one.put(&shorter, Expect::Version(1), now).await;
    must_be(subject.one.fetch("a", now).await.as_ref(), &shorter, "a record that expires sooner");
    let bare = Record::new("a", 3, Bytes::new());
    subject.one.put(&bare, Expect::Version(2), now).await;
    let later = subject.at(2 * HOUR);
    let found = subject.one.fetch("a", later).await;
    must_be(found.as_ref(), &bare, "an update without expiry, format, data and owner");
    let full = record(&subject, "a", 4);
    subject.one.put(&full, Expect::Version(3), now).await;
    must_be(subject.one.fetch("a", now).await.as_ref(), &full, "an update with every field");
}

pub(super) async fn update_of_another_version_conflicts_with_the_current_record(subject: Subject) {
    let now = subject.at(0);
    let current = record(&subject, "a", 5);
    subject.one.put(&current, Expect::Absent, now).await;
    for (expected, version) in [(4, 5), (6, 7), (1, 2), (4, 6), (u64::MAX, 1)] {
        let mut update = record(&subject, "a", version);
        update.data = Bytes::from_static(b"of a loser");
        let saved = subject.two.save(&update, Expect::Version(expected), now).await;
        let what = format!("an update of version {expected} where 5 is stored");
        must_conflict(&saved, Some(&current), &what);
    }
    must_be(subject.one.fetch("a", now).await.as_ref(), &current, "the record after conflicts");
}

pub(super) async fn update_of_a_missing_record_conflicts_with_none(subject: Subject) {
    let now = subject.at(0);
    let saved = subject.one.save(&record(&subject, "a", 2), Expect::Version(1), now).await;
    must_conflict(&saved, None, "an update of a record that never was");
    subject.one.put(&record(&subject, "a", 1), Expect::Absent, now).await;
    subject.two.delete("a", now).await;
    let saved = subject.one.save(&record(&subject, "a", 2), Expect::Version(1), now).await;
    must_conflict(&saved, None, "an update of a deleted record");
    must_be_absent(subject.one.fetch("a", now).await.as_ref(), "a deleted record after an update");
}

pub(super) async fn unchecked_save_replaces_whatever_is_stored(subject: Subject) {
    let now = subject.at(0);
    let first = record(&subject, "a", 9);
    subject.one.put(&first, Expect::Any, now).await;
    must_be(subject.one.fetch("a", now).await.as_ref(), &first, "a record saved where none was");
    let second = Record::new("a", 2, &b"second"[..]);
    subject.two.put(&second, Expect::Any, now).await;
    let found = subject.one.fetch("a", subject.at(2 * HOUR)).await;
    must_be(found.as_ref(), &second, "a record replaced without a check");
}

pub(super) async fn versions_keep_all_their_bits(subject: Subject) {
    let now = subject.at(0);
    // Around the ends of 32 bits, of a double's whole numbers, of 63 bits and of 64.
    let versions =
        [1, (1 << 32) - 1, 1 << 32, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, 1 << 63];
    let versions = versions.into_iter().chain([u64::MAX - 1, u64::MAX]);
    for version in versions {
        let id = format!("version {version}");
        let stored = record(&subject, &id, version);
        subject.one.put(&stored, Expect::Absent, now).await;
        must_be(subject.one.fetch(&id, now).await.as_ref(), &stored, "a record of any version");
        let update = Record::new(&*id, version, &b"update"[..]);
        for other in [version - 1, version ^ (1 << 63), version ^ (1 << 31), version ^ 1] {
            let saved = subject.two.save(&update, Expect::Version(other), now).await;
            let what = format!("an update of version {other} where {version} is stored");
            must_conflict(&saved, Some(&stored), &what);
        }
        subject.two.put(&update, Expect::Version(version), now).await;
    }
}

pub(super) async fn delete_returns_what_it_removed(subject: Subject) {
    let now = subject.at(0);
    for stored in [record(&subject, "a", 2), Record::new("a", 1, Bytes::new())] {
        subject.one.put(&stored, Expect::Absent, now).await;
        must_be(subject.two.delete("a", now).await.as_ref(), &stored, "what a delete returns");
        must_be_absent(subject.one.fetch("a", now).await.as_ref(), "a deleted record");
        must_be_absent(subject.one.delete("a", now).await.as_ref(), "what a second delete returns");
    }
}

pub(super) async fn delete_of_a_missing_record_is_no_error(subject: Subject) {
    let now = subject.at(0);
    must_be_absent(subject.one.delete("a", now).await.as_ref(), "what a delete of nothing returns");
    let other = record(&subject, "b", 1);
    subject.one.put(&other, Expect::Absent, now).await;
    must_be_absent(subject.one.delete("a", now).await.as_ref(), "what a delete of nothing returns");
    must_be(subject.one.fetch("b", now).await.as_ref(), &other, "another record");
}

pub(super) async fn ids_are_told_apart(subject: Subject) {
    let now = subject.at(0);
    let mut ids: Vec<String> = [
        "a",
        "A",
        "a ",
        " a",
        "a\t",
        "aa",
        "%",
        "_",
        "a%",
        "a_",
        "*",
        "?",
        "'",
        "\"",
        "\\",
        "\n",
        "a:b",
        "a/b",
        "a#b",
        "{a}",
        "0",
        "00",
        "1",
        "1.0",
        "null",
        "é",
        "e\u{301}",
        "É",
        "ﬁ",
        "fi",
        "ß",
        "ss",
        "\u{10ffff}",
        "\u{feff}a",
        "\u{1}",
        "a;--",
        "$1",
        "?1",
        "app:visitor:sid",
    ]
    .map(str::to_owned)
    .to_vec();
    let long = "x".repeat(254);
    ids.extend([format!("{long}a"), format!("{long}b"), long, "é".repeat(127)]);
    for (version, id) in (1..).zip(&ids) {
        subject.one.put(&record(&subject, id, version), Expect::Absent, now).await;
    }
    for (version, id) in (1..).zip(&ids) {
        let expected = record(&subject, id, version);
        let what = format!("the record of id {id:?}");
        must_be(subject.two.fetch(id, now).await.as_ref(), &expected, &what);
    }
    for (version, id) in (1..).zip(&ids) {
        let expected = record(&subject, id, version);
        let what = format!("what the delete of id {id:?} returns");
        must_be(subject.two.delete(id, now).await.as_ref(), &expected, &what);
    }
}

pub(super) async fn data_of_any_bytes_is_kept(subject: Subject) {
    let now = subject.at(0);
    let every_byte: Vec<u8> = (0..=255).collect();
    let max = subject.max_data;
    let cases = [
        ("no", Vec::new()),
        ("a zero byte of", vec![0]),
        ("zeros in the", b"a\0b\0".to_vec()),
        ("non-UTF-8", vec![0xff, 0xfe, 0x80, 0xc0]),
        ("each byte as", every_byte.clone()),
        ("64 KiB and a byte of", vec![b'x'; (1 << 16) + 1]),
        ("the most", every_byte.iter().copied().cycle().take(max).collect()),
    ];
    for (name, data) in cases {
        let length = data.len();
        let mut stored = record(&subject, name, 1);
        stored.data = data.into();
        subject.one.put(&stored, Expect::Absent, now).await;
        let what = format!("a record with {name} data ({length} bytes)");
        must_be(subject.two.fetch(name, now).await.as_ref(), &stored, &what);
        let saved = subject.two.save(&stored, Expect::Absent, now).await;
        must_conflict(&saved, Some(&stored), &what);
        stored.version = 2;
        subject.two.put(&stored, Expect::Version(1), now).await;
        must_be(subject.one.delete(name, now).await.as_ref(), &stored, &what);
    }
    if max < 1 << 20 {
        // An id as long as the one above, for a limit of the whole record.
        let mut large = record(&subject, "too much", 1);
        large.data = vec![b'x'; max + 1].into();
        let Err(error) = subject.one.0.save(&large, Expect::Absent, now).await else {
            panic!("a record with more than {max} bytes of data must be refused, but was saved");
        };
        assert!(!error.is_unavailable(), "a record that is too large must be a permanent error");
    }
}

pub(super) async fn two_instances_are_one_database(subject: Subject) {
    let now = subject.at(0);
    for turn in 0..20 {
        let (here, there) = (subject.handle(turn), subject.handle(turn + 1));
        let id = format!("id{turn}");
        let mut stored = record(&subject, &id, 1);
        here.put(&stored, Expect::Absent, now).await;
        let what = "what one instance saved and the other reads";
        must_be(there.fetch(&id, now).await.as_ref(), &stored, what);
        stored.version = 2;
        there.put(&stored, Expect::Version(1), now).await;
        must_be(here.fetch(&id, now).await.as_ref(), &stored, what);
        if subject.touches {
            stored.expires_at = Some(subject.at(2 * HOUR));
            assert!(here.touch(&id, subject.at(2 * HOUR), now).await, "a live record is touched");
            must_be(there.fetch(&id, now).await.as_ref(), &stored, what);
        }
        if subject.lists {
            let listed = there.list("app/visitor/alice", Page::first(10), now).await;
            assert_eq!(listed.records, [stored.clone()], "what one saved and the other lists");
        }
        must_be(there.delete(&id, now).await.as_ref(), &stored, "what the other instance deletes");
        must_be_absent(here.fetch(&id, now).await.as_ref(), "what the other instance deleted");
    }
}
