//! Redis: a server, and a cluster.

use std::time::Duration;

use sessions::Store;
use sessions_redis::RedisProvider;
use sessions_tests::proxy::Proxy;
use sessions_tests::redis::{RedisCluster, RedisServer};
use tokio::time::sleep;

use crate::check::Check;
use crate::hosts::Host;

const SECOND: Duration = Duration::from_secs(1);

/// A write is on the disk before it is answered, so that a restart loses nothing.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis_hosts_serve_nothing_that_has_ended() {
    let mut server = RedisServer::start(&DURABLE);
    let store = Store::new(RedisProvider::connect(&server.url()).await.unwrap());
    let (mut hosts, mut proxies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let port = server.url().rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
        let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await;
        let url = format!("redis://127.0.0.1:{}", proxy.address.port());
        hosts.push(Host::start(&url, "sessions"));
        proxies.push(proxy);
    }
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let check = Check::new(&addresses);
    let faults = async {
        sleep(4 * SECOND).await;
        for _ in 0..2 {
            assert!(kill_feeds(&server) > 0, "no host follows changes");
            sleep(2 * SECOND).await;
        }
        // The server stalls, and every feed with it.
        check.disturb(true);
        server.signal("STOP");
        sleep(5 * SECOND).await;
        server.signal("CONT");
        sleep(2 * SECOND).await;
        // One host's packets are dropped, in both directions.
        proxies[1].stall(true);
        sleep(5 * SECOND).await;
        proxies[1].stall(false);
        sleep(2 * SECOND).await;
        // The server crashes and comes back.
        server.kill();
        server.start_again();
        sleep(2 * SECOND).await;
        check.disturb(false);
        sleep(5 * SECOND).await;
    };
    check.run(&store, faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hosts_of_a_redis_cluster_serve_nothing_that_has_ended() {
    let mut cluster = RedisCluster::start();
    for master in 0..3 {
        cluster.add_replica(master);
    }
    let urls = cluster.urls().join(",");
    let provider = RedisProvider::connect_cluster(cluster.urls()).await.unwrap();
    let store = Store::new(provider);
    let hosts: Vec<_> = (0..3).map(|_| Host::start(&urls, "sessions")).collect();
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let check = Check::new(&addresses);
    let faults = async {
        sleep(5 * SECOND).await;
        for node in &cluster.nodes[..3] {
            assert!(kill_feeds(node) > 0, "no host follows changes");
            sleep(SECOND).await;
        }
        // One master stalls: it is not away for long enough to be replaced.
        check.disturb(true);
        cluster.nodes[1].signal("STOP");
        sleep(4 * SECOND).await;
        cluster.nodes[1].signal("CONT");
        sleep(2 * SECOND).await;
        // A replica takes over, in agreement with its master.
        assert_eq!(cluster.nodes[3].cli(&["CLUSTER", "FAILOVER"]), "OK");
        sleep(6 * SECOND).await;
        check.disturb(false);
        sleep(5 * SECOND).await;
    };
    check.run(&store, faults).await;
}

/// Cuts the connections that follow changes, and returns how many there were.
fn kill_feeds(server: &RedisServer) -> usize {
    let clients = server.cli(&["CLIENT", "LIST"]);
    let is_feed = |line: &&str| {
        let mut words = line.split_whitespace();
        words.any(|word| word.strip_prefix("flags=").is_some_and(|flags| flags.contains('t')))
    };
    let feeds: Vec<_> = clients.lines().filter(is_feed).collect();
    for feed in &feeds {
        let id = feed.split_whitespace().find_map(|word| word.strip_prefix("id=")).unwrap();
        let _ = server.cli(&["CLIENT", "KILL", "ID", id]);
    }
    feeds.len()
}
