//! The feed of changes on a server: what it tells, what it does not, and when it ends.

use std::time::Instant;

use sessions::provider::{Expect, Provider, ProviderError, Record};
use sessions_redis::redis::Client;
use sessions_redis::redis::aio::ConnectionManager;
use sessions_redis::{Connection, RedisProvider};
use sessions_tests::feed::{Feed, Heard, ping};
use sessions_tests::redis::{Monitor, RedisServer};

use crate::{ADA, HOUR, now, on, record};

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable() && error.to_string().contains(text), "{error:?}");
}

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable() && !error.is_unsupported(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

fn named(id: &str) -> Heard {
    Heard::Named(id.to_owned())
}

/// The ids of the connections on which the server tells of changes.
fn tracking(server: &RedisServer) -> Vec<String> {
    let clients = server.cli(&["CLIENT", "LIST"]);
    let ids = clients.lines().filter(|line| {
        let flags = line.split("flags=").nth(1).and_then(|rest| rest.split(' ').next());
        flags.is_some_and(|flags| flags.contains('B'))
    });
    ids.filter_map(|line| Some(line.strip_prefix("id=")?.split(' ').next()?.to_owned())).collect()
}

#[tokio::test]
async fn what_anybody_does_to_a_record_is_told() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut feed = Feed::begin(&provider).await;
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    assert_eq!(feed.names("a").await, []);
    // By an operator; the new expiry is told first.
    assert_eq!(server.cli(&["PEXPIRE", "sessions:record:a", "30"]), "1");
    assert_eq!(feed.names("a").await, []);
    assert_eq!(feed.names("a").await, [], "it has expired");
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    feed.names("a").await;
    for command in ["DEL", "UNLINK"] {
        provider.save(&record("b", 1, HOUR, None), Expect::Any, now()).await.unwrap();
        feed.names("b").await;
        assert_eq!(server.cli(&[command, "sessions:record:b"]), "1");
        assert_eq!(feed.names("b").await, []);
    }
    let _ = server.cli(&["PEXPIREAT", "sessions:record:a", "1"]);
    assert_eq!(feed.names("a").await, []);
    for flush in ["FLUSHDB", "FLUSHALL"] {
        assert_eq!(server.cli(&[flush]), "OK");
        assert_eq!(feed.until(&Heard::Gap).await, []);
    }
}

#[tokio::test]
async fn eviction_is_told() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-random"]);
    let provider = on(&server).await;
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    server.set("maxmemory", "1");
    feed.names("a").await;
}

#[tokio::test]
async fn only_the_records_under_the_prefix_are_told() {
    let server = RedisServer::start(&[]);
    let one = on(&server).await.prefix("shop").unwrap();
    let others = ["shop2", "sho", "shop:x", "record"].map(|prefix| {
        RedisProvider::new(Connection::open(&server.url()).unwrap()).prefix(prefix).unwrap()
    });
    let mut feed = Feed::begin(&one).await;
    let mut feeds = Vec::new();
    for other in &others {
        feeds.push(Feed::begin(other).await);
        other.save(&record("other", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
        other.delete("other", Expect::Any, now()).await.unwrap();
    }
    // An owner's sets are no records.
    one.save(&record("own", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    one.delete("own", Expect::Any, now()).await.unwrap();
    let told = feed.proof().await;
    assert!(!told.is_empty() && told.iter().all(|heard| *heard == named("own")), "{told:?}");
    for mut feed in feeds {
        let told = feed.proof().await;
        assert!(told.iter().all(|heard| [named("other"), named("probe")].contains(heard)));
    }
}

/// Many at once, in one turn of the server and in one push.
#[tokio::test]
async fn twenty_thousand_changes_at_once_are_all_told() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut feed = Feed::begin(&provider).await;
    let script = "for n = 1, 20000 do redis.call('SET', 'sessions:record:' .. n, 'x') end";
    let _ = server.cli(&["EVAL", script, "0"]);
    let mut told = feed.proof().await;
    told.sort_unstable_by_key(|heard| format!("{heard:?}"));
    told.dedup();
    assert_eq!(told.len(), 20_000);
}

#[tokio::test]
async fn a_feed_takes_one_connection_which_ends_with_it() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut monitor = Monitor::start(&server);
    let mut feed = Feed::begin(&provider).await;
    feed.proof().await;
    let names = monitor.names();
    let sent: Vec<_> = names.iter().map(String::as_str).filter(|name| *name != "INFO").collect();
    assert_eq!(sent, ["HELLO", "CLIENT", "EVALSHA", "EVALSHA"]);
    assert_eq!(tracking(&server).len(), 1);
    drop(feed);
    let start = Instant::now();
    while !tracking(&server).is_empty() {
        assert!(start.elapsed() < HOUR / 60, "the connection stays");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_lost_connection_ends_the_feed_and_the_next_one_begins() {
    let mut server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let feed = Feed::begin(&provider).await;
    let [id] = &tracking(&server)[..] else { panic!("one connection tracks") };
    assert_eq!(server.cli(&["CLIENT", "KILL", "ID", id]), "1");
    assert!(feed.error().await.is_unavailable());

    let feed = Feed::begin(&provider).await;
    server.kill();
    assert!(feed.error().await.is_unavailable());
    let error = Feed::try_begin(&provider).error().await;
    unavailable(&error, "refuses connections");
    server.start_again();
    let mut feed = Feed::begin(&provider).await;
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    feed.names("a").await;
}

#[tokio::test]
async fn a_server_that_stands_still_proves_nothing_and_ends_the_feed() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut feed = Feed::begin(&provider).await;
    feed.proof().await;
    server.signal("STOP");
    let stalled = ping();
    let (error, told) = feed.fails().await;
    server.signal("CONT");
    unavailable(&error, "has not answered within 10s");
    for heard in told {
        let Heard::Proved(ping) = heard else { panic!("{heard:?}") };
        // The last one may have been sent before the stall and answered within it.
        assert_eq!(stalled.age(ping).filter(|age| !age.is_zero()), None, "{ping:?}");
    }
    Feed::begin(&provider).await;
}

#[tokio::test]
async fn a_master_that_becomes_a_replica_ends_the_feed() {
    let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let provider = on(&old).await;
    let feed = Feed::begin(&provider).await;
    let _ = old.cli(&["REPLICAOF", "127.0.0.1", &new.port.to_string()]);
    unavailable(&feed.error().await, "replica");
    unavailable(&Feed::try_begin(&provider).error().await, "replica");
    let _ = old.cli(&["REPLICAOF", "NO", "ONE"]);
    Feed::begin(&provider).await;
}

/// A name that leads elsewhere, and as well a proxy that passes no push on.
#[tokio::test]
async fn a_feed_that_does_not_hear_of_the_providers_own_save_does_not_begin() {
    let (one, other) = (RedisServer::start(&[]), RedisServer::start(&[]));
    let provider = on(&one).await.changes_from([other.url()]).unwrap();
    let (error, told) = Feed::try_begin(&provider).fails().await;
    unavailable(&error, "without_changes()");
    assert_eq!(told, []);
}

#[tokio::test]
async fn a_server_that_cannot_tell_says_what_to_do() {
    let server = RedisServer::start(&["--rename-command", "CLIENT", ""]);
    let provider = on(&server).await;
    permanent(&Feed::try_begin(&provider).error().await, "without_changes()");
    let provider = provider.without_changes();
    assert!(Feed::try_begin(&provider).error().await.is_unsupported());

    let server = RedisServer::start(&[]);
    let rules = sessions_redis::PERMISSIONS.split_whitespace();
    let mut command = vec!["ACL", "SETUSER", "shop", "on", ">secret"];
    command.extend(rules.filter(|rule| *rule != "+client|tracking"));
    assert_eq!(server.cli(&command), "OK");
    let url = server.url().replace("redis://", "redis://shop:secret@");
    let provider = RedisProvider::connect(&url).await.unwrap();
    permanent(&Feed::try_begin(&provider).error().await, "without_changes()");
    assert_eq!(server.cli(&["ACL", "SETUSER", "shop", "+client|tracking"]), "OK");
    let mut feed = Feed::begin(&provider).await;
    feed.proof().await;
    assert_eq!(server.cli(&["ACL", "SETUSER", "shop", "-info"]), "OK");
    permanent(&feed.error().await, "permissions");
}

#[tokio::test]
async fn a_connection_of_the_users_own_does_not_say_where_the_feed_goes() {
    let server = RedisServer::start(&[]);
    let manager = ConnectionManager::new(Client::open(server.url()).unwrap()).await.unwrap();
    let provider = RedisProvider::new(manager);
    permanent(&Feed::try_begin(&provider).error().await, "changes_from()");
    permanent(&provider.clone().changes_from(["localhost"]).unwrap_err(), "redis://");
    permanent(&provider.clone().changes_from([""; 0]).unwrap_err(), "one URL");
    let two = [server.url(), server.url()];
    permanent(&provider.clone().changes_from(two).unwrap_err(), "one URL");
    let provider = provider.changes_from([server.url()]).unwrap();
    let mut feed = Feed::begin(&provider).await;
    let saved = Record::new("a", 1, Vec::new());
    provider.save(&saved, Expect::Absent, now()).await.unwrap();
    assert_eq!(feed.names("a").await, []);
}
