//! The record is lost, emptied, damaged, restored from an old copy, or replaced.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::support::*;
use crate::codec::Codec;
use crate::error::Error;
use crate::memory::MemoryProvider;
use crate::provider::{Deleted, Expect, Provider, ProviderError, Record, Saved};

async fn settle(hosts: &[Codec]) {
    for _ in 0..2 {
        for host in hosts {
            host.refresh().await.unwrap();
        }
    }
}

/// Three hosts that rotated for three weeks, and a token of each week.
async fn three_weeks() -> (World, Vec<Codec>, Vec<String>, Vec<Record>) {
    let world = World::new();
    let hosts = vec![world.host(), world.host(), world.host()];
    let (mut tokens, mut records) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        tokens.push(seal(&hosts[0]).await);
        for _ in 0..7 * 24 {
            world.pass(HOUR);
            for host in &hosts {
                seal(host).await;
                idle(host).await;
            }
        }
        records.push(world.record().await.unwrap());
    }
    tokens.push(seal(&hosts[0]).await);
    (world, hosts, tokens, records)
}

async fn all_open(hosts: &[Codec], tokens: &[String]) {
    for host in hosts {
        for token in tokens {
            open(host, token).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_record_is_written_again_and_every_token_stays_valid() {
    let (world, hosts, tokens, records) = three_weeks().await;
    world.delete().await;
    settle(&hosts).await;
    let written = world.record().await.unwrap();
    assert!(written.version > records[2].version);
    all_open(&hosts, &tokens).await;
    all_open(&[world.host()], &tokens).await;
    assert_eq!(world.keys().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_or_damaged_record_is_written_again_by_hosts_that_hold_the_keys() {
    for damage in [Bytes::new(), Bytes::from_static(b"\x01 not a ring"), Bytes::from(vec![0; 99])] {
        let (world, hosts, tokens, mut records) = three_weeks().await;
        records[2].data = damage;
        world.put(&records[2]).await;
        // A process without keys cannot tell what was there, and must not start anew.
        let fresh = world.host();
        let error = fresh.seal(&purpose(), b"").await.unwrap_err();
        assert!(matches!(error, Error::Provider(_)), "{error:?}");
        settle(&hosts).await;
        world.pass(MINUTE);
        all_open(&hosts, &tokens).await;
        all_open(&[fresh], &tokens).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_restored_from_an_old_copy_is_joined_with_what_hosts_hold() {
    let (world, hosts, tokens, records) = three_weeks().await;
    world.put(&records[0]).await;
    settle(&hosts).await;
    let joined = world.record().await.unwrap();
    assert!(joined.version > records[2].version, "the next generation");
    all_open(&hosts, &tokens).await;
    all_open(&[world.host()], &tokens).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_that_a_fresh_host_built_on_is_joined_too() {
    let (world, hosts, tokens, records) = three_weeks().await;
    world.put(&records[0]).await;
    // It finds only keys that retired weeks ago, and makes one of its own.
    let fresh = world.host();
    let theirs = seal(&fresh).await;
    settle(&hosts).await;
    fresh.refresh().await.unwrap();
    let all: Vec<_> = tokens.into_iter().chain([theirs]).collect();
    all_open(&hosts, &all).await;
    all_open(&[fresh, world.host()], &all).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_copy_does_not_bring_back_what_was_erased() {
    let (world, hosts, tokens, records) = three_weeks().await;
    hosts[0].rotate_now().await.unwrap();
    let new = seal(&hosts[0]).await;
    settle(&hosts).await;
    world.put(&records[2]).await;
    settle(&hosts).await;
    for host in [&hosts[0], &hosts[1], &hosts[2], &world.host()] {
        for token in &tokens {
            assert!(is_invalid(&open(host, token).await));
        }
        open(host, &new).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_cut_off_during_an_erasure_learns_of_it() {
    let (world, hosts, tokens, _) = three_weeks().await;
    hosts[0].rotate_now().await.unwrap();
    // The record is lost, and the host that knows nothing is the first to write it.
    world.delete().await;
    hosts[1].refresh().await.unwrap();
    open(&hosts[1], &tokens[3]).await.unwrap();
    settle(&hosts).await;
    for host in &hosts {
        assert!(is_invalid(&open(host, &tokens[3]).await));
    }
}

#[tokio::test(start_paused = true)]
async fn another_ring_is_adopted() {
    let (world, hosts, tokens, _) = three_weeks().await;
    let other = World::new();
    other.clock.set(crate::clock::Clock::now(&world.clock));
    let founder = other.host_with(|builder| builder.random(crate::random::Random::seeded(999)));
    let token = seal(&founder).await;
    world.put(&other.record().await.unwrap()).await;
    settle(&hosts).await;
    all_open(&hosts, std::slice::from_ref(&token)).await;
    assert!(is_invalid(&open(&hosts[0], &tokens[3]).await));
    assert_eq!(world.record().await, other.record().await, "it is not written to");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_a_newer_build_is_left_alone() {
    let (world, hosts, tokens, mut records) = three_weeks().await;
    let mut data = records[2].data.to_vec();
    data[0] = 2;
    records[2].data = data.into();
    world.put(&records[2]).await;
    let error = hosts[0].refresh().await.unwrap_err();
    assert!(format!("{error:?}").contains("finish the deploy"), "{error:?}");
    assert!(hosts[0].rotate_now().await.is_err());
    assert_eq!(world.record().await.unwrap(), records[2]);
    all_open(&hosts, &tokens).await;
    assert!(world.host().seal(&purpose(), b"").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_save_whose_answer_was_lost_is_found_by_the_next_read() {
    let world = World::new();
    let host = world.host();
    world.provider.set(Mode::LosesAnswers);
    assert!(
        is_unavailable(&host.seal(&purpose(), b"").await),
        "not before it is known to be stored"
    );
    world.provider.set(Mode::Up);
    world.pass(MINUTE);
    let token = seal(&host).await;
    assert_eq!(world.keys().await.len(), 1);
    open(&world.host(), &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_written_still_gives_its_keys() {
    let world = World::new();
    let token = seal(&world.host()).await;
    world.pass(7 * DAY);
    world.provider.set(Mode::ReadOnly);
    // The successor cannot be stored, but the key in its grace period can be read.
    let host = world.host();
    open(&host, &token).await.unwrap();
    open(&host, &seal(&host).await).await.unwrap();
}

/// Saves that lose against somebody whose record is gone again, this many times.
struct Vanishing(AtomicU32, MemoryProvider);

#[async_trait]
impl Provider for Vanishing {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.1.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        let left = self.0.load(Ordering::SeqCst);
        if left > 0 {
            self.0.store(left - 1, Ordering::SeqCst);
            return Ok(Saved::Conflict(None));
        }
        self.1.save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.1.delete(id, expect, now).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_vanishes_after_a_conflict_is_tried_again_but_not_for_ever() {
    let host = |conflicts| {
        let provider = Vanishing(AtomicU32::new(conflicts), MemoryProvider::new());
        Codec::builder(provider).allow_plain_keys().build().unwrap()
    };
    host(3).refresh().await.unwrap();
    assert!(is_unavailable(&host(u32::MAX).refresh().await));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_could_not_be_stored_is_stored_later() {
    let (world, hosts, tokens, records) = three_weeks().await;
    world.put(&records[0]).await;
    world.provider.set(Mode::ReadOnly);
    assert!(is_unavailable(&hosts[0].refresh().await));
    all_open(&hosts[..1], &tokens).await;
    world.provider.set(Mode::Up);
    hosts[0].refresh().await.unwrap();
    all_open(&[world.host()], &tokens).await;
}
