//! The two databases of a move, and where a record is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::marker::{Marker, Role};
use super::stub::Seen;
use crate::provider::{Expect, Provider, ProviderError, Record, Saved};

pub(super) struct Databases {
    pub(super) old: Arc<dyn Provider>,
    pub(super) new: Arc<dyn Provider>,
    /// Whether the move has begun. Once true, it stays.
    pub(super) begun: AtomicBool,
    /// When that was asked last.
    asked: Mutex<Option<Instant>>,
}

/// Which of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// Where a live record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At(Side, Record),
    Nowhere,
}

impl Databases {
    pub(super) fn new(old: impl Provider, new: impl Provider) -> Self {
        Self {
            old: Arc::new(old),
            new: Arc::new(new),
            begun: AtomicBool::new(false),
            asked: Mutex::new(None),
        }
    }

    pub(super) fn at(&self, side: Side) -> &dyn Provider {
        match side {
            Side::Old => &*self.old,
            Side::New => &*self.new,
        }
    }

    pub(super) async fn look(
        &self,
        side: Side,
        id: &str,
        now: SystemTime,
    ) -> Result<Seen, ProviderError> {
        Ok(Seen::of(self.at(side).fetch(id, now).await?))
    }

    /// Finds the live record of an id.
    pub(super) async fn find(&self, id: &str, now: SystemTime) -> Result<Place, ProviderError> {
        for _ in 0..TRIES {
            match self.look(Side::Old, id, now).await? {
                Seen::Live(record) => return Ok(Place::At(Side::Old, record)),
                Seen::Frozen { placeholder, record } => {
                    self.fill(Side::New, placeholder, &record, now).await?;
                }
                Seen::Nothing | Seen::Placeholder { .. } | Seen::Gone { .. } => {}
            }
            match self.look(Side::New, id, now).await? {
                Seen::Live(record) => return Ok(Place::At(Side::New, record)),
                // Left behind by a move in the other direction.
                Seen::Frozen { placeholder, record } => {
                    if !self.fill(Side::Old, placeholder, &record, now).await? {
                        return Ok(Place::Nowhere);
                    }
                }
                Seen::Nothing | Seen::Placeholder { .. } | Seen::Gone { .. } => {
                    return Ok(Place::Nowhere);
                }
            }
        }
        Err(contended())
    }

    /// Puts a frozen record over its placeholder. Returns whether a live record is there now: that one,
    /// or what became of it.
    pub(super) async fn fill(
        &self,
        side: Side,
        placeholder: u64,
        record: &Record,
        now: SystemTime,
    ) -> Result<bool, ProviderError> {
        match self.at(side).save(record, Expect::Version(placeholder), now).await? {
            Saved::Saved => Ok(true),
            // Somebody else was faster, or the session has ended since.
            Saved::Conflict(current) => Ok(matches!(Seen::of(current), Seen::Live(_))),
        }
    }

    /// Whether records are created in the new database.
    pub(super) async fn has_begun(&self, now: SystemTime) -> Result<bool, ProviderError> {
        if self.begun.load(Ordering::Acquire) {
            return Ok(true);
        }
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
            return Ok(false);
        }
        let began = Instant::now();
        let marker = Marker::read(&*self.old, now).await?;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        let begun = marker.is_some_and(|marker| marker.role == Role::From);
        if begun {
            self.begun.store(true, Ordering::Release);
        }
        Ok(begun)
    }
}

pub(super) fn contended() -> ProviderError {
    ProviderError::unavailable("a record changes too fast to be found in either of two databases")
}

/// How often a call begins again because somebody else has changed the record.
pub(super) const TRIES: usize = 100;

/// How long a host may go on creating records in the old database after the move has begun.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);
