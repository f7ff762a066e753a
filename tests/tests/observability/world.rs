//! What is captured while everything happens, and what must not be in it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt::Debug;

use metrics::{LocalRecorderGuard, SharedString, Unit};
use metrics_util::CompositeKey;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use sessions::testing::TestStore;
use sessions_tests::telemetry::{Telemetry, Told};

use crate::secrets::Secrets;

type Metric = (CompositeKey, Option<Unit>, Option<SharedString>, DebugValue);

pub(crate) struct World {
    pub(crate) secrets: Secrets,
    telemetry: Telemetry,
    snapshotter: Snapshotter,
    /// A snapshot takes the counters back to zero.
    metrics: RefCell<Vec<Metric>>,
    /// The texts of errors, the debug output of public types, and what is sent to browsers.
    shown: Vec<String>,
    _recorder: LocalRecorderGuard<'static>,
}

impl World {
    pub(crate) fn begin() -> Self {
        // A local recorder has to outlive its guard.
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        Self {
            secrets: Secrets::default(),
            telemetry: Telemetry::capture(),
            snapshotter: recorder.snapshotter(),
            metrics: RefCell::default(),
            shown: Vec::new(),
            _recorder: metrics::set_default_local_recorder(recorder),
        }
    }

    /// The ids and keys of a store.
    pub(crate) fn learn(&mut self, test: &TestStore) {
        for secret in test.secrets() {
            self.secrets.bytes(&secret);
        }
    }

    /// What an error says, and what its sources say.
    pub(crate) fn error(&mut self, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.shown.push(format!("an error's display: {error}"));
            self.shown.push(format!("an error's debug: {error:?} {error:#?}"));
            next = error.source();
        }
    }

    pub(crate) fn debug(&mut self, value: &dyn Debug) {
        self.shown.push(format!("debug: {value:?} {value:#?}"));
    }

    /// What a browser or a caller gets to see.
    pub(crate) fn shown(&mut self, text: String) {
        self.shown.push(text);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.telemetry.told()
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.metrics.borrow_mut();
        metrics.extend(
            self.snapshotter
                .snapshot()
                .into_vec()
                .into_iter()
                .filter(|(_, _, _, value)| !matches!(value, DebugValue::Counter(0))),
        );
        let copy = |(key, unit, text, value): &Metric| {
            let value = match value {
                DebugValue::Counter(count) => DebugValue::Counter(*count),
                DebugValue::Gauge(gauge) => DebugValue::Gauge(*gauge),
                DebugValue::Histogram(values) => DebugValue::Histogram(values.clone()),
            };
            (key.clone(), *unit, text.clone(), value)
        };
        metrics.iter().map(copy).collect()
    }

    /// A counter over all its labels.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let of_name = metrics.iter().filter(|(key, ..)| key.key().name() == name);
        let counts = of_name.map(|(.., value)| match value {
            DebugValue::Counter(count) => *count,
            other => panic!("{name} is no counter: {other:?}"),
        });
        counts.sum()
    }

    /// All there is to look through.
    pub(crate) fn texts(&self) -> BTreeSet<String> {
        let mut texts: BTreeSet<String> = self.shown.iter().cloned().collect();
        texts.extend(self.told().iter().map(Told::text));
        texts.extend(self.metrics().iter().map(|(key, unit, description, value)| {
            format!("{key:?} {unit:?} {description:?} {value:?}")
        }));
        texts
    }
}
