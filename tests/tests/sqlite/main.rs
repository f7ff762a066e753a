//! `SqliteProvider` on files.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

mod calls;
mod conformance;
mod faults;
mod settings;
mod storage;

use sessions::provider::{Expect, Page, Provider, ProviderError, Record, Saved, from_unix_millis};
use sessions_sqlite::SqliteProvider;
use sessions_sqlite::sqlx::sqlite::{SqlitePoolOptions, SqliteSynchronous};
use sessions_sqlite::sqlx::{self, Row, SqlitePool};
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

/// What a child process of these tests does: this binary again, told by the environment.
const CHILD: &str = "SESSIONS_TEST_CHILD";
const PATH: &str = "SESSIONS_TEST_PATH";

fn child(role: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_child_process", "--nocapture"])
        .env(CHILD, role)
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does nothing unless it runs in a child process.
#[tokio::test]
async fn as_a_child_process() {
    let (Ok(role), Some(path)) = (std::env::var(CHILD), std::env::var_os(PATH)) else {
        return;
    };
    let provider = SqliteProvider::open(&path).await.unwrap();
    match role.as_str() {
        "open" => {}
        "write" => {
            for version in 2.. {
                let record = Record::new("a", version, vec![version as u8; 5_000]);
                let saved = provider.save(&record, Expect::Version(version - 1), now()).await;
                assert_eq!(saved.unwrap(), Saved::Saved);
                println!("\nsaved {version}");
            }
        }
        "race" => {
            let mut won = 0;
            while won < 100 {
                let Some(record) = provider.fetch("a", now()).await.unwrap() else { continue };
                let next = Record::new("a", record.version + 1, "same");
                let saved = provider.save(&next, Expect::Version(record.version), now()).await;
                if saved.unwrap() == Saved::Saved {
                    won += 1;
                    println!("\nwon {}", next.version);
                }
            }
        }
        other => panic!("unknown role {other}"),
    }
}

/// The numbers that a child printed behind a word.
fn printed(child: &mut Child, word: &str) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = format!("{word} ");
    lines.map_while(Result::ok).filter_map(move |line| line.strip_prefix(&word)?.parse().ok())
}
