//! The commands that each call sends.

use std::time::{Duration, Instant};

use sessions::provider::{Deleted, Expect, Page, Provider, Saved, Touched};
use sessions_redis::{AnyConnection, RedisProvider};
use sessions_tests::redis::{Monitor, RedisServer};

use crate::{ADA, HOUR, now, on, record};

#[tokio::test]
async fn each_call_is_one_command() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut monitor = Monitor::start(&server);
    let later = Duration::from_secs(60);
    let first = record("a", 1, HOUR, None);
    let second = record("a", 2, HOUR, None);

    provider.save(&first, Expect::Absent, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "create");
    provider.save(&second, Expect::Version(1), now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "update");
    provider.save(&second, Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "unchecked save");
    let conflict = provider.save(&first, Expect::Absent, now()).await.unwrap();
    assert_eq!(conflict, Saved::Conflict(Some(second.clone())));
    assert_eq!(monitor.names(), ["EVALSHA"], "create in conflict");
    let conflict = provider.save(&second, Expect::Version(1), now()).await.unwrap();
    assert_eq!(conflict, Saved::Conflict(Some(second.clone())));
    assert_eq!(monitor.names(), ["EVALSHA"], "update in conflict");
    for expect in [Expect::Absent, Expect::Version(1)] {
        let conflict = provider.touch("a", now() + HOUR, expect, now()).await.unwrap();
        assert_eq!(conflict, Touched::Conflict(Some(second.clone())));
        assert_eq!(monitor.names(), ["EVALSHA"], "touch in conflict");
        let conflict = provider.delete("a", expect, now()).await.unwrap();
        assert_eq!(conflict, Deleted::Conflict(second.clone()));
        assert_eq!(monitor.names(), ["EVALSHA"], "delete in conflict");
    }
    provider.fetch("a", now()).await.unwrap();
    assert_eq!(monitor.names(), ["HMGET"], "fetch");
    provider.touch("a", now() + HOUR + later, Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "touch");
    provider.list(ADA, Page::first(10), now()).await.unwrap();
    assert_eq!(monitor.names(), ["ZRANGE"], "list of nobody's");
    provider.delete("a", Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "delete");

    // With an owner.
    let first = record("a", 1, HOUR, Some(ADA));
    provider.save(&first, Expect::Absent, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA", "EVALSHA"], "create with an owner");
    let second = record("a", 2, HOUR + later, Some(ADA));
    provider.save(&second, Expect::Version(1), now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "update of the same owner");
    provider.touch("a", now() + HOUR + 2 * later, Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "touch");
    provider.touch("a", now() + 2 * HOUR, Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"; 3], "touch beyond half as long again");
    provider.save(&record("a", 3, HOUR, Some("bob")), Expect::Version(2), now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"; 3], "change of the owner");
    provider.save(&record("a", 4, HOUR, None), Expect::Version(3), now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA"], "an owner is taken away");
    provider.save(&record("a", 5, HOUR, Some(ADA)), Expect::Any, now()).await.unwrap();
    provider.save(&record("b", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    monitor.names();
    assert_eq!(provider.list(ADA, Page::first(10), now()).await.unwrap().records.len(), 2);
    assert_eq!(monitor.names(), ["ZRANGE", "HMGET", "HMGET"], "list of two");
    assert_eq!(provider.fetch_many(&["a", "b", "c"], now()).await.unwrap().len(), 2);
    assert_eq!(monitor.names(), ["HMGET"; 3], "fetch_many");
    provider.delete("b", Expect::Any, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA", "EVALSHA"], "delete of an owner's");
    provider.save(&record("b", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    monitor.names();
    let late = provider.save(&record("b", 9, HOUR, Some("bob")), Expect::Version(8), now()).await;
    assert!(matches!(late.unwrap(), Saved::Conflict(Some(_))));
    assert_eq!(monitor.names(), ["EVALSHA"], "conflict of a change of the owner");
}

#[tokio::test]
async fn a_server_that_forgets_its_scripts_is_told_them_again() {
    let server = RedisServer::start(&[]);
    let provider = on(&server).await;
    let mut monitor = Monitor::start(&server);
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    monitor.commands();
    provider.save(&record("a", 1, HOUR, None), Expect::Absent, now()).await.unwrap();
    assert_eq!(monitor.names(), ["EVALSHA", "EVAL"]);
    let saved = provider.save(&record("a", 2, HOUR, None), Expect::Version(1), now()).await;
    assert_eq!(saved.unwrap(), Saved::Saved);
    assert_eq!(monitor.names(), ["EVALSHA"]);
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    assert_eq!(
        provider.touch("a", now() + 2 * HOUR, Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    assert!(matches!(
        provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(_))
    ));
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    provider.save(&record("a", 1, HOUR, Some(ADA)), Expect::Absent, now()).await.unwrap();
    assert_eq!(provider.list(ADA, Page::first(2), now()).await.unwrap().records.len(), 1);
}

/// How often the server reads a command from its sockets while so many tasks fetch at once.
async fn reads<C: AnyConnection>(server: &RedisServer, provider: &RedisProvider<C>) -> usize {
    let counted = || -> usize {
        let info = server.cli(&["INFO", "stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        line.unwrap().trim().parse().unwrap()
    };
    provider.fetch("a", now()).await.unwrap();
    let (first, before) = (counted(), counted());
    let asking = before - first;
    for _ in 0..TURNS {
        let provider = provider.clone();
        // On the thread of the tasks, so none of them begins before the last one is there.
        let turn = tokio::spawn(async move {
            let tasks = (0..TASKS).map(|_| {
                let provider = provider.clone();
                tokio::spawn(async move { provider.fetch("a", now()).await.unwrap() })
            });
            futures_util::future::try_join_all(tasks.collect::<Vec<_>>()).await.unwrap();
        });
        turn.await.unwrap();
    }
    counted() - before - asking
}

const TURNS: usize = 20;

const TASKS: usize = 16;

/// With one thread it is certain which task runs when.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commands_of_many_tasks_go_out_together() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket").display().to_string();
    let server = RedisServer::start(&["--unixsocket", &socket]);
    let ours = reads(&server, &on(&server).await).await;
    let local = RedisProvider::connect(&format!("redis+unix://{socket}")).await.unwrap();
    let local = reads(&server, &local).await;
    let client = sessions_redis::redis::Client::open(server.url()).unwrap();
    let theirs = client.get_multiplexed_async_connection().await.unwrap();
    let theirs = reads(&server, &RedisProvider::new(theirs)).await;
    println!("{} commands: {ours} and {local} reads, the crate's driver {theirs}", TURNS * TASKS);
    // The first one goes alone, and the others together, unless an answer comes in between.
    assert!(ours <= 4 * TURNS && local <= 4 * TURNS, "{ours}, {local}, {theirs}");
}

#[tokio::test]
async fn a_connection_ends_with_its_last_clone() {
    let server = RedisServer::start(&[]);
    // By its last command.
    let is_open = || server.cli(&["CLIENT", "LIST"]).contains("cmd=hmget");
    let provider = on(&server).await;
    let clone = provider.clone();
    drop(provider);
    clone.fetch("a", now()).await.unwrap();
    assert!(is_open());
    drop(clone);
    let start = Instant::now();
    while is_open() {
        assert!(start.elapsed() < Duration::from_secs(60), "the connection stays");
        tokio::task::yield_now().await;
    }
}
