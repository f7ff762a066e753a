//! A provider that asks Sentinel for the primary, through real failovers.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sessions::provider::conformance::{Subject, suite};
use sessions::provider::{Expect, Provider, ProviderError, Saved};
use sessions_redis::{Connection, RedisProvider};
use sessions_tests::feed::{Feed, Heard};
use sessions_tests::redis::RedisServer;
use sessions_tests::sentinel::SentinelGroup;

use crate::{ADA, HOUR, now, record};

async fn on(group: &SentinelGroup) -> RedisProvider {
    RedisProvider::connect_sentinel(group.urls(), &SentinelGroup::primary()).await.unwrap()
}

/// Tries until the database is there again.
async fn until_it_works<T>(call: impl AsyncFn() -> Result<T, ProviderError>) -> T {
    let start = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                assert!(start.elapsed() < Duration::from_secs(60), "it does not end: {error:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

mod contract {
    use super::*;

    suite!(async || {
        static GROUP: OnceLock<SentinelGroup> = OnceLock::new();
        static SPACES: AtomicU64 = AtomicU64::new(0);
        let group = GROUP.get_or_init(SentinelGroup::start);
        let prefix = format!("test:{}", SPACES.fetch_add(1, Ordering::Relaxed));
        let instance = async || on(group).await.prefix(&prefix).unwrap();
        Subject::new(instance().await).with_twin(instance().await).without_purge()
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_an_outage_of_a_moment() {
    let mut group = SentinelGroup::start();
    let provider = on(&group).await;
    provider.save(&record("a", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    assert_eq!(group.servers[0].cli(&["WAIT", "1", "10000"]), "1");

    group.servers[0].kill();
    let found = until_it_works(async || provider.fetch("a", now()).await).await;
    assert_eq!(found.unwrap().version, 1);
    let next = record("a", 2, HOUR, Some(ADA));
    let saved =
        until_it_works(async || provider.save(&next, Expect::Version(1), now()).await).await;
    // An answer that was lost leaves the conflict of the save with itself.
    assert!(matches!(saved, Saved::Saved | Saved::Conflict(Some(_))), "{saved:?}");
    assert!(group.servers[1].cli(&["ROLE"]).starts_with("master"));

    // The old primary comes back as a replica, which nobody asks.
    group.servers[0].start_again();
    group.fail_over();
    group.wait_for_primary(0);
    let third = record("a", 3, HOUR, Some(ADA));
    let saved =
        until_it_works(async || provider.save(&third, Expect::Version(2), now()).await).await;
    assert!(matches!(saved, Saved::Saved | Saved::Conflict(Some(_))), "{saved:?}");
    assert_eq!(provider.fetch("a", now()).await.unwrap().unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_of_changes_goes_over_to_the_new_primary() {
    let group = SentinelGroup::start();
    let provider = on(&group).await;
    let feed = Feed::begin(&provider).await;
    group.fail_over();
    group.wait_for_primary(1);
    let error = feed.error().await;
    assert!(error.is_unavailable(), "{error:?}");
    until_it_works(async || provider.fetch("a", now()).await).await;
    // As the store does.
    let mut feed = loop {
        let mut feed = Feed::try_begin(&provider);
        match feed.next().await {
            Some(Heard::Began) => break feed,
            Some(other) => panic!("{other:?} before the feed has begun"),
            None => assert!(feed.error().await.is_unavailable()),
        }
    };
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    feed.names("a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sentinel_is_enough() {
    let mut group = SentinelGroup::start();
    for sentinel in &mut group.sentinels[..2] {
        sentinel.take().unwrap().kill();
    }
    on(&group).await.fetch("a", now()).await.unwrap();
    let urls = group.urls();
    group.sentinels[2].take().unwrap().kill();
    let late =
        RedisProvider::new(Connection::open_sentinel(urls, &SentinelGroup::primary()).unwrap());
    let error = late.fetch("a", now()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}

#[tokio::test]
async fn wrong_settings_say_what_is_wrong() {
    let group = SentinelGroup::start();
    let connect = async |urls: Vec<String>, primary: &str| {
        RedisProvider::connect_sentinel(urls, primary).await.unwrap_err()
    };
    let error = connect(group.urls(), "redis://another").await;
    assert!(error.is_unavailable() && error.to_string().contains("no sentinel knows"), "{error:?}");

    let server = RedisServer::start(&[]);
    let error = connect(vec![server.url()], "redis://mymaster").await;
    assert!(error.to_string().contains("not point to a sentinel"), "{error:?}");

    let error = connect(vec![], "redis://mymaster").await;
    assert!(error.to_string().contains("at least one sentinel"), "{error:?}");
    let error = connect(group.urls(), "redis+unix:///tmp/socket").await;
    assert!(error.to_string().contains("in the place of the host"), "{error:?}");
    for wrong in ["mymaster", "http://mymaster"] {
        let error = connect(group.urls(), wrong).await;
        assert!(!error.is_unavailable(), "{error:?}");
    }
}
