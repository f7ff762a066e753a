//! An owner's records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::subject::{HOUR, Handle, Subject, must_be, record};
use crate::provider::{Expect, Listed, Page, Record};

pub(super) async fn list_shows_the_live_records_of_the_owner(subject: Subject) {
    if !subject.offers_list().await {
        return;
    }
    let now = subject.at(0);
    must_list(&subject, ALICE, now, &[], "an owner without records").await;
    let mut expected = Vec::new();
    for turn in 0..5 {
        let stored = record(&subject, &format!("id{turn}"), 1);
        subject.handle(turn).put(&stored, Expect::Absent, now).await;
        expected.push(stored);
        // At once, at the instance that did not save it.
        let listed = everything(subject.handle(turn + 1), ALICE, 100, now).await;
        must_be_the_same(&listed, &expected, "a listing just behind a save");
    }
    // Records of others whose names are close, and of nobody.
    let long = format!("app/visitor/{}", "x".repeat(255 - "app/visitor/".len()));
    let others = ["app/visitor/Alice", "app/visitor/alic", "app/visitor/alice2", "app/visitor/%"];
    let others: Vec<&str> = others.into_iter().chain(["app/visitor/älice", &long]).collect();
    for owner in &others {
        let id: String = format!("of {owner}").chars().take(100).collect();
        let mut stored = record(&subject, &id, 1);
        stored.owner = Some(Arc::from(*owner));
        subject.one.put(&stored, Expect::Absent, now).await;
        must_list(&subject, owner, now, &[stored], "an owner with one record").await;
    }
    subject.one.put(&Record::new("nobody's", 1, &b"data"[..]), Expect::Absent, now).await;
    must_list(&subject, ALICE, now, &expected, "an owner beside others of like names").await;

    subject.one.delete("id0", now).await;
    expected.remove(0);
    must_list(&subject, ALICE, now, &expected, "a listing just behind a delete").await;
    let mut later = record(&subject, "id1", 2);
    later.expires_at = Some(subject.at(HOUR + 1));
    subject.one.put(&later, Expect::Version(1), now).await;
    expected[0] = later;
    must_list(&subject, ALICE, now, &expected, "a listing just behind an update").await;
    let now = subject.at(HOUR);
    must_list(&subject, ALICE, now, &expected[..1], "a listing when all but one expired").await;
    let now = subject.at(HOUR + 1);
    must_list(&subject, ALICE, now, &[], "a listing when all expired").await;
}

pub(super) async fn list_pages_show_each_record_once(subject: Subject) {
    if !subject.offers_list().await {
        return;
    }
    let now = subject.at(0);
    let stored = fill(&subject, 25).await;
    let whole = everything(&subject.one, ALICE, 100, now).await;
    must_be_the_same(&whole, &stored, "a listing in one page");
    for limit in [1, 3, 5, 24, 25, 26, u32::MAX] {
        let paged = everything(&subject.two, ALICE, limit, now).await;
        must_be_the_same(&paged, &stored, &format!("a listing in pages of {limit}"));
        let order = |records: &[Record]| -> Vec<Arc<str>> {
            records.iter().map(|record| record.id.clone()).collect()
        };
        assert_eq!(order(&paged), order(&whole), "the order must not depend on the pages' limit");
    }
}

pub(super) async fn list_pages_stand_changes_in_between(subject: Subject) {
    if !subject.offers_list().await {
        return;
    }
    let now = subject.at(0);
    let stored = fill(&subject, 20).await;
    let first = subject.one.list(ALICE, Page::first(7), now).await;
    // The records at the mark go, others come.
    for gone in &first.records {
        subject.two.delete(&gone.id, now).await;
    }
    for (turn, id) in ["", "id0", "id10", "id19", "zz"].iter().enumerate() {
        let stored = record(&subject, &format!("{id}new"), 1);
        subject.handle(turn).put(&stored, Expect::Absent, now).await;
    }
    each_is_on_one_page(&subject, first, &stored, now).await;
}

pub(super) async fn list_pages_stand_records_that_are_prolonged(subject: Subject) {
    if !subject.offers_list().await {
        return;
    }
    let now = subject.at(0);
    let stored = fill(&subject, 20).await;
    let first = subject.one.list(ALICE, Page::first(7), now).await;
    // Some on the page that was read, some on those to come.
    let (read, to_come): (Vec<_>, Vec<_>) =
        stored.iter().partition(|it| first.records.iter().any(|first| first.id == it.id));
    for group in [read, to_come] {
        let mut turn = 0;
        for record in group.into_iter().take(6) {
            turn += 1;
            let handle = subject.handle(turn);
            let expires_at = subject.at(HOUR + turn as u64);
            if subject.touches && turn.is_multiple_of(2) {
                handle.touch(&record.id, expires_at, now).await;
                continue;
            }
            let mut updated = record.clone();
            updated.version = 2;
            updated.expires_at = Some(expires_at);
            handle.put(&updated, Expect::Version(1), now).await;
        }
    }
    each_is_on_one_page(&subject, first, &stored, now).await;
}

/// Reads the pages behind the first: each of these records is on just one.
async fn each_is_on_one_page(subject: &Subject, first: Listed, stays: &[Record], now: SystemTime) {
    let mut seen: Vec<_> = first.records.iter().map(|record| record.id.clone()).collect();
    if let Some(mark) = first.next {
        let rest = pages(&subject.two, ALICE, Page::after(mark, 7), now).await;
        seen.extend(rest.into_iter().map(|record| record.id));
    }
    for record in stays {
        let times = seen.iter().filter(|id| **id == record.id).count();
        assert!(
            times == 1,
            "a record that stays must be on one page, but {:?} is on {times}",
            record.id
        );
    }
}

pub(super) async fn a_record_moves_with_its_owner(subject: Subject) {
    if !subject.offers_list().await {
        return;
    }
    let now = subject.at(0);
    let with = |version, owner: Option<&str>| {
        let mut record = record(&subject, "a", version);
        record.owner = owner.map(Arc::from);
        record
    };
    // Login, change of user, logout, and a save without a check.
    let steps = [
        (Expect::Absent, None),
        (Expect::Version(1), Some(ALICE)),
        (Expect::Version(2), Some(BOB)),
        (Expect::Version(3), None),
        (Expect::Version(4), Some(BOB)),
        (Expect::Any, Some(ALICE)),
        (Expect::Any, None),
        (Expect::Any, Some(ALICE)),
    ];
    for (version, (expect, owner)) in (1..).zip(steps) {
        let stored = with(version, owner);
        subject.handle(usize::from(version % 3 == 0)).put(&stored, expect, now).await;
        for listed in [ALICE, BOB] {
            let expected = if owner == Some(listed) { vec![stored.clone()] } else { vec![] };
            let what = format!("the listing of {listed} after the owner became {owner:?}");
            must_list(&subject, listed, now, &expected, &what).await;
        }
    }
    // Another's record takes the place of an expired one.
    let now = subject.at(HOUR);
    let mut fresh = with(1, Some(BOB));
    fresh.expires_at = Some(subject.at(2 * HOUR));
    subject.one.put(&fresh, Expect::Absent, now).await;
    must_list(&subject, ALICE, now, &[], "the owner of a record that expired").await;
    must_list(&subject, BOB, now, &[fresh], "the owner of the record in its place").await;
}

pub(super) async fn a_touched_record_stays_listed(subject: Subject) {
    if !(subject.offers_list().await && subject.offers_touch().await) {
        return;
    }
    let mut stored = record(&subject, "a", 1);
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    subject.one.put(&record(&subject, "b", 1), Expect::Absent, subject.at(0)).await;
    subject.two.touch("a", subject.at(3 * HOUR), subject.at(0)).await;
    stored.expires_at = Some(subject.at(3 * HOUR));
    // A save of another record in between is when an index may be trimmed.
    let mut other = record(&subject, "c", 1);
    other.expires_at = Some(subject.at(2 * HOUR));
    subject.one.put(&other, Expect::Absent, subject.at(HOUR + 1)).await;
    let now = subject.at(2 * HOUR);
    must_list(&subject, ALICE, now, &[stored.clone()], "a listing beyond the first expiry").await;
    let now = subject.at(3 * HOUR);
    must_list(&subject, ALICE, now, &[], "a listing beyond the touched expiry").await;
    must_be(subject.one.fetch("a", subject.at(2 * HOUR)).await.as_ref(), &stored, "the record");
}

async fn fill(subject: &Subject, count: usize) -> Vec<Record> {
    let mut stored = Vec::new();
    for turn in 0..count {
        let record = record(subject, &format!("id{turn}"), 1);
        subject.handle(turn).put(&record, Expect::Absent, subject.at(0)).await;
        stored.push(record);
    }
    stored
}

/// Both instances list just these records.
async fn must_list(
    subject: &Subject,
    owner: &str,
    now: SystemTime,
    expected: &[Record],
    what: &str,
) {
    for turn in [0, 1] {
        let listed = everything(subject.handle(turn), owner, 3, now).await;
        must_be_the_same(&listed, expected, what);
    }
}

#[track_caller]
fn must_be_the_same(listed: &[Record], expected: &[Record], what: &str) {
    let ids = |records: &[Record]| -> BTreeSet<Arc<str>> {
        records.iter().map(|record| record.id.clone()).collect()
    };
    let (found, wanted) = (ids(listed), ids(expected));
    assert!(
        found == wanted,
        "{what}: missing are {:?}, too many are {:?}",
        wanted.difference(&found).collect::<Vec<_>>(),
        found.difference(&wanted).collect::<Vec<_>>()
    );
    assert!(listed.len() == found.len(), "{what}: a record is listed more than once");
    for record in expected {
        must_be(listed.iter().find(|listed| listed.id == record.id), record, what);
    }
}

async fn everything(handle: &Handle, owner: &str, limit: u32, now: SystemTime) -> Vec<Record> {
    pages(handle, owner, Page::first(limit), now).await
}

/// This page and all behind it.
async fn pages(handle: &Handle, owner: &str, mut page: Page, now: SystemTime) -> Vec<Record> {
    let limit = page.limit;
    let mut records = Vec::new();
    for _ in 0..1_000 {
        let listed = handle.list(owner, page, now).await;
        assert!(
            listed.records.len() <= limit as usize,
            "a page of at most {limit} records has {}",
            listed.records.len()
        );
        records.extend(listed.records);
        let Some(next) = listed.next else { return records };
        page = Page::after(next, limit);
    }
    panic!("a listing must come to its end, but did not in 1000 pages");
}

const ALICE: &str = "app/visitor/alice";
const BOB: &str = "app/visitor/bob";
