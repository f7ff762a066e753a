//! What a call costs: its statements as the server counts them, and its messages as a proxy sees
//! them pass.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sessions::provider::{Deleted, Expect, Page, Provider, Record, Saved, Touched};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sessions_postgres::sqlx::{self, Row as _};
use sessions_tests::postgres::{Database, Postgres};
use sessions_tests::proxy::Proxy;

use crate::now;

async fn pool_of_one(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}

/// Every call once, the saves in each of their ways, and how many statements that is by kind.
async fn every_call(provider: &PostgresProvider) -> BTreeMap<&'static str, u64> {
    let later = now() + Duration::from_secs(60);
    let first = Record::new("a", 1, "x");
    let second = Record::new("a", 2, "y");
    let save = async |record, expect, right: Saved| {
        assert_eq!(provider.save(record, expect, now()).await.unwrap(), right);
    };
    save(&first, Expect::Absent, Saved::Saved).await;
    save(&second, Expect::Version(1), Saved::Saved).await;
    save(&second, Expect::Any, Saved::Saved).await;
    save(&first, Expect::Absent, Saved::Conflict(Some(second.clone()))).await;
    save(&second, Expect::Version(1), Saved::Conflict(Some(second.clone()))).await;
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(second.clone()));
    let seen = |version| Expect::Untouched { version, expires_at: None };
    save(&second, seen(2), Saved::Saved).await;
    for expect in [Expect::Any, Expect::Version(2), seen(2)] {
        assert_eq!(provider.touch("a", later, expect, now()).await.unwrap(), Touched::Touched);
    }
    let none = provider.touch("b", later, Expect::Any, now()).await.unwrap();
    assert_eq!(none, Touched::Conflict(None));
    for expect in [Expect::Version(1), seen(1)] {
        let conflict = provider.touch("a", later, expect, now()).await.unwrap();
        assert_eq!(conflict, Touched::Conflict(Some(second.clone())));
        let conflict = provider.delete("a", expect, now()).await.unwrap();
        assert_eq!(conflict, Deleted::Conflict(second.clone()));
    }
    let announced = provider.save_and_announce(&second, Expect::Version(2), now()).await.unwrap();
    assert_eq!(announced, Saved::Saved);
    let lost = provider.save_and_announce(&second, Expect::Version(1), now()).await.unwrap();
    assert!(matches!(lost, Saved::Conflict(Some(_))), "{lost:?}");
    provider.announce(&["a", "b", "c"]).await.unwrap();
    provider.announce(&[]).await.unwrap();
    let found = provider.fetch_many(&["a", "b"], now()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&second));
    assert_eq!(provider.fetch_many(&[], now()).await.unwrap(), []);
    provider.list("owner", Page::first(10), now()).await.unwrap();
    provider.purge(now(), 100).await.unwrap();
    assert_eq!(
        provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(second))
    );
    BTreeMap::from([
        ("INSERT", 3),
        // Five updates, and six touches.
        ("UPDATE", 11),
        // One fetch, one of many, one list; one behind each conflict, but for that of a touch of
        // anything.
        ("SELECT", 10),
        // Three deletes, one purge.
        ("DELETE", 4),
    ])
}

/// As [`every_call`], for a provider that announces.
async fn every_call_announced(provider: &PostgresProvider) -> BTreeMap<&'static str, u64> {
    let mut counts = every_call(provider).await;
    // One announcement of many ids; one behind each deletion and each save that announces, also
    // where there was a conflict.
    *counts.get_mut("SELECT").unwrap() += 6;
    counts
}

/// What the server has run in this database since it was asked last.
fn counted(database: &Database) -> BTreeMap<String, u64> {
    let rows = database.sql(
        "SELECT split_part(query, ' ', 1), sum(calls) FROM pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND query NOT LIKE '%pg_stat_statements%' GROUP BY 1",
    );
    database.sql("SELECT pg_stat_statements_reset()");
    rows.lines()
        .map(|row| row.split_once('|').unwrap())
        .map(|(kind, calls)| (kind.to_owned(), calls.parse().unwrap()))
        .collect()
}

fn owned(counts: BTreeMap<&str, u64>) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

/// No BEGIN and no COMMIT among them, in any way of running.
#[tokio::test]
async fn the_server_counts_one_statement_a_call_and_one_more_to_read_a_conflict_or_to_announce() {
    let server = Postgres::start(&["pg_stat_statements.track_utility=on"]);
    let database = Database::create_on(&server.url());
    database.sql("CREATE EXTENSION pg_stat_statements");
    let own = PostgresProvider::connect(database.url()).await.unwrap();
    own.create_table().await.unwrap();
    let pool = PostgresProvider::new(pool_of_one(database.url()).await);
    counted(&database);
    for provider in [&own, &pool, &own.clone().unprepared(), &pool.clone().unprepared()] {
        let right = every_call_announced(provider).await;
        assert_eq!(counted(&database), owned(right), "{provider:?}");
    }
    let silent = own.without_changes();
    let right = every_call(&silent).await;
    assert_eq!(counted(&database), owned(right), "without changes nothing is announced");
    // The counts would show them.
    let pool = pool_of_one(database.url()).await;
    pool.begin().await.unwrap().commit().await.unwrap();
    assert_eq!(counted(&database), owned(BTreeMap::from([("BEGIN", 1), ("COMMIT", 1)])));
}

/// The types of the messages that a client sent.
fn messages(sent: &[u8]) -> String {
    let mut types = String::new();
    let mut rest = sent;
    while let [kind, length @ ..] = rest {
        types.push(char::from(*kind));
        let length = u32::from_be_bytes(length[..4].try_into().unwrap());
        rest = &rest[1 + length as usize..];
    }
    types
}

async fn behind_a_proxy(database: &Database) -> (Proxy, PgConnectOptions) {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let server = SocketAddr::from(([127, 0, 0, 1], options.get_port()));
    let proxy = Proxy::start(server).await;
    let options = options.port(proxy.address.port());
    (proxy, options)
}

/// Bind, Execute, Close, Sync: sent together, answered together.
const PREPARED: &str = "BECS";

#[tokio::test]
async fn each_call_is_one_round_trip_of_a_prepared_statement() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let provider = PostgresProvider::connect_with(options, 1).await.unwrap();
    provider.create_table().await.unwrap();
    let calls: usize =
        every_call_announced(&provider).await.values().map(|count| *count as usize).sum();
    proxy.record();
    for _ in 0..3 {
        every_call(&provider).await;
        assert_eq!(messages(&proxy.recorded()), PREPARED.repeat(calls));
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn each_unprepared_call_is_one_query_message() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let provider = PostgresProvider::connect_with(options, 1).await.unwrap().unprepared();
    provider.create_table().await.unwrap();
    proxy.record();
    let calls: usize =
        every_call_announced(&provider).await.values().map(|count| *count as usize).sum();
    assert_eq!(messages(&proxy.recorded()), "Q".repeat(calls));
}

/// sqlx's pool adds a message of its own behind each call, in no one's way.
#[tokio::test]
async fn a_pool_asks_nothing_but_whether_its_connection_is_alive() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy_with(options);
    let provider = PostgresProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let calls: usize =
        every_call_announced(&provider).await.values().map(|count| *count as usize).sum();
    // One that is free again has been asked.
    drop(pool.acquire().await.unwrap());
    proxy.record();
    every_call(&provider).await;
    drop(pool.acquire().await.unwrap());
    let sent = messages(&proxy.recorded());
    assert_eq!(sent.matches(PREPARED).count(), calls, "{sent}");
    assert_eq!(sent.replace(PREPARED, "").replace('S', ""), "", "{sent}");
}

/// Each call gives a pool's connection back, and a conflict reads on the connection that it has.
#[tokio::test]
async fn a_pools_connection_goes_back_after_each_call() {
    let database = Database::create();
    let pool = pool_of_one(database.url()).await;
    let provider = PostgresProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let first = Record::new("a", 1, "x");
    provider.save(&first, Expect::Absent, now()).await.unwrap();
    let conflict = provider.save(&first, Expect::Absent, now()).await.unwrap();
    assert_eq!(conflict, Saved::Conflict(Some(first)));

    let busy = tokio::spawn(async move {
        loop {
            provider.fetch("a", now()).await.unwrap();
        }
    });
    for _ in 0..20 {
        drop(pool.acquire().await.unwrap());
    }
    busy.abort();
}

/// Connections that are open when their runtime ends make no trouble.
#[test]
fn a_provider_may_outlive_its_runtime() {
    let database = Database::create();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options: PgConnectOptions = database.url().parse().unwrap();
    let pool = runtime.block_on(async { PgPoolOptions::new().connect_lazy_with(options.clone()) });
    let pooled = PostgresProvider::new(pool);
    let own = PostgresProvider::connect_lazy_with(options, 2);
    for provider in [&pooled, &own] {
        runtime.block_on(provider.create_table()).unwrap();
        runtime.block_on(provider.fetch("a", now())).unwrap();
    }
    drop(runtime);
    drop((pooled, own));
}

#[tokio::test]
async fn each_statement_is_prepared_once_and_stays() {
    let database = Database::create();
    let pool = pool_of_one(database.url()).await;
    let provider = PostgresProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let prepared = async || -> Vec<String> {
        let statements = sqlx::query("SELECT statement FROM pg_prepared_statements ORDER BY 1");
        let rows = statements.fetch_all(&pool).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    prepared().await;
    let mut before = Vec::new();
    for round in 0..3 {
        every_call(&provider).await;
        let now = prepared().await;
        assert!(now.iter().filter(|text| text.contains("\"sessions\"")).count() >= 7, "{now:?}");
        assert!(round == 0 || now == before, "{now:?} after {before:?}");
        before = now;
    }
}
