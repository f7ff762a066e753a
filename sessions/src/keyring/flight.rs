//! The refresh that is under way, and how the last ones ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::ring::KeyId;
use crate::error::Error;
use crate::provider::ProviderError;
use crate::random::Random;

/// The refresh that is under way, and how the last ones ended.
#[derive(Default)]
pub(super) struct Flight {
    /// Closed when the refresh ends, however it ends.
    pub(super) running: Option<watch::Receiver<()>>,
    /// How many refreshes failed since the last that did not.
    pub(super) failures: u32,
    /// When the next may start, in milliseconds.
    pub(super) not_before: u64,
    /// When and why the last refresh failed, if it did.
    pub(super) failed_at: Option<u64>,
    pub(super) last_failure: Option<Failure>,
    /// When an unknown key id last made this host look.
    pub(super) looked_at: Option<u64>,
    /// Ids that a read did not find, although they are ahead of this ring. Short and cleared with
    /// every new generation, so that it cannot hide a key for long.
    pub(super) absent: Vec<KeyId>,
}

/// Why a refresh failed, for every call that waited for it.
#[derive(Clone, Debug)]
pub(super) struct Failure(pub(super) Arc<Error>);

pub(super) enum Start {
    Running(watch::Receiver<()>),
    BackingOff,
    NotNeeded,
    NoRuntime,
}

impl Flight {
    pub(super) fn running(&self) -> Option<watch::Receiver<()>> {
        // An error says that the sender is gone.
        self.running.clone().filter(|running| running.has_changed().is_ok())
    }

    pub(super) fn failed(&mut self, now: u64, random: &Random, failure: Option<Failure>) {
        self.failures = self.failures.saturating_add(1);
        let back_off = (FIRST_BACK_OFF << (self.failures - 1).min(16)).min(LAST_BACK_OFF);
        self.not_before = now.saturating_add(back_off - random.below(back_off / 5));
        if failure.is_some() {
            self.failed_at = Some(now);
            self.last_failure = failure;
        }
    }
}

impl Failure {
    pub(super) fn to_error(&self) -> Error {
        match &*self.0 {
            Error::Config(text) => Error::Config(text.clone()),
            Error::Misuse(text) => Error::Misuse(text.clone()),
            error if error.is_unavailable() => Error::unavailable(self.clone()),
            _ => Error::Provider(
                ProviderError::permanent("the key ring cannot be used").with_source(self.clone()),
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// How long a call waits for a refresh, and a refresh for the provider.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF: u64 = 1_000;
pub(super) const LAST_BACK_OFF: u64 = 60_000;
/// How often an unknown key id may make this host look at the record, in milliseconds.
pub(super) const LOOK_EVERY: u64 = 10_000;
pub(super) const MAX_ABSENT: usize = 64;
