//! Deletes and touches of what was looked at, and saves of what was neither saved nor touched since.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::subject::{HOUR, Subject, join, must_be, must_be_absent, must_conflict, record};
use crate::provider::{Deleted, Expect, Record, Saved, Touched};

pub(super) async fn delete_of_a_version_removes_that_version(subject: Subject) {
    let now = subject.at(0);
    for (id, expect) in expectations(&subject) {
        let stored = record(&subject, id, 3);
        subject.one.put(&stored, Expect::Absent, now).await;
        let deleted = subject.two.delete_if(id, expect, now).await;
        assert!(
            deleted == Deleted::Deleted(Some(stored.clone())),
            "a delete that expects {expect:?} must return the record that it removed, but the \
             answer is {deleted:?}"
        );
        must_be_absent(subject.one.fetch(id, now).await.as_ref(), "a deleted record");
        let again = subject.one.delete_if(id, expect, now).await;
        assert!(
            again == Deleted::Deleted(None),
            "a delete of a missing record is no error, but the answer is {again:?}"
        );
    }
}

pub(super) async fn delete_of_another_version_conflicts_with_the_current_record(subject: Subject) {
    let now = subject.at(0);
    let stored = record(&subject, "a", 3);
    subject.one.put(&stored, Expect::Absent, now).await;
    for expect in wrong(&subject) {
        let deleted = subject.two.delete_if("a", expect, now).await;
        let Deleted::Conflict(current) = deleted else {
            panic!(
                "a delete that expects {expect:?} must conflict with version 3, but the answer is \
                 {deleted:?}"
            )
        };
        must_be(Some(&current), &stored, "a refused delete's record");
        must_be(subject.one.fetch("a", now).await.as_ref(), &stored, "what a delete refused");
    }
}

pub(super) async fn delete_of_an_expired_version_removes_nothing_live(subject: Subject) {
    subject.one.put(&record(&subject, "a", 3), Expect::Absent, subject.at(0)).await;
    let now = subject.at(HOUR);
    let untouched = Expect::Untouched { version: 3, expires_at: Some(subject.at(HOUR)) };
    for expect in [Expect::Version(3), Expect::Version(4), untouched, Expect::Absent] {
        let deleted = subject.two.delete_if("a", expect, now).await;
        assert!(
            deleted == Deleted::Deleted(None),
            "a delete that expects {expect:?} of an expired record must find none, but the answer \
             is {deleted:?}"
        );
    }
    let mut fresh = record(&subject, "a", 3);
    fresh.expires_at = Some(subject.at(2 * HOUR));
    subject.one.put(&fresh, Expect::Absent, now).await;
    must_be(subject.two.fetch("a", now).await.as_ref(), &fresh, "what replaced it");
}

pub(super) async fn delete_of_anything_removes_an_expired_record(subject: Subject) {
    let stored = record(&subject, "a", 3);
    subject.one.put(&stored, Expect::Absent, subject.at(0)).await;
    // A database may have removed it already.
    if let Some(removed) = subject.two.delete("a", subject.at(HOUR)).await {
        must_be(Some(&removed), &stored, "an expired record that a delete returns");
    }
    let found = subject.one.fetch("a", subject.at(0)).await;
    must_be_absent(found.as_ref(), "an expired record that was deleted");
}

pub(super) async fn touch_of_a_version_moves_the_expiry(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for (id, expect) in expectations(&subject) {
        let mut stored = record(&subject, id, 3);
        subject.one.put(&stored, Expect::Absent, now).await;
        let touched = subject.two.touch_if(id, subject.at(2 * HOUR), expect, now).await;
        assert!(
            touched == Touched::Touched,
            "a touch that expects {expect:?} of that very record must move its expiry, but the \
             answer is {touched:?}"
        );
        stored.expires_at = Some(subject.at(2 * HOUR));
        must_be(subject.one.fetch(id, now).await.as_ref(), &stored, "a touched record");
    }
}

pub(super) async fn touch_of_another_version_conflicts_with_the_current_record(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    let stored = record(&subject, "a", 3);
    subject.one.put(&stored, Expect::Absent, now).await;
    for expect in wrong(&subject) {
        let touched = subject.two.touch_if("a", subject.at(2 * HOUR), expect, now).await;
        let Touched::Conflict(current) = touched else {
            panic!("a touch that expects {expect:?} must conflict with version 3, but is done")
        };
        must_be(current.as_ref(), &stored, "a refused touch's record");
        must_be(subject.one.fetch("a", now).await.as_ref(), &stored, "what a touch refused");
    }
    let seen = Expect::Untouched { version: 3, expires_at: stored.expires_at };
    for (id, now) in [("none", now), ("a", subject.at(HOUR))] {
        for expect in [Expect::Version(3), seen, Expect::Absent] {
            let touched = subject.one.touch_if(id, subject.at(2 * HOUR), expect, now).await;
            assert!(
                touched == Touched::Conflict(None),
                "a touch of a missing or expired record must conflict with none, but the answer \
                 is {touched:?}"
            );
        }
    }
    let found = subject.one.fetch("a", subject.at(HOUR)).await;
    must_be_absent(found.as_ref(), "an expired record after touches");
}

/// What a background save relies on: it takes back no expiry that a touch moved meanwhile.
pub(super) async fn a_save_of_what_was_touched_meanwhile_conflicts(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    let mut stored = record(&subject, "a", 3);
    subject.one.put(&stored, Expect::Absent, now).await;
    let seen = Expect::Untouched { version: 3, expires_at: stored.expires_at };
    assert!(subject.two.touch("a", subject.at(2 * HOUR), now).await, "it is live");
    stored.expires_at = Some(subject.at(2 * HOUR));

    let late = record(&subject, "a", 4);
    let saved = subject.one.save(&late, seen, now).await;
    must_conflict(&saved, Some(&stored), "a save of what was touched meanwhile");
    let deleted = subject.one.delete_if("a", seen, now).await;
    assert!(
        deleted == Deleted::Conflict(stored.clone()),
        "a delete of what was touched meanwhile must conflict, but the answer is {deleted:?}"
    );
    let touched = subject.one.touch_if("a", subject.at(3 * HOUR), seen, now).await;
    assert!(
        touched == Touched::Conflict(Some(stored.clone())),
        "a touch of what was touched meanwhile must conflict, but the answer is {touched:?}"
    );

    let seen = Expect::Untouched { version: 3, expires_at: stored.expires_at };
    let mut next = record(&subject, "a", 4);
    next.expires_at = stored.expires_at;
    subject.one.put(&next, seen, now).await;
    must_be(subject.two.fetch("a", now).await.as_ref(), &next, "a save of what was not touched");
    let saved = subject.two.save(&next, seen, now).await;
    must_conflict(&saved, Some(&next), "a save of what was saved meanwhile");
}

pub(super) async fn expected_expiries_are_compared_in_whole_milliseconds(subject: Subject) {
    let now = subject.at(0);
    let part = Duration::from_nanos(999_999);
    let mut stored = record(&subject, "a", 3);
    subject.one.put(&stored, Expect::Absent, now).await;
    for expect in wrong(&subject) {
        let late = record(&subject, "a", 4);
        let saved = subject.two.save(&late, expect, now).await;
        must_conflict(&saved, Some(&stored), &format!("a save that expects {expect:?}"));
    }
    let seen = |version| Expect::Untouched { version, expires_at: Some(subject.at(HOUR) + part) };
    stored.version = 4;
    subject.one.put(&stored, seen(3), now).await;
    if subject.touches {
        let touched = subject.two.touch_if("a", subject.at(HOUR), seen(4), now).await;
        assert!(
            touched == Touched::Touched,
            "a part of a millisecond must make no difference to a touch, but the answer is \
             {touched:?}"
        );
    }
    let deleted = subject.one.delete_if("a", seen(4), now).await;
    assert!(
        deleted == Deleted::Deleted(Some(stored)),
        "a part of a millisecond must make no difference to a delete, but the answer is {deleted:?}"
    );
}

pub(super) async fn a_record_that_never_expires_is_met_untouched(subject: Subject) {
    let now = subject.at(0);
    let mut stored = Record::new("a", 3, &b"keys"[..]);
    subject.one.put(&stored, Expect::Absent, now).await;
    let seen = |version| Expect::Untouched { version, expires_at: None };
    for expect in [seen(2), Expect::Untouched { version: 3, expires_at: Some(subject.at(HOUR)) }] {
        let saved = subject.two.save(&record(&subject, "a", 4), expect, now).await;
        must_conflict(&saved, Some(&stored), &format!("a save that expects {expect:?}"));
        let deleted = subject.one.delete_if("a", expect, now).await;
        assert!(
            deleted == Deleted::Conflict(stored.clone()),
            "a delete that expects {expect:?} must conflict, but the answer is {deleted:?}"
        );
    }
    stored.version = 4;
    subject.two.put(&stored, seen(3), now).await;
    if subject.touches {
        let touched = subject.one.touch_if("a", subject.at(HOUR), seen(4), now).await;
        assert!(
            touched == Touched::Touched,
            "a touch of a record that never expires must find it, but the answer is {touched:?}"
        );
        let found = subject.two.fetch("a", subject.at(48 * HOUR)).await;
        must_be(found.as_ref(), &stored, "a record that never expires, after a touch");
    }
    let deleted = subject.two.delete_if("a", seen(4), now).await;
    assert!(
        deleted == Deleted::Deleted(Some(stored)),
        "a delete of a record that never expires must return it, but the answer is {deleted:?}"
    );
}

/// Each version is won once, by the save that follows it or by the delete that removes it.
pub(super) async fn deletes_of_a_version_race_updates_and_one_wins(subject: Subject) {
    let now = subject.at(0);
    for round in 0..ROUNDS {
        let id = format!("race{round}");
        let first = record(&subject, &id, 1);
        subject.one.put(&first, Expect::Absent, now).await;
        let barrier = Arc::new(Barrier::new(TASKS));
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (handle, id, barrier) = (subject.handle(task).clone(), id.clone(), barrier.clone());
            let mut next = record(&subject, &id, 2);
            next.data = format!("by {task}").into();
            let first = first.clone();
            tasks.spawn(async move {
                barrier.wait().await;
                if task.is_multiple_of(2) {
                    match handle.delete_if(&id, Expect::Version(1), now).await {
                        Deleted::Deleted(Some(removed)) => {
                            must_be(Some(&removed), &first, "what the winner's delete returns");
                            Ended::Won(None)
                        }
                        Deleted::Deleted(None) => Ended::Lost(None),
                        Deleted::Conflict(current) => Ended::Lost(Some(current)),
                    }
                } else {
                    match handle.save(&next, Expect::Version(1), now).await {
                        Saved::Saved => Ended::Won(Some(next)),
                        Saved::Conflict(current) => Ended::Lost(current),
                    }
                }
            });
        }
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        for ended in join(tasks).await {
            match ended {
                Ended::Won(stored) => won.push(stored),
                Ended::Lost(current) => lost.push(current),
            }
        }
        let [winner] = &won[..] else {
            panic!("a version must have one winner, a delete or a save, but it has {}", won.len())
        };
        for current in &lost {
            assert!(
                current == winner,
                "a loser must be told what the winner left, {winner:?}, but is told {current:?}"
            );
        }
        let found = subject.one.fetch(&id, now).await;
        match winner {
            Some(saved) => must_be(found.as_ref(), saved, "what the winner saved"),
            None => must_be_absent(found.as_ref(), "what the winner deleted"),
        }
    }
}

/// How one of the callers that race came out.
enum Ended {
    /// What is stored since.
    Won(Option<Record>),
    /// What it was told to be stored.
    Lost(Option<Record>),
}

/// Each an id, and an expectation that its record of version 3 meets.
fn expectations(subject: &Subject) -> [(&'static str, Expect); 3] {
    let expires_at: Option<SystemTime> = Some(subject.at(HOUR));
    [
        ("any", Expect::Any),
        ("version", Expect::Version(3)),
        ("untouched", Expect::Untouched { version: 3, expires_at }),
    ]
}

/// Expectations that a record of version 3 does not meet.
fn wrong(subject: &Subject) -> [Expect; 8] {
    [
        Expect::Absent,
        Expect::Version(2),
        Expect::Version(4),
        // Their doubles are equal.
        Expect::Version(3 + (1 << 63)),
        Expect::Untouched { version: 2, expires_at: Some(subject.at(HOUR)) },
        Expect::Untouched { version: 3, expires_at: Some(subject.at(HOUR - 1)) },
        Expect::Untouched { version: 3, expires_at: Some(subject.at(HOUR + 1)) },
        Expect::Untouched { version: 3, expires_at: None },
    ]
}

const TASKS: usize = 20;
const ROUNDS: usize = 10;
