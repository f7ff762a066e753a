//! Keys that are stored under a key-encryption key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::support::*;
use crate::codec::Codec;
use crate::error::Error;
use crate::keyring::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
use crate::keyring::local_key::LocalKey;

/// A key service that can be down, or refuse for good.
pub(super) struct Service {
    key: LocalKey,
    state: AtomicU32,
    calls: AtomicU32,
}

pub(super) const UP: u32 = 0;
pub(super) const DOWN: u32 = 1;
pub(super) const DENIED: u32 = 2;
pub(super) const HANGING: u32 = 3;
/// Opens the key that authenticates the record, but no other.
const KEYS_DOWN: u32 = 4;
const KEYS_DENIED: u32 = 5;
pub(super) const PANICKING: u32 = 6;
/// Wraps, and refuses to unwrap.
pub(super) const WRITE_ONLY: u32 = 7;

impl Service {
    pub(super) fn new(key: u8) -> Arc<Self> {
        Self::of(LocalKey::from_bytes([key; 32]))
    }

    pub(super) fn of(key: LocalKey) -> Arc<Self> {
        Arc::new(Self { key, state: AtomicU32::new(UP), calls: AtomicU32::new(0) })
    }

    pub(super) fn set(&self, state: u32) {
        self.state.store(state, Ordering::SeqCst);
    }

    pub(super) fn take_calls(&self) -> u32 {
        self.calls.swap(0, Ordering::SeqCst)
    }

    async fn check(&self, context: &[u8]) -> Result<(), KeyEncryptionError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let key = context.starts_with(b"sessions/v1 key");
        match self.state.load(Ordering::SeqCst) {
            DOWN => Err(KeyEncryptionError::unavailable("throttled")),
            DENIED => Err(KeyEncryptionError::permanent("denied")),
            KEYS_DOWN if key => Err(KeyEncryptionError::unavailable("throttled")),
            KEYS_DENIED if key => Err(KeyEncryptionError::permanent("denied")),
            HANGING => std::future::pending().await,
            PANICKING => panic!("the key service's own fault"),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl KeyEncryption for Service {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        self.check(context).await?;
        self.key.wrap(material, context).await
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        self.check(context).await?;
        if self.state.load(Ordering::SeqCst) == WRITE_ONLY {
            return Err(KeyEncryptionError::permanent("decrypting is denied"));
        }
        self.key.unwrap(kek_id, blob, context).await
    }
}

fn host(world: &World, service: &Arc<Service>) -> Codec {
    world.host_with(|builder| builder.key_encryption(service.clone()))
}

pub(super) async fn weeks(world: &World, host: &Codec, weeks: u32) -> Vec<String> {
    let mut tokens = Vec::new();
    for _ in 0..weeks {
        tokens.push(seal(host).await);
        for _ in 0..7 * 24 {
            world.pass(HOUR);
            seal(host).await;
            idle(host).await;
        }
    }
    tokens.push(seal(host).await);
    tokens
}

#[tokio::test(start_paused = true)]
async fn the_record_holds_no_raw_key() {
    let world = World::new();
    let host = host(&world, &Service::new(1));
    weeks(&world, &host, 3).await;
    let data = world.record().await.unwrap().data;
    let secrets = host.ring.secrets();
    assert_eq!(secrets.len(), 4);
    let holds = |data: &[u8]| {
        secrets
            .iter()
            .any(|secret| data.windows(8).any(|part| secret.windows(8).any(|s| s == part)))
    };
    assert!(!holds(&data));
    // The same look finds the keys of a ring in the clear.
    let plain = World::new();
    let other = plain.host();
    seal(&other).await;
    let secret = other.ring.secrets()[0];
    assert!(plain.record().await.unwrap().data.windows(32).any(|part| part == secret));
}

#[tokio::test(start_paused = true)]
async fn editing_any_byte_or_swapping_wrapped_keys_is_refused() {
    let world = World::new();
    let service = Service::new(1);
    let holder = host(&world, &service);
    let tokens = weeks(&world, &holder, 1).await;
    let record = world.record().await.unwrap();
    let refused = async |data: Vec<u8>| {
        let mut edited = record.clone();
        edited.data = Bytes::from(data);
        let other = World::new();
        other.clock.set(crate::clock::Clock::now(&world.clock));
        other.put(&edited).await;
        let fresh = host(&other, &service);
        let refused = fresh.refresh().await.is_err() && open(&fresh, &tokens[0]).await.is_err();
        // It does not overwrite what it cannot read.
        refused && other.record().await == Some(edited)
    };
    assert!(!refused(record.data.to_vec()).await);
    for at in 0..record.data.len() {
        let mut data = record.data.to_vec();
        data[at] ^= 1 << (at % 8);
        assert!(refused(data).await, "byte {at}");
    }
    // The blobs of the two keys change places, each with its id.
    let blob = |data: &[u8], from: usize| {
        let marker = b"local:";
        let at = (from..data.len()).find(|at| data[*at..].starts_with(marker)).unwrap();
        at..at + record_blob(&data[at..])
    };
    let mac = blob(&record.data, 0);
    let first = blob(&record.data, mac.end);
    let second = blob(&record.data, first.end);
    let mut swapped = record.data.to_vec();
    swapped[first.clone()].copy_from_slice(&record.data[second.clone()]);
    swapped[second].copy_from_slice(&record.data[first]);
    assert!(refused(swapped).await);
}

/// The length of a local key's id, the length of a blob, and the blob of 32 bytes.
fn record_blob(data: &[u8]) -> usize {
    let id = data.iter().position(|byte| *byte == 0).unwrap();
    id + 2 + 24 + 32 + 16
}

#[tokio::test(start_paused = true)]
async fn hosts_that_hold_the_keys_write_over_a_forged_record() {
    let world = World::new();
    let service = Service::new(1);
    let holder = host(&world, &service);
    let tokens = weeks(&world, &holder, 1).await;
    let mut record = world.record().await.unwrap();
    let mut data = record.data.to_vec();
    *data.last_mut().unwrap() ^= 1;
    record.data = data.into();
    world.put(&record).await;
    holder.refresh().await.unwrap();
    let fresh = host(&world, &service);
    for token in &tokens {
        open(&fresh, token).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_in_the_clear_is_refused_where_keys_are_to_be_wrapped() {
    let world = World::new();
    let token = seal(&world.host()).await;
    let service = Service::new(1);
    let encrypted = host(&world, &service);
    assert!(matches!(encrypted.refresh().await, Err(Error::Config(_))));
    assert!(matches!(open(&encrypted, &token).await, Err(Error::Config(_))));
    // Moving over is one call on a codec that is told to accept both.
    let mover =
        world.host_with(|builder| builder.key_encryption(service.clone()).danger_plain_keys());
    open(&mover, &token).await.unwrap();
    mover.rewrap_keys().await.unwrap();
    world.pass(MINUTE);
    open(&encrypted, &token).await.unwrap();
    assert!(matches!(world.host().refresh().await, Err(Error::Config(_))), "the other way round");
}

#[tokio::test(start_paused = true)]
async fn a_key_service_that_is_down_makes_tokens_unavailable_never_invalid() {
    for state in [DOWN, HANGING, KEYS_DOWN] {
        let world = World::new();
        let service = Service::new(1);
        let holder = host(&world, &service);
        let token = seal(&holder).await;
        service.set(state);
        let fresh = host(&world, &service);
        for _ in 0..5 {
            assert!(is_unavailable(&open(&fresh, &token).await), "{state}");
            assert!(is_unavailable(&fresh.seal(&purpose(), b"").await), "{state}");
            idle(&fresh).await;
            world.pass(MINUTE);
        }
        // Those that hold the keys go on.
        open(&holder, &seal(&holder).await).await.unwrap();
        service.set(UP);
        world.pass(MINUTE);
        // The first call after it may be what starts the refresh.
        let _ = open(&fresh, &token).await;
        idle(&fresh).await;
        open(&fresh, &token).await.unwrap();
        assert_eq!(world.keys().await.len(), 1, "no key was made instead");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_does_not_unwrap_is_passed_over_and_the_ring_goes_on() {
    let world = World::new();
    let service = Service::new(1);
    let holder = host(&world, &service);
    let token = seal(&holder).await;
    service.set(KEYS_DENIED);
    let fresh = host(&world, &service);
    assert!(is_invalid(&open(&fresh, &token).await));
    // It cannot make a key in its place either, as the service wraps none.
    assert!(fresh.seal(&purpose(), b"").await.is_err());
    service.set(UP);
    fresh.refresh().await.unwrap();
    open(&fresh, &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rewrapping_invalidates_no_token_and_the_old_key_is_not_needed_any_more() {
    let key = |byte| LocalKey::from_bytes([byte; 32]);
    let world = World::new();
    let old = world.host_with(|builder| builder.key_encryption(key(1)));
    let tokens = weeks(&world, &old, 3).await;
    let both = world.host_with(|builder| builder.key_encryption(key(2).and_previous(key(1))));
    both.rewrap_keys().await.unwrap();
    let new = world.host_with(|builder| builder.key_encryption(key(2)));
    for token in &tokens {
        open(&both, token).await.unwrap();
        open(&new, token).await.unwrap();
    }
    // A host with only the old key goes on with what it holds, and writes nothing.
    let record = world.record().await;
    world.pass(DAY);
    assert!(old.refresh().await.is_err());
    open(&old, &seal(&old).await).await.unwrap();
    assert_eq!(world.record().await, record);
    assert!(matches!(world.host().rewrap_keys().await, Err(Error::Config(_))));
}

#[tokio::test(start_paused = true)]
async fn the_key_service_is_asked_only_when_there_is_something_new() {
    let world = World::new();
    let service = Service::new(1);
    let holder = host(&world, &service);
    seal(&holder).await;
    assert_eq!(service.take_calls(), 2, "one key, and the one that authenticates");
    for _ in 0..6 * 24 {
        seal(&holder).await;
        world.pass(HOUR);
    }
    assert_eq!(service.take_calls(), 0);
    let other = host(&world, &service);
    seal(&other).await;
    assert_eq!(service.take_calls(), 2);
    world.pass(DAY);
    seal(&holder).await;
    assert_eq!(service.take_calls(), 1, "the successor is wrapped");
    other.refresh().await.unwrap();
    assert_eq!(service.take_calls(), 1, "and unwrapped");
}

#[tokio::test(start_paused = true)]
async fn a_key_service_that_is_down_is_not_stormed() {
    let world = World::new();
    let service = Service::new(1);
    let token = seal(&host(&world, &service)).await;
    service.set(KEYS_DOWN);
    let fresh = host(&world, &service);
    service.take_calls();
    for _ in 0..600 {
        let _ = fresh.seal(&purpose(), b"").await;
        assert!(is_unavailable(&open(&fresh, &token).await));
        idle(&fresh).await;
        world.pass(std::time::Duration::from_secs(1));
    }
    let calls = service.take_calls();
    assert!(calls < 40, "{calls} calls in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_not_used_when_it_cannot_be_wrapped() {
    let world = World::new();
    let service = Service::new(1);
    service.set(DOWN);
    let host = host(&world, &service);
    assert!(is_unavailable(&host.seal(&purpose(), b"").await));
    assert!(world.record().await.is_none());
    service.set(DENIED);
    world.pass(MINUTE);
    assert!(matches!(host.seal(&purpose(), b"").await, Err(Error::Provider(_))));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_holds_a_key_needs_no_service_when_another_wraps_it_anew() {
    let world = World::new();
    let service = Service::new(1);
    let (one, two) = (host(&world, &service), host(&world, &service));
    let token = seal(&one).await;
    open(&two, &token).await.unwrap();
    one.rewrap_keys().await.unwrap();
    service.set(KEYS_DOWN);
    two.refresh().await.unwrap();
    open(&two, &token).await.unwrap();
    open(&one, &seal(&two).await).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ring_in_the_clear_is_wrapped_with_the_next_write_where_both_are_allowed() {
    let world = World::new();
    let token = seal(&world.host()).await;
    let service = Service::new(1);
    let mover =
        world.host_with(|builder| builder.key_encryption(service.clone()).danger_plain_keys());
    world.pass(7 * DAY - HOUR);
    open(&mover, &seal(&mover).await).await.unwrap();
    let encrypted = host(&world, &service);
    open(&encrypted, &token).await.unwrap();
    let data = world.record().await.unwrap().data;
    for secret in encrypted.ring.secrets() {
        assert!(!data.windows(32).any(|part| part == secret));
    }
}
