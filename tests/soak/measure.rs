//! What is measured each second, and what it says of the run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Times and failures of the second that is under way, and of those before. Its memory is taken at the
/// start, so that it does not grow beside what it measures.
pub(crate) struct Meter {
    start: Instant,
    times: Vec<AtomicU32>,
    failures: AtomicU32,
    seconds: Mutex<Vec<Second>>,
    wrong: Mutex<Vec<String>>,
    unknown: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Second {
    requests: u32,
    failures: u32,
    /// In microseconds.
    p99: u32,
    /// Memory of this process, in pages.
    resident: u32,
}

/// When a server was killed, and when it answered again, since the start.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) killed: Duration,
    pub(crate) up: Duration,
}

impl Meter {
    pub(crate) fn new(length: Duration) -> Self {
        let seconds = Vec::with_capacity(length.as_secs() as usize + 120);
        Self {
            start: Instant::now(),
            times: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            failures: AtomicU32::new(0),
            seconds: Mutex::new(seconds),
            wrong: Mutex::default(),
            unknown: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn record(&self, time: Duration, good: bool) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.times[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        if !good {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What must not happen.
    pub(crate) fn wrong(&self, text: String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < 20 {
            wrong.push(text);
        }
    }

    pub(crate) fn unknown(&self, error: &sessions::Error) {
        if self.unknown.fetch_add(1, Ordering::Relaxed) < 5 {
            println!("nobody knows what became of an update: {error}");
        }
    }

    /// Ends the second that is under way.
    pub(crate) fn tick(&self) {
        let counts: Vec<u32> =
            self.times.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let requests: u32 = counts.iter().sum();
        let mut left = requests.div_ceil(100);
        let p99 = counts.iter().enumerate().rev().find_map(|(bucket, count)| {
            left = left.saturating_sub(*count);
            (left == 0 && *count > 0).then(|| upper(bucket))
        });
        self.seconds.lock().unwrap().push(Second {
            requests,
            failures: self.failures.swap(0, Ordering::Relaxed),
            p99: p99.unwrap_or(0),
            resident: resident(),
        });
    }

    /// Looks at the whole run. It was calm until `calm`.
    pub(crate) fn verdict(&self, faults: &[Fault], calm: Duration, sums: Sums) -> Verdict {
        let seconds = self.seconds.lock().unwrap();
        // All seconds that no fault has to do with: other work on the machine changes what is normal.
        let of_a_fault = |second: usize| {
            let second = Duration::from_secs(second as u64);
            let near = |fault: &Fault| {
                fault.killed < second + Duration::from_secs(1) && second < fault.up + RECOVERY
            };
            faults.iter().any(near)
        };
        // The first seconds fill pools and caches.
        let calm_seconds = seconds.iter().enumerate().skip(2).filter(|(at, _)| !of_a_fault(*at));
        let normal = median(calm_seconds.map(|(_, second)| second.p99).collect());
        let most = (3 * normal).max(normal + ROOM);
        let mut slowest = Duration::ZERO;
        let mut wrong = self.wrong.lock().unwrap().clone();
        for fault in faults {
            let begin = fault.up.as_secs() as usize + 1;
            let good = |second: &Second| second.failures == 0 && second.p99 <= most;
            let back = seconds[begin.min(seconds.len())..].iter().position(good);
            let Some(back) = back else {
                wrong.push(format!("not back to normal after the fault at {:?}", fault.killed));
                continue;
            };
            let back = Duration::from_secs((begin + back + 1) as u64).saturating_sub(fault.up);
            if back > RECOVERY {
                let at = fault.killed;
                wrong.push(format!("slow for {back:?} after the fault at {at:?}"));
                for second in &seconds[at.as_secs() as usize..begin + back.as_secs() as usize] {
                    let Second { requests, failures, p99, .. } = second;
                    println!("{requests} requests, {failures} failed, p99 {} ms", p99 / 1000);
                }
            }
            slowest = slowest.max(back);
        }
        // As many seconds after the first minute as before the end.
        let warm = calm.as_secs() as usize;
        let sample = (seconds.len() / 10).max(5);
        let of = |part: &[Second]| median(part.iter().map(|it| it.resident).collect());
        let before = of(&seconds[warm..(warm + sample).min(seconds.len())]);
        let after = of(&seconds[seconds.len() - sample..]);
        let growth = f64::from(after) / f64::from(before) - 1.0;
        if growth > 0.05 {
            wrong.push(format!("the memory grew by {:.1} %", growth * 100.0));
        }
        if faults.is_empty() {
            wrong.push("no server was killed: the run is too short".to_owned());
        }
        if sums.stored < sums.acknowledged || sums.stored > sums.acknowledged + sums.unknown {
            wrong.push("the sums differ".to_owned());
        }
        Verdict {
            requests: seconds.iter().map(|it| u64::from(it.requests)).sum(),
            failures: seconds.iter().map(|it| u64::from(it.failures)).sum(),
            faults: faults.len(),
            normal,
            slowest,
            resident: [before, after].map(|pages| u64::from(pages) * 4 / 1024),
            growth,
            sums,
            wrong,
        }
    }
}

/// The updates of all counters.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) stored: u64,
}

pub(crate) struct Verdict {
    requests: u64,
    failures: u64,
    faults: usize,
    normal: u32,
    slowest: Duration,
    /// In MB, after a minute and at the end.
    resident: [u64; 2],
    growth: f64,
    sums: Sums,
    wrong: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(crate) fn print(&self, database: &str) {
        let Sums { acknowledged, unknown, stored } = self.sums;
        println!(
            "{database}: {} requests, {} of them failed or were tried again, {} faults; \
             p99 {:.1} ms, back to normal within {:.1} s; \
             memory {} MB, then {} MB ({:+.1} %); \
             {acknowledged} updates acknowledged, {unknown} unknown, {stored} stored",
            self.requests,
            self.failures,
            self.faults,
            f64::from(self.normal) / 1000.0,
            self.slowest.as_secs_f64(),
            self.resident[0],
            self.resident[1],
            self.growth * 100.0,
        );
        for wrong in &self.wrong {
            println!("{database}: WRONG: {wrong}");
        }
    }
}

/// Sixteen buckets for each power of two.
fn bucket(micros: u32) -> usize {
    let power = micros.max(16).ilog2();
    ((power as usize - 4) << 4) + (micros.max(16) >> (power - 4)) as usize - 16
}

/// The end of a bucket, in microseconds.
fn upper(bucket: usize) -> u32 {
    (((bucket as u32 & 15) + 17) << (bucket >> 4)).saturating_sub(1)
}

fn median(mut of: Vec<u32>) -> u32 {
    of.sort_unstable();
    of.get(of.len() / 2).copied().unwrap_or(0)
}

fn resident() -> u32 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0)
}

const BUCKETS: usize = 29 << 4;

/// A p99 of so many microseconds above the normal one is no fault's doing.
const ROOM: u32 = 25_000;

/// How long after a server answers again requests may be slow, or fail.
const RECOVERY: Duration = Duration::from_secs(10);
