//! Many tasks and many hosts at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::support::*;
use crate::codec::Codec;

/// Seals once on each, all at the same time, and returns the tokens.
async fn all_seal(hosts: impl IntoIterator<Item = Codec>) -> Vec<String> {
    let mut tasks = JoinSet::new();
    for host in hosts {
        tasks.spawn(async move { seal(&host).await });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_on_an_empty_store_make_one_key_with_one_fetch() {
    let world = World::new();
    let host = world.host();
    let tokens = all_seal(vec![host; 100]).await;
    assert_eq!(world.keys().await.len(), 1);
    assert_eq!((world.provider.take_fetches(), world.provider.take_saves()), (1, 1));
    let mut keys: Vec<_> = tokens.iter().map(|token| key_of(token)).collect();
    keys.dedup();
    assert_eq!(keys.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_hosts_on_an_empty_store_make_one_key() {
    let world = World::new();
    let hosts: Vec<_> = (0..100).map(|at| world.host_off_by(at * 6 - 300)).collect();
    world.provider.crowd(hosts.len());
    let tokens = all_seal(hosts.clone()).await;
    assert_eq!(world.keys().await.len(), 1);
    assert!(world.provider.take_saves() >= 100, "all of them tried to make the first key");
    for (at, token) in tokens.iter().enumerate() {
        open(&hosts[(at * 37) % 100], token).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_hosts_that_rotate_at_once_make_one_successor() {
    let world = World::new();
    let hosts: Vec<_> = (0..100).map(|_| world.host()).collect();
    all_seal(hosts.clone()).await;
    for step in 1..=3 * 7 * 24 {
        world.pass(HOUR);
        all_seal(hosts.clone()).await;
        let keys = world.keys().await;
        assert!(keys.len() <= step / (7 * 24) + 2, "hour {step}: {keys:?}");
        for pair in keys.windows(2) {
            assert_eq!(pair[0].1, pair[1].2, "each activates when the last retires");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_expiry_make_one_fetch_and_none_waits() {
    let world = World::new();
    let host = world.host();
    let token: Arc<str> = seal(&host).await.into();
    world.pass(6 * MINUTE);
    world.provider.take_fetches();
    let start = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..1_000 {
        let (host, token) = (host.clone(), token.clone());
        tasks.spawn(async move {
            if at % 2 == 0 {
                open(&host, &token).await.unwrap();
            } else {
                seal(&host).await;
            }
        });
    }
    tasks.join_all().await;
    idle(&host).await;
    assert_eq!(world.provider.take_fetches(), 1);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_after_a_long_sleep_wait_for_one_fetch() {
    let world = World::new();
    let host = world.host();
    seal(&host).await;
    world.pass(3 * DAY);
    world.provider.take_fetches();
    all_seal(vec![host; 1_000]).await;
    assert_eq!(world.provider.take_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_million_random_key_ids_cost_one_fetch_every_ten_seconds() {
    use rand::{RngCore, SeedableRng};
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    // Time stands still within a round.
    for round in 0..10 {
        world.provider.take_fetches();
        for _ in 0..100_000 {
            let mut key = [0; 4];
            rng.fill_bytes(&mut key);
            let opened = open(&host, &renamed(&token, key)).await;
            assert!(is_invalid(&opened) || is_unavailable(&opened));
        }
        idle(&host).await;
        assert_eq!(world.provider.take_fetches(), 1, "round {round}");
        world.pass(Duration::from_secs(10));
    }
    open(&host, &token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn random_key_ids_cost_the_same_while_the_store_is_down() {
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    world.provider.set(Mode::Down);
    world.provider.take_fetches();
    let ahead = renamed(&token, [0, 2, 0xab, 0xcd]);
    for _ in 0..100 {
        assert!(is_unavailable(&open(&host, &ahead).await), "it may be good");
        world.pass(Duration::from_secs(1));
    }
    assert!(world.provider.take_fetches() <= 10);
    let behind = renamed(&token, [0, 1, 0xab, 0xcd]);
    assert!(is_invalid(&open(&host, &behind).await), "pruned, whatever the store says");
    let far = renamed(&token, [0, 66, 0xab, 0xcd]);
    assert!(is_invalid(&open(&host, &far).await), "not to be believed");
    let farthest = renamed(&token, [0, 65, 0xab, 0xcd]);
    assert!(is_unavailable(&open(&host, &farthest).await));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_key_made_a_moment_ago_is_looked_up() {
    let world = World::new();
    let (one, two) = (world.host(), world.host());
    seal(&one).await;
    seal(&two).await;
    one.rotate_now().await.unwrap();
    let token: Arc<str> = seal(&one).await.into();
    world.provider.take_fetches();
    // All at once: they share one fetch, and all of them open.
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (host, token) = (two.clone(), token.clone());
        tasks.spawn(async move { open(&host, &token).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(world.provider.take_fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_a_read_did_not_find_is_invalid_and_not_looked_for_again() {
    let world = World::new();
    let host = world.host();
    let token = seal(&host).await;
    let ahead = renamed(&token, [0, 2, 0xab, 0xcd]);
    world.provider.take_fetches();
    for _ in 0..100 {
        assert!(is_invalid(&open(&host, &ahead).await));
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.provider.take_fetches(), 1);
    // Another id within the ten seconds may be good, and is told so.
    assert!(is_invalid(&open(&host, &renamed(&token, [0, 3, 1, 1])).await));
    assert!(is_unavailable(&open(&host, &renamed(&token, [0, 3, 2, 2])).await));
}
