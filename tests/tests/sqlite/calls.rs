//! What a call costs: its statements, counted by what sqlx reports of each one that it ran, and
//! what SQLite makes of them.

use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::SqlitePoolOptions;
use sessions_sqlite::sqlx::{self, Row, SqlitePool};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

use crate::{file, now, pool_of_one};

static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// The thread of the connection whose statements are counted: only the process's one subscriber
/// hears of a connection's thread, and other tests run beside this one.
const COUNTED: &str = "counted-connection";

/// Counts sqlx's reports.
struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, _: &Event<'_>) {
        if std::thread::current().name() == Some(COUNTED) {
            STATEMENTS.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Values<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The statements since the last call of this.
async fn counted(pool: &SqlitePool) -> u64 {
    // The one connection answers in order: behind this, everything before it is reported.
    sqlx::Connection::ping(&mut *pool.acquire().await.unwrap()).await.unwrap();
    STATEMENTS.swap(0, Ordering::SeqCst)
}

#[tokio::test]
async fn each_call_is_one_statement_and_a_conflict_two() {
    tracing::subscriber::set_global_default(Counter).unwrap();
    let (_folder, path) = file();
    let options = SqliteProvider::options(path).thread_name(|_| COUNTED.to_owned());
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let now = SystemTime::now();
    let later = now + Duration::from_secs(60);
    let first = Record::new("a", 1, "x");
    let second = Record::new("a", 2, "y");
    assert!(counted(&pool).await > 0, "nothing is reported");

    provider.save(&first, Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "create");
    provider.save(&second, Expect::Version(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "update");
    provider.save(&second, Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "unchecked save");
    provider.save(&first, Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "create in conflict");
    provider.save(&second, Expect::Version(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "update in conflict");
    provider.fetch("a", now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "fetch");
    let seen = |version| Expect::Untouched { version, expires_at: None };
    provider.save(&second, seen(2), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "update of what is untouched");
    provider.save(&second, seen(1), now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "update of what is untouched in conflict");
    for expect in [Expect::Any, Expect::Version(2), seen(2)] {
        provider.touch("a", later, expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 1, "touch, {expect:?}");
    }
    for expect in [Expect::Version(1), seen(1)] {
        provider.touch("a", later, expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 2, "touch in conflict, {expect:?}");
        provider.delete("a", expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 2, "delete in conflict, {expect:?}");
    }
    provider.touch("b", later, Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "touch of nothing");
    provider.touch("a", later, Expect::Absent, now).await.unwrap();
    provider.delete("a", Expect::Absent, now).await.unwrap();
    assert_eq!(counted(&pool).await, 2, "a touch and a delete that expect nothing");
    provider.list("owner", Page::first(10), now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "list");
    let ids: Vec<_> = (0..100).map(|id| id.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for count in [1, 5, 65, 100] {
        provider.fetch_many(&ids[..count], now).await.unwrap();
        assert_eq!(counted(&pool).await, 1, "fetch_many, {count}");
    }
    provider.purge(now, 100).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "purge");
    for expect in [Expect::Any, Expect::Version(1), seen(1)] {
        provider.save(&first, Expect::Any, now).await.unwrap();
        counted(&pool).await;
        provider.delete("a", expect, now).await.unwrap();
        assert_eq!(counted(&pool).await, 1, "delete, {expect:?}");
    }
    provider.delete("a", Expect::Any, now).await.unwrap();
    assert_eq!(counted(&pool).await, 1, "delete of nothing");
}

#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let (_folder, path) = file();
    let provider = SqliteProvider::new(pool_of_one(&path).await);
    provider.create_table().await.unwrap();
    let record = Record::new("a", 1, "x");
    provider.save(&record, Expect::Absent, now()).await.unwrap();
    let conflict = provider.save(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!(conflict, Saved::Conflict(Some(record)));
    assert_eq!(provider.purge(now(), 10).await.unwrap(), 0);
}

#[tokio::test]
async fn each_statement_is_prepared_once() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let mut sizes = Vec::new();
    for round in 0..3 {
        for expect in [Expect::Any, Expect::Absent, Expect::Version(7), Expect::Version(9)] {
            let record = Record::new(format!("{round}"), 7, "x");
            provider.save(&record, expect, now()).await.unwrap();
        }
        provider.fetch("a", now()).await.unwrap();
        provider.touch("a", now(), Expect::Any, now()).await.unwrap();
        provider.list("o", Page::first(3), now()).await.unwrap();
        provider.purge(now(), 3).await.unwrap();
        provider.delete("0", Expect::Any, now()).await.unwrap();
        sizes.push(sqlx::Connection::cached_statements_size(&*pool.acquire().await.unwrap()));
    }
    assert_eq!(sizes[0], sizes[2]);
}

#[tokio::test]
async fn the_indexes_serve_list_and_purge() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    SqliteProvider::new(pool.clone()).create_table().await.unwrap();
    let plan = async |sql: &'static str| -> String {
        let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    };
    let list = plan(
        "EXPLAIN QUERY PLAN SELECT data FROM sessions WHERE owner = ?1 AND id > ?2 \
         AND coalesce(expires_at, 9223372036854775807) > ?3 ORDER BY id LIMIT ?4",
    );
    let list = list.await;
    assert!(list.contains("INDEX sessions_owner (owner=? AND id>?)"), "{list}");
    assert!(!list.contains("TEMP B-TREE"), "{list}");
    let purge = plan(
        "EXPLAIN QUERY PLAN DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions \
         WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
    );
    let purge = purge.await;
    assert!(purge.contains("INDEX sessions_expires_at (expires_at<?)"), "{purge}");
    assert!(!purge.contains("TEMP B-TREE"), "{purge}");
}

/// Runs calls behind a write that waits for another writer's lock, so that they wait together.
pub(crate) async fn behind_a_lock<C: Future<Output: Send + 'static> + Send + 'static>(
    path: &Path,
    provider: &SqliteProvider,
    calls: impl IntoIterator<Item = C>,
) -> Vec<C::Output> {
    let other = pool_of_one(path).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let first = Record::new("first", 1, "x");
    let mut first = pin!(provider.save(&first, Expect::Absent, now()));
    assert!(first.as_mut().now_or_never().is_none());
    let calls: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    // On this test's one thread, each of them has queued when the yield returns.
    tokio::task::yield_now().await;
    drop(lock);
    other.close().await;
    assert_eq!(first.await.unwrap(), Saved::Saved);
    let mut outputs = Vec::new();
    for call in calls {
        outputs.push(call.await.unwrap());
    }
    outputs
}

fn save(
    provider: &SqliteProvider,
    record: Record,
    expect: Expect,
) -> impl Future<Output = Result<Saved, ProviderError>> + Send + use<> {
    let provider = provider.clone();
    async move { provider.save(&record, expect, now()).await }
}

#[tokio::test]
async fn writes_that_wait_are_one_transaction() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let pages = || {
        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap();
        log.len() / 4096
    };
    let before = pages();
    let records = (0..60).map(|id| Record::new(id.to_string(), 1, "x"));
    let saves = records.map(|record| save(&provider, record, Expect::Absent));
    for saved in behind_a_lock(&path, &provider, saves).await {
        assert_eq!(saved.unwrap(), Saved::Saved);
    }
    // Sixty transactions write sixty pages at least.
    assert!(pages() - before < 30, "{} pages", pages() - before);
    for id in 0..60 {
        assert!(provider.fetch(&id.to_string(), now()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn of_writes_that_wait_each_has_its_own_answer() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let old = Record::new("a", 1, "old");
    provider.save(&old, Expect::Absent, now()).await.unwrap();
    let next = |data: &'static str| Record::new("a", 2, data);
    let saves = [
        save(&provider, next("one"), Expect::Version(1)),
        save(&provider, next("two"), Expect::Version(1)),
        save(&provider, Record::new("b", 1, "x"), Expect::Version(7)),
        save(&provider, Record::new("b", 1, "x"), Expect::Absent),
    ];
    let answers = behind_a_lock(&path, &provider, saves).await;
    let [one, two, missed, saved] = <[_; 4]>::try_from(answers).unwrap().map(Result::unwrap);
    assert_eq!(one, Saved::Saved);
    assert_eq!(two, Saved::Conflict(Some(next("one"))));
    // What it conflicts with is read behind the transaction.
    assert!(matches!(missed, Saved::Conflict(_)), "{missed:?}");
    assert_eq!(saved, Saved::Saved);
}

#[tokio::test]
async fn a_write_that_fails_fails_alone() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON sessions WHEN new.id = 'bad' \
                  BEGIN SELECT raise(ABORT, 'refused'); END";
    let pool = pool_of_one(&path).await;
    sqlx::query(refuse).execute(&pool).await.unwrap();
    pool.close().await;
    let records = ["a", "bad", "c"].map(|id| Record::new(id, 1, "x"));
    let saves = records.map(|record| save(&provider, record, Expect::Absent));
    let answers = behind_a_lock(&path, &provider, saves).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    for (id, is_there) in [("a", true), ("bad", false), ("c", true)] {
        assert_eq!(provider.fetch(id, now()).await.unwrap().is_some(), is_there, "{id}");
    }
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_before_its_turn_writes_nothing() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let gone = save(&provider, Record::new("gone", 1, "x"), Expect::Absent);
    let stays = save(&provider, Record::new("stays", 1, "x"), Expect::Absent);
    let given_up = async move {
        let mut gone = pin!(gone);
        assert!(gone.as_mut().now_or_never().is_none(), "it waits");
        Ok(Saved::Conflict(None))
    };
    let calls: [Pin<Box<dyn Future<Output = _> + Send>>; 2] = [Box::pin(given_up), Box::pin(stays)];
    behind_a_lock(&path, &provider, calls).await;
    assert_eq!(provider.fetch("gone", now()).await.unwrap(), None);
    assert!(provider.fetch("stays", now()).await.unwrap().is_some());
}

#[tokio::test]
async fn fetches_that_wait_find_what_they_would_find_alone() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let mut record = Record::new("expires", 1, "x");
    record.expires_at = Some(now() + Duration::from_secs(1));
    provider.save(&record, Expect::Absent, now()).await.unwrap();
    for id in 0..70 {
        let record = Record::new(format!("{id}'\" ?1"), 1, id.to_string());
        provider.save(&record, Expect::Absent, now()).await.unwrap();
    }
    // Two readers are busy with the first two of them, at the most eight.
    let fetches = (0..200).map(|number| {
        let provider = provider.clone();
        tokio::spawn(async move {
            let id = number % 80;
            let found = provider.fetch(&format!("{id}'\" ?1"), now()).await.unwrap();
            let data = found.map(|record| record.data);
            assert_eq!(data, (id < 70).then(|| id.to_string().into()), "{id}");
            let later = now() + Duration::from_secs(number % 2);
            let found = provider.fetch("expires", later).await.unwrap();
            assert_eq!(found.is_some(), number % 2 == 0);
        })
    });
    for fetch in fetches.collect::<Vec<_>>() {
        fetch.await.unwrap();
    }
}
