//! What a call costs: its statements as the server counts them, and its messages as a proxy sees
//! them pass.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sessions::provider::{Deleted, Expect, Page, Provider, Record, Saved, Touched};
use sessions_mysql::MySqlProvider;
use sessions_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sessions_mysql::sqlx::{self, Row as _};
use sessions_tests::mysql::{Database, MySql, sql};
use sessions_tests::proxy::Proxy;

use crate::{now, options, own, pooled, with_table};

async fn pool_of_one(url: &str) -> MySqlPool {
    MySqlPoolOptions::new().max_connections(1).connect(url).await.unwrap()
}

/// Every call, the saves in each of their ways. The messages are those of [`MESSAGES`].
async fn every_call(provider: &MySqlProvider) {
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
    let conflict = provider.delete("a", Expect::Absent, now()).await.unwrap();
    assert_eq!(conflict, Deleted::Conflict(second.clone()));
    let announced = provider.save_and_announce(&second, Expect::Version(2), now()).await.unwrap();
    assert_eq!(announced, Saved::Saved);
    provider.announce(&["a", "b", "c"]).await.unwrap();
    let found = provider.fetch_many(&["a", "b"], now()).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&second));
    assert_eq!(provider.fetch_many(&[], now()).await.unwrap(), []);
    provider.list("owner", Page::first(10), now()).await.unwrap();
    assert_eq!(provider.scan(Page::first(10), now()).await.unwrap().records.len(), 1);
    provider.clock().await.unwrap();
    assert_eq!(provider.purge(now(), 100).await.unwrap(), 0);
    let dead = Record { id: "b".into(), expires_at: Some(now()), ..first.clone() };
    save(&dead, Expect::Absent, Saved::Saved).await;
    assert_eq!(provider.purge(now(), 100).await.unwrap(), 1);
    assert_eq!(
        provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(second))
    );
}

/// The messages of [`every_call`]: prepared statements (`E`), texts of several statements (`Q`).
const MESSAGES: &str = concat!(
    "EEEEEEE", // Three saves, two that conflict and read.
    "EE",      // A fetch, a save of the untouched.
    "EEEE",    // Touches, one of nothing.
    "EEQ",     // A touch of another version that reads, and a delete.
    "EEQ", "E",    // A delete that expects nothing to be there reads.
    "E",    // A save; an announcement is nothing here.
    "EEEE", // Many, a list, a scan, the clock.
    "QQ",   // A purge that finds none.
    "E",    // A save.
    "QQ",   // A purge.
    "Q",    // A delete.
);

/// The statements of [`every_call`], as the server counts them.
fn statements() -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("insert", 4),
        // Four updates, and six touches.
        ("update", 10),
        // One fetch, one of many, one list, one scan, one clock; one after each of four conflicts, and
        // one of a delete of nothing; one in each of five transactions.
        ("select", 15),
        // Three deletes, one purge that found something.
        ("delete", 4),
        // Of three deletes and two purges.
        ("begin", 5),
        ("commit", 5),
        // The isolation level of deletes.
        ("set_option", 3),
    ])
}

/// What the server has run since it was asked last.
fn counted(server: &MySql, before: &mut BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let rows = sql(&server.url(), "SHOW GLOBAL STATUS LIKE 'Com\\_%'");
    let now: BTreeMap<String, u64> = rows
        .lines()
        .map(|row| row.split_once('|').unwrap())
        .map(|(kind, count)| (kind.trim_start_matches("Com_").to_owned(), count.parse().unwrap()))
        // Those of asking, and the protocol's.
        .filter(|(kind, _)| !["admin", "show", "stmt"].iter().any(|it| kind.starts_with(it)))
        .collect();
    let since =
        now.iter().map(|(kind, count)| (kind.clone(), count - before.get(kind).unwrap_or(&0)));
    let since = since.filter(|(_, count)| *count > 0).collect();
    *before = now;
    since
}

#[tokio::test]
async fn the_server_counts_one_statement_a_call_and_one_more_to_read_a_conflict() {
    let server = MySql::start(&[]);
    let database = Database::create_on(&server.url());
    let own = MySqlProvider::connect_with(options(database.url()), 1).await.unwrap();
    own.create_table().await.unwrap();
    let pool = MySqlProvider::new(pool_of_one(database.url()).await);
    let mut before = BTreeMap::new();
    for provider in [&own, &pool] {
        // The first call over a pool asks for the connection's settings.
        provider.fetch("a", now()).await.unwrap();
        counted(&server, &mut before);
        every_call(provider).await;
        let right = statements().into_iter().map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(counted(&server, &mut before), right.collect(), "{provider:?}");
    }
}

/// The kinds of the messages that a client sent.
fn messages(sent: &[u8]) -> String {
    let mut kinds = String::new();
    let mut rest = sent;
    while let [low, middle, high, _number, kind, ..] = rest {
        kinds.push(match kind {
            0x03 => 'Q',
            0x0e => 'p', // A ping.
            0x16 => 'P', // A statement is prepared.
            0x17 => 'E',
            other => panic!("a message of kind {other}"),
        });
        rest = &rest[4 + u32::from_le_bytes([*low, *middle, *high, 0]) as usize..];
    }
    kinds
}

async fn behind_a_proxy(database: &Database) -> (Proxy, MySqlConnectOptions) {
    let (_, place) = database.url().rsplit_once('@').unwrap();
    let port = place.split_once(':').map_or("3306", |(_, port)| port.split('/').next().unwrap());
    let server = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let proxy = Proxy::start(server).await;
    let options = options(database.url()).port(proxy.address.port());
    (proxy, options)
}

#[tokio::test]
async fn each_call_is_one_round_trip_and_each_statement_prepared_once() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let provider = MySqlProvider::connect_with(options, 1).await.unwrap();
    provider.create_table().await.unwrap();
    proxy.record();
    every_call(&provider).await;
    let first = messages(&proxy.recorded());
    assert_eq!(first.replace('P', ""), MESSAGES);
    assert_eq!(first.matches('P').count(), 12, "{first}");
    for _ in 0..3 {
        every_call(&provider).await;
        assert_eq!(messages(&proxy.recorded()), MESSAGES);
    }
    assert_eq!(proxy.connections(), 1);
}

/// sqlx's pool adds a message of its own behind each call, in no one's way.
#[tokio::test]
async fn a_pool_asks_nothing_but_whether_its_connection_is_alive() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let pool = MySqlPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect_lazy_with(options);
    let provider = MySqlProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    every_call(&provider).await;
    // One that is free again has been asked.
    drop(pool.acquire().await.unwrap());
    proxy.record();
    every_call(&provider).await;
    drop(pool.acquire().await.unwrap());
    let sent = messages(&proxy.recorded());
    assert_eq!(sent.replace('p', ""), MESSAGES, "{sent}");
}

/// Each call gives a pool's connection back, and a conflict reads on the connection that it has.
#[tokio::test]
async fn a_pools_connection_goes_back_after_each_call() {
    let database = Database::create();
    let pool = pool_of_one(database.url()).await;
    let provider = MySqlProvider::new(pool.clone());
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
    let pooled = runtime.block_on(async { pooled(database.url(), 2) });
    let own = own(database.url(), 2);
    for provider in [&pooled, &own] {
        runtime.block_on(provider.create_table()).unwrap();
        runtime.block_on(provider.fetch("a", now())).unwrap();
    }
    drop(runtime);
    drop((pooled, own));
}

/// A save over equal bytes and a touch to the same time find their record and change nothing in it.
#[tokio::test]
async fn what_changes_nothing_has_found_its_record_all_the_same() {
    let database = Database::create();
    for provider in [own(database.url(), 1), pooled(database.url(), 1)] {
        let provider = with_table(provider).await;
        let mut record = Record::new("a", u64::MAX, "x");
        record.expires_at = Some(now() + Duration::from_secs(60));
        record.owner = Some("o".into());
        let expected = Expect::Untouched { version: u64::MAX, expires_at: record.expires_at };
        provider.save(&record, Expect::Any, now()).await.unwrap();
        for expect in [Expect::Any, Expect::Version(u64::MAX), expected] {
            let saved = provider.save(&record, expect, now()).await.unwrap();
            assert_eq!(saved, Saved::Saved, "{expect:?}");
            for at in [now(), now() + Duration::from_secs(60)] {
                let touched = provider.touch("a", at, expect, now()).await.unwrap();
                assert_eq!(touched, Touched::Touched, "{expect:?}");
            }
        }
        // One that has expired is replaced by the same.
        let later = now() + Duration::from_secs(60);
        for _ in 0..2 {
            let saved = provider.save(&record, Expect::Absent, later).await.unwrap();
            assert_eq!(saved, Saved::Saved);
        }
        assert_eq!(
            provider.save(&record, Expect::Absent, now()).await.unwrap(),
            Saved::Conflict(Some(record))
        );
    }
}

/// Three round trips are rare: nobody takes the id of a record that has expired, but the key ring.
#[tokio::test]
async fn a_record_over_an_expired_one_takes_three_round_trips() {
    let database = Database::create();
    let (proxy, options) = behind_a_proxy(&database).await;
    let provider = MySqlProvider::connect_with(options, 1).await.unwrap();
    provider.create_table().await.unwrap();
    let record = Record { expires_at: Some(now()), ..Record::new("a", 1, "x") };
    let earlier = now() - Duration::from_millis(1);
    provider.save(&record, Expect::Absent, earlier).await.unwrap();
    let saved = provider.save(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
    proxy.record();
    let saved = provider.save(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!((saved, messages(&proxy.recorded())), (Saved::Saved, "EEE".to_owned()));
    let lost = provider.save(&record, Expect::Absent, earlier).await.unwrap();
    assert_eq!(
        (lost, messages(&proxy.recorded())),
        (Saved::Conflict(Some(record)), "EE".to_owned())
    );
}

/// The primary key leads to the record, whatever type a parameter has.
#[tokio::test]
async fn a_call_reads_no_row_but_its_own() {
    let database = Database::create();
    let pool = pool_of_one(database.url()).await;
    let provider = with_table(MySqlProvider::new(pool.clone())).await;
    database.sql(
        "INSERT INTO sessions SELECT CONCAT('id', seq), 1, seq << 40, '', CONCAT('o', seq % 100), '' \
         FROM seq_1_to_2000",
    );
    let rows_read = async || -> u64 {
        let status = "SELECT CAST(SUM(variable_value) AS UNSIGNED) \
                      FROM information_schema.session_status WHERE variable_name LIKE 'HANDLER_READ%'";
        sqlx::query(status).fetch_one(&pool).await.unwrap().get(0)
    };
    let record = Record::new("id7", 1, "x");
    let later = now() + Duration::from_secs(60);
    let base = rows_read().await;
    let asking = rows_read().await - base;
    for step in 0..10 {
        let before = rows_read().await;
        let most = match step {
            0 => provider.fetch("id7", now()).await.map(|_| 1),
            1 => provider.save(&record, Expect::Any, now()).await.map(|_| 1),
            2 => provider.save(&record, Expect::Absent, now()).await.map(|_| 2),
            3 => provider.save(&record, Expect::Version(1), now()).await.map(|_| 1),
            4 => provider.save(&record, Expect::Version(2), now()).await.map(|_| 2),
            5 => provider.touch("id7", later, Expect::Any, now()).await.map(|_| 1),
            6 => provider.fetch_many(&["id7", "id8"], now()).await.map(|_| 5),
            7 => provider.list("o7", Page::first(5), now()).await.map(|_| 25),
            8 => provider.purge(now(), 10).await.map(|_| 25),
            _ => provider.delete("id7", Expect::Any, now()).await.map(|_| 3),
        };
        let read = rows_read().await - before - asking;
        assert!(read <= most.unwrap(), "step {step} reads {read} rows");
    }
}
