//! The key ring of an app: one record in the provider, a snapshot of it in each process, and the
//! tasks that keep both in step. Beside it the epoch, a record that ends everybody's sessions.

#[cfg(feature = "conformance")]
pub mod conformance;
pub(crate) mod encryption;
pub(crate) mod epoch;
pub(crate) mod epochs;
pub(crate) mod flight;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod local_key;
pub(crate) mod plan;
pub(crate) mod recipient_set;
pub(crate) mod recipients;
pub(crate) mod record;
pub(crate) mod refresh;
pub(crate) mod ring;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod timed;
pub(crate) mod view;
pub(crate) mod wait;
pub(crate) mod wrapping;
