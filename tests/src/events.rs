//! The library's events, captured.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The events of target "sessions" on this thread, while it is alive.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    _guard: tracing::subscriber::DefaultGuard,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Events {
    /// Those of this level or graver: each a line of `field=value`, its message among them.
    #[must_use]
    pub fn capture(level: Level) -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(Capture(level, lines.clone()));
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
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
