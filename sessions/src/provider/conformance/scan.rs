//! All records of the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::subject::{HOUR, Handle, Subject, must_be, record};
use crate::provider::{Expect, Page, Record};

pub(super) async fn scan_shows_every_live_record(subject: Subject) {
    if !subject.offers_scan().await {
        return;
    }
    let now = subject.at(5);
    assert!(everything(&subject.one, 10, now).await.is_empty(), "a scan of an empty database");
    let mut expected = Vec::new();
    for number in 0..40_u64 {
        let id = match number % 4 {
            0 => format!("app:{number}"),
            1 => format!("Ä{number} %"),
            _ => format!("id{number}"),
        };
        let mut stored = record(&subject, &id, number + 1);
        stored.format = format!("kind{}/{number}", number % 3).into();
        stored.owner = (number % 3 != 0).then(|| format!("app/visitor/{}", number % 5).into());
        // Some that never expire, and some that have.
        match number % 10 {
            2 => stored.expires_at = None,
            7 => stored.expires_at = Some(subject.at(5)),
            _ => (),
        }
        subject.handle(number as usize).put(&stored, Expect::Absent, subject.at(0)).await;
        if stored.is_live(now) {
            expected.push(stored);
        }
    }
    for limit in [1, 3, 7, 39, 100, u32::MAX] {
        let found = everything(&subject.two, limit, now).await;
        for stored in &expected {
            let found = found.get(&stored.id);
            must_be(found, stored, &format!("a record in a scan in pages of {limit}"));
        }
        assert_eq!(found.len(), expected.len(), "a scan must show live records only: {found:?}");
    }
}

pub(super) async fn scan_misses_no_record_that_stays(subject: Subject) {
    if !subject.offers_scan().await {
        return;
    }
    let now = subject.at(0);
    let mut stays = Vec::new();
    for number in 0..60_usize {
        let stored = record(&subject, &format!("id{number}"), 1);
        subject.handle(number).put(&stored, Expect::Absent, now).await;
        stays.push(stored);
    }
    let mut seen: BTreeMap<Arc<str>, Record> = BTreeMap::new();
    let mut page = Page::first(10);
    for turn in 0.. {
        let listed = subject.handle(turn).scan(page, now).await;
        let handle = subject.handle(turn + 1);
        // Half of what was read goes.
        for gone in listed.records.iter().step_by(2) {
            handle.delete(&gone.id, now).await;
            stays.retain(|record| record.id != gone.id);
        }
        seen.extend(listed.records.into_iter().map(|record| (record.id.clone(), record)));
        // Of what is to come, and of what was read, some is saved and some is touched.
        for (number, stored) in stays.iter_mut().enumerate().skip(turn % 3).step_by(3) {
            let later = subject.at(HOUR + turn as u64 + 1);
            if subject.touches && number.is_multiple_of(2) {
                handle.touch(&stored.id, later, now).await;
            } else {
                let expect = Expect::Version(stored.version);
                stored.version += 1;
                stored.expires_at = Some(later);
                handle.put(stored, expect, now).await;
            }
        }
        // Others come, and one of them goes.
        for other in ["", "id", "zz"] {
            let other = record(&subject, &format!("{other}new{turn}"), 1);
            handle.put(&other, Expect::Absent, now).await;
        }
        handle.delete(&format!("idnew{turn}"), now).await;
        let Some(mark) = listed.next else { break };
        assert!(turn < 10_000, "a scan must come to its end, although records come");
        page = Page::after(mark, 10);
    }
    for stayed in &stays {
        assert!(
            seen.contains_key(&stayed.id),
            "the record {} was stored during the whole scan, so it must be on a page",
            stayed.id
        );
    }
}

/// The records of all pages, by their ids. One on several pages must be the same on each.
async fn everything(handle: &Handle, limit: u32, now: SystemTime) -> BTreeMap<Arc<str>, Record> {
    let mut found: BTreeMap<Arc<str>, Record> = BTreeMap::new();
    let mut page = Page::first(limit);
    for _ in 0..10_000 {
        let listed = handle.scan(page, now).await;
        for record in listed.records {
            if let Some(before) = found.insert(record.id.clone(), record.clone()) {
                must_be(Some(&record), &before, "a record that a scan shows twice");
            }
        }
        let Some(mark) = listed.next else { return found };
        page = Page::after(mark, limit);
    }
    panic!("a scan in pages of {limit} has not ended after 10000 pages");
}
