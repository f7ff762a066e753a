//! A save on its way: what was sent, the secret drawn for it, and the login it carries out.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::base::Bearer;
use super::core::Core;
use super::fence::LoginAttempt;
use super::patch::{Asks, SaveId};
use crate::id::{SecretHash, StoreKey};
use crate::schema::fields::Fields;
use crate::schema::header::{Header, MAX_SAVES, Summary};

/// The sends that are not settled yet, oldest first.
pub(super) type Sends = SmallVec<[Sent; 1]>;

/// The most sends that a handle keeps: with this many tries there is an outage.
pub(super) const MOST_SENDS: usize = 8;

/// A save that was sent, and the handle as it was then.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) save: SaveId,
    /// The handle's value, before any merge.
    pub(super) mine: Fields,
    pub(super) asks: Asks,
    /// The version that it was sent over, or zero for a new session.
    pub(super) version: u64,
    /// The secret that was drawn for it and, for a new session, the id.
    pub(super) drawn: Option<Drawn>,
    pub(super) login: Option<Login>,
    /// The proof with a credential that it records. Boxed, because it is rare.
    pub(super) step_up: Option<Box<StepUp>>,
    /// Whether an answer was lost, so that the save may have happened.
    pub(super) lost: bool,
}

/// A secret that was drawn for a save.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) bearer: Bearer,
    pub(super) hash: SecretHash,
    pub(super) key: StoreKey,
    /// Ends the session if no handle settles it. Only a session with an owner needs this: others
    /// are in no list, and expire.
    pub(super) claim: Option<Claim>,
}

/// The login that a save carries out.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// The owner as its field displays it.
    pub(super) name: Arc<str>,
    pub(super) attempt: Option<Box<LoginAttempt>>,
    pub(super) credential: Option<Arc<str>>,
    pub(super) loaded_at: std::time::SystemTime,
    /// Whether the owner gets one session more by it.
    pub(super) adds: bool,
    /// The number of the epoch that the login gets.
    pub(super) epoch: u64,
}

/// An owner who proves again who they are, in their session.
#[derive(Clone, Debug)]
pub(super) struct StepUp {
    /// The owner as its field displays it.
    pub(super) name: Arc<str>,
    pub(super) credential: Arc<str>,
    pub(super) loaded_at: std::time::SystemTime,
}

impl Sent {
    /// Whether this record comes from this save, or from a later one.
    pub(super) fn is_in(&self, header: &Header) -> bool {
        let Summary { secret, previous, .. } = header.summary;
        let drew = |hash: SecretHash| secret == Some(hash) || previous == Some(hash);
        header.saves.contains(&self.save) || self.drawn.as_ref().is_some_and(|it| drew(it.hash))
    }

    /// Whether a record of this version can no longer prove that the save did not happen, because
    /// its save id may have been dropped.
    pub(super) fn is_past(&self, version: u64) -> bool {
        self.lost && version > self.version.saturating_add(MAX_SAVES as u64)
    }

    /// Notes that the record has this version without this save: the save did not happen, and can
    /// no longer happen over the version that it was sent over.
    pub(super) fn went_past(&mut self, version: u64) {
        self.lost &= version <= self.version;
    }

    /// Marks it as settled: nothing is left to clean up.
    pub(super) fn settle(mut self) -> Option<Bearer> {
        let drawn = self.drawn.as_mut()?;
        if let Some(claim) = &mut drawn.claim {
            claim.release();
        }
        self.drawn.take().map(|drawn| drawn.bearer)
    }
}

/// A session that no browser may ever get. Dropping it ends the session in the background.
pub(super) struct Claim {
    core: Option<Arc<Core>>,
    key: StoreKey,
    hash: SecretHash,
}

impl Claim {
    pub(super) fn new(core: &Arc<Core>, key: &StoreKey, hash: SecretHash) -> Self {
        Self { core: Some(core.clone()), key: key.clone(), hash }
    }

    pub(super) fn release(&mut self) {
        self.core = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            core.abandon(self.key.clone(), self.hash);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("key", &self.key).finish_non_exhaustive()
    }
}
