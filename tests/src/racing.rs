//! Many writers on few records: who won is known for each version, and each conflict handed back
//! what really was stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sessions::provider::{Expect, Provider, Record, Saved};
use tokio::task::JoinSet;

/// How many tasks write at once.
pub const TASKS: usize = 32;

/// How many compare-and-swaps all tasks make together.
pub const SWAPS: usize = 10_000;

/// On how many records.
pub const RECORDS: usize = 5;

/// What the writers put into a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// Each writer its own bytes.
    Different,
    /// All writers the same, so that nothing but the database's word tells who won.
    Equal,
}

/// What a race came to.
#[derive(Debug)]
pub struct Report {
    /// Compare-and-swaps that won.
    pub won: usize,
    /// Those that met a conflict.
    pub lost: usize,
}

/// Lets half of 32 tasks write through each of two instances of a provider, on one database that
/// holds no record of these ids, until they have made 10 000 compare-and-swaps.
///
/// # Panics
/// When a version is won by none or by several, or when a conflict hands back a record that was
/// not stored then: one older than a save that had been answered before, or one that its version's
/// winner did not write.
pub async fn race(one: Arc<dyn Provider>, two: Arc<dyn Provider>, bytes: Bytes) -> Report {
    let now = SystemTime::now();
    let answered: Arc<Vec<AtomicU64>> = Arc::new((0..RECORDS).map(|_| AtomicU64::new(1)).collect());
    for index in 0..RECORDS {
        let saved = one.save(&record(index, 1, TASKS, bytes, now), Expect::Absent, now).await;
        assert_eq!(saved.expect("the first save"), Saved::Saved);
    }
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let provider = if task % 2 == 0 { one.clone() } else { two.clone() };
        tasks.spawn(write(task, provider, answered.clone(), bytes, now));
    }
    let mut winners = BTreeMap::<(usize, u64), Vec<usize>>::new();
    let mut conflicts = Vec::new();
    let mut won = 0;
    while let Some(ended) = tasks.join_next().await {
        let (task, wins, losses) = ended.expect("a task without panic");
        won += wins.len();
        for win in wins {
            winners.entry(win).or_default().push(task);
        }
        conflicts.extend(losses);
    }
    for index in 0..RECORDS {
        let last = answered[index].load(Ordering::SeqCst);
        for version in 2..=last {
            let by = winners.get(&(index, version)).map_or(&[][..], Vec::as_slice);
            assert_eq!(by.len(), 1, "version {version} of record {index} was won by {by:?}");
        }
        let stored = two.fetch(&id(index), now).await.expect("the last fetch");
        assert_eq!(stored.map(|record| record.version), Some(last), "record {index} at the end");
    }
    for (index, conflict) in &conflicts {
        let writer = match conflict.version {
            1 => TASKS,
            version => winners.get(&(*index, version)).map_or(usize::MAX, |by| by[0]),
        };
        assert_eq!(
            *conflict,
            record(*index, conflict.version, writer, bytes, now),
            "a conflict handed back what the winner of its version did not write"
        );
    }
    Report { won, lost: conflicts.len() }
}

type Written = (usize, Vec<(usize, u64)>, Vec<(usize, Record)>);

async fn write(
    task: usize,
    provider: Arc<dyn Provider>,
    answered: Arc<Vec<AtomicU64>>,
    bytes: Bytes,
    now: SystemTime,
) -> Written {
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    let mut known = [1; RECORDS];
    for swap in 0..SWAPS / TASKS {
        let index = (task + swap) % RECORDS;
        let before = answered[index].load(Ordering::SeqCst);
        let expected: u64 = known[index];
        let mine = record(index, expected + 1, task, bytes, now);
        match provider.save(&mine, Expect::Version(expected), now).await.expect("an answer") {
            Saved::Saved => {
                assert!(
                    before <= expected,
                    "version {} of record {index} was won after {before} had been answered",
                    expected + 1
                );
                known[index] = expected + 1;
                answered[index].fetch_max(expected + 1, Ordering::SeqCst);
                won.push((index, expected + 1));
            }
            Saved::Conflict(Some(current)) => {
                assert!(
                    current.version > expected && current.version >= before,
                    "a save of version {} of record {index} met version {}, when {before} had \
                     been answered",
                    expected + 1,
                    current.version
                );
                known[index] = current.version;
                lost.push((index, current));
            }
            Saved::Conflict(None) => panic!("record {index} is gone, and nobody deleted it"),
        }
    }
    (task, won, lost)
}

fn id(index: usize) -> String {
    format!("race-{index}")
}

fn record(index: usize, version: u64, task: usize, bytes: Bytes, now: SystemTime) -> Record {
    let data = match bytes {
        Bytes::Different => format!("{version} of {task}"),
        Bytes::Equal => format!("{version}"),
    };
    let mut record = Record::new(id(index), version, data.into_bytes());
    let end = now + Duration::from_secs(3600);
    let millis = sessions::provider::to_unix_millis(end);
    record.expires_at = Some(sessions::provider::from_unix_millis(millis));
    record.format = "race/1".into();
    record
}
