//! When a record ceases to exist, and what moves that.

use super::subject::{HOUR, Subject, must_be, must_be_absent, must_conflict, record};
use crate::provider::{Expect, Record};

pub(super) async fn a_record_expires_at_the_very_millisecond(subject: Subject) {
    let mut stored = record(&subject, "a", 1);
    stored.expires_at = Some(subject.at(HOUR + 1));
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    for at in [0, HOUR - 1, HOUR] {
        let what = format!("a record {} ms before its expiry", HOUR + 1 - at);
        must_be(subject.one.fetch("a", subject.at(at)).await.as_ref(), &stored, &what);
    }
    for at in [HOUR + 1, HOUR + 2, 48 * HOUR] {
        let what = format!("a record {} ms behind its expiry", at - HOUR - 1);
        must_be_absent(subject.one.fetch("a", subject.at(at)).await.as_ref(), &what);
    }
}

pub(super) async fn an_expired_record_counts_as_absent(subject: Subject) {
    for (id, at) in [("a", HOUR), ("b", HOUR + 1), ("c", 48 * HOUR)] {
        subject.one.put(&record(&subject, id, 5), Expect::Absent, subject.at(0)).await;
        let now = subject.at(at);
        let mut fresh = Record::new(id, 1, &b"fresh"[..]);
        fresh.expires_at = Some(subject.at(at + 1));
        subject.two.put(&fresh, Expect::Absent, now).await;
        let found = subject.one.fetch(id, now).await;
        must_be(found.as_ref(), &fresh, "what replaced an expired record");
    }
    subject.one.put(&record(&subject, "d", 5), Expect::Absent, subject.at(0)).await;
    let stored = record(&subject, "d", 5);
    let early = record(&subject, "d", 1);
    let saved = subject.two.save(&early, Expect::Absent, subject.at(HOUR - 1)).await;
    must_conflict(&saved, Some(&stored), "creating a record 1 ms before the old one expires");
}

pub(super) async fn an_expired_record_is_never_revived_by_a_save(subject: Subject) {
    subject.one.put(&record(&subject, "a", 1), Expect::Absent, subject.at(0)).await;
    for at in [HOUR, HOUR + 1, 48 * HOUR] {
        let mut update = record(&subject, "a", 2);
        update.expires_at = Some(subject.at(at + HOUR));
        let untouched = Expect::Untouched { version: 1, expires_at: Some(subject.at(HOUR)) };
        for expect in [Expect::Version(1), Expect::Version(7), untouched] {
            let saved = subject.two.save(&update, expect, subject.at(at)).await;
            must_conflict(&saved, None, "an update of an expired record");
        }
        let found = subject.one.fetch("a", subject.at(at)).await;
        must_be_absent(found.as_ref(), "an expired record after an update");
    }
}

pub(super) async fn an_expired_record_is_never_revived_by_touch(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    subject.one.put(&record(&subject, "a", 1), Expect::Absent, subject.at(0)).await;
    for at in [HOUR, HOUR + 1, 48 * HOUR] {
        let now = subject.at(at);
        let touched = subject.two.touch("a", subject.at(at + HOUR), now).await;
        assert!(!touched, "a touch of an expired record must tell that there was none");
        let found = subject.one.fetch("a", now).await;
        must_be_absent(found.as_ref(), "an expired record after a touch");
    }
}

pub(super) async fn a_record_saved_as_expired_is_absent(subject: Subject) {
    let now = subject.at(HOUR);
    let mut stored = record(&subject, "a", 1);
    for expires_at in [subject.at(HOUR), subject.at(HOUR - 1), subject.at(0)] {
        stored.expires_at = Some(expires_at);
        subject.one.put(&stored, Expect::Absent, now).await;
        let found = subject.one.fetch("a", now).await;
        must_be_absent(found.as_ref(), "a record saved as already expired");
    }
    subject.one.put(&record(&subject, "b", 1), Expect::Absent, subject.at(0)).await;
    let mut ended = record(&subject, "b", 2);
    ended.expires_at = Some(subject.at(10));
    subject.one.put(&ended, Expect::Version(1), subject.at(10)).await;
    let found = subject.one.fetch("b", subject.at(10)).await;
    must_be_absent(found.as_ref(), "a record updated to have expired");
}

pub(super) async fn touch_moves_the_expiry_and_nothing_else(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let mut stored = record(&subject, "a", u64::MAX);
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    let touched = subject.two.touch("a", subject.at(2 * HOUR), subject.at(HOUR - 1)).await;
    assert!(touched, "a touch of a live record must tell that there was one");
    stored.expires_at = Some(subject.at(2 * HOUR));
    let found = subject.one.fetch("a", subject.at(2 * HOUR - 1)).await;
    must_be(found.as_ref(), &stored, "a record after a touch");
    let found = subject.one.fetch("a", subject.at(2 * HOUR)).await;
    must_be_absent(found.as_ref(), "a record at the expiry that a touch has set");
    let update = Record::new("a", 1, &b"update"[..]);
    subject.one.put(&update, Expect::Version(u64::MAX), subject.at(HOUR)).await;
}

pub(super) async fn touch_never_shortens(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let stored = record(&subject, "a", 1);
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    for at in [HOUR, HOUR - 1, HOUR / 2, 1, 0] {
        let touched = subject.two.touch("a", subject.at(at), subject.at(0)).await;
        assert!(touched, "a touch of a live record must tell that there was one");
        let found = subject.one.fetch("a", subject.at(0)).await;
        must_be(found.as_ref(), &stored, "a record after a touch to an earlier time");
    }
}

pub(super) async fn touch_keeps_a_record_that_never_expires(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let stored = Record::new("a", 1, &b"keys"[..]);
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    let touched = subject.two.touch("a", subject.at(HOUR), subject.at(0)).await;
    assert!(touched, "a touch of a live record must tell that there was one");
    let found = subject.one.fetch("a", subject.at(48 * HOUR)).await;
    must_be(found.as_ref(), &stored, "a record that never expires, after a touch");
}

pub(super) async fn touch_of_a_missing_record_is_no_error(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    let touched = subject.one.touch("a", subject.at(HOUR), now).await;
    assert!(!touched, "a touch of a missing record must tell that there was none");
    must_be_absent(subject.one.fetch("a", now).await.as_ref(), "what was touched but never saved");
    subject.one.put(&record(&subject, "a", 1), Expect::Absent, now).await;
    subject.two.delete("a", now).await;
    let touched = subject.one.touch("a", subject.at(HOUR), now).await;
    assert!(!touched, "a touch of a deleted record must tell that there was none");
    must_be_absent(subject.one.fetch("a", now).await.as_ref(), "a deleted record after a touch");
}
