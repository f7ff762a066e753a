//! The example of PostgreSQL in production, over a real server.

#[path = "../../../examples/postgres.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod example;

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use sessions::keys::LocalKey;
use sessions_tests::browser::Browser;
use sessions_tests::postgres::{Database, Postgres};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A host of the app: its address, and its task, which ends in order when the sender is dropped.
async fn host(database: &Database) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let pool = example::pool(database.url()).await.unwrap();
    let store = example::store(pool.clone(), LocalKey::from_bytes([7; 32])).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let task = tokio::spawn(async move {
        let purge_interval = Duration::from_millis(100);
        example::run(listener, pool, store, purge_interval, stopped).await.unwrap();
    });
    (address, stop, task)
}

#[tokio::test]
async fn hosts_share_sessions_purge_what_has_expired_and_stop_in_order() {
    let database = Database::create();
    let (first, stop_first, first_task) = host(&database).await;
    let (second, stop_second, second_task) = host(&database).await;
    let mut browser = Browser::new(first);
    assert_eq!(browser.get("/ready").await.body, "ready");
    assert_eq!(browser.get("/").await.body, "visit number 1");
    let mut browser = browser.at(second);
    assert_eq!(browser.get("/").await.body, "visit number 2");
    drop(stop_first);
    first_task.await.unwrap();
    assert_eq!(browser.get("/").await.body, "visit number 3");

    let live = database.sql("SELECT id FROM sessions ORDER BY id");
    let mut idle = Browser::new(second);
    idle.get("/").await;
    let expire = "UPDATE sessions SET expires_at = 1 WHERE id NOT IN";
    let ids = live.lines().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    assert_eq!(database.sql(&format!("{expire} ({ids}) RETURNING 1")), "1");
    let purged = async {
        while database.sql("SELECT id FROM sessions ORDER BY id") != live {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), purged).await.expect("it is purged");
    drop(stop_second);
    second_task.await.unwrap();
}

#[tokio::test]
async fn the_wrong_key_is_noticed_at_the_start_and_an_outage_logs_nobody_out() {
    let server = Postgres::start(&[]);
    let database = Database::create_on(&server.url());
    let (address, stop, task) = host(&database).await;
    let mut browser = Browser::new(address);
    browser.get("/").await;
    let pool = example::pool(database.url()).await.unwrap();
    let error = example::store(pool, LocalKey::from_bytes([8; 32])).await.unwrap_err();
    assert!(format!("{error:?}").contains("this host does not have"), "{error:?}");

    server.stop();
    assert_eq!(browser.get("/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    server.run();
    assert_eq!(browser.get("/ready").await.body, "ready");
    assert_eq!(browser.get("/").await.body, "visit number 2");
    drop(stop);
    task.await.unwrap();
}
