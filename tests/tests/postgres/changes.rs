//! The feed of changes: what it tells, which tables it hears of, and that it ends rather than miss
//! anything.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessions::provider::{Deleted, Expect, Provider, Record, Saved};
use sessions_postgres::PostgresProvider;
use sessions_tests::pgbouncer::Pgbouncer;
use sessions_tests::postgres::{Database, Postgres};

use crate::feed::{Feed, Heard, backends, is_after, permanent, ping, refused, unavailable};
use crate::{now, options, own, pooled, with_table};

fn changed(id: &str) -> Heard {
    Heard::Changed(id.to_owned())
}

fn ended(id: &str) -> Heard {
    Heard::Ended(id.to_owned())
}

async fn announced(provider: &PostgresProvider, id: &str) {
    provider.announce(&[id]).await.unwrap();
}

#[tokio::test]
async fn what_may_have_changed_a_record_is_told_and_each_once() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    for provider in [provider.clone(), provider.unprepared(), pooled(database.url(), 2)] {
        let mut feed = Feed::begin(&provider).await;
        let later = now() + Duration::from_secs(60);
        let [first, second] = [1, 2].map(|version| Record::new("a", version, "x"));
        provider.save(&first, Expect::Absent, now()).await.unwrap();
        let lost = provider.save_and_announce(&first, Expect::Absent, now()).await.unwrap();
        assert_eq!(lost, Saved::Conflict(Some(first)));
        provider.touch("a", later, Expect::Any, now()).await.unwrap();
        provider.delete("a", Expect::Absent, now()).await.unwrap();
        let mut old = Record::new("old", 1, "x");
        old.expires_at = Some(now());
        provider.save(&old, Expect::Absent, now()).await.unwrap();
        assert_eq!(provider.purge(now(), 10).await.unwrap(), 1);
        assert_eq!(feed.until_proved().await, []);

        // An earlier try may have been the one that changed it.
        let untouched = |version| Expect::Untouched { version, expires_at: None };
        for expect in [Expect::Version(7), untouched(7)] {
            let lost = provider.save_and_announce(&second, expect, now()).await.unwrap();
            assert!(matches!(lost, Saved::Conflict(Some(_))), "{lost:?}");
            let lost = provider.delete("a", expect, now()).await.unwrap();
            assert!(matches!(lost, Deleted::Conflict(_)), "{lost:?}");
            let none = provider.delete("b", expect, now()).await.unwrap();
            assert_eq!(none, Deleted::Deleted(None));
        }
        let none = provider.delete("b", Expect::Any, now()).await.unwrap();
        assert_eq!(none, Deleted::Deleted(None));
        let mut right = Vec::new();
        for _ in 0..2 {
            right.extend([changed("a"), changed("a"), ended("b")]);
        }
        right.push(ended("b"));
        assert_eq!(feed.until_proved().await, right);

        for expect in [Expect::Version(1), untouched(2), Expect::Any] {
            let saved = provider.save_and_announce(&second, expect, now()).await.unwrap();
            assert_eq!(saved, Saved::Saved);
        }
        for expect in [Expect::Version(2), untouched(2), Expect::Any] {
            let removed = provider.delete("a", expect, now()).await.unwrap();
            assert_eq!(removed, Deleted::Deleted(Some(second.clone())), "{expect:?}");
            let saved = provider.save_and_announce(&second, Expect::Absent, now()).await.unwrap();
            assert_eq!(saved, Saved::Saved);
        }
        provider.announce(&["é", "a\nb", "-", "c"]).await.unwrap();
        provider.delete("a", Expect::Any, now()).await.unwrap();
        let mut right = vec![changed("a"), changed("a"), changed("a")];
        for _ in 0..3 {
            right.extend([ended("a"), changed("a")]);
        }
        // An id of two lines has a notice of its own.
        right.extend(["é", "-", "c", "a\nb"].map(changed));
        right.push(ended("a"));
        assert_eq!(feed.until_proved().await, right);
    }
}

#[tokio::test]
async fn a_feed_takes_one_connection_beside_the_pool_and_gives_it_back() {
    let database = Database::create();
    for provider in [own(database.url(), 1), pooled(database.url(), 1)] {
        let provider = with_table(provider).await;
        let mut feed = Feed::begin(&provider).await;
        feed.until_proved().await;
        assert_eq!(backends(&database).len(), 1);
        // The only connection of the provider is free.
        assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
        feed.task.abort();
        while !backends(&database).is_empty() {
            tokio::task::yield_now().await;
        }

        let feed = Feed::begin(&provider).await;
        provider.close().await;
        unavailable(&feed.end().await.0, "closed");
    }
}

#[test]
fn a_feed_may_outlive_its_runtime() {
    let database = Database::create();
    let provider = own(database.url(), 2);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (listener, mut heard) = crate::feed::listener();
    let mut changes = provider.changes(listener);
    runtime.block_on(async {
        provider.create_table().await.unwrap();
        tokio::select! {
            began = heard.recv() => assert_eq!(began, Some(Heard::Began)),
            ended = &mut changes => panic!("{ended:?}"),
        }
    });
    drop(runtime);
    drop(changes);
}

#[tokio::test]
async fn a_table_is_heard_by_whatever_name_and_no_other_is() {
    let database = Database::create();
    let long = format!("{}.{}", "s".repeat(63), "t".repeat(50));
    database.sql(&format!("CREATE SCHEMA app; CREATE SCHEMA {}", "s".repeat(63)));
    let named = |name: &str| own(database.url(), 1).table(name).unwrap();
    let names = ["sessions", "app.sessions", "Sessions", &long];
    let mut feeds = Vec::new();
    for name in names {
        feeds.push(Feed::begin(&with_table(named(name)).await).await);
    }
    // A user's schema is first on the search path.
    let in_app = options(database.url()).options([("search_path", "app")]);
    let in_app = PostgresProvider::connect_lazy_with(in_app, 1);
    for name in names {
        announced(&named(name), name).await;
    }
    announced(&named("public.sessions"), "with its schema").await;
    announced(&in_app, "without its schema").await;
    let [public, app, upper, long_one] = feeds.try_into().ok().unwrap();
    for (mut feed, right) in [
        (public, vec!["sessions", "with its schema"]),
        (app, vec!["app.sessions", "without its schema"]),
        (upper, vec!["Sessions"]),
        (long_one, vec![&*long]),
    ] {
        let right: Vec<_> = right.into_iter().map(changed).collect();
        assert_eq!(feed.until_proved().await, right);
    }
}

#[tokio::test]
async fn a_table_that_is_dropped_or_renamed_ends_the_feed_before_its_next_proof() {
    let database = Database::create();
    let writer = with_table(own(database.url(), 1)).await;
    for change in [
        "DROP TABLE sessions",
        "ALTER TABLE sessions RENAME TO old; ALTER INDEX sessions_owner RENAME TO old_owner; \
         ALTER INDEX sessions_expires_slot RENAME TO old_expires_slot",
    ] {
        announced(&writer, "a").await;
        let mut feed = Feed::begin(&writer).await;
        feed.until_proved().await;
        database.sql(change);
        let dropped = ping();
        writer.create_table().await.unwrap();
        let (error, heard) = feed.end().await;
        unavailable(&error, "the table was dropped or renamed");
        let late = |heard: &Heard| matches!(heard, Heard::Proved(ping) if is_after(*ping, dropped));
        assert!(!heard.iter().any(late), "{heard:?}");

        // The statements that were prepared before name the new table.
        let mut feed = Feed::begin(&writer).await;
        announced(&writer, "b").await;
        assert_eq!(feed.until_proved().await, [changed("b")]);
    }
    writer.drop_table().await.unwrap();
    permanent(&refused(&writer).await, "table `sessions` is missing: call create_table()");
}

#[tokio::test]
async fn a_feed_ends_with_its_connection() {
    let server = Postgres::start(&[]);
    let database = Database::create_on(&server.url());
    for provider in [own(database.url(), 2), pooled(database.url(), 2)] {
        let provider = with_table(provider).await;
        let mut feed = Feed::begin(&provider).await;
        feed.until_proved().await;
        let [pid] = backends(&database)[..] else { panic!("one connection listens") };
        assert_eq!(database.sql(&format!("SELECT pg_terminate_backend({pid})")), "t");
        unavailable(&feed.end().await.0, "");
        // No other took its place.
        assert!(backends(&database).is_empty());

        let mut feed = Feed::begin(&provider).await;
        feed.until_proved().await;
        server.stop();
        unavailable(&feed.end().await.0, "");
        server.run();
        let mut feed = Feed::begin(&provider).await;
        feed.until_proved().await;
        server.kill();
        unavailable(&feed.end().await.0, "");
        let hurried = provider.clone().timeout(Duration::from_secs(1));
        unavailable(&refused(&hurried).await, "");
        server.run();
    }
}

/// A process that stands still until this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Self {
        signal("STOP", pid);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn a_stalled_feed_proves_nothing_and_ends() {
    // Its processes are this machine's.
    let server = Postgres::start(&[]);
    let database = Database::create_on(&server.url());
    let provider = with_table(own(database.url(), 2)).await;
    let mut feed = Feed::begin(&provider).await;
    feed.until_proved().await;
    let [pid] = backends(&database)[..] else { panic!("one connection listens") };
    let stopped = Stopped::new(pid);
    let stalled = ping();
    provider.save(&Record::new("a", 1, "x"), Expect::Any, now()).await.unwrap();
    provider.delete("a", Expect::Any, now()).await.unwrap();
    // The clock of the timeouts goes on to the next whenever there is nothing else to do.
    tokio::time::pause();
    let (error, heard) = feed.end().await;
    tokio::time::resume();
    unavailable(&error, "did not answer on the connection that listens");
    let late = |heard: &Heard| match heard {
        Heard::Proved(ping) => is_after(*ping, stalled),
        other => *other == ended("a"),
    };
    assert!(!heard.iter().any(late), "{heard:?}");
    // Another connection does what this one did not.
    let mut feed = Feed::begin(&provider).await;
    announced(&provider, "b").await;
    assert_eq!(feed.until_proved().await, [changed("b")]);
    drop(stopped);
}

#[tokio::test]
async fn a_standby_is_refused_until_it_is_the_primary() {
    let folder = Arc::new(Mutex::new(None));
    let server = Postgres::start_with(&[], |data| {
        *folder.lock().unwrap() = Some(data.to_owned());
    });
    let provider = with_table(own(&server.url(), 2)).await;
    server.stop();
    let signal = folder.lock().unwrap().take().unwrap().join("standby.signal");
    std::fs::write(&signal, "").unwrap();
    sessions_tests::postgres::give_to_server(&signal);
    server.run();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    unavailable(&refused(&provider).await, "standby");
    sessions_tests::postgres::sql(&server.url(), "SELECT pg_promote()");
    let mut feed = Feed::begin(&provider).await;
    announced(&provider, "a").await;
    assert_eq!(feed.until_proved().await, [changed("a")]);
}

#[tokio::test]
async fn garbage_and_floods_stop_no_feed() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    let mut feed = Feed::begin(&provider).await;
    let channel = "'sessions_' || 'sessions'::regclass::oid";
    database.sql(&format!(
        "SELECT pg_notify({channel}, text) FROM unnest(ARRAY['', 'x', '-', '+', '*', E'*\\n\\n', \
         '-' || repeat('x', 256), repeat('-', 7999), '*' || repeat(E'a\\n', 3), U&'\\FFFD']) AS text"
    ));
    let heard = feed.until_proved().await;
    let right = [Heard::Gap, Heard::Gap, changed("a"), changed("a"), changed("a"), Heard::Gap];
    assert_eq!(heard, right);

    // Each transaction is a batch, so that pings meet notices.
    let batch = format!(
        "SELECT count(pg_notify({channel}, '+' || number)) FROM generate_series(1, 50000) AS number"
    );
    for _ in 0..4 {
        database.sql(&batch);
    }
    let heard = feed.until_proved().await;
    assert_eq!(heard.len(), 200_000);
    assert!(heard.iter().all(|it| matches!(it, Heard::Changed(_))));
    announced(&provider, "the last").await;
    assert_eq!(feed.until_proved().await, [changed("the last")]);
}

#[tokio::test]
async fn notices_cross_encodings_and_are_refused_without_one() {
    let server = Postgres::start(&[]);
    let url = |name: &str| format!("{}/{name}", server.url().rsplit_once('/').unwrap().0);
    let create = |name: &str, encoding: &str| {
        let create = format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' \
             LC_CTYPE 'C'"
        );
        sessions_tests::postgres::sql(&server.url(), &create);
    };
    create("latin", "LATIN1");
    let latin = with_table(own(&url("latin"), 2)).await;
    let mut feed = Feed::begin(&latin).await;
    let ids: Vec<_> = (0..100).map(|number| format!("{}{number}", "é".repeat(100))).collect();
    let refs: Vec<_> = ids.iter().map(String::as_str).collect();
    latin.announce(&refs).await.unwrap();
    let right: Vec<_> = refs.into_iter().map(changed).collect();
    assert_eq!(feed.until_proved().await, right);

    create("ascii", "SQL_ASCII");
    let ascii = with_table(own(&url("ascii"), 2)).await;
    permanent(&refused(&ascii).await, "the encoding SQL_ASCII");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_needs_a_direct_connection_for_the_feed() {
    let server = Postgres::start(&[]);
    let pooler = Pgbouncer::start(server.port(), 3);
    let database = Database::create_on(&server.url());
    let url = pooler.url(database.name());
    let own = with_table(own(&url, 3).unprepared()).await;
    let pool = sessions_postgres::sqlx::postgres::PgPoolOptions::new()
        .connect_lazy_with(options(&url).extra_float_digits(None));
    let pool = PostgresProvider::new(pool).unprepared();
    for provider in [&own, &pool] {
        permanent(&refused(provider).await, "direct connection with listen_with(), or call");
        let nowhere = provider.clone().listen_with(options(&server.url()));
        permanent(&refused(&nowhere).await, "listen_with() leads to another database");
        assert!(refused(&provider.clone().without_changes()).await.is_unsupported());
    }
    // Writes go through the pooler, notices past it.
    for provider in [own, pool] {
        let provider = provider.listen_with(options(database.url()));
        let mut feed = Feed::begin(&provider).await;
        provider.save(&Record::new("a", 1, "x"), Expect::Any, now()).await.unwrap();
        provider.delete("a", Expect::Any, now()).await.unwrap();
        assert_eq!(feed.until_proved().await, [ended("a")]);
    }
}

#[tokio::test]
async fn without_changes_nothing_is_told() {
    let database = Database::create();
    let provider = with_table(own(database.url(), 2)).await;
    let mut feed = Feed::begin(&provider).await;
    let silent = provider.without_changes();
    let record = Record::new("a", 1, "x");
    let saved = silent.save_and_announce(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
    announced(&silent, "a").await;
    let removed = silent.delete("a", Expect::Any, now()).await.unwrap();
    assert_eq!(removed, Deleted::Deleted(Some(record)));
    assert_eq!(feed.until_proved().await, []);
}
