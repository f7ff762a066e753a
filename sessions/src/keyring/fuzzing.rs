//! What the fuzz targets reach into.

use std::sync::Arc;

use super::ring::{Key, KeyId, Material, Ring, RootKey, Secret};
use super::settings::Settings;
use super::{plan, recipient_set, record};
use crate::clock::{Clock, to_unix_millis};

/// A ring of one fixed key that was created at the time of `clock`.
pub(crate) fn fixed_record(clock: &impl Clock) -> Vec<u8> {
    let now = to_unix_millis(clock.now()) / 1000;
    let material = Material::Plain(Arc::new(RootKey::new([1; 16], Secret::new([2; 32]))));
    let times = plan::times(now, now, &settings());
    let key = Key {
        id: KeyId::from_bytes([0, 1, 0xaa, 0xbb]),
        created: times.created,
        activate: times.activate,
        retire: times.retire,
        expire: times.expire,
        material,
    };
    record::encode(&Ring { id: [1; 16], generation: 1, mac: None, keys: vec![key] })
}

/// What is read is written as it was, and can be planned, joined and planned again. As a key for
/// several recipients it is refused.
pub(crate) fn round_trip(data: &[u8]) {
    recipient_set::probe(data);
    let Ok(stored) = record::decode(data) else { return };
    if stored.mac.is_some() {
        return;
    }
    let ring = Ring { id: stored.id, generation: stored.generation, mac: None, keys: stored.keys };
    assert_eq!(record::encode(&ring), data);
    let times = ring.keys.iter().flat_map(|key| [key.activate, key.retire, key.expire]);
    for now in times.chain([0, u64::MAX]).collect::<Vec<_>>() {
        let planned = plan::plan(Some(&ring), now, &settings());
        let next = planned.ring.expect("a ring stays a ring");
        assert!(planned.publish || next.stored_eq(&ring));
        let joined = next.clone().join(&ring, now);
        assert!(next.keys.iter().all(|key| joined.find(key.id).is_some()));
        assert!(plan::sealing(&joined, now, &settings()).is_none_or(|key| key.root().is_some()));
    }
}

fn settings() -> Settings {
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    Settings::new(30 * day, 7 * day, 0).expect("the defaults work")
}
