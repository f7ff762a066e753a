//! Many callers at once, half of them at each instance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::yield_now;

use super::subject::{HOUR, Subject, join, must_be, must_be_absent, must_conflict, record};
use crate::provider::{Expect, Record, Saved};

pub(super) async fn writers_of_different_bytes_win_each_version_once(subject: Subject) {
    race_of_writers(subject, |task, version| format!("{version} of {task}")).await;
}

pub(super) async fn writers_of_equal_bytes_win_each_version_once(subject: Subject) {
    race_of_writers(subject, |_, version| format!("{version} of all")).await;
}

/// Each task saves the next version of what it knows, until the last version is reached.
async fn race_of_writers(subject: Subject, data: fn(usize, u64) -> String) {
    let now = subject.at(0);
    let mut first = Record::new("a", 1, data(0, 1));
    first.expires_at = Some(subject.at(HOUR));
    subject.one.put(&first, Expect::Absent, now).await;
    let answered = Arc::new(AtomicU64::new(1));
    let tasks = (0..TASKS).map(|task| {
        let handle = subject.handle(task).clone();
        let answered = answered.clone();
        let mut current = first.clone();
        tokio::spawn(async move {
            let mut won = Vec::new();
            while current.version < LAST_VERSION {
                let mut next = current.clone();
                next.version += 1;
                next.data = data(task, next.version).into();
                let before = answered.load(Ordering::SeqCst);
                match handle.save(&next, Expect::Version(current.version), now).await {
                    Saved::Saved => {
                        answered.fetch_max(next.version, Ordering::SeqCst);
                        won.push(next.version);
                        current = next;
                    }
                    Saved::Conflict(Some(record)) => {
                        must_be_no_older(&record, current.version + 1, before);
                        current = record;
                    }
                    Saved::Conflict(None) => panic!(
                        "a conflict with version {} must hand back the record, which nobody \
                         deletes, but hands back none",
                        current.version
                    ),
                }
                yield_now().await;
            }
            won
        })
    });
    let won = join(tasks.collect()).await;

    let mut winners = BTreeMap::<u64, Vec<usize>>::new();
    for (task, versions) in won.iter().enumerate() {
        for version in versions {
            winners.entry(*version).or_default().push(task);
        }
    }
    for version in 2..=LAST_VERSION {
        let winners = winners.get(&version).map_or(&[][..], Vec::as_slice);
        assert!(
            winners.len() == 1,
            "version {version} must be won by one writer, but {} were told so: {winners:?}",
            winners.len()
        );
    }
    let mut last = first;
    last.version = LAST_VERSION;
    last.data = data(winners[&LAST_VERSION][0], LAST_VERSION).into();
    must_be(subject.one.fetch("a", now).await.as_ref(), &last, "the last winner's record");
}

/// A loser's record is the winner's or a later one, and no older than what was answered before.
#[track_caller]
fn must_be_no_older(record: &Record, winner: u64, answered: u64) {
    let version = record.version;
    assert!(
        version >= winner.max(answered),
        "a conflict's record must be no older than the winner's, version {winner}, nor than \
         version {answered}, whose save was answered before; but it is version {version}"
    );
    assert!(
        record.data.starts_with(format!("{version} of ").as_bytes()),
        "a conflict's record must be one that somebody saved, but version {version} has the data \
         of another"
    );
}

pub(super) async fn creators_race_and_one_wins(subject: Subject) {
    for round in 0..ROUNDS {
        race_of_creators(&subject, &format!("id{round}"), 0).await;
    }
}

pub(super) async fn creators_of_an_expired_record_race_and_one_wins(subject: Subject) {
    for round in 0..ROUNDS {
        let id = format!("id{round}");
        let mut expired = record(&subject, &id, 1);
        expired.expires_at = Some(subject.at(10));
        subject.one.put(&expired, Expect::Absent, subject.at(0)).await;
        race_of_creators(&subject, &id, 10).await;
    }
}

async fn race_of_creators(subject: &Subject, id: &str, at: u64) {
    let now = subject.at(at);
    let barrier = Arc::new(Barrier::new(TASKS));
    let tasks = (0..TASKS).map(|task| {
        let (handle, barrier) = (subject.handle(task).clone(), barrier.clone());
        let mut mine = record(subject, id, 1);
        // Half of them save equal bytes.
        if task.is_multiple_of(4) {
            mine.data = Bytes::from(format!("of {task}"));
        }
        tokio::spawn(async move {
            barrier.wait().await;
            let saved = handle.save(&mine, Expect::Absent, now).await;
            (mine, saved)
        })
    });
    let results = join(tasks.collect()).await;
    let winners: Vec<_> = results.iter().filter(|(_, saved)| *saved == Saved::Saved).collect();
    assert!(
        winners.len() == 1,
        "one of {TASKS} creators must win, but {} were told so",
        winners.len()
    );
    let winner = &winners[0].0;
    for (_, saved) in results.iter().filter(|(_, saved)| *saved != Saved::Saved) {
        must_conflict(saved, Some(winner), "a creator that lost");
    }
    must_be(subject.one.fetch(id, now).await.as_ref(), winner, "the winner's record");
}

pub(super) async fn deletes_race_and_one_returns_the_record(subject: Subject) {
    let now = subject.at(0);
    for _ in 0..ROUNDS {
        let stored = record(&subject, "a", 1);
        subject.one.put(&stored, Expect::Absent, now).await;
        let barrier = Arc::new(Barrier::new(TASKS));
        let tasks = (0..TASKS).map(|task| {
            let (handle, barrier) = (subject.handle(task).clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                handle.delete("a").await
            })
        });
        let removed: Vec<_> = join(tasks.collect()).await.into_iter().flatten().collect();
        assert!(
            removed.len() == 1,
            "one of {TASKS} deletes must return the record, but {} did",
            removed.len()
        );
        must_be(removed.first(), &stored, "what the delete returns");
    }
}

pub(super) async fn delete_races_update_and_the_record_is_gone(subject: Subject) {
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let (first, second) = (record(&subject, "a", 1), record(&subject, "a", 2));
        subject.one.put(&first, Expect::Absent, now).await;
        let barrier = Arc::new(Barrier::new(2));
        let update = {
            let (handle, barrier) = (subject.handle(round).clone(), barrier.clone());
            let second = second.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                handle.save(&second, Expect::Version(1), now).await
            })
        };
        let handle = subject.handle(round + 1).clone();
        let delete = tokio::spawn(async move {
            barrier.wait().await;
            handle.delete("a").await
        });
        let removed = join(vec![delete]).await.pop().flatten();
        match join(vec![update]).await.pop() {
            Some(Saved::Saved) => {
                must_be(removed.as_ref(), &second, "what a delete behind an update returns");
            }
            Some(saved) => {
                must_conflict(&saved, None, "an update behind a delete");
                must_be(removed.as_ref(), &first, "what a delete in front of an update returns");
            }
            None => {}
        }
        let found = subject.one.fetch("a", now).await;
        must_be_absent(found.as_ref(), "a record that was deleted while it was updated");
    }
}

pub(super) async fn touch_races_update_and_takes_nothing_back(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let id = format!("id{round}");
        let mut second = record(&subject, &id, 2);
        subject.one.put(&record(&subject, &id, 1), Expect::Absent, now).await;
        let touch = touch_behind_a_barrier(&subject, &id, round);
        let (handle, barrier) = (subject.handle(round + 1).clone(), touch.1);
        let update = tokio::spawn({
            let second = second.clone();
            async move {
                barrier.wait().await;
                handle.put(&second, Expect::Version(1), now).await;
            }
        });
        join(vec![update]).await;
        assert_eq!(join(vec![touch.0]).await, [true], "the touch of a live record");
        let found = subject.one.fetch(&id, now).await;
        // The one that came second decides on the expiry.
        if let Some(found) = &found
            && found.expires_at == Some(subject.at(2 * HOUR))
        {
            second.expires_at = found.expires_at;
        }
        must_be(found.as_ref(), &second, "a record that was touched while it was updated");
    }
}

pub(super) async fn touch_races_delete_and_the_record_is_gone(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let id = format!("id{round}");
        subject.one.put(&record(&subject, &id, 1), Expect::Absent, now).await;
        let (touch, barrier) = touch_behind_a_barrier(&subject, &id, round);
        barrier.wait().await;
        let removed = subject.handle(round + 1).delete(&id).await;
        assert!(removed.is_some(), "a delete during a touch must return the record");
        join(vec![touch]).await;
        let found = subject.one.fetch(&id, now).await;
        must_be_absent(found.as_ref(), "a record that was deleted while it was touched");
    }
}

/// A task that touches once another waits at the barrier too.
fn touch_behind_a_barrier(
    subject: &Subject,
    id: &str,
    turn: usize,
) -> (tokio::task::JoinHandle<bool>, Arc<Barrier>) {
    let barrier = Arc::new(Barrier::new(2));
    let (handle, waits, id) = (subject.handle(turn).clone(), barrier.clone(), id.to_owned());
    let (now, later) = (subject.at(0), subject.at(2 * HOUR));
    let task = tokio::spawn(async move {
        waits.wait().await;
        handle.touch(&id, later, now).await
    });
    (task, barrier)
}

const TASKS: usize = 20;
const ROUNDS: usize = 10;
const LAST_VERSION: u64 = 150;
