//! The library's events, captured.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The events of target "sessions" on this thread, while it is alive.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    _guard: DefaultGuard,
}

/// Gives this thread's events to a subscriber until the guard is dropped.
pub(crate) fn listen(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    LazyLock::force(&UNDECIDED);
    tracing::subscriber::set_default(subscriber)
}

/// Subscribers that keep tracing from deciding about an event once and for all. When an event comes
/// up for the first time, tracing asks the subscribers whether it is of interest, and remembers the
/// answer; a single one is only asked on its own thread. Without these two, an event that came up
/// first on another test's thread would be of no interest on the thread that listens.
static UNDECIDED: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [Undecided, Undecided].map(Dispatch::new));

struct Undecided;

impl Subscriber for Undecided {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Events {
    /// Those of this level or graver: each a line of `field=value`, its message among them.
    #[must_use]
    pub fn capture(level: Level) -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(Capture(level, lines.clone()));
        Self { lines, _guard: listen(subscriber) }
    }

    /// Those since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Capture(Level, Lines);

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "sessions" && *metadata.level() <= self.0 {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.1.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
