//! The feed of changes: what the provider writes itself has a name, what others write is a gap.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use sessions::provider::{Deleted, Expect, Provider, Record, Saved};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx;
use sessions_tests::feed::{Feed, Heard};

use crate::calls::behind_a_lock;
use crate::{as_a_child, child, file, now, pool_of_one, quick};

fn named(id: &str) -> Heard {
    Heard::Named(id.to_owned())
}

#[tokio::test]
async fn own_writes_are_named_and_no_gap() {
    let (_folder, path) = file();
    // Each write puts the log back into the file, and the next begins the log again.
    let options = SqliteProvider::options(&path).pragma("wal_autocheckpoint", "1");
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    let (mut feed, mut second) = (Feed::begin(&provider).await, Feed::begin(&provider).await);
    // Clones, and another provider of the same table, share the connection.
    let others = [provider.clone(), provider.clone().table("sessions").unwrap()];
    for (number, by) in [&provider, &others[0], &others[1]].into_iter().enumerate() {
        let id = number.to_string();
        let mut record = Record::new(&*id, 1, vec![b'x'; 10_000]);
        record.expires_at = Some(now() + Duration::from_secs(60));
        by.save(&record, Expect::Absent, now()).await.unwrap();
        assert_eq!(feed.heard(), [named(&id)]);
        record.version = 2;
        by.save(&record, Expect::Version(1), now()).await.unwrap();
        assert_eq!(feed.heard(), [named(&id)]);
        // Conflicts change nothing.
        by.save(&record, Expect::Version(1), now()).await.unwrap();
        by.delete(&id, Expect::Version(1), now()).await.unwrap();
        by.delete("none", Expect::Any, now()).await.unwrap();
        by.touch(&id, now() + Duration::from_secs(90), Expect::Any, now()).await.unwrap();
        by.fetch(&id, now()).await.unwrap();
        by.purge(now(), 10).await.unwrap();
        assert_eq!(feed.proof().await, []);
        let removed = by.delete(&id, Expect::Version(2), now()).await.unwrap();
        assert!(matches!(removed, Deleted::Deleted(Some(_))));
        assert_eq!(feed.heard(), [named(&id)]);
        assert_eq!(feed.proof().await, []);
    }
    assert_eq!(second.heard().len(), 9);
    drop(feed);
    provider.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    assert_eq!(second.heard(), [named("a")]);
}

#[tokio::test]
async fn writes_that_go_together_are_each_named() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    provider.save(&Record::new("old", 1, "x"), Expect::Absent, now()).await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    let ids = ["a", "b", "old", "c"];
    let saves = ids.map(|id| {
        let provider = provider.clone();
        async move { provider.save(&Record::new(id, 1, "x"), Expect::Absent, now()).await }
    });
    let saved = behind_a_lock(&path, &provider, saves).await;
    assert_eq!(saved.iter().filter(|saved| matches!(saved, Ok(Saved::Saved))).count(), 3);
    assert_eq!(feed.proof().await, ["first", "a", "b", "c"].map(named));
}

#[tokio::test]
async fn what_others_write_is_a_gap() {
    if let Some(path) = as_a_child() {
        return write(path).await;
    }
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    let record = Record::new("a", 1, "x");
    let other = quick(&path).await;
    feed.proof().await;
    other.save(&record, Expect::Absent, now()).await.unwrap();
    assert_eq!(feed.until(&Heard::Gap).await, []);
    assert_eq!(feed.proof().await, []);
    other.delete("a", Expect::Any, now()).await.unwrap();
    assert_eq!(feed.until(&Heard::Gap).await, []);

    let mut other = child("changes::what_others_write_is_a_gap", &path);
    assert!(other.wait().unwrap().success());
    assert_eq!(feed.until(&Heard::Gap).await, []);

    // A write of its own sees the other's first, and hides it from nobody.
    let other = pool_of_one(&path).await;
    for version in 1..50 {
        sqlx::query("UPDATE sessions SET version = version + 1").execute(&other).await.unwrap();
        let own = Record::new("own", version, "x");
        provider.save(&own, Expect::Any, now()).await.unwrap();
        feed.until(&Heard::Gap).await;
    }
}

async fn write(path: PathBuf) {
    let provider = SqliteProvider::open(path).await.unwrap();
    provider.save(&Record::new("child", 1, "x"), Expect::Absent, now()).await.unwrap();
}

#[tokio::test]
async fn a_write_that_was_cancelled_is_a_gap() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    let other = pool_of_one(&path).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    {
        let record = Record::new("a", 1, "x");
        let mut save = pin!(provider.save(&record, Expect::Absent, now()));
        assert!(save.as_mut().now_or_never().is_none(), "it waits for the lock");
        tokio::task::yield_now().await;
        assert!(save.as_mut().now_or_never().is_none(), "it waits for the lock");
    }
    drop(lock);
    feed.until(&Heard::Gap).await;
    feed.proof().await;
}

#[tokio::test]
async fn a_dropped_table_is_a_gap() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    provider.drop_table().await.unwrap();
    assert_eq!(feed.until(&Heard::Gap).await, []);
}

#[tokio::test]
async fn on_a_users_pool_every_write_is_a_gap() {
    let (_folder, path) = file();
    let pool = pool_of_one(&path).await;
    let provider = SqliteProvider::new(pool.clone());
    provider.create_table().await.unwrap();
    let mut feed = Feed::begin(&provider).await;
    // The feed does not take the one connection of the pool.
    provider.save(&Record::new("a", 1, "x"), Expect::Absent, now()).await.unwrap();
    assert_eq!(feed.until(&Heard::Gap).await, []);
    sqlx::query("DELETE FROM sessions").execute(&pool).await.unwrap();
    assert_eq!(feed.until(&Heard::Gap).await, []);
    assert_eq!(feed.proof().await, []);
}

#[tokio::test]
async fn a_file_that_is_gone_ends_the_feed() {
    let (folder, path) = file();
    let pool = pool_of_one(&path).await;
    for provider in [SqliteProvider::open(&path).await.unwrap(), SqliteProvider::new(pool)] {
        for replaced in [false, true] {
            let feed = Feed::begin(&provider).await;
            let moved = folder.path().join("moved.db");
            std::fs::rename(&path, &moved).unwrap();
            if replaced {
                std::fs::write(&path, "another").unwrap();
            }
            let error = feed.error().await;
            assert!(!error.is_unavailable() && error.to_string().contains("restart"), "{error:?}");
            std::fs::rename(&moved, &path).unwrap();
        }
        Feed::begin(&provider).await;
    }
}

#[tokio::test]
async fn closing_ends_the_feed() {
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    let feed = Feed::begin(&provider).await;
    provider.close().await;
    let error = feed.error().await;
    assert!(error.is_unavailable() && error.to_string().contains("closed"), "{error:?}");
}
