//! Locks that others hold: a victim of a deadlock is sent again, as nothing of it was done, and what
//! waits for too long is not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessions::provider::{Deleted, Expect, Provider, Record, Saved, Touched};
use sessions_mysql::MySqlProvider;
use sessions_mysql::sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sessions_mysql::sqlx::{self, Row as _};
use sessions_tests::mysql::Database;
use tokio::task::JoinSet;

use crate::{PATIENCE, now, options, own, pooled, pooled_after, unavailable, with_table};

/// A table whose writes go on to another one, as a trigger of an app's own might.
async fn with_trigger(provider: MySqlProvider, database: &Database) -> MySqlProvider {
    let provider = with_table(provider).await;
    database.sql(
        "CREATE TABLE counts (id INT PRIMARY KEY, n INT NOT NULL);
         INSERT INTO counts SELECT seq, 0 FROM seq_1_to_200;
         CREATE TRIGGER counted AFTER UPDATE ON sessions FOR EACH ROW \
         UPDATE counts SET n = n + 1 WHERE id = 1;
         CREATE TRIGGER removed AFTER DELETE ON sessions FOR EACH ROW \
         UPDATE counts SET n = n + 1 WHERE id = 1",
    );
    provider
}

async fn deadlocks(pool: &MySqlPool) -> u64 {
    let row = sqlx::query("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'").fetch_one(pool).await;
    row.unwrap().get::<String, _>(1).parse().unwrap()
}

/// Lets `call`, which changes the record `b`, meet a transaction that holds what the call needs and
/// needs what it holds. The transaction has done more, so the call is the victim.
async fn in_a_deadlock<T: Send + 'static>(
    pool: &MySqlPool,
    call: impl Future<Output = T> + Send + 'static,
) -> T {
    let before = deadlocks(pool).await;
    let mut writer = pool.begin().await.unwrap();
    for sql in ["UPDATE counts SET n = n + 1", "UPDATE sessions SET format = '' WHERE id = 'a'"] {
        sqlx::query(sql).execute(&mut *writer).await.unwrap();
    }
    let call = tokio::spawn(call);
    let waits = "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN \
                 information_schema.processlist ON id = trx_mysql_thread_id \
                 WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()";
    loop {
        // The server shows the same again to whoever asks sooner.
        tokio::time::sleep(Duration::from_millis(120)).await;
        let waiting: i64 = sqlx::query(waits).fetch_one(pool).await.unwrap().get(0);
        if waiting == 1 {
            break;
        }
        assert!(!call.is_finished(), "the call waits for the transaction");
    }
    let meets = sqlx::query("UPDATE sessions SET format = '' WHERE id = 'b'");
    meets.execute(&mut *writer).await.unwrap();
    writer.commit().await.unwrap();
    let answer = call.await.unwrap();
    assert!(deadlocks(pool).await > before, "there was a deadlock");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_victim_of_a_deadlock_is_sent_again_and_done_once() {
    let database = Database::create();
    let pool = MySqlPoolOptions::new().connect_lazy_with(options(database.url()));
    let one = with_trigger(own(database.url(), 2), &database).await;
    let later = now() + Duration::from_secs(60);
    for provider in [one, pooled(database.url(), 2)] {
        for id in ["a", "b"] {
            let record = Record { expires_at: Some(now()), ..Record::new(id, 1, "x") };
            provider.save(&record, Expect::Any, now()).await.unwrap();
        }
        let ended = now() - Duration::from_secs(1);
        let count =
            || -> u32 { database.sql("SELECT n FROM counts WHERE id = 1").parse().unwrap() };
        let calls = count();
        let save = |version, expect| {
            let record = Record::new("b", version, "y");
            let provider = provider.clone();
            async move { provider.save(&record, expect, now()).await.unwrap() }
        };
        // The trigger runs in each way of saving.
        let created = in_a_deadlock(&pool, save(5, Expect::Absent)).await;
        assert_eq!(created, Saved::Saved);
        let saved = in_a_deadlock(&pool, save(6, Expect::Version(5))).await;
        assert_eq!(saved, Saved::Saved);
        let replaced = in_a_deadlock(&pool, save(7, Expect::Any)).await;
        assert_eq!(replaced, Saved::Saved);
        let touch = {
            let provider = provider.clone();
            async move { provider.touch("b", later, Expect::Version(7), now()).await.unwrap() }
        };
        assert_eq!(in_a_deadlock(&pool, touch).await, Touched::Touched);
        let delete = {
            let provider = provider.clone();
            async move { provider.delete("b", Expect::Version(7), ended).await.unwrap() }
        };
        let deleted = in_a_deadlock(&pool, delete).await;
        assert!(matches!(&deleted, Deleted::Deleted(Some(record)) if record.version == 7));
        // Each of the five once, and for each the transaction's own three.
        assert_eq!(count() - calls, 5 + 5 * 3);
    }
}

/// Deletes and creations of one record, which is how InnoDB's locks are most often caught in a ring.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deletes_and_creations_that_meet_fail_for_nobody() {
    let database = Database::create();
    let own = with_table(own(database.url(), 16)).await;
    let providers = [own, pooled(database.url(), 16)];
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let provider = providers[task % 2].clone();
        tasks.spawn(async move {
            let mut balance = 0_i32;
            for turn in 0..100 {
                let id = format!("{}", turn % 3);
                let record = Record::new(id.as_str(), 1 + task as u64, vec![task as u8; 50]);
                match turn % 4 {
                    0 | 2 => {
                        let saved = provider.save(&record, Expect::Absent, now()).await.unwrap();
                        balance += i32::from(saved == Saved::Saved);
                    }
                    1 => {
                        let deleted = provider.delete(&id, Expect::Any, now()).await.unwrap();
                        balance -= i32::from(deleted != Deleted::Deleted(None));
                    }
                    _ => {
                        let expect = Expect::Version(1 + (task as u64 + 1) % 32);
                        let deleted = provider.delete(&id, expect, now()).await.unwrap();
                        balance -= i32::from(matches!(deleted, Deleted::Deleted(Some(_))));
                    }
                }
            }
            balance
        });
    }
    let mut balance = 0;
    while let Some(ended) = tasks.join_next().await {
        balance += ended.unwrap();
    }
    assert_eq!(database.sql("SELECT COUNT(*) FROM sessions"), balance.to_string());
}

/// A purge, and saves of the records that it removes, lock the same rows and index entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purges_and_saves_of_expired_records_fail_for_nobody() {
    let database = Database::create();
    let own = with_table(own(database.url(), 16)).await;
    let other = pooled(database.url(), 16);
    let ids: Arc<Vec<String>> = Arc::new((0..200).map(|number| format!("id {number}")).collect());
    let mut tasks = JoinSet::new();
    for task in 0..12 {
        let provider = if task % 2 == 0 { own.clone() } else { other.clone() };
        let ids = ids.clone();
        tasks.spawn(async move {
            for turn in 0..40 {
                if task < 4 {
                    provider.purge(now(), 1_000).await.unwrap();
                    continue;
                }
                for step in 0..5 {
                    let id = &ids[(task * 31 + turn * 7 + step * 13) % ids.len()];
                    let mut record = Record::new(id.as_str(), 1, "x");
                    record.owner = Some(format!("owner {step}").into());
                    record.expires_at = Some(now() - Duration::from_millis(turn as u64));
                    provider.save(&record, Expect::Absent, now()).await.unwrap();
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    own.purge(now(), 1_000).await.unwrap();
    assert_eq!(database.sql("SELECT COUNT(*) FROM sessions"), "0");
}

/// A row that another transaction has locked is waited for only as long as a call may take.
#[tokio::test]
async fn a_lock_held_too_long_ends_the_call_in_time() {
    let database = Database::create();
    let pool = MySqlPoolOptions::new().connect_lazy_with(options(database.url()));
    let own = with_table(own(database.url(), 2)).await;
    own.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    let mut writer = pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT id FROM sessions FOR UPDATE");
    lock.fetch_all(&mut *writer).await.unwrap();
    let next = Record::new("a", 2, "y");
    for provider in [own.clone(), pooled(database.url(), 2)] {
        let hurried = provider.clone().timeout(Duration::from_millis(300));
        let start = Instant::now();
        let error = hurried.save(&next, Expect::Version(1), now()).await.unwrap_err();
        unavailable(&error, "waits for a lock");
        assert!(start.elapsed() < PATIENCE);
        // Readers wait for nobody.
        assert!(provider.fetch("a", now()).await.unwrap().is_some());
    }
    // The server's own limit, on the connection as it was.
    let impatient = pooled_after(options(database.url()), "SET innodb_lock_wait_timeout = 0");
    for expect in [Expect::Any, Expect::Absent, Expect::Version(1)] {
        let error = impatient.save(&next, expect, now()).await.unwrap_err();
        unavailable(&error, "another transaction has locked the record for too long");
    }
    let error = impatient.delete("a", Expect::Any, now()).await.unwrap_err();
    unavailable(&error, "another transaction has locked the record for too long");
    writer.rollback().await.unwrap();
    // What timed out may come to its end now.
    let saved = own.save(&next, Expect::Any, now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
    assert_eq!(own.fetch("a", now()).await.unwrap(), Some(next));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_was_cancelled_may_be_tried_again() {
    let database = Database::create();
    let pool = MySqlPoolOptions::new().connect_lazy_with(options(database.url()));
    let own = with_table(own(database.url(), 2)).await;
    let record = Record::new("a", 1, "x");
    own.save(&record, Expect::Absent, now()).await.unwrap();
    let mut writer = pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT id FROM sessions FOR UPDATE");
    lock.fetch_all(&mut *writer).await.unwrap();
    let hurried = pooled_after(options(database.url()), "SET max_statement_time = 0.05");
    let error = hurried.save(&record, Expect::Any, now()).await.unwrap_err();
    unavailable(&error, "cancelled, by a time limit or by an administrator");

    let save = tokio::spawn({
        let (own, record) = (own.clone(), record.clone());
        async move { own.save(&record, Expect::Any, now()).await }
    });
    let name = database.name();
    let statement = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{name}' AND info LIKE 'INSERT%'"
    );
    let waiting = loop {
        let found = database.sql(&statement);
        if !found.is_empty() {
            break found;
        }
        assert!(!save.is_finished(), "the save waits for the lock");
    };
    database.sql(&format!("KILL QUERY {waiting}"));
    unavailable(&save.await.unwrap().unwrap_err(), "cancelled, by a time limit");
    writer.rollback().await.unwrap();
    assert_eq!(own.save(&record, Expect::Any, now()).await.unwrap(), Saved::Saved);
}
