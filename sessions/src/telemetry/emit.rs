//! How an event is written: its name, what it shows of a session, an error with its sources.

use crate::id::StoreKey;

/// One event: its name is that of its metadata, for filters, and a field, for logs.
macro_rules! emit {
    ($level:ident, $name:literal, { $($fields:tt)* }, $text:literal) => {
        tracing::event!(
            name: $name,
            target: "sessions",
            tracing::Level::$level,
            { event = $name, $($fields)* },
            $text
        )
    };
}
pub(super) use emit;

/// The part of a store key that is enough to find a session in a log.
pub(crate) fn log_id(key: &StoreKey) -> &str {
    key.as_str().get(..LOG_ID).unwrap_or_default()
}

/// How many characters of a store key a log shows.
const LOG_ID: usize = 10;

/// An error with its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
