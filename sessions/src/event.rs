//! What happens inside, told in one place: each happening is a function here, which makes its
//! `tracing` event and, with the feature `metrics`, counts it. So the two cannot drift apart, and
//! the guide's page on observability is checked against them.
//!
//! Events and spans have the target "sessions" and a stable name. None holds a secret: sessions
//! appear as the first characters of their hashed ids, fields by their names.

pub(crate) mod call;
pub(crate) mod keys;
pub(crate) mod meter;
pub(crate) mod session;

pub(crate) use self::call::{Call, Ended, Fault, observe};
pub(crate) use self::keys::*;
#[cfg(feature = "metrics")]
pub(crate) use self::meter::describe;
pub(crate) use self::meter::{Refusals, Refused, Tallies};
pub(crate) use self::session::*;
use crate::id::StoreKey;

/// One event: its name is that of its metadata, for filters, and a field, for logs.
macro_rules! tell {
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
use tell;

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
