//! A lock that is held, a full disk, a process that is killed: each call ends in an answer or in an error
//! that says whether trying again can help, and no save is torn.

use std::path::PathBuf;
use std::time::Duration;

use sessions::provider::{Expect, Provider, ProviderError, Record, Saved};
use sessions_sqlite::SqliteProvider;

use crate::{as_a_child, child, file, now, pool_of_one, printed, quick};

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[tokio::test]
async fn a_lock_held_too_long_makes_it_unavailable_and_readers_go_on() {
    let (_folder, path) = file();
    let options = SqliteProvider::options(&path).busy_timeout(Duration::ZERO);
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    let record = Record::new("a", 1, "x");
    provider.save(&record, Expect::Absent, now()).await.unwrap();

    let other = pool_of_one(&path).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let next = Record::new("a", 2, "y");
    let error = provider.save(&next, Expect::Version(1), now()).await.unwrap_err();
    unavailable(&error, "locked");
    unavailable(&provider.delete("a", Expect::Any, now()).await.unwrap_err(), "locked");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record));
    drop(lock);
    other.close().await;
    assert_eq!(provider.save(&next, Expect::Version(1), now()).await.unwrap(), Saved::Saved);
}

#[tokio::test]
async fn a_full_disk_makes_it_unavailable_and_tears_nothing() {
    let (_folder, path) = file();
    let options = SqliteProvider::options(&path).pragma("max_page_count", "20");
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    let small = Record::new("a", 1, "x");
    provider.save(&small, Expect::Absent, now()).await.unwrap();
    let large = Record::new("a", 2, vec![1; 200_000]);
    let error = provider.save(&large, Expect::Version(1), now()).await.unwrap_err();
    unavailable(&error, "full");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(small));
}

#[tokio::test]
async fn a_closed_provider_is_unavailable() {
    let (_folder, path) = file();
    let provider = quick(&path).await;
    provider.close().await;
    unavailable(&provider.fetch("a", now()).await.unwrap_err(), "closed");
}

#[tokio::test]
async fn a_killed_process_loses_no_answered_save_and_tears_none() {
    if let Some(path) = as_a_child() {
        return write(path).await;
    }
    let (_folder, path) = file();
    let provider = SqliteProvider::open(&path).await.unwrap();
    provider.save(&Record::new("a", 1, vec![1; 5_000]), Expect::Absent, now()).await.unwrap();
    for _ in 0..3 {
        provider.save(&Record::new("a", 1, vec![1; 5_000]), Expect::Any, now()).await.unwrap();
        let mut child =
            child("faults::a_killed_process_loses_no_answered_save_and_tears_none", &path);
        let mut saved = printed(&mut child, "saved");
        let mut last = saved.by_ref().take(50).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        last = saved.last().unwrap_or(last);
        let stored = provider.fetch("a", now()).await.unwrap().unwrap();
        assert!(stored.version >= last, "{} was answered, {} is stored", last, stored.version);
        assert_eq!(stored.data, vec![stored.version as u8; 5_000]);
    }
}

/// Writes until it is killed.
async fn write(path: PathBuf) {
    let provider = SqliteProvider::open(path).await.unwrap();
    for version in 2.. {
        let record = Record::new("a", version, vec![version as u8; 5_000]);
        let saved = provider.save(&record, Expect::Version(version - 1), now()).await;
        assert_eq!(saved.unwrap(), Saved::Saved);
        println!("\nsaved {version}");
    }
}
