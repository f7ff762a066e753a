//! Whatever the library tells of, captured: events and spans with every field.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::events::listen;

/// The events and spans of this thread, of every target and level, while it is alive.
#[derive(Debug)]
pub struct Telemetry {
    told: All,
    _guard: tracing::subscriber::DefaultGuard,
}

/// One event, one new span, or what was recorded in a span later.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whose it is.
    pub target: String,
    /// Its metadata's name.
    pub name: String,
    /// "event" or "span".
    pub kind: &'static str,
    /// In lower case.
    pub level: String,
    /// The fields that it can have, in the order of the source, but the message.
    pub fields: Vec<String>,
    /// The fields that it has.
    pub values: Vec<(String, String)>,
    /// The innermost span that it is in.
    pub span: Option<String>,
}

type All = Arc<Mutex<Vec<Told>>>;

impl Telemetry {
    /// From now on.
    #[must_use]
    pub fn capture() -> Self {
        let told = All::default();
        let subscriber = tracing_subscriber::registry().with(Capture(told.clone()));
        Self { told, _guard: listen(subscriber) }
    }

    /// What there was so far.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Told {
    /// The field's value.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// All that a log could show of it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} {} {}", self.target, self.name, self.fields.join(" "));
        for (name, value) in &self.values {
            // Writing to a string does not fail.
            let _ = write!(text, " {name}={value}");
        }
        text
    }

    fn new(kind: &'static str, metadata: &Metadata<'_>, values: Values) -> Self {
        Self {
            target: metadata.target().to_owned(),
            name: metadata.name().to_owned(),
            kind,
            level: metadata.level().as_str().to_lowercase(),
            fields: metadata
                .fields()
                .iter()
                .map(|field| field.name().to_owned())
                .filter(|name| name != "message")
                .collect(),
            values: values.0,
            span: None,
        }
    }
}

struct Capture(All);

impl Capture {
    fn push(&self, told: Told) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}

impl<S> Layer<S> for Capture
where
    S: Subscriber + for<'l> tracing_subscriber::registry::LookupSpan<'l>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        event.record(&mut values);
        let span = context.event_span(event).map(|span| span.name().to_owned());
        self.push(Told { span, ..Told::new("event", event.metadata(), values) });
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut values = Values::default();
        attributes.record(&mut values);
        self.push(Told::new("span", attributes.metadata(), values));
    }

    fn on_record(&self, span: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let mut values = Values::default();
        record.record(&mut values);
        if let Some(span) = context.span(span) {
            self.push(Told::new("span", span.metadata(), values));
        }
    }
}

#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Visit for Values {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
}
