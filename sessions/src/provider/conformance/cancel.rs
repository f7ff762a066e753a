//! Calls that are dropped before they have answered.
//!
//! What a dropped call has sent may still take effect later: the checks allow for that.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use tokio::task::JoinSet;

use super::subject::{HOUR, Handle, Subject, join, must_be, record};
use crate::provider::{Expect, Page, Record, Saved};

pub(super) async fn cancelled_saves_tear_nothing(subject: Subject) {
    let now = subject.at(0);
    let mut random = Random(1);
    let version_of = |version: u64| {
        let mut record = record(&subject, "a", version);
        record.data = vec![version as u8; 5_000 + version as usize % 100].into();
        record.owner = (!version.is_multiple_of(3)).then(|| owner(version));
        record
    };
    let mut known = version_of(1);
    subject.one.put(&known, Expect::Absent, now).await;
    for turn in 0..CALLS {
        let handle = subject.handle(turn);
        let next = version_of(known.version + 1);
        let save = handle.save(&next, Expect::Version(known.version), now);
        let found = match cancelled(save, &mut random).await {
            Some(Saved::Saved) => Some(next),
            Some(Saved::Conflict(current)) => current,
            None => subject.handle(turn + 1).fetch("a", now).await,
        };
        let Some(found) = found else {
            panic!("a record whose update was cancelled must stay, but is gone");
        };
        must_be(Some(&found), &version_of(found.version), "a record whose update was cancelled");
        assert!(
            found.version >= known.version,
            "an answered save must stay when others are cancelled"
        );
        known = found;
    }
    // The cancelled ones have come to their end once one that expects what is stored goes through.
    let last = settle(&subject.one, &version_of, now).await;
    if subject.lists {
        for version in 1..=3 {
            let listed = subject.two.list(&owner(version), Page::first(10), now).await.records;
            let expected = last.owner == Some(owner(version));
            assert_eq!(
                listed.contains(&last),
                expected,
                "the listing of {} after cancelled saves must agree with the record",
                owner(version)
            );
            assert_eq!(listed.len(), usize::from(expected), "records listed after cancelled saves");
        }
    }
}

pub(super) async fn cancelled_deletes_and_touches_tear_nothing(subject: Subject) {
    let now = subject.at(0);
    let mut random = Random(2);
    for turn in 0..CALLS {
        let id = format!("id{turn}");
        let mut stored = record(&subject, &id, 1);
        subject.one.put(&stored, Expect::Absent, now).await;
        if subject.touches {
            let touch = subject.handle(turn).touch(&id, subject.at(2 * HOUR), now);
            cancelled(touch, &mut random).await;
        }
        let found = subject.handle(turn + 1).fetch(&id, now).await;
        if let Some(found) = &found
            && found.expires_at == Some(subject.at(2 * HOUR))
        {
            stored.expires_at = found.expires_at;
        }
        must_be(found.as_ref(), &stored, "a record whose touch was cancelled");
        let delete = cancelled(subject.handle(turn).delete(&id, now), &mut random).await;
        let found = subject.handle(turn + 1).fetch(&id, now).await;
        if delete.is_some() {
            assert!(found.is_none(), "a record whose delete was answered must be gone");
        }
        if let Some(found) = &found {
            // The touch may have taken effect since.
            stored.expires_at = found.expires_at;
            must_be(Some(found), &stored, "a record whose delete was cancelled");
        }
    }
}

pub(super) async fn cancelled_calls_leave_the_provider_usable(subject: Subject) {
    let now = subject.at(0);
    let subject = Arc::new(subject);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let subject = subject.clone();
        tasks.spawn(async move {
            let mut random = Random(100 + task as u64);
            let handle = subject.handle(task);
            for turn in 0..CALLS {
                let id = format!("id{}", turn % 5);
                let random = &mut random;
                let stored = record(&subject, &id, 1);
                match turn % 6 {
                    0 => drop(cancelled(handle.fetch(&id, now), random).await),
                    1 => drop(cancelled(handle.save(&stored, Expect::Absent, now), random).await),
                    2 => drop(cancelled(handle.delete(&id, now), random).await),
                    3 if subject.touches => {
                        cancelled(handle.touch(&id, subject.at(HOUR), now), random).await;
                    }
                    4 if subject.lists => {
                        let page = Page::first(2);
                        cancelled(handle.list("app/visitor/alice", page, now), random).await;
                    }
                    5 if subject.purges => drop(cancelled(handle.purge(now, 2), random).await),
                    _ => {}
                }
            }
        });
    }
    join(tasks).await;
    let version_of = |version| record(&subject, "a", version);
    for turn in 0..20 {
        let handle = subject.handle(turn);
        handle.put(&version_of(1), Expect::Any, now).await;
        handle.put(&version_of(2), Expect::Version(1), now).await;
        must_be(handle.fetch("a", now).await.as_ref(), &version_of(2), "a record after all that");
        must_be(handle.delete("a", now).await.as_ref(), &version_of(2), "a record after all that");
    }
}

/// Saves the next version of whatever is stored.
async fn settle(handle: &Handle, version_of: &impl Fn(u64) -> Record, now: SystemTime) -> Record {
    for _ in 0..100 {
        let Some(found) = handle.fetch("a", now).await else { break };
        let next = version_of(found.version + 1);
        if handle.save(&next, Expect::Version(found.version), now).await == Saved::Saved {
            return next;
        }
    }
    panic!("a record must take updates again after cancelled ones, but conflicts each time");
}

/// Drops the call after a random number of polls, at once or when it would go on.
async fn cancelled<T>(call: impl Future<Output = T>, random: &mut Random) -> Option<T> {
    let mut call = pin!(call);
    let mut polls = random.below(6);
    let at_once = random.below(2) == 0;
    poll_fn(move |context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match call.as_mut().poll(context) {
            Poll::Pending if polls == 0 && at_once => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}

fn owner(version: u64) -> Arc<str> {
    format!("app/visitor/{}", version % 3).into()
}

/// The same numbers in each run (xorshift): a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const CALLS: usize = 300;
const TASKS: usize = 8;
