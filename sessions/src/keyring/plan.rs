//! What to do with a ring: a pure function of the ring, the time and the settings.

use super::ring::{Key, Ring};
use super::settings::Settings;

/// What a host should do about its ring now.
pub(super) struct Plan {
    /// The ring as it should be stored, without the key to create.
    pub(super) ring: Option<Ring>,
    /// A key to add.
    pub(super) create: Option<Times>,
    /// Whether the ring must be stored. Otherwise it is as it was.
    pub(super) publish: bool,
}

/// The times of a key that is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) created: u64,
    pub(super) activate: u64,
    pub(super) retire: u64,
    pub(super) expire: u64,
}

/// Plans the ring's rotation: keeps keys for as long as this host's tokens live, creates the
/// successor of the newest key in time, or a key for now when none can seal. Keys that have expired
/// are dropped when there is something to write anyway.
pub(super) fn plan(ring: Option<&Ring>, now: u64, settings: &Settings) -> Plan {
    let Some(ring) = ring else {
        return Plan { ring: None, create: Some(times(now, now, settings)), publish: true };
    };
    let mut ring = ring.clone();
    let mut publish = false;
    for key in ring.keys.iter_mut().filter(|key| !key.is_erased() && key.expire > now) {
        let needed = key.retire.saturating_add(settings.outlive());
        if key.expire < needed {
            key.expire = needed;
            publish = true;
        }
    }
    let create = create(&ring, now, settings);
    publish |= create.is_some();
    if publish {
        // A host whose clock is behind still knows the key, and must find it expired.
        ring.keys.retain(|key| key.expire.saturating_add(settings.skew) > now);
    }
    Plan { ring: Some(ring), create, publish }
}

/// Which key seals at `now`.
pub(super) fn sealing<'r>(ring: &'r Ring, now: u64, settings: &Settings) -> Option<&'r Key> {
    let mut early = None;
    for key in &ring.keys {
        if key.root().is_none() || !may_seal(key, now, settings) {
            continue;
        }
        if key.activate <= now {
            return Some(key);
        }
        // Keys come newest first: the last one seen activates soonest.
        early = Some(key);
    }
    // A host a little behind the founder must be able to seal.
    early
}

/// Whether a key may seal at `now`, its material aside.
fn may_seal(key: &Key, now: u64, settings: &Settings) -> bool {
    key.activate <= now.saturating_add(settings.skew)
        && now <= key.retire.saturating_add(settings.grace)
}

fn create(ring: &Ring, now: u64, settings: &Settings) -> Option<Times> {
    if sealing(ring, now, settings).is_none() {
        // One that only waits for its key service will be back: a new key would not help, as it
        // would need the same service.
        let waiting =
            ring.keys.iter().any(|key| key.is_unavailable() && may_seal(key, now, settings));
        return (!waiting).then(|| times(now, now, settings));
    }
    let newest = ring.keys.iter().find(|key| !key.is_erased())?;
    if newest.retire.saturating_sub(settings.lead) > now {
        return None;
    }
    // Known to every host before it seals; but there must be no gap after the grace period.
    let last = newest.retire.saturating_add(settings.grace).max(now);
    let activate = newest.retire.max(now.saturating_add(settings.propagation)).min(last);
    Some(times(now, activate, settings))
}

pub(super) fn times(now: u64, activate: u64, settings: &Settings) -> Times {
    let retire = activate.saturating_add(settings.sealing);
    Times { created: now, activate, retire, expire: retire.saturating_add(settings.outlive()) }
}
