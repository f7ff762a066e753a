//! Ends and renewals are told of before they are answered, whatever becomes of the statements, the
//! connections and the caller.

use std::time::Duration;

use sessions::provider::{Deleted, Expect, Provider, Record, Saved};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::PgPoolOptions;
use sessions_postgres::sqlx::{self, PgConnection, postgres::PgPool};
use sessions_tests::postgres::{Database, Postgres};
use sessions_tests::proxy::Proxy;
use tokio::task::JoinSet;

use crate::feed::{Feed, Heard, unavailable};
use crate::{now, options, own, pooled, with_table};

fn changed(id: &str) -> Heard {
    Heard::Changed(id.to_owned())
}

fn ended(id: &str) -> Heard {
    Heard::Ended(id.to_owned())
}

async fn put(provider: &PostgresProvider, record: &Record) {
    provider.save(record, Expect::Any, now()).await.unwrap();
}

/// Providers that know only the proxy, and one that knows the server.
async fn behind_a_proxy(database: &Database) -> (Proxy, [PostgresProvider; 2], PostgresProvider) {
    let server = options(database.url());
    let proxy = Proxy::start(([127, 0, 0, 1], server.get_port()).into()).await;
    let behind = server.port(proxy.address.port());
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let providers = [
        PostgresProvider::connect_lazy_with(behind.clone(), 1),
        PostgresProvider::new(pool.connect_lazy_with(behind)),
    ];
    (proxy, providers, with_table(own(database.url(), 2)).await)
}

#[tokio::test]
async fn an_announcement_that_fails_fails_the_call_and_the_next_try_announces_again() {
    let database = Database::create();
    let (proxy, providers, direct) = behind_a_proxy(&database).await;
    let mut feed = Feed::begin(&direct).await;
    // sqlx's pool tries to connect for as long as it may.
    for provider in providers.map(|provider| provider.timeout(Duration::from_secs(2))) {
        let [first, second] = [1, 2].map(|version| Record::new("told", version, "x"));
        put(&direct, &first).await;
        provider.fetch("told", now()).await.unwrap();
        proxy.cut_before(b"*told");
        proxy.refuse(true);
        let error = provider.save_and_announce(&second, Expect::Version(1), now()).await;
        unavailable(&error.unwrap_err(), "other hosts were not told of it");
        assert!(!proxy.cut_is_due());
        proxy.refuse(false);
        assert_eq!(feed.until_proved().await, []);
        // The save was made. Tried again it meets itself.
        let again = provider.save_and_announce(&second, Expect::Version(1), now()).await;
        assert_eq!(again.unwrap(), Saved::Conflict(Some(second)));
        let heard = feed.until_proved().await;
        assert!(heard.contains(&changed("told")), "{heard:?}");

        proxy.cut_before(b"=told");
        proxy.refuse(true);
        let error = provider.delete("told", Expect::Version(2), now()).await.unwrap_err();
        unavailable(&error, "other hosts were not told of it");
        proxy.refuse(false);
        assert_eq!(feed.until_proved().await, []);
        let again = provider.delete("told", Expect::Version(2), now()).await.unwrap();
        assert_eq!(again, Deleted::Deleted(None));
        let heard = feed.until_proved().await;
        assert!(heard.contains(&ended("told")), "{heard:?}");
    }
}

#[tokio::test]
async fn an_announcement_is_sent_again_where_its_connection_is_lost() {
    let database = Database::create();
    let (proxy, providers, direct) = behind_a_proxy(&database).await;
    let mut feed = Feed::begin(&direct).await;
    for provider in providers {
        for lost in [false, true] {
            let record = Record::new("told", 1, "x");
            put(&direct, &record).await;
            provider.fetch("told", now()).await.unwrap();
            if lost {
                proxy.cut_after(b"=told");
            } else {
                proxy.cut_before(b"=told");
            }
            let removed = provider.delete("told", Expect::Any, now()).await.unwrap();
            assert_eq!(removed, Deleted::Deleted(Some(record)));
            assert!(!proxy.cut_is_due());
            let heard = feed.until_proved().await;
            assert!(heard.contains(&ended("told")), "{heard:?}");
        }
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_announced_all_the_same() {
    let database = Database::create();
    let (proxy, providers, direct) = behind_a_proxy(&database).await;
    let mut feed = Feed::begin(&direct).await;
    for provider in providers {
        put(&direct, &Record::new("cut me", 1, "x")).await;
        provider.fetch("a", now()).await.unwrap();
        proxy.cut_after(b"cut me");
        unavailable(&provider.delete("cut me", Expect::Any, now()).await.unwrap_err(), "lost");
        assert_eq!(direct.fetch("cut me", now()).await.unwrap(), None);
        // It is gone, but the provider does not know.
        assert_eq!(feed.next_notice().await, changed("cut me"));
    }
}

/// Waits until a statement of this kind waits for a lock.
async fn until_locked(database: &Database, kind: &str) {
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND query LIKE '{kind}%'"
    );
    while database.sql(&waits) == "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_cancelled_call_has_sent_is_done_and_then_told_and_what_it_has_not_is_not_done() {
    let database = Database::create();
    let locker = PgPool::connect_lazy_with(options(database.url()));
    let direct = with_table(own(database.url(), 2)).await;
    let mut feed = Feed::begin(&direct).await;
    for provider in [own(database.url(), 1), pooled(database.url(), 1)] {
        for renews in [false, true] {
            let [mut sent, unsent] = ["sent", "unsent"].map(|id| Record::new(id, 1, "x"));
            put(&direct, &sent).await;
            put(&direct, &unsent).await;
            let mut lock = locker.begin().await.unwrap();
            let row = sqlx::query("SELECT FROM sessions WHERE id = 'sent' FOR UPDATE");
            let connection: &mut PgConnection = &mut lock;
            row.execute(connection).await.unwrap();

            sent.version = 2;
            let call = tokio::spawn({
                let (provider, sent) = (provider.clone(), sent.clone());
                async move {
                    if renews {
                        provider.save_and_announce(&sent, Expect::Any, now()).await.map(drop)
                    } else {
                        provider.delete("sent", Expect::Any, now()).await.map(drop)
                    }
                }
            });
            until_locked(&database, if renews { "INSERT" } else { "DELETE" }).await;
            call.abort();
            assert!(call.await.unwrap_err().is_cancelled());
            // The only connection is busy.
            let waiting = provider.delete("unsent", Expect::Any, now());
            let waited = tokio::time::timeout(Duration::from_millis(20), waiting);
            assert!(waited.await.is_err());
            assert_eq!(feed.until_proved().await, []);

            lock.rollback().await.unwrap();
            assert_eq!(
                feed.next_notice().await,
                if renews { changed("sent") } else { ended("sent") }
            );
            let stored = direct.fetch("sent", now()).await.unwrap();
            assert_eq!(stored, renews.then_some(sent));
            // Behind whatever waited for the connection.
            assert_eq!(provider.fetch("unsent", now()).await.unwrap(), Some(unsent));
            assert_eq!(feed.until_proved().await, []);
        }
        provider.close().await;
    }
}

#[tokio::test]
async fn calls_at_once_are_announced_together() {
    let server = Postgres::start(&["pg_stat_statements.track_utility=on"]);
    let database = Database::create_on(&server.url());
    database.sql("CREATE EXTENSION pg_stat_statements");
    let provider = with_table(own(database.url(), 1)).await;
    let mut feed = Feed::begin(&provider).await;
    let mut calls = JoinSet::new();
    for number in 0..64 {
        let provider = provider.clone();
        calls.spawn(async move {
            provider.delete(&number.to_string(), Expect::Any, now()).await.unwrap()
        });
    }
    calls.join_all().await;
    assert_eq!(feed.until_proved().await.len(), 64);
    let announcements = database.sql(
        "SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT pg_notify%unnest%' \
         AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    // The first waits for the only connection as the other deletions do.
    assert_eq!(announcements, "2");
}

#[tokio::test]
async fn closing_waits_until_what_was_changed_is_told() {
    let database = Database::create();
    let direct = with_table(own(database.url(), 2)).await;
    let mut feed = Feed::begin(&direct).await;
    for provider in [own(database.url(), 1), pooled(database.url(), 1)] {
        let mut calls = JoinSet::new();
        for _ in 0..8 {
            let provider = provider.clone();
            calls.spawn(async move { provider.delete("a", Expect::Any, now()).await });
        }
        // All of them have begun.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        provider.close().await;
        for ended in calls.join_all().await {
            assert_eq!(ended.unwrap(), Deleted::Deleted(None));
        }
        assert!(feed.until_proved().await.contains(&ended("a")));
    }
}

#[test]
fn a_call_in_another_runtime_goes_on() {
    let database = Database::create();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let provider = own(database.url(), 2);
    let heard = runtime();
    let mut feed = heard.block_on(async {
        let direct = with_table(own(database.url(), 2)).await;
        Feed::begin(&direct).await
    });
    for turn in 0..5 {
        let id = turn.to_string();
        let mine = runtime();
        // Its connections and tasks end with it.
        // A connection of the runtime before is lost, and the next try opens another.
        let mut deleted = mine.block_on(provider.delete(&id, Expect::Any, now()));
        if let Err(error) = &deleted {
            unavailable(error, "lost");
            deleted = mine.block_on(provider.delete(&id, Expect::Any, now()));
        }
        assert_eq!(deleted.unwrap(), Deleted::Deleted(None));
        drop(mine);
        while heard.block_on(feed.next_notice()) != ended(&id) {}
    }
}
