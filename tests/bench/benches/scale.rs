//! Many live sessions in memory: what each takes, and how long it takes to find one.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::fs;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions::__private::Header;
use sessions::provider::{Expect, Provider as _, Record};
use sessions::{MemoryProvider, SessionData as _};
use sessions_bench::report::{Part, nanos, ratio};
use sessions_bench::rounds::Rounds;
use sessions_bench::visitor::Visitor;

const SCALES: [u32; 3] = [1_000, 100_000, 1_000_000];

fn main() {
    let mut part = Part::new("6-scale", "Scale");
    part.say(
        "Live sessions in `MemoryProvider`, each with a different owner. \"Memory\" is the \
         growth of the process for each session, including the bytes of its record. \"Fetch\" \
         is a fetch of a random session.",
    );
    let providers = SCALES.map(|count| {
        let before = resident();
        let provider = filled(count);
        (count, (resident() - before) / f64::from(count), provider)
    });
    let now = SystemTime::now();
    let rounds = Rounds::measure(|round| {
        for (count, _, provider) in &providers {
            let mut random = StdRng::seed_from_u64(7);
            round.bench(&format!("scale/fetch/{count}"), || {
                let id = id(random.random_range(0..*count));
                ready(provider.fetch(black_box(&id), now)).unwrap().unwrap()
            });
        }
        let mut random = StdRng::seed_from_u64(7);
        round.bench("scale/id", || id(random.random_range(0..1_000_000)));
    });
    let name = |count: u32| format!("scale/fetch/{count}");
    let least = name(SCALES[0]);
    // Making up an id is no part of it.
    let fetch = |name: &str| rounds.median(|times| Some(times(name)? - times("scale/id")?));
    let rows = providers.iter().map(|(count, memory, _)| {
        vec![
            count.to_string(),
            format!("{memory:.0} bytes"),
            nanos(fetch(&name(*count))),
            ratio(rounds.ratio(&name(*count), &least)),
        ]
    });
    part.say(&format!("A record has {} bytes.", data().len()));
    part.table(&["sessions", "memory for each", "fetch", "to the least"], rows);
    part.write();
}

fn filled(count: u32) -> MemoryProvider {
    let provider = MemoryProvider::new();
    let now = SystemTime::now();
    for number in 0..count {
        let mut record = Record::new(id(number), 1, data());
        record.format = "visitor/1".into();
        record.owner = Some(format!("app/visitor/{number}").into());
        // Requests come at different times.
        record.expires_at = Some(now + Duration::from_millis(1_000_000_000 + u64::from(number)));
        ready(provider.save(&record, Expect::Absent, now)).unwrap();
    }
    provider
}

/// As long and as random as a session's.
fn id(number: u32) -> String {
    let mut random = StdRng::seed_from_u64(number.into());
    (0..43).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}

/// Of a session that was saved eight times.
fn data() -> Vec<u8> {
    let mut header = Header::new(SystemTime::now());
    header.saves = (1..=8).map(|n| u64::MAX / n).collect();
    Visitor::filled(Some(7)).fields().unwrap().to_data(&header).unwrap().to_vec()
}

/// How many bytes of memory this process holds.
fn resident() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: f64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as f64
}

/// Memory is at hand: one poll is all it takes.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the call waited"),
    }
}
