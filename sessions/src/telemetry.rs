//! What is reported of what happens inside: each happening is one function here, which makes its
//! `tracing` event and, with the feature `metrics`, counts it. So the two cannot drift apart, and
//! the guide's page on observability is checked against them.
//!
//! Events and spans have the target "sessions" and a stable name. None holds a secret: sessions
//! appear as the first characters of their hashed ids, fields by their names.

#[cfg(feature = "dbsc")]
mod device;
pub(crate) mod emit;
pub(crate) mod event;
pub(crate) mod keys;
pub(crate) mod labels;
pub(crate) mod metrics;
pub(crate) mod session;
pub(crate) mod span;

pub(crate) use self::keys::*;
