//! A hundred hosts, and a thousand, for a year on one store that fails, with clocks that are off.
//!
//! Every run is decided by its seed. `SESSIONS_SIMULATION_SEED` runs another one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Builder;

use super::support::{DAY, HostClock};
use crate::clock::{Clock, ManualClock, from_unix_millis, to_unix_millis};
use crate::codec::Codec;
use crate::crypto::purpose::Purpose;
use crate::error::Error;
use crate::keyring::record::stored_keys;
use crate::keyring::ring::KeyId;
use crate::keyring::settings::Settings;
use crate::memory::MemoryProvider;
use crate::provider::{Deleted, Expect, Provider, ProviderError, Record, Saved};
use crate::random::Random;

const DAYS: u64 = 365;
const START: u64 = 1_767_225_600;
const HOUR: u64 = 3600;
/// How far a clock may be off, in seconds.
const OFF: i64 = 300;
const MAX_AGE: u64 = 30 * 24 * HOUR;
/// How long after a fault of its own a host may still say that it is unavailable: the longest
/// back-off, and a little.
const AFTERMATH: u64 = 120;

/// What is simulated.
#[derive(Clone)]
struct Shape {
    hosts: usize,
    /// How long a host pauses between two requests, when something is about to happen and otherwise.
    hot: Range<u64>,
    calm: Range<u64>,
    /// Whether the store fails, and hosts start, stop and sleep.
    faults: bool,
    /// Whether the record is lost, and an old copy restored. Then whoever writes it first decides its
    /// generation, and a host that has a later one, and whose next read fails, refuses keys made since.
    /// Among a thousand hosts that are idle for days some do.
    disasters: bool,
    /// Whether a request opens tokens too.
    opens: bool,
}

/// Without optimisation the requests are fewer, the hosts and the year the same.
const HUNDRED: Shape = Shape {
    hosts: 100,
    hot: if cfg!(debug_assertions) { 60..360 } else { 30..180 },
    calm: if cfg!(debug_assertions) { HOUR..12 * HOUR } else { 600..2 * HOUR },
    faults: true,
    disasters: true,
    opens: true,
};

/// Ten times the hosts make half as many requests together.
const THOUSAND: Shape = Shape {
    hosts: 1_000,
    hot: if cfg!(debug_assertions) { 600..3_600 } else { 300..1_800 },
    calm: if cfg!(debug_assertions) { 24 * HOUR..240 * HOUR } else { 6 * HOUR..24 * HOUR },
    disasters: false,
    ..HUNDRED
};

/// A thousand hosts that are never idle for long, on a store that does not fail.
const BUSY: Shape =
    Shape { hosts: 1_000, hot: 5..15, calm: 5..15, faults: false, disasters: false, opens: false };

/// What a run found.
#[derive(Debug, Default)]
struct Report {
    calls: u64,
    /// Valid tokens that were refused, invalid ones that were not, and calls that failed without
    /// a fault.
    wrong: Vec<String>,
    unavailable: u64,
    fetches: u64,
    /// What the hosts tried to write.
    saves: u64,
    keys: BTreeMap<KeyId, (u64, u64)>,
}

/// The store of all hosts.
struct Store {
    inner: MemoryProvider,
    clock: ManualClock,
    rng: Mutex<StdRng>,
    outages: Vec<Range<u64>>,
    faults: bool,
    fetches: AtomicU64,
    saves: AtomicU64,
    /// The record as it was, newest last: for reads that lag, and to restore an old copy.
    history: Mutex<Vec<(u64, Record)>>,
    /// When the newest keys activate and retire.
    newest: Mutex<Vec<(u64, u64)>>,
}

/// A host's connection to it.
struct Link {
    store: Arc<Store>,
    last_fault: AtomicU64,
}

enum Fault {
    None,
    Lag,
    LostAnswer,
}

impl Store {
    fn now(&self) -> u64 {
        to_unix_millis(self.clock.now()) / 1000
    }

    fn is_down(&self, now: u64) -> bool {
        self.outages.iter().any(|outage| outage.contains(&now))
    }
}

impl Link {
    async fn pass(&self) -> Result<Fault, ProviderError> {
        if !self.store.faults {
            return Ok(Fault::None);
        }
        let now = self.store.now();
        let dice = self.store.rng.lock().unwrap().random_range(0..1000);
        let dice = if self.store.is_down(now) { dice % 30 } else { dice };
        if dice < 50 {
            self.last_fault.store(now, Ordering::SeqCst);
        }
        match dice {
            0..20 => Err(ProviderError::unavailable("connection refused")),
            20..30 => std::future::pending().await,
            30..50 => Ok(Fault::LostAnswer),
            50..70 => Ok(Fault::Lag),
            _ => Ok(Fault::None),
        }
    }
}

#[async_trait]
impl Provider for Link {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.store.fetches.fetch_add(1, Ordering::SeqCst);
        let fault = self.pass().await?;
        let found = self.store.inner.fetch(id, now).await?;
        if matches!(fault, Fault::Lag) && found.is_some() {
            let history = self.store.history.lock().unwrap();
            let then = self.store.now() - 60;
            let old = history.iter().rev().find(|(at, _)| *at <= then);
            return Ok(old.map(|(_, record)| record.clone()).or(found));
        }
        Ok(found)
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.store.saves.fetch_add(1, Ordering::SeqCst);
        let fault = self.pass().await?;
        let saved = self.store.inner.save(record, expect, now).await?;
        if saved == Saved::Saved {
            self.store.history.lock().unwrap().push((self.store.now(), record.clone()));
            let newest = stored_keys(&record.data).into_iter().take(2);
            *self.store.newest.lock().unwrap() = newest.map(|(_, from, to)| (from, to)).collect();
        }
        match fault {
            Fault::LostAnswer => Err(ProviderError::unavailable("the connection was cut")),
            Fault::None | Fault::Lag => Ok(saved),
        }
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.store.inner.delete(id, expect, now).await
    }
}

/// A process: gone when it is stopped; when it sleeps it keeps its memory.
struct Host {
    codec: Codec,
    link: Arc<Link>,
    offset: Arc<AtomicI64>,
}

struct Token {
    text: String,
    /// By the clock of the host that sealed it.
    issued_at: u64,
}

struct World {
    rng: StdRng,
    clock: ManualClock,
    store: Arc<Store>,
    shape: Shape,
    change: fn(&mut Settings),
    purpose: Purpose,
    hosts: Vec<Option<Host>>,
    recent: VecDeque<Token>,
    /// A sample of all, the oldest first.
    archive: VecDeque<Token>,
    report: Report,
    /// Stops when so many things went wrong.
    enough: usize,
}

impl World {
    fn new(shape: Shape, seed: u64, change: fn(&mut Settings)) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let clock = ManualClock::new(from_unix_millis(START * 1000));
        let outages = (0..60).map(|_| {
            let start = START + rng.random_range(HOUR..DAYS * 24 * HOUR);
            start..start + rng.random_range(60..=HOUR)
        });
        let store = Arc::new(Store {
            inner: MemoryProvider::new(),
            clock: clock.clone(),
            outages: outages.collect(),
            rng: Mutex::new(StdRng::seed_from_u64(seed ^ 1)),
            faults: shape.faults,
            fetches: AtomicU64::new(0),
            saves: AtomicU64::new(0),
            history: Mutex::default(),
            newest: Mutex::default(),
        });
        let hosts = (0..shape.hosts).map(|_| None).collect();
        Self {
            rng,
            clock,
            store,
            shape,
            change,
            purpose: Purpose::session("visitor"),
            hosts,
            recent: VecDeque::new(),
            archive: VecDeque::new(),
            report: Report::default(),
            enough: 100,
        }
    }

    async fn run(mut self, length: u64) -> Report {
        let end = START + length;
        let lost = START + self.rng.random_range(80..150) * 24 * HOUR;
        let restored = START + self.rng.random_range(200..300) * 24 * HOUR;
        let mut queue: BinaryHeap<_> = (0..self.shape.hosts)
            .map(|host| Reverse((START + self.rng.random_range(0..60), host)))
            .collect();
        let mut disasters = if self.shape.disasters { vec![restored, lost] } else { Vec::new() };
        while let Some(Reverse((now, index))) = queue.pop() {
            if now > end || self.report.wrong.len() >= self.enough {
                break;
            }
            if disasters.last().is_some_and(|at| *at <= now) {
                self.disaster(disasters.len() == 2).await;
                disasters.pop();
            }
            self.clock.set(from_unix_millis(now * 1000));
            let pause = match self.fate(index) {
                Some(pause) => pause,
                None => {
                    self.work(index).await;
                    let hot = [lost, restored]
                        .iter()
                        .any(|at| (0..1800).contains(&now.wrapping_sub(*at)));
                    if hot || self.is_hot(now) {
                        self.rng.random_range(self.shape.hot.clone())
                    } else {
                        self.rng.random_range(self.shape.calm.clone())
                    }
                }
            };
            queue.push(Reverse((now + pause, index)));
        }
        for (_, record) in self.store.history.lock().unwrap().iter() {
            for (id, activate, retire) in stored_keys(&record.data) {
                self.report.keys.insert(id, (activate, retire));
            }
        }
        self.report.fetches = self.store.fetches.load(Ordering::SeqCst);
        self.report.saves = self.store.saves.load(Ordering::SeqCst);
        self.report
    }

    /// The record is lost, or replaced by a copy that is some weeks old.
    async fn disaster(&mut self, lost: bool) {
        let now = self.store.now();
        if lost {
            self.store.inner.delete("app:keys", Expect::Any, SystemTime::UNIX_EPOCH).await.unwrap();
            return;
        }
        let then = now - self.rng.random_range(10..40) * 24 * HOUR;
        let copy = {
            let history = self.store.history.lock().unwrap();
            history.iter().rev().find(|(at, _)| *at <= then).map(|(_, copy)| copy.clone())
        };
        self.store.inner.save(&copy.unwrap(), Expect::Any, self.clock.now()).await.unwrap();
    }

    /// Whether something is about to happen, or just happened, so that calls should come often.
    fn is_hot(&self, now: u64) -> bool {
        let near = |at: u64, before: u64, after: u64| at <= now + before && now <= at + after;
        let rotates = |(activate, retire): &(u64, u64)| {
            near(*activate, 1200, 2400) || near(retire - 75 * 60, 1200, 1200)
        };
        self.store.newest.lock().unwrap().iter().any(rotates)
            || self.store.outages.iter().any(|outage| {
                near(outage.start, 600, 0) || near(outage.end, 0, 1200) || outage.contains(&now)
            })
    }

    /// Starts, stops and sleeps: how long the host is away, if it is.
    fn fate(&mut self, index: usize) -> Option<u64> {
        if self.hosts[index].is_none() {
            self.hosts[index] = Some(self.start());
        }
        if !self.shape.faults {
            return None;
        }
        let hours = |rng: &mut StdRng, most| rng.random_range(0..most * HOUR) + 1;
        match self.rng.random_range(0..20_000) {
            0..20 => {
                // A restart, or a host that is taken away for days.
                self.hosts[index] = None;
                let most = [1, 24 * 10][usize::from(self.rng.random_bool(0.3))];
                Some(hours(&mut self.rng, most))
            }
            20..40 => Some(hours(&mut self.rng, 24 * 10)),
            40..60 => {
                let offset = self.rng.random_range(-OFF..=OFF);
                let host = self.hosts[index].as_ref().unwrap();
                host.offset.store(offset, Ordering::SeqCst);
                None
            }
            _ => None,
        }
    }

    fn start(&mut self) -> Host {
        let link = Arc::new(Link { store: self.store.clone(), last_fault: AtomicU64::new(0) });
        let offset = Arc::new(AtomicI64::new(self.rng.random_range(-OFF..=OFF)));
        let clock = HostClock { world: self.clock.clone(), offset_secs: offset.clone() };
        let jitter = self.rng.random();
        let mut settings = Settings::new(Duration::from_secs(MAX_AGE), 7 * DAY, jitter).unwrap();
        (self.change)(&mut settings);
        let ring = Codec::builder(link.clone())
            .clock(clock)
            .random(Random::seeded(self.rng.random()))
            .with_settings(settings);
        let codec = Codec { ring };
        Host { codec, link, offset }
    }

    /// One request: opens some tokens and seals one.
    async fn work(&mut self, index: usize) {
        let host = self.hosts[index].as_ref().unwrap();
        let now = self.store.now();
        let local = now.saturating_add_signed(host.offset.load(Ordering::SeqCst));
        let excused = || now - host.link.last_fault.load(Ordering::SeqCst) <= AFTERMATH;
        let mut picks: Vec<&Token> = Vec::new();
        for pool in [&self.recent, &self.archive] {
            if !pool.is_empty() {
                picks.push(&pool[self.rng.random_range(0..pool.len())]);
            }
        }
        picks.extend(self.recent.back());
        picks.extend(self.archive.front());
        if !self.shape.opens {
            picks.clear();
        }
        let mut wrong = Vec::new();
        for token in picks {
            self.report.calls += 1;
            let opened = host
                .codec
                .open_short(&self.purpose, token.text.as_bytes(), |it| {
                    <[u8; 16]>::try_from(it).ok()
                })
                .await;
            let age = local.saturating_sub(token.issued_at);
            let fine = match &opened {
                Ok(_) => age <= MAX_AGE,
                Err(Error::InvalidToken) => age > MAX_AGE,
                Err(error) => {
                    self.report.unavailable += 1;
                    error.is_unavailable() && excused()
                }
            };
            if !fine {
                let key = super::support::key_of(&token.text);
                wrong.push(format!("{now}: host {index}, key {key}, age {age}: {opened:?}"));
            }
        }
        self.report.calls += 1;
        match host.codec.seal(&self.purpose, &[7; 16]).await {
            Ok(text) => {
                if self.rng.random_range(0..100) == 0 {
                    self.archive.push_back(Token { text: text.clone(), issued_at: local });
                }
                self.recent.push_back(Token { text, issued_at: local });
            }
            Err(error) if error.is_unavailable() && excused() => self.report.unavailable += 1,
            Err(error) => wrong.push(format!("{now}: host {index}: sealing: {error:?}")),
        }
        host.codec.ring.idle().await;
        if self.recent.len() > 200 {
            self.recent.pop_front();
        }
        let dead = now.saturating_sub(MAX_AGE + 4 * OFF.unsigned_abs());
        while self.archive.front().is_some_and(|token| token.issued_at < dead) {
            self.archive.pop_front();
        }
        self.report.wrong.extend(wrong);
    }
}

fn simulate(shape: Shape, seed: u64, length: u64, change: fn(&mut Settings)) -> Report {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let hosts = shape.hosts;
    let world = World::new(shape, seed, change);
    let start = std::time::Instant::now();
    let report = runtime.block_on(world.run(length));
    println!(
        "{hosts} hosts, seed {seed}: {} calls, {} unavailable, {} wrong, {} fetches, {} saves, \
         {} keys, {:?}",
        report.calls,
        report.unavailable,
        report.wrong.len(),
        report.fetches,
        report.saves,
        report.keys.len(),
        start.elapsed(),
    );
    report
}

fn seed() -> u64 {
    let chosen = std::env::var("SESSIONS_SIMULATION_SEED").ok();
    chosen.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// A year in which no valid token is refused, and one key is made a period.
fn assert_good_year(shape: Shape) {
    let seed = seed();
    let report = simulate(shape, seed, DAYS * 24 * HOUR, |_| {});
    let first: Vec<_> = report.wrong.iter().take(10).collect();
    assert!(first.is_empty(), "seed {seed}: {first:#?}");
    assert!(report.calls > 300_000, "seed {seed}: {} calls", report.calls);
    let mut keys: Vec<_> = report.keys.values().collect();
    keys.sort();
    for pair in keys.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "seed {seed}: two keys in one period: {pair:?}");
    }
    assert!(keys.len() as u64 <= DAYS / 7 + 2, "seed {seed}: {} keys", keys.len());
}

#[test]
fn a_year_of_a_hundred_hosts_refuses_no_valid_token_and_makes_one_key_a_period() {
    assert_good_year(HUNDRED);
}

#[test]
fn a_year_of_a_thousand_hosts_refuses_no_valid_token_and_makes_one_key_a_period() {
    assert_good_year(THOUSAND);
}

/// Each host reads the ring at most once in four minutes, however many requests it has: the guide's
/// page on large services counts on it.
#[test]
fn a_thousand_busy_hosts_read_the_ring_four_times_a_second() {
    let seed = seed();
    let report = simulate(BUSY, seed, HOUR, |_| {});
    assert!(report.wrong.is_empty(), "seed {seed}: {:#?}", report.wrong.first());
    assert!(report.calls > 300_000, "seed {seed}: {} calls", report.calls);
    let a_second = report.fetches as f64 / HOUR as f64;
    println!("{a_second:.2} reads a second");
    assert!((3.3..=4.5).contains(&a_second), "seed {seed}: {a_second:.2} reads a second");
    assert_eq!(report.keys.len(), 1, "seed {seed}");
}

#[test]
fn the_simulation_finds_what_too_short_a_propagation_breaks() {
    let seed = seed();
    let report = simulate(HUNDRED, seed, DAYS * 24 * HOUR, |settings| {
        settings.propagation = 60;
        settings.lead = 60 + settings.lead % 30;
        settings.look_for_unknown = false;
    });
    assert!(report.wrong.len() >= 100, "seed {seed}: only {} wrong", report.wrong.len());
}
