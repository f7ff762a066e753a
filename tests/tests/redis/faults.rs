//! Redis goes away, is cut off, or stands still: every call ends in a result or in an error that
//! says whether trying again can help, no save is sent twice, and all goes on by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved};
use sessions_redis::redis::Client;
use sessions_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sessions_redis::{AnyConnection, Connection, RedisProvider};
use sessions_tests::proxy::Proxy;
use sessions_tests::redis::{Monitor, RedisCluster, RedisServer};
use sessions_tests::steps::logins_survive_a_killed_server;

use crate::now;

/// Far above every timeout of the provider, for a busy machine.
const HANGS: Duration = Duration::from_secs(60);

/// The answer to a call, which comes in any case.
async fn ends<T>(call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    tokio::time::timeout(HANGS, call).await.expect("the call hangs")
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(answer: Result<T, ProviderError>) {
    let error = answer.expect_err("an error");
    assert!(error.is_unavailable(), "{error:?}");
}

/// Calls until an answer comes.
async fn recovers<T>(call: impl AsyncFn() -> Result<T, ProviderError>) -> T {
    let start = Instant::now();
    loop {
        match ends(call()).await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_unavailable(), "{error:?}"),
        }
        assert!(start.elapsed() < HANGS, "it does not recover by itself");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn proxy_to(server: &RedisServer) -> Proxy {
    Proxy::start(SocketAddr::from(([127, 0, 0, 1], server.port))).await
}

fn url(proxy: &Proxy) -> String {
    format!("redis://{}", proxy.address)
}

async fn manager(url: &str) -> RedisProvider<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(Duration::from_secs(3)))
        .set_number_of_retries(2);
    let client = Client::open(url).unwrap();
    RedisProvider::new(ConnectionManager::new_with_config(client, config).await.unwrap())
}

fn version(version: u64, writer: &str) -> Record {
    Record::new("a", version, format!("bytes-{version}-of-{writer}").into_bytes())
}

/// Writers go on while the server is killed and started again; it syncs each write to the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answered_save_is_lost_when_the_server_is_killed() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = RedisServer::start(&settings);
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let provider = RedisProvider::new(Connection::open(&server.url()).unwrap());
            let (over, answered) = (over.clone(), answered.clone());
            tokio::spawn(async move {
                let id = format!("record-{writer}");
                let bytes = |version: u64| Record::new(&*id, version, version.to_string());
                let (mut known, mut failed) = (0, 0);
                while !over.load(Ordering::SeqCst) {
                    let expect = if known == 0 { Expect::Absent } else { Expect::Version(known) };
                    match ends(provider.save(&bytes(known + 1), expect, now())).await {
                        Ok(Saved::Saved) => known += 1,
                        // The save whose answer was lost.
                        Ok(Saved::Conflict(found)) => {
                            assert_eq!(found, Some(bytes(known + 1)), "after {known}");
                            assert!(failed > 0);
                            known += 1;
                        }
                        Err(error) => {
                            assert!(error.is_unavailable(), "{error:?}");
                            failed += 1;
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            continue;
                        }
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                    let found = ends(provider.fetch(&id, now())).await;
                    match found {
                        Ok(found) => assert_eq!(found, Some(bytes(known))),
                        Err(error) => assert!(error.is_unavailable(), "{error:?}"),
                    }
                }
                (id, known, failed)
            })
        })
        .collect();
    let more = async |some: usize| {
        let start = (answered.load(Ordering::SeqCst), Instant::now());
        while answered.load(Ordering::SeqCst) < start.0 + some {
            assert!(start.1.elapsed() < HANGS, "no save goes through");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for _ in 0..3 {
        more(200).await;
        server.kill();
        server.start_again();
    }
    more(200).await;
    over.store(true, Ordering::SeqCst);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    for writer in writers {
        let (id, known, failed) = writer.await.unwrap();
        let stored = provider.fetch(&id, now()).await.unwrap().map(|record| record.version);
        assert!(failed > 0, "{id} has noticed nothing");
        assert!(stored == Some(known) || stored == Some(known + 1), "{id}: {stored:?}, {known}");
    }
}

/// A restart while nothing is sent costs no call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_calls_goes_unnoticed() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    provider.save(&version(1, "me"), Expect::Absent, now()).await.unwrap();
    server.kill();
    server.start_again();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(version(1, "me")));
    let saved = provider.save(&version(2, "me"), Expect::Version(1), now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
}

/// A failover moves a host name from a server to the replica that was promoted in its place. The old
/// server lives on as a replica, so nobody cuts its connections. This is what the crate's own
/// connection does and a `ConnectionManager` does not, so the one exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_cuts_no_connection_is_followed_but_not_by_a_connection_manager() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let proxy = proxy_to(&old).await;
    let own = RedisProvider::connect(&url(&proxy)).await.unwrap();
    let managed = manager(&url(&proxy)).await;
    own.save(&version(1, "me"), Expect::Any, now()).await.unwrap();
    managed.save(&version(1, "me"), Expect::Any, now()).await.unwrap();

    proxy.redirect(SocketAddr::from(([127, 0, 0, 1], new.port)));
    let _ = old.cli(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]);
    let refused = own.save(&version(2, "me"), Expect::Any, now()).await.unwrap_err();
    assert!(refused.is_unavailable() && refused.to_string().contains("replica"), "{refused}");
    assert_eq!(own.save(&version(2, "me"), Expect::Any, now()).await.unwrap(), Saved::Saved);

    for _ in 0..5 {
        let refused = managed.save(&version(3, "me"), Expect::Any, now()).await.unwrap_err();
        assert!(refused.to_string().contains("replica"), "{refused}");
    }
}

/// Cuts the connection around the bytes of a save. The save is sent once at most, and trying it
/// again tells what became of it.
async fn cut_saves<C: AnyConnection>(
    provider: RedisProvider<C>,
    proxy: &Proxy,
    server: &RedisServer,
) {
    let other = RedisProvider::connect(&server.url()).await.unwrap();
    let mut monitor = Monitor::start(server);
    let mut sent = |bytes: &str| {
        let commands = monitor.commands();
        commands.iter().filter(|command| command.contains(bytes)).count()
    };
    recovers(async || provider.save(&version(1, "me"), Expect::Any, now()).await).await;

    // Before: it has not happened.
    proxy.cut_before(b"bytes-2-of-me");
    unavailable(ends(provider.save(&version(2, "me"), Expect::Version(1), now())).await);
    assert!(!proxy.cut_is_due());
    assert_eq!(sent("bytes-2-of-me"), 0);
    let again = async || provider.save(&version(2, "me"), Expect::Version(1), now()).await;
    assert_eq!(recovers(again).await, Saved::Saved);
    assert_eq!(sent("bytes-2-of-me"), 1);

    // After: it has.
    proxy.cut_after(b"bytes-3-of-me");
    unavailable(ends(provider.save(&version(3, "me"), Expect::Version(2), now())).await);
    assert_eq!(sent("bytes-3-of-me"), 1);
    let again = async || provider.save(&version(3, "me"), Expect::Version(2), now()).await;
    assert_eq!(recovers(again).await, Saved::Conflict(Some(version(3, "me"))));

    // Before, and another wins.
    proxy.cut_before(b"bytes-4-of-me");
    unavailable(ends(provider.save(&version(4, "me"), Expect::Version(3), now())).await);
    other.save(&version(4, "other"), Expect::Version(3), now()).await.unwrap();
    let again = async || provider.save(&version(4, "me"), Expect::Version(3), now()).await;
    assert_eq!(recovers(again).await, Saved::Conflict(Some(version(4, "other"))));

    // All at once, while many calls are under way.
    let calls: Vec<_> = (0..50)
        .map(|turn| {
            let provider = provider.clone();
            tokio::spawn(async move {
                let record = Record::new(format!("id{turn}"), 1, vec![b'x'; 100_000]);
                ends(provider.save(&record, Expect::Any, now())).await
            })
        })
        .collect();
    tokio::task::yield_now().await;
    proxy.cut_all();
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert!(error.is_unavailable(), "{error:?}");
        }
    }
    let found = recovers(async || provider.fetch("a", now()).await).await;
    assert_eq!(found, Some(version(4, "other")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_saves_are_told_apart() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    let provider = RedisProvider::connect(&url(&proxy)).await.unwrap();
    cut_saves(provider, &proxy, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_saves_are_told_apart_on_a_connection_manager() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    cut_saves(manager(&url(&proxy)).await, &proxy, &server).await;
}

/// A cluster of one node, which gives the proxy's address for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cut_saves_are_told_apart_on_a_cluster() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    let proxy = proxy_to(&server).await;
    server.set("cluster-announce-ip", "127.0.0.1");
    server.set("cluster-announce-port", &proxy.address.port().to_string());
    assert_eq!(server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "OK");
    let start = Instant::now();
    while !server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
        assert!(start.elapsed() < HANGS, "the cluster does not come up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let provider = RedisProvider::connect_cluster([url(&proxy)]).await.unwrap();
    assert!(proxy.connections() > 0);
    cut_saves(provider, &proxy, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stall_of_two_seconds_is_waited_for_or_told() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    let provider = RedisProvider::connect(&url(&proxy)).await.unwrap();
    provider.save(&version(1, "me"), Expect::Any, now()).await.unwrap();
    proxy.stall(true);
    let calls: Vec<_> = (0..20)
        .map(|turn| {
            let provider = provider.clone();
            tokio::spawn(async move {
                let record = Record::new(format!("id{turn}"), 1, "x");
                let saved = ends(provider.save(&record, Expect::Absent, now())).await;
                (turn, saved, ends(provider.fetch("a", now())).await)
            })
        })
        .collect();
    // The stall itself, not a wait for something.
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.stall(false);
    for call in calls {
        let (turn, saved, fetched) = call.await.unwrap();
        match saved {
            Ok(saved) => assert_eq!(saved, Saved::Saved),
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                println!("{turn}: {error}");
            }
        }
        match fetched {
            Ok(found) => assert_eq!(found, Some(version(1, "me"))),
            Err(error) => assert!(error.is_unavailable(), "{error:?}"),
        }
    }
    let found = recovers(async || provider.fetch("a", now()).await).await;
    assert_eq!(found, Some(version(1, "me")));
}

/// Every kind of call, against a server that does not answer.
async fn none_hangs<C: AnyConnection>(provider: &RedisProvider<C>) {
    let mut record = version(1, "me");
    record.owner = Some("ada".into());
    unavailable(ends(provider.fetch("a", now())).await);
    unavailable(ends(provider.save(&record, Expect::Version(1), now())).await);
    unavailable(ends(provider.save(&record, Expect::Absent, now())).await);
    unavailable(ends(provider.touch("a", now(), Expect::Any, now())).await);
    unavailable(ends(provider.delete("a", Expect::Any, now())).await);
    unavailable(ends(provider.list("ada", Page::first(2), now())).await);
    unavailable(ends(provider.create()).await);
    unavailable(ends(provider.warnings()).await);
    unavailable(ends(provider.clear()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_waits_for_a_server_that_stands_still() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    let short = Duration::from_millis(100);
    // The limit of the command, that of the call, and both of a manager.
    let connection = Connection::open_with_timeouts(&url(&proxy), short, short).unwrap();
    let one = RedisProvider::new(connection);
    let two = RedisProvider::new(Connection::open(&url(&proxy)).unwrap()).timeout(short);
    let three = manager(&url(&proxy)).await.timeout(short);
    // Also while it is connected.
    for connected in [false, true] {
        if connected {
            recovers(async || one.fetch("a", now()).await).await;
            recovers(async || two.fetch("a", now()).await).await;
            recovers(async || three.fetch("a", now()).await).await;
        }
        let before = proxy.connections();
        proxy.stall(true);
        none_hangs(&one).await;
        none_hangs(&two).await;
        none_hangs(&three).await;
        // Where no answer comes, another connection is tried.
        assert!(proxy.connections() > before, "{before}");
        proxy.stall(false);
    }
    recovers(async || one.fetch("a", now()).await).await;
    recovers(async || two.fetch("a", now()).await).await;
    recovers(async || three.fetch("a", now()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_refuses_connections_is_found_again() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    let provider = RedisProvider::connect(&url(&proxy)).await.unwrap();
    proxy.refuse(true);
    proxy.cut_all();
    for _ in 0..20 {
        if let Err(error) = ends(provider.fetch("a", now())).await {
            assert!(error.is_unavailable(), "{error:?}");
        }
    }
    none_hangs(&provider).await;
    proxy.refuse(false);
    // At once: the failures of before are not remembered.
    assert_eq!(ends(provider.fetch("a", now())).await.unwrap(), None);
}

/// Many tasks at once open one connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_share_a_connection() {
    let server = RedisServer::start(&[]);
    let proxy = proxy_to(&server).await;
    let provider = RedisProvider::new(Connection::open(&url(&proxy)).unwrap());
    for connections in 1..=2 {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let provider = provider.clone();
                tokio::spawn(async move { provider.fetch("a", now()).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), None);
        }
        assert_eq!(proxy.connections(), connections);
        proxy.cut_all();
        while proxy.connections() == connections {
            let _ = ends(provider.fetch("a", now())).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_that_loses_a_node_serves_the_others_and_heals() {
    let mut cluster = RedisCluster::start();
    let provider = RedisProvider::connect_cluster(cluster.urls()).await.unwrap();
    for turn in 0..30 {
        let record = Record::new(format!("id{turn}"), 1, "x");
        provider.save(&record, Expect::Absent, now()).await.unwrap();
    }
    cluster.nodes[2].kill();
    // The first call that meets it may take along others that the driver sends at once.
    let mut served = 0;
    let mut failed = 0;
    for turn in 0..30 {
        match ends(provider.fetch(&format!("id{turn}"), now())).await {
            Ok(found) => {
                assert!(found.is_some());
                served += 1;
            }
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                failed += 1;
            }
        }
    }
    assert!(served >= 5 && failed >= 3, "{served} served, {failed} failed");
    cluster.nodes[2].start_again();
    for turn in 0..30 {
        // That node has kept nothing.
        let id = format!("id{turn}");
        recovers(async || provider.fetch(&id, now()).await).await;
        let record = Record::new(&*id, 1, "y");
        recovers(async || provider.save(&record, Expect::Any, now()).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_that_moves_to_another_node_is_followed() {
    let cluster = RedisCluster::start();
    let provider = RedisProvider::connect_cluster(cluster.urls()).await.unwrap();
    let id = "a";
    let key = format!("sessions:record:{id}");
    let slot = cluster.nodes[0].cli(&["CLUSTER", "KEYSLOT", &key]);
    let owner = slot.parse::<usize>().unwrap() / 5461;
    let target = (owner + 1) % 3;
    let name = cluster.nodes[target].cli(&["CLUSTER", "MYID"]);
    for node in [target, owner, (owner + 2) % 3] {
        let moved = cluster.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &name]);
        assert_eq!(moved, "OK");
    }
    let saved = provider.save(&version(1, "me"), Expect::Absent, now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
    assert_eq!(cluster.nodes[target].cli(&["EXISTS", &key]), "1");
    assert_eq!(provider.fetch(id, now()).await.unwrap(), Some(version(1, "me")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_each_step_of_a_login_loses_none() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = Arc::new(std::sync::Mutex::new(RedisServer::start(&settings)));
    let url = server.lock().unwrap().url();
    let provider = RedisProvider::new(Connection::open(&url).unwrap());
    let (killed, down) = (server.clone(), Arc::new(AtomicBool::new(false)));
    let is_down = down.clone();
    let kill = move || {
        killed.lock().unwrap().kill();
        is_down.store(true, Ordering::SeqCst);
    };
    let run = || {
        if down.swap(false, Ordering::SeqCst) {
            server.lock().unwrap().start_again();
        }
    };
    logins_survive_a_killed_server(provider, kill, run).await;
}
