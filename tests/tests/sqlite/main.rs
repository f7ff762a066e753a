//! `SqliteProvider` on files.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod changes;
mod conformance;
mod faults;
mod settings;
mod storage;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use sessions::provider::from_unix_millis;
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::SqlitePool;
use sessions_sqlite::sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;

fn now() -> SystemTime {
    from_unix_millis(1_767_225_600_000)
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    (folder, path)
}

/// Without waiting for the disk, where the test is not about that.
async fn quick(path: &Path) -> SqliteProvider {
    let options = SqliteProvider::options(path).synchronous(SqliteSynchronous::Off);
    let provider = SqliteProvider::open_with(options).await.unwrap();
    provider.create_table().await.unwrap();
    provider
}

async fn pool_of_one(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteProvider::options(path))
        .await
        .unwrap()
}

/// The file of a child process, which runs one of these tests again.
const CHILD: &str = "SESSIONS_TEST_CHILD";

/// This program again, with only the test of this name: it finds the path in [`as_a_child`].
fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The path that a child process was given.
fn as_a_child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// The numbers that a child printed behind a word.
fn printed(child: &mut Child, word: &str) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = format!("{word} ");
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(&word)?.parse().ok())
}
