//! Plans the rotation of a ring: a pure function of the ring, the time and the settings.

use super::ring::{Key, Ring};
use super::settings::Settings;

/// What a host should do about its ring now.
pub(super) struct Plan {
    /// The ring as it should be stored, without the key to create.
    pub(super) ring: Option<Ring>,
    /// A key to add.
    pub(super) create: Option<Times>,
    /// Whether the ring must be stored. If not, it is unchanged.
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

/// Plans the ring's rotation. It keeps keys for as long as this host's tokens live, and creates the
/// successor of the newest key in time, or a key that seals at once if none can.
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
    Plan { ring: Some(ring), create, publish }
}

/// Drops the keys that have expired for every host, from a ring that is about to be written.
///
/// A dropped key is gone, so this host's clock alone does not decide: `clock` is the database's, if
/// it has one. If it has none, the time at which somebody created the newest key must have passed.
/// A single host whose clock jumps ahead and back loses nothing then.
pub(super) fn drop_expired(ring: &mut Ring, now: u64, clock: Option<u64>, settings: &Settings) {
    let created = || ring.keys.iter().map(|key| key.created).max().unwrap_or(0);
    let passed = now.min(clock.unwrap_or_else(created));
    // A host whose clock is slow still has the key, and must find it expired.
    ring.keys.retain(|key| key.expire.saturating_add(settings.skew) > passed);
}

/// Returns the key that seals at `now`.
pub(super) fn sealing<'r>(ring: &'r Ring, now: u64, settings: &Settings) -> Option<&'r Key> {
    let mut early = None;
    for key in &ring.keys {
        if key.root().is_none() || !may_seal(key, now, settings) {
            continue;
        }
        if key.activate <= now {
            return Some(key);
        }
        // Keys are ordered newest first, so the last match activates soonest.
        early = Some(key);
    }
    // A host whose clock is slightly behind the founder's must be able to seal.
    early
}

/// Whether a key may seal at `now`, by its times.
fn may_seal(key: &Key, now: u64, settings: &Settings) -> bool {
    key.activate <= now.saturating_add(settings.skew)
        && now <= key.retire.saturating_add(settings.grace)
}

fn create(ring: &Ring, now: u64, settings: &Settings) -> Option<Times> {
    if sealing(ring, now, settings).is_none() {
        // A key that waits for its key service will come back. A new key would not help, because it
        // needs the same service.
        let waiting =
            ring.keys.iter().any(|key| key.is_unavailable() && may_seal(key, now, settings));
        return (!waiting).then(|| times(now, now, settings));
    }
    // A key further ahead than any successor was made by a host with a wrong clock. It must not
    // keep the other hosts from rotating.
    let farthest = now.saturating_add(2 * settings.propagation).saturating_add(settings.skew);
    let newest = ring.keys.iter().find(|key| !key.is_erased() && key.activate <= farthest)?;
    if newest.retire.saturating_sub(settings.lead) > now {
        return None;
    }
    // Every host must know the key before it seals, but there must be no gap after the grace
    // period.
    let last = newest.retire.saturating_add(settings.grace).max(now);
    let activate = newest.retire.max(now.saturating_add(settings.propagation)).min(last);
    Some(times(now, activate, settings))
}

pub(super) fn times(now: u64, activate: u64, settings: &Settings) -> Times {
    let retire = activate.saturating_add(settings.sealing);
    Times { created: now, activate, retire, expire: retire.saturating_add(settings.outlive()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::ring::{KeyId, Material, Opened, RootKey, Secret, Wrapped};
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;
    const NOW: u64 = 1_767_225_600;

    fn settings() -> Settings {
        let days = |days| Duration::from_secs(days * DAY);
        Settings::new(days(30), days(7), 10 * MINUTE).unwrap()
    }

    fn material() -> Material {
        Material::Plain(Arc::new(RootKey::new([0; 16], Secret::new([1; 32]))))
    }

    fn wrapped(opened: Opened) -> Material {
        Material::Wrapped(Wrapped { kek: "kek".into(), blob: [1; 8].into() }, opened)
    }

    /// Carries out what the plan says, as the key ring does.
    fn step(ring: Option<&Ring>, now: u64, settings: &Settings) -> Ring {
        let plan = plan(ring, now, settings);
        let empty = || Ring { id: [0; 16], generation: 0, mac: None, keys: Vec::new() };
        let mut next = plan.ring.unwrap_or_else(empty);
        if plan.publish {
            drop_expired(&mut next, now, Some(now), settings);
        }
        next.generation += u64::from(plan.publish);
        if let Some(Times { created, activate, retire, expire }) = plan.create {
            let id = KeyId::new(next.generation, [0, 0]);
            let material = material();
            next.keys.push(Key { id, created, activate, retire, expire, material });
        }
        next.sort();
        assert!(plan.publish || plan.create.is_none());
        next
    }

    fn founded() -> Ring {
        step(None, NOW, &settings())
    }

    #[test]
    fn an_empty_store_gets_a_key_that_seals_at_once() {
        let plan = plan(None, NOW, &settings());
        let expire = NOW + (7 + 30 + 1) * DAY + 10 * MINUTE;
        let times = Times { created: NOW, activate: NOW, retire: NOW + 7 * DAY, expire };
        assert_eq!(plan.create, Some(times));
        let ring = founded();
        assert_eq!(sealing(&ring, NOW, &settings()).unwrap().id, ring.keys[0].id);
    }

    #[test]
    fn a_successor_is_created_once_ahead_of_time_and_takes_over_when_its_predecessor_retires() {
        let (settings, ring) = (settings(), founded());
        let retire = NOW + 7 * DAY;
        let before = retire - settings.lead - 1;
        assert!(!plan(Some(&ring), before, &settings).publish);
        let two = step(Some(&ring), before + 1, &settings);
        assert_eq!(two.keys.len(), 2);
        assert_eq!(two.keys[0].activate, retire);
        assert!(!plan(Some(&two), before + 2, &settings).publish, "only one successor");
        let seals = |now| sealing(&two, now, &settings).unwrap().activate;
        assert_eq!(seals(retire - 1), NOW);
        assert_eq!(seals(retire), retire);
        assert_eq!(seals(retire + 2 * DAY), retire);
    }

    #[test]
    fn a_host_behind_the_founder_seals_with_a_key_that_activates_within_the_skew() {
        let (settings, ring) = (settings(), founded());
        assert!(sealing(&ring, NOW - settings.skew, &settings).is_some());
        assert!(sealing(&ring, NOW - settings.skew - 1, &settings).is_none());
    }

    #[test]
    fn a_key_seals_through_its_grace_period_when_nobody_made_a_successor() {
        let (settings, ring) = (settings(), founded());
        let last = NOW + 8 * DAY;
        assert!(sealing(&ring, last, &settings).is_some());
        assert!(sealing(&ring, last + 1, &settings).is_none());
    }

    #[test]
    fn a_late_successor_is_known_for_the_propagation_time_but_leaves_no_gap() {
        let (settings, ring) = (settings(), founded());
        let activate = |now| plan(Some(&ring), now, &settings).create.unwrap().activate;
        let retire = NOW + 7 * DAY;
        assert_eq!(activate(retire + HOUR), retire + 2 * HOUR);
        assert_eq!(activate(retire + DAY - MINUTE), retire + DAY);
        assert_eq!(activate(retire + 20 * DAY), retire + 20 * DAY);
    }

    #[test]
    fn keys_are_kept_for_as_long_as_the_longest_setting_needs() {
        let (settings, ring) = (settings(), founded());
        let longer = Settings { max_age: 60 * DAY, ..settings.clone() };
        let extended = step(Some(&ring), NOW + 1, &longer);
        assert_eq!(extended.keys[0].expire, NOW + (7 + 60 + 1) * DAY + 10 * MINUTE);
        assert!(!plan(Some(&extended), NOW + 2, &settings).publish, "never shortened");
    }

    #[test]
    fn expired_keys_go_with_the_next_write_once_every_host_finds_them_expired() {
        let (settings, ring) = (settings(), founded());
        let expire = ring.keys[0].expire;
        let ids = |now| {
            let next = step(Some(&ring), now, &settings);
            next.keys.iter().any(|key| key.id == ring.keys[0].id)
        };
        assert!(ids(expire + settings.skew - 1));
        assert!(!ids(expire + settings.skew));
    }

    #[test]
    fn an_expired_key_goes_by_the_earlier_of_two_clocks() {
        let (settings, ring) = (settings(), founded());
        let dead = ring.keys[0].expire + settings.skew;
        let kept = |ring: &Ring, now, clock| {
            let mut ring = ring.clone();
            drop_expired(&mut ring, now, clock, &settings);
            ring.keys.iter().any(|key| key.created == NOW)
        };
        assert!(!kept(&ring, dead, Some(dead)) && !kept(&ring, dead, Some(u64::MAX)));
        assert!(kept(&ring, dead - 1, Some(dead)) && kept(&ring, dead, Some(dead - 1)));
        // Without a clock of the database's, a newer key must show that the time has passed.
        assert!(kept(&ring, u64::MAX, None));
        let mut later = ring.clone();
        later.keys.insert(0, Key { created: dead, ..ring.keys[0].clone() });
        assert!(!kept(&later, dead, None) && kept(&later, dead - 1, None));
    }

    #[test]
    fn a_key_that_does_not_unwrap_is_passed_over() {
        let settings = settings();
        let mut ring = step(Some(&founded()), NOW + 7 * DAY - HOUR, &settings);
        let now = NOW + 7 * DAY + HOUR;
        let (old, new) = (ring.keys[1].id, ring.keys[0].id);
        assert_eq!(sealing(&ring, now, &settings).unwrap().id, new);
        ring.keys[0].material = wrapped(Opened::Broken);
        assert_eq!(sealing(&ring, now, &settings).unwrap().id, old);
        // If no key opens, a key that is broken for good is replaced, and a key that may come back
        // is not.
        ring.keys.truncate(1);
        assert_eq!(plan(Some(&ring), now, &settings).create.unwrap().activate, now);
        ring.keys[0].material = wrapped(Opened::Unavailable);
        assert!(!plan(Some(&ring), now, &settings).publish);
    }

    proptest! {
        /// Hosts may sleep for any time between two reads of the ring. At every read, and until the
        /// next one in time, there is a key to seal with, keys follow each other by at least a
        /// sealing period less the grace, and no key is dropped while its tokens live.
        #[test]
        fn every_history_of_looks_leaves_a_key_to_seal_with(
            pauses in prop::collection::vec(
                prop_oneof![1..10 * MINUTE, 1..DAY, 1..40 * DAY], 1..200,
            ),
        ) {
            let settings = settings();
            let (mut ring, mut now) = (founded(), NOW);
            for pause in pauses {
                now += pause;
                let next = step(Some(&ring), now, &settings);
                let key = sealing(&next, now, &settings).expect("a key to seal with");
                prop_assert!(key.activate <= now && now <= key.retire + settings.grace);
                for key in &ring.keys {
                    let last = key.retire + settings.grace + settings.skew + settings.max_age;
                    prop_assert!(now > last || next.find(key.id).is_some());
                }
                prop_assert!(next.keys.len() <= super::super::ring::MAX_KEYS);
                for pair in next.keys.windows(2) {
                    prop_assert!(pair[0].activate >= pair[1].retire);
                }
                ring = next;
            }
        }
    }
}
