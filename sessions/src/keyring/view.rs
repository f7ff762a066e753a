//! What a call sees of the ring: the key that seals now, and what is known of the key of a token.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;

use super::plan;
use super::ring::{KeyId, Material, Opened, RootKey};
use super::shared::{KeyRing, Missing, Snapshot, millis};
use crate::telemetry::labels::TokenRefusal;

/// What is known of the key that a token names.
pub(crate) enum Found<'s> {
    Key(&'s RootKey, Window, Rank),
    Invalid(TokenRefusal),
    Unavailable,
    Missing,
}

/// When tokens of a key may have been issued, in seconds, both ends included.
pub(crate) struct Window {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Whether a key is older than the one that seals now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    Current,
    Old,
}

/// Which snapshot of the ring is good enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accept {
    /// One that is not old, or any while refreshes fail.
    Recent,
    /// Any, after a wait.
    Any,
}

impl KeyRing {
    /// Returns the snapshot, and starts a background refresh if one is due.
    pub(crate) fn view(&self, since_epoch: Duration, accept: Accept) -> Result<View<'_>, Missing> {
        let now = millis(since_epoch);
        let guard = self.0.snapshot.load();
        let Some(snapshot) = &*guard else { return Err(Missing::Snapshot) };
        let checked_at = snapshot.checked_at;
        let age = now.abs_diff(checked_at);
        if age > snapshot.due_after {
            if self.is_long(age) && accept == Accept::Recent && !self.failing(now) {
                return Err(Missing::Snapshot);
            }
            self.start(now, || self.checked_at() == Some(checked_at));
        }
        Ok(View { ring: self, guard, now: since_epoch.as_secs() })
    }
}

/// The snapshot that a call uses, at the time of the call.
pub(crate) struct View<'k> {
    ring: &'k KeyRing,
    guard: Guard<Option<Arc<Snapshot>>>,
    now: u64,
}

impl View<'_> {
    fn snapshot(&self) -> Option<&Snapshot> {
        self.guard.as_deref()
    }

    /// The key that seals now.
    pub(crate) fn sealing(&self) -> Option<(KeyId, &RootKey)> {
        let key = plan::sealing(&self.snapshot()?.ring, self.now, &self.ring.config().settings)?;
        Some((key.id, key.root()?))
    }

    /// What is known of the key that a token names.
    pub(crate) fn find(&self, id: KeyId) -> Found<'_> {
        let settings = &self.ring.config().settings;
        let Some(snapshot) = self.snapshot() else { return Found::Missing };
        let ring = &snapshot.ring;
        let Some(key) = ring.find(id) else {
            return if id.ahead_of(ring.generation) == 0 || !settings.look_for_unknown {
                Found::Invalid(TokenRefusal::UnknownKey)
            } else {
                Found::Missing
            };
        };
        let root = match &key.material {
            Material::Plain(root) | Material::Wrapped(_, Opened::Ready(root)) => root,
            Material::Erased => return Found::Invalid(TokenRefusal::ErasedKey),
            Material::Wrapped(_, Opened::Broken) => return Found::Invalid(TokenRefusal::ClosedKey),
            Material::Wrapped(_, Opened::Unavailable) => return Found::Unavailable,
        };
        let window = Window {
            first: key.activate.saturating_sub(settings.skew),
            last: key.retire.saturating_add(settings.grace).saturating_add(settings.skew),
        };
        // A key that is newer than this host's sealing key is not old: the host's clock may be
        // slow.
        let old = plan::sealing(ring, self.now, settings)
            .is_some_and(|current| key.activate < current.activate);
        Found::Key(root, window, if old { Rank::Old } else { Rank::Current })
    }
}
