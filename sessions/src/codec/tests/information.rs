//! What an operator is told of the keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::support::*;
use crate::clock::Clock as _;
use crate::keyring::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
use crate::keyring::local_key::LocalKey;
use crate::keyring::state::KeyState;

fn states(codec: &super::super::Codec) -> Vec<KeyState> {
    codec.key_ring().unwrap().keys.iter().map(|key| key.state).collect()
}

#[tokio::test(start_paused = true)]
async fn it_tells_each_keys_times_and_which_one_seals() {
    let world = World::new();
    let host = world.host_with(|builder| builder.max_age(30 * DAY).key_rotation(7 * DAY));
    assert_eq!(host.key_ring(), None);
    assert_eq!(world.provider.take_fetches(), 0, "it asks nobody");

    let founded = world.clock.now();
    let token = seal(&host).await;
    let ring = host.key_ring().unwrap();
    assert_eq!((ring.generation, ring.read_at), (1, founded));
    let [key] = &ring.keys[..] else { panic!("one key: {ring:?}") };
    assert_eq!(key.id, key_of(&token).to_string());
    assert_eq!(key.state, KeyState::Sealing);
    assert_eq!((key.created_at, key.activates_at), (founded, founded));
    assert_eq!(key.retires_at, founded + 7 * DAY);
    assert_eq!(key.expires_at, founded + 38 * DAY + 10 * MINUTE);
    assert_eq!(key.kek_id, None);

    // Its successor is made ahead of time, and takes over.
    world.pass(7 * DAY - HOUR);
    host.refresh().await.unwrap();
    assert_eq!(states(&host), [KeyState::Waiting, KeyState::Sealing]);
    world.pass(HOUR);
    assert_eq!(states(&host), [KeyState::Sealing, KeyState::Retired]);
    let ring = host.key_ring().unwrap();
    assert_eq!((ring.generation, ring.read_at), (2, world.clock.now() - HOUR));

    world.clock.set(key.expires_at);
    assert_eq!(states(&host)[1], KeyState::Expired);
    host.rotate_now().await.unwrap();
    assert_eq!(states(&host)[0], KeyState::Sealing);
    assert!(states(&host)[1..].iter().all(|state| *state == KeyState::Erased));
}

/// A key service that answers as `up` and `allowed` say.
struct Service {
    key: LocalKey,
    up: AtomicBool,
    allowed: AtomicBool,
}

#[async_trait]
impl KeyEncryption for Service {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        self.key.wrap(material, context).await
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        // The record itself can be authenticated.
        if context.starts_with(b"sessions/v1 key") {
            if !self.up.load(Ordering::SeqCst) {
                return Err(KeyEncryptionError::unavailable("throttled"));
            }
            if !self.allowed.load(Ordering::SeqCst) {
                return Err(KeyEncryptionError::permanent("denied"));
            }
        }
        self.key.unwrap(kek_id, blob, context).await
    }
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_the_key_service_did_and_shows_no_secret() {
    let world = World::new();
    let service = Arc::new(Service {
        key: LocalKey::from_bytes([1; 32]),
        up: AtomicBool::new(true),
        allowed: AtomicBool::new(true),
    });
    let host = |service: &Arc<Service>| {
        let service = service.clone();
        world.host_with(|builder| builder.key_encryption(service))
    };
    let first = host(&service);
    seal(&first).await;
    let ring = first.key_ring().unwrap();
    let kek_id = ring.keys[0].kek_id.clone().unwrap();
    assert!(kek_id.starts_with("local:"), "{kek_id}");
    let shown = format!("{ring:?}");
    let secrets = first.ring.secrets();
    assert_eq!(secrets.len(), 1);
    for secret in &secrets {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&hex[..8]) && !shown.contains(&format!("{secret:?}")[..12]));
    }

    service.up.store(false, Ordering::SeqCst);
    let second = host(&service);
    assert!(is_unavailable(&second.refresh().await));
    assert_eq!(states(&second), [KeyState::Unavailable]);

    service.up.store(true, Ordering::SeqCst);
    service.allowed.store(false, Ordering::SeqCst);
    let third = host(&service);
    third.refresh().await.unwrap();
    // One that is refused for good is replaced.
    assert_eq!(states(&third), [KeyState::Sealing, KeyState::Refused]);
}
