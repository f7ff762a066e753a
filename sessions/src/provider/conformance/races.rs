//! Many callers at once, half of them at each instance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use super::subject::{HOUR, Handle, Subject, join, must_be, must_be_absent, must_conflict, record};
use crate::provider::{Deleted, Expect, Record, Saved, Touched};

pub(super) async fn writers_of_different_bytes_win_each_version_once(subject: Subject) {
    race_of_writers(subject, |task, version| format!("{version} of {task}")).await;
}

pub(super) async fn writers_of_equal_bytes_win_each_version_once(subject: Subject) {
    race_of_writers(subject, |_, version| format!("{version} of all")).await;
}

/// First all tasks try for the same version, again and again; then each goes as fast as it can.
async fn race_of_writers(subject: Subject, data: fn(usize, u64) -> String) {
    let now = subject.at(0);
    let mut first = Record::new("a", 1, data(0, 1));
    first.expires_at = Some(subject.at(HOUR));
    subject.one.put(&first, Expect::Absent, now).await;
    let answered = Arc::new(AtomicU64::new(1));
    let barrier = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (barrier, current) = (barrier.clone(), first.clone());
        let (handle, answered) = (subject.handle(task).clone(), answered.clone());
        let mut writer = Writer { task, handle, current, won: Vec::new(), answered, data };
        tasks.spawn(async move {
            while writer.current.version < LAST_SHARED_VERSION {
                barrier.wait().await;
                writer.write(now).await;
            }
            while writer.current.version < LAST_VERSION {
                writer.write(now).await;
                yield_now().await;
            }
            (task, writer.won)
        });
    }
    let won = join(tasks).await;

    let mut winners = BTreeMap::<u64, Vec<usize>>::new();
    for (task, versions) in won {
        for version in versions {
            winners.entry(version).or_default().push(task);
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

/// One of the tasks that race.
struct Writer {
    task: usize,
    handle: Handle,
    /// What this one knows to be stored.
    current: Record,
    won: Vec<u64>,
    /// The last version of which anybody knows that it was saved.
    answered: Arc<AtomicU64>,
    data: fn(usize, u64) -> String,
}

impl Writer {
    /// Tries to save the next version.
    async fn write(&mut self, now: SystemTime) {
        let version = self.current.version;
        let mut next = self.current.clone();
        next.version += 1;
        next.data = (self.data)(self.task, next.version).into();
        let answered = self.answered.load(Ordering::SeqCst);
        match self.handle.save(&next, Expect::Version(version), now).await {
            Saved::Saved => {
                self.answered.fetch_max(next.version, Ordering::SeqCst);
                self.won.push(next.version);
                self.current = next;
            }
            Saved::Conflict(Some(record)) => {
                must_be_no_older(&record, version + 1, answered);
                self.current = record;
            }
            Saved::Conflict(None) => panic!(
                "a conflict with version {version} must hand back the record, which nobody \
                 deletes, but hands back none"
            ),
        }
    }
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
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (handle, barrier) = (subject.handle(task).clone(), barrier.clone());
        let mut mine = record(subject, id, 1);
        // Half of them save equal bytes.
        if task.is_multiple_of(4) {
            mine.data = Bytes::from(format!("of {task}"));
        }
        tasks.spawn(async move {
            barrier.wait().await;
            let saved = handle.save(&mine, Expect::Absent, now).await;
            (mine, saved)
        });
    }
    let results = join(tasks).await;
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
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let (handle, barrier) = (subject.handle(task).clone(), barrier.clone());
            tasks.spawn(async move {
                barrier.wait().await;
                handle.delete("a", now).await
            });
        }
        let removed: Vec<_> = join(tasks).await.into_iter().flatten().collect();
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
        let (handle, update) = (subject.handle(round).clone(), second.clone());
        let save = async move { handle.save(&update, Expect::Version(1), now).await };
        let handle = subject.handle(round + 1).clone();
        let delete = async move { handle.delete("a", now).await };
        let (saved, removed) = race(round, save, delete).await;
        match saved {
            Saved::Saved => {
                must_be(removed.as_ref(), &second, "what a delete behind an update returns");
            }
            saved @ Saved::Conflict(_) => {
                must_conflict(&saved, None, "an update behind a delete");
                must_be(removed.as_ref(), &first, "what a delete in front of an update returns");
            }
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
        let (handle, update) = (subject.handle(round + 1).clone(), second.clone());
        let update = async move { handle.put(&update, Expect::Version(1), now).await };
        let ((), touched) = amid_touches(&subject, &id, Expect::Any, update).await;
        must_all_be_touched(&touched);
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
        let (handle, gone) = (subject.handle(round + 1).clone(), id.clone());
        let delete = async move { handle.delete(&gone, now).await };
        let (removed, _) = amid_touches(&subject, &id, Expect::Any, delete).await;
        assert!(removed.is_some(), "a delete during a touch must return the record");
        let found = subject.one.fetch(&id, now).await;
        must_be_absent(found.as_ref(), "a record that was deleted while it was touched");
    }
}

pub(super) async fn touches_race_a_creator_and_tell_what_they_found(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let id = format!("id{round}");
        let mut first = record(&subject, &id, 1);
        let (handle, created) = (subject.handle(round + 1).clone(), first.clone());
        let create = async move { handle.put(&created, Expect::Absent, now).await };
        let ((), touched) = amid_touches(&subject, &id, Expect::Any, create).await;
        // The record of a conflict may have been created since the touch found none.
        let found = touched.iter().filter(|touched| **touched == Touched::Touched).count();
        if found > 0 {
            first.expires_at = Some(subject.at(2 * HOUR));
        }
        let what = format!("a record that {found} touches found while it was created");
        must_be(subject.one.fetch(&id, now).await.as_ref(), &first, &what);
    }
}

pub(super) async fn touches_of_a_version_race_its_update_and_move_nothing_of_it(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let id = format!("id{round}");
        let second = record(&subject, &id, 2);
        subject.one.put(&record(&subject, &id, 1), Expect::Absent, now).await;
        let (handle, update) = (subject.handle(round + 1).clone(), second.clone());
        let update = async move { handle.put(&update, Expect::Version(1), now).await };
        let ((), touched) = amid_touches(&subject, &id, Expect::Version(1), update).await;
        for touched in touched {
            if let Touched::Conflict(current) = touched {
                must_be(current.as_ref(), &second, "what a touch behind an update conflicts with");
            }
        }
        let found = subject.one.fetch(&id, now).await;
        must_be(found.as_ref(), &second, "an update amid touches of the version before it");
    }
}

pub(super) async fn a_save_of_the_untouched_races_touches_and_takes_none_back(subject: Subject) {
    if !subject.offers_touch().await {
        return;
    }
    let now = subject.at(0);
    for round in 0..4 * ROUNDS {
        let id = format!("id{round}");
        let (mut first, mut second) = (record(&subject, &id, 1), record(&subject, &id, 2));
        subject.one.put(&first, Expect::Absent, now).await;
        let seen = Expect::Untouched { version: 1, expires_at: first.expires_at };
        let (handle, late) = (subject.handle(round + 1).clone(), second.clone());
        let save = async move { handle.save(&late, seen, now).await };
        let (handle, id_of_touch) = (subject.handle(round).clone(), id.clone());
        let later = subject.at(2 * HOUR);
        let touch = async move { handle.touch_if(&id_of_touch, later, Expect::Any, now).await };
        // One touch: of many, the first would mostly come before the save has looked.
        let (saved, touched) = race(round, save, touch).await;
        must_all_be_touched(&[touched]);
        first.expires_at = Some(subject.at(2 * HOUR));
        second.expires_at = first.expires_at;
        let found = subject.one.fetch(&id, now).await;
        let what = "a record that was touched while what is untouched was saved";
        if saved == Saved::Saved {
            must_be(found.as_ref(), &second, what);
        } else {
            must_conflict(&saved, Some(&first), "a save of what was touched meanwhile");
            must_be(found.as_ref(), &first, what);
        }
    }
}

pub(super) async fn deletes_of_an_expired_version_race_creators_and_leave_the_new_record(
    subject: Subject,
) {
    let now = subject.at(10);
    for round in 0..ROUNDS {
        let id = format!("id{round}");
        let mut expired = record(&subject, &id, 1);
        expired.expires_at = Some(now);
        subject.one.put(&expired, Expect::Absent, subject.at(0)).await;
        let fresh = record(&subject, &id, 2);
        let barrier = Arc::new(Barrier::new(TASKS));
        let mut deletes = JoinSet::new();
        for task in 1..TASKS {
            let (handle, barrier) = (subject.handle(task).clone(), barrier.clone());
            let id = id.clone();
            deletes.spawn(async move {
                barrier.wait().await;
                handle.delete_if(&id, Expect::Version(1), now).await
            });
        }
        barrier.wait().await;
        subject.handle(round).put(&fresh, Expect::Absent, now).await;
        for deleted in join(deletes).await {
            assert!(
                deleted == Deleted::Deleted(None) || deleted == Deleted::Conflict(fresh.clone()),
                "a delete of an expired version must find none, or conflict with the new record, \
                 but the answer is {deleted:?}"
            );
        }
        let found = subject.one.fetch(&id, now).await;
        must_be(found.as_ref(), &fresh, "a record that replaced one that was being deleted");
    }
}

#[track_caller]
fn must_all_be_touched(touched: &[Touched]) {
    assert!(
        touched.iter().all(|touched| *touched == Touched::Touched),
        "a touch of a live record must say so"
    );
}

/// Runs two calls at once. The one that is spawned last mostly goes first: each is that in turn.
async fn race<A: Send + 'static, B: Send + 'static>(
    turn: usize,
    one: impl Future<Output = A> + Send + 'static,
    two: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let barrier = Arc::new(Barrier::new(2));
    let waits = barrier.clone();
    let one = async move {
        waits.wait().await;
        one.await
    };
    let two = async move {
        barrier.wait().await;
        two.await
    };
    let (mut ones, mut twos) = (JoinSet::new(), JoinSet::new());
    if turn.is_multiple_of(2) {
        ones.spawn(one);
        twos.spawn(two);
    } else {
        twos.spawn(two);
        ones.spawn(one);
    }
    let only = "the one task has answered";
    (join(ones).await.pop().expect(only), join(twos).await.pop().expect(only))
}

/// Runs a call together with many touches of a record.
async fn amid_touches<T: Send + 'static>(
    subject: &Subject,
    id: &str,
    expect: Expect,
    call: impl Future<Output = T> + Send + 'static,
) -> (T, Vec<Touched>) {
    let mut touches = JoinSet::new();
    let barrier = Arc::new(Barrier::new(TOUCHES + 1));
    for turn in 0..TOUCHES {
        let (handle, barrier) = (subject.handle(turn).clone(), barrier.clone());
        let (id, now, later) = (id.to_owned(), subject.at(0), subject.at(2 * HOUR));
        touches.spawn(async move {
            barrier.wait().await;
            handle.touch_if(&id, later, expect, now).await
        });
    }
    barrier.wait().await;
    (call.await, join(touches).await)
}

const TASKS: usize = 20;
const ROUNDS: usize = 10;
const TOUCHES: usize = 6;
const LAST_SHARED_VERSION: u64 = 50;
const LAST_VERSION: u64 = 150;
