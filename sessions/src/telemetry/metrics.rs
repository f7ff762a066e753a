//! The metrics: their names, what they mean, and how they are counted. Without the feature
//! `metrics` nothing is.

#![cfg_attr(not(feature = "metrics"), allow(dead_code, unused_variables))]

use super::labels::{CallOutcome, Operation, TokenRefusal};

/// A counter, gauge or histogram.
pub(super) struct Metric {
    name: &'static str,
    kind: MetricKind,
    unit: Unit,
    text: &'static str,
}

enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

enum Unit {
    Count,
    Seconds,
}

macro_rules! metrics {
    ($($metric:ident = $kind:ident $unit:ident $name:literal, $text:literal;)*) => {
        $(pub(super) static $metric: Metric =
            Metric { name: $name, kind: MetricKind::$kind, unit: Unit::$unit, text: $text };)*
        static ALL: &[&Metric] = &[$(&$metric),*];
    };
}

// By the conventions of Prometheus: the library's name first, `_total` for what only grows, base
// units. Labels have few values: names from the program, and the words of this module.
metrics! {
    LOADS = Counter Count "sessions_loads_total", "sessions loaded for requests";
    COMMITS = Counter Count "sessions_commits_total", "sessions committed after requests";
    DURATION = Histogram Seconds "sessions_call_duration_seconds",
        "time that a call of the store or the key ring took";
    CREATED = Counter Count "sessions_created_total", "new sessions saved";
    CONFLICTS = Counter Count "sessions_conflicts_total", "saves that met a conflict";
    MERGES = Counter Count "sessions_merges_total", "merges with a concurrent save";
    OVERWRITTEN = Counter Count "sessions_overwritten_fields_total",
        "fields that a merge overwrote";
    MERGES_REFUSED = Counter Count "sessions_merges_refused_total",
        "merges that a field's policy refused";
    RENEWALS = Counter Count "sessions_renewals_total", "sessions that got a new secret";
    ENDED = Counter Count "sessions_ended_total", "sessions ended before they expired";
    DEVICE_PROOFS = Counter Count "sessions_device_proofs_total",
        "answers to browsers that register or prove a device";
    DEVICE_UNPROVEN = Counter Count "sessions_device_unproven_total",
        "requests for a bound session without a recent proof";
    TOUCHES = Counter Count "sessions_touches_total", "expiries moved";
    DROPPED = Counter Count "sessions_changes_dropped_total", "changes that were not saved";
    COOKIES_REFUSED = Counter Count "sessions_cookies_refused_total",
        "cookies that match no session";
    TOKENS_REFUSED = Counter Count "sessions_tokens_refused_total", "tokens that did not open";
    PURGED = Counter Count "sessions_purged_records_total", "expired records removed";
    PURGES_FAILED = Counter Count "sessions_purge_failures_total",
        "rounds of the purge task that failed";
    FEEDS_LOST = Counter Count "sessions_feeds_lost_total",
        "times that the provider stopped telling of changes";
    CACHE_MISSES = Counter Count "sessions_cache_misses_total",
        "loads that asked the database in spite of the cache";
    KEYS_CREATED = Counter Count "sessions_keys_created_total", "keys added to the key ring";
    KEYS_CLOSED = Counter Count "sessions_key_unwrap_failures_total",
        "keys that the key service did not unwrap";
    RING_REPAIRS = Counter Count "sessions_key_ring_repairs_total",
        "key ring records that were not what they should be";
    RING_READ = Gauge Seconds "sessions_key_ring_read_timestamp_seconds",
        "unix time at which this host read the key ring last";
}

#[cfg(not(feature = "metrics"))]
mod counting {
    use super::{CallOutcome, Metric, Operation, TokenRefusal};

    pub(crate) struct Tallies;

    impl Tallies {
        pub(crate) fn new(_: &'static str) -> Self {
            Self
        }

        pub(in super::super) fn count(&self, _: Operation, _: CallOutcome) {}

        pub(in super::super) fn count_created(&self) {}
    }

    pub(crate) struct Refusals;

    impl Refusals {
        pub(crate) fn new(_: &str) -> Self {
            Self
        }

        pub(in super::super) fn count(&self, _: TokenRefusal) {}
    }

    pub(in super::super) struct Timer;

    impl Timer {
        pub(in super::super) fn start() -> Self {
            Self
        }

        pub(in super::super) fn stop(&self, _: Operation, _: CallOutcome) {}
    }

    pub(in super::super) fn add(_: &Metric, _: u64, _: &[(&'static str, &str)]) {}

    pub(in super::super) fn set(_: &Metric, _: f64, _: &[(&'static str, &str)]) {}
}

#[cfg(feature = "metrics")]
mod counting {
    use std::sync::LazyLock;
    use std::time::Instant;

    use metrics::{Key, Label, Level, Metadata, with_recorder};

    use super::{
        ALL, COMMITS, CREATED, CallOutcome, DURATION, LOADS, Metric, MetricKind, Operation,
        TOKENS_REFUSED, TokenRefusal, Unit,
    };

    /// The keys of a session type's frequent counters, made once: no request allocates for them.
    pub(crate) struct Tallies {
        loads: Vec<Key>,
        commits: Vec<Key>,
        created: Key,
    }

    impl Tallies {
        pub(crate) fn new(session: &'static str) -> Self {
            let keys = |metric: &Metric| {
                let key = |ended: &CallOutcome| {
                    let labels = [("session", session), ("outcome", ended.word())];
                    Key::from_parts(metric.name, labels.as_slice())
                };
                CallOutcome::ALL.iter().map(key).collect()
            };
            let created = Key::from_parts(CREATED.name, [("session", session)].as_slice());
            Self { loads: keys(&LOADS), commits: keys(&COMMITS), created }
        }

        pub(in super::super) fn count_created(&self) {
            with_recorder(|it| it.register_counter(&self.created, &METADATA).increment(1));
        }

        pub(in super::super) fn count(&self, call: Operation, ended: CallOutcome) {
            let keys = match call {
                Operation::Load => &self.loads,
                Operation::Commit => &self.commits,
                _ => return,
            };
            if let Some(key) = keys.get(ended as usize) {
                with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
            }
        }
    }

    /// The keys of an app's counters of refused tokens: whoever sends forged ones must not make
    /// the process allocate for each.
    pub(crate) struct Refusals(Vec<Key>);

    impl Refusals {
        pub(crate) fn new(app: &str) -> Self {
            let keys = TokenRefusal::ALL.iter();
            Self(
                keys.map(|it| key(&TOKENS_REFUSED, &[("app", app), ("reason", it.word())]))
                    .collect(),
            )
        }

        pub(in super::super) fn count(&self, reason: TokenRefusal) {
            if let Some(key) = self.0.get(reason as usize) {
                with_recorder(|it| it.register_counter(key, &METADATA).increment(1));
            }
        }
    }

    /// Takes the time of a call.
    pub(in super::super) struct Timer(Instant);

    impl Timer {
        pub(in super::super) fn start() -> Self {
            Self(Instant::now())
        }

        pub(in super::super) fn stop(&self, call: Operation, ended: CallOutcome) {
            static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
                let key = |call: &Operation, ended: &CallOutcome| {
                    let labels = [("call", call.word()), ("outcome", ended.word())];
                    Key::from_parts(DURATION.name, labels.as_slice())
                };
                let keys = Operation::ALL
                    .iter()
                    .map(|call| CallOutcome::ALL.iter().map(move |it| key(call, it)));
                keys.flatten().collect()
            });
            if let Some(key) = KEYS.get(call as usize * CallOutcome::ALL.len() + ended as usize) {
                let time = self.0.elapsed();
                with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(time));
            }
        }
    }

    pub(in super::super) fn add(metric: &Metric, by: u64, labels: &[(&'static str, &str)]) {
        let key = key(metric, labels);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(by));
    }

    pub(in super::super) fn set(metric: &Metric, to: f64, labels: &[(&'static str, &str)]) {
        let key = key(metric, labels);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(to));
    }

    fn key(metric: &Metric, labels: &[(&'static str, &str)]) -> Key {
        let label = |(name, value): &(&'static str, &str)| Label::new(*name, (*value).to_owned());
        Key::from_parts(metric.name, labels.iter().map(label).collect::<Vec<_>>())
    }

    /// Tells the exporter what the metrics mean.
    pub(crate) fn describe() {
        with_recorder(|recorder| {
            for metric in ALL {
                let (name, text) = (metric.name.into(), metric.text.into());
                let unit = Some(match metric.unit {
                    Unit::Count => metrics::Unit::Count,
                    Unit::Seconds => metrics::Unit::Seconds,
                });
                match metric.kind {
                    MetricKind::Counter => recorder.describe_counter(name, unit, text),
                    MetricKind::Gauge => recorder.describe_gauge(name, unit, text),
                    MetricKind::Histogram => recorder.describe_histogram(name, unit, text),
                }
            }
        });
    }

    static METADATA: Metadata<'static> = Metadata::new("sessions", Level::INFO, Some("sessions"));
}

#[cfg(feature = "metrics")]
pub(crate) use self::counting::describe;
pub(crate) use self::counting::{Refusals, Tallies};
pub(super) use self::counting::{Timer, add, set};
