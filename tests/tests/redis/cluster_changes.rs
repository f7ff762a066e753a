//! The feed of changes on a cluster: it hears every master, and ends when the masters change.

use std::time::Duration;

use sessions::provider::{Expect, Provider, ProviderError, Record};
use sessions_redis::RedisProvider;
use sessions_redis::redis::cluster::ClusterClient;
use sessions_redis::redis::cluster_async::ClusterConnection;
use sessions_tests::feed::{Feed, Heard, ping};
use sessions_tests::redis::RedisCluster;

use crate::{HOUR, now};

async fn connect(cluster: &RedisCluster) -> RedisProvider<ClusterConnection> {
    RedisProvider::connect_cluster(cluster.urls()).await.unwrap()
}

#[track_caller]
fn changing(error: &ProviderError) {
    assert!(error.is_unavailable() && error.to_string().contains("masters"), "{error:?}");
}

/// Begins a feed as soon as the nodes agree.
async fn begins(provider: &RedisProvider<ClusterConnection>) -> Feed {
    let begin = async {
        loop {
            let mut feed = Feed::try_begin(provider);
            match feed.next().await {
                Some(heard) => {
                    assert_eq!(heard, Heard::Began);
                    return feed;
                }
                None => {
                    let error = feed.error().await;
                    assert!(error.is_unavailable(), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    tokio::time::timeout(HOUR / 60, begin).await.expect("no feed begins")
}

/// Saves on every node through the provider; the feed names each record.
async fn hears_every_node(feed: &mut Feed, provider: &RedisProvider<ClusterConnection>) {
    let mut missing: Vec<_> = (0..30).map(|id| Heard::Named(format!("id{id}"))).collect();
    for id in 0..30 {
        let record = Record::new(format!("id{id}"), 1, "x");
        // The driver may have to learn of the new master.
        let start = std::time::Instant::now();
        while let Err(error) = provider.save(&record, Expect::Any, now()).await {
            assert!(error.is_unavailable() && start.elapsed() < HOUR / 60, "{error:?}");
        }
    }
    let told = feed.proof().await;
    missing.retain(|heard| !told.contains(heard));
    assert_eq!(missing, [], "of {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_ends_the_feed_and_the_next_hears_the_new_master() {
    let mut cluster = RedisCluster::start();
    cluster.add_replica(0);
    let provider = connect(&cluster).await;
    let mut feed = Feed::begin(&provider).await;
    hears_every_node(&mut feed, &provider).await;
    assert_eq!(cluster.nodes[3].cli(&["CLUSTER", "FAILOVER"]), "OK");
    changing(&feed.error().await);
    let mut feed = begins(&provider).await;
    hears_every_node(&mut feed, &provider).await;

    // The old master has become the replica, and is promoted when the new one is killed.
    for node in &cluster.nodes {
        node.set("cluster-node-timeout", "2000");
    }
    cluster.nodes[3].kill();
    assert!(feed.error().await.is_unavailable());
    let mut feed = begins(&provider).await;
    hears_every_node(&mut feed, &provider).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_master_ends_the_feed_also_before_it_has_a_slot() {
    let mut cluster = RedisCluster::start();
    let provider = connect(&cluster).await;
    let feed = Feed::begin(&provider).await;
    cluster.add_master();
    changing(&feed.error().await);
    let mut feed = begins(&provider).await;
    // A slot that moves there does not end it.
    let slot = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", "sessions:record:a"]);
    let id = cluster.nodes[3].cli(&["CLUSTER", "MYID"]);
    for node in cluster.nodes.iter().rev() {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]), "OK");
    }
    provider.save(&Record::new("a", 1, "x"), Expect::Any, now()).await.unwrap();
    feed.names("a").await;
    assert_eq!(cluster.nodes[3].cli(&["DEL", "sessions:record:a"]), "1");
    assert_eq!(feed.names("a").await, []);
    hears_every_node(&mut feed, &provider).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_cut_off_or_stands_still_ends_the_feed() {
    let mut cluster = RedisCluster::start();
    let provider = connect(&cluster).await;
    // A slot that nobody serves makes a node say that the cluster has failed.
    let feed = Feed::begin(&provider).await;
    cluster.nodes[1].set("cluster-require-full-coverage", "yes");
    assert_eq!(cluster.nodes[1].cli(&["CLUSTER", "DELSLOTS", "5461"]), "OK");
    changing(&feed.error().await);
    assert_eq!(cluster.nodes[1].cli(&["CLUSTER", "ADDSLOTS", "5461"]), "OK");

    let mut feed = begins(&provider).await;
    hears_every_node(&mut feed, &provider).await;
    assert_eq!(cluster.nodes[2].cli(&["FLUSHALL"]), "OK");
    feed.until(&Heard::Gap).await;
    cluster.nodes[2].signal("STOP");
    let stalled = ping();
    let (error, told) = feed.fails().await;
    cluster.nodes[2].signal("CONT");
    assert!(error.is_unavailable(), "{error:?}");
    for heard in told {
        let Heard::Proved(ping) = heard else { panic!("{heard:?}") };
        assert_eq!(stalled.age(ping).filter(|age| !age.is_zero()), None, "{ping:?}");
    }

    let feed = begins(&provider).await;
    cluster.nodes[0].kill();
    assert!(feed.error().await.is_unavailable());
    // Without its master, a part of the records would not be told.
    assert!(Feed::try_begin(&provider).error().await.is_unavailable());
    cluster.nodes[0].start_again();
    let mut feed = begins(&provider).await;
    hears_every_node(&mut feed, &provider).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_that_answers_shows_the_others() {
    let mut cluster = RedisCluster::start();
    cluster.add_replica(0);
    let urls = cluster.urls();
    let connection = ClusterClient::new(urls.clone()).unwrap().get_async_connection().await;
    let provider = RedisProvider::new(connection.unwrap());
    let error = Feed::try_begin(&provider).error().await;
    assert!(error.to_string().contains("changes_from()"), "{error:?}");
    // A replica, and nodes that are not there.
    let gone = format!("redis://127.0.0.1:{}", sessions_tests::process::free_port());
    let provider = provider.changes_from([&gone, &urls[3], &gone]).unwrap();
    for _ in 0..3 {
        let mut feed = Feed::begin(&provider).await;
        hears_every_node(&mut feed, &provider).await;
    }
}

#[tokio::test]
async fn the_feed_of_a_cluster_takes_the_permissions_that_are_documented() {
    let cluster = RedisCluster::start();
    let allow = |rules: &str| {
        for node in &cluster.nodes {
            let mut command = vec!["ACL", "SETUSER", "shop", "reset", "on", ">secret"];
            command.extend(sessions_redis::PERMISSIONS.split_whitespace());
            command.push("+cluster|slots");
            command.extend(rules.split_whitespace());
            assert_eq!(node.cli(&command), "OK");
        }
    };
    let rules = ["+cluster|info", "+cluster|shards", "+cluster|myid"];
    allow("");
    let urls = cluster.urls().into_iter();
    let urls: Vec<_> = urls.map(|url| url.replace("redis://", "redis://shop:secret@")).collect();
    let provider = RedisProvider::connect_cluster(&urls).await.unwrap();
    for without in rules {
        allow(
            &rules.iter().filter(|rule| **rule != without).copied().collect::<Vec<_>>().join(" "),
        );
        let error = Feed::try_begin(&provider).error().await;
        assert!(!error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains("without_changes()"), "{error:?}");
    }
    allow(&rules.join(" "));
    Feed::begin(&provider).await;
}
