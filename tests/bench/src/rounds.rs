//! Times measured by criterion in rounds: a round times everything once, so that what is compared
//! was measured within seconds. Of the ratios of all rounds the median counts.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// How often everything is timed.
pub const ROUNDS: usize = 5;

/// The time that this thread had the processor: others on the machine take nothing of it.
#[derive(Clone, Copy, Debug)]
pub struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, two: &Duration) -> Duration {
        *one + *two
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// One round's times, by name, in nanoseconds.
type Times = BTreeMap<String, f64>;

/// The times of all rounds.
#[derive(Debug)]
pub struct Rounds(Vec<Times>);

/// The round that is being measured.
pub struct Round<'c> {
    criterion: &'c mut Criterion<ThreadTime>,
    times: Times,
}

impl Rounds {
    /// Measures with what was asked for on the command line, as every criterion bench does.
    pub fn measure(mut all: impl FnMut(&mut Round<'_>)) -> Self {
        let rounds = (0..ROUNDS).map(|_| {
            let mut criterion = Criterion::default()
                .with_measurement(ThreadTime)
                .sample_size(20)
                .warm_up_time(Duration::from_millis(100))
                .measurement_time(Duration::from_millis(300))
                .configure_from_args()
                .without_plots();
            let mut round = Round { criterion: &mut criterion, times: Times::new() };
            all(&mut round);
            round.times
        });
        Self(rounds.collect())
    }

    /// The median over the rounds of what `of` makes of one round's times; `None` where what it
    /// asks for was not measured.
    pub fn median(&self, of: impl Fn(&dyn Fn(&str) -> Option<f64>) -> Option<f64>) -> Option<f64> {
        let found = self.0.iter().map(|times| of(&|name| times.get(name).copied()));
        Some(median(found.collect::<Option<_>>()?))
    }

    /// The median time of this name, in nanoseconds.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<f64> {
        self.median(|times| times(name))
    }

    /// The median ratio between the times of two names.
    #[must_use]
    pub fn ratio(&self, one: &str, two: &str) -> Option<f64> {
        self.median(|times| Some(times(one)? / times(two)?))
    }
}

impl Round<'_> {
    /// Times what `run` does so many times; it says how long that took.
    pub fn bench_with(&mut self, name: &str, mut run: impl FnMut(u64) -> Duration) {
        let mut samples = Vec::new();
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let time = run(count);
                samples.push(time.as_nanos() as f64 / count as f64);
                time
            });
        });
        // Nothing was measured if the command line asked for others.
        if !samples.is_empty() {
            self.times.insert(name.to_owned(), median(samples));
        }
    }

    /// Times `once`.
    pub fn bench<R>(&mut self, name: &str, mut once: impl FnMut() -> R) {
        self.bench_with(name, |count| {
            thread_time(|| {
                for _ in 0..count {
                    black_box(once());
                }
            })
        });
    }
}

/// How long this thread had the processor for `run`.
pub fn thread_time(run: impl FnOnce()) -> Duration {
    let start = ThreadTime.start();
    run();
    ThreadTime.end(start)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
