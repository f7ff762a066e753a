//! Removing what has expired.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use super::subject::{HOUR, Subject, join, must_be, record};
use crate::provider::{Expect, Record};

pub(super) async fn purge_removes_the_expired_in_batches(subject: Subject) {
    if !subject.offers_purge().await {
        return;
    }
    assert_eq!(subject.one.purge(subject.at(0), 10).await, 0, "an empty database is purged");
    for turn in 0..25 {
        let mut dead = record(&subject, &format!("dead{turn}"), 1);
        dead.expires_at = Some(subject.at(10 + turn as u64));
        subject.handle(turn).put(&dead, Expect::Absent, subject.at(0)).await;
    }
    let live = record(&subject, "live", 1);
    subject.one.put(&live, Expect::Absent, subject.at(0)).await;
    // The last one expires at this very millisecond.
    let now = subject.at(34);
    assert_eq!(subject.two.purge(now, 0).await, 0, "a purge of at most none");
    let mut purged = 0;
    for turn in 0.. {
        let batch = subject.handle(turn).purge(now, 10).await;
        assert!(batch <= 10, "a purge of at most 10 records removed {batch}");
        purged += batch;
        if batch == 0 {
            break;
        }
        assert!(turn < 25, "a purge must come to its end, but still removes records");
    }
    assert_eq!(purged, 25, "the number of records purged, of 25 expired ones");
    must_be(subject.one.fetch("live", now).await.as_ref(), &live, "a live record after a purge");
}

pub(super) async fn purge_removes_no_live_record(subject: Subject) {
    if !subject.offers_purge().await {
        return;
    }
    let start = subject.at(0);
    let mut kept = Vec::new();
    let mut next = record(&subject, "expires a millisecond later", 1);
    next.expires_at = Some(subject.at(101));
    subject.one.put(&next, Expect::Absent, start).await;
    kept.push(next);
    let never = Record::new("never expires", 1, &b"keys"[..]);
    subject.one.put(&never, Expect::Absent, start).await;
    kept.push(never);

    let soon = |id: &str| {
        let mut soon = record(&subject, id, 1);
        soon.expires_at = Some(subject.at(50));
        soon
    };
    subject.one.put(&soon("prolonged by an update"), Expect::Absent, start).await;
    let updated = record(&subject, "prolonged by an update", 2);
    subject.one.put(&updated, Expect::Version(1), start).await;
    kept.push(updated);
    subject.one.put(&soon("expired and created again"), Expect::Absent, start).await;
    let again = record(&subject, "expired and created again", 2);
    subject.one.put(&again, Expect::Absent, subject.at(60)).await;
    kept.push(again);
    subject.one.put(&soon("made to last for ever"), Expect::Absent, start).await;
    let ever = Record::new("made to last for ever", 2, &b"keys"[..]);
    subject.one.put(&ever, Expect::Version(1), start).await;
    kept.push(ever);
    if subject.touches {
        let mut touched = soon("prolonged by a touch");
        subject.one.put(&touched, Expect::Absent, start).await;
        subject.two.touch(&touched.id, subject.at(HOUR), start).await;
        touched.expires_at = Some(subject.at(HOUR));
        kept.push(touched);
    }
    subject.two.purge(subject.at(100), 1_000).await;
    for kept in &kept {
        let what = format!("the live record {:?} after a purge", kept.id);
        must_be(subject.one.fetch(&kept.id, subject.at(100)).await.as_ref(), kept, &what);
    }
}

pub(super) async fn purge_races_creators_and_removes_no_new_record(subject: Subject) {
    if !subject.offers_purge().await {
        return;
    }
    let now = subject.at(10);
    for turn in 0..RECORDS {
        let mut dead = record(&subject, &format!("id{turn}"), 1);
        dead.expires_at = Some(now);
        subject.handle(turn).put(&dead, Expect::Absent, subject.at(0)).await;
    }
    let barrier = Arc::new(Barrier::new(2 * TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let fresh: Vec<Record> = (0..RECORDS)
            .filter(|turn| turn % TASKS == task)
            .map(|turn| record(&subject, &format!("id{turn}"), 2))
            .collect();
        let (handle, waits) = (subject.handle(task).clone(), barrier.clone());
        tasks.spawn(async move {
            waits.wait().await;
            for fresh in fresh {
                handle.put(&fresh, Expect::Absent, now).await;
                yield_now().await;
            }
        });
        let (handle, waits) = (subject.handle(task + 1).clone(), barrier.clone());
        tasks.spawn(async move {
            waits.wait().await;
            for _ in 0..RECORDS / TASKS {
                handle.purge(now, 3).await;
                yield_now().await;
            }
        });
    }
    join(tasks).await;
    for turn in 0..RECORDS {
        let id = format!("id{turn}");
        let found = subject.one.fetch(&id, now).await;
        must_be(found.as_ref(), &record(&subject, &id, 2), "a record created during a purge");
    }
}

const TASKS: usize = 4;
const RECORDS: usize = 200;
