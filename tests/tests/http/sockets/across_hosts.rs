//! A page on one host closes when another host ends its session: how soon, on each database.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sessions::provider::Provider;
use sessions::{MemoryProvider, Store};
use sessions_sqlite::SqliteProvider;
use sessions_tests::fed::Fed;

use super::client::{Client, Heard};
use super::host::{Host, Kind};

/// A database, as two hosts connect to it.
struct Database {
    one: Arc<dyn Provider>,
    other: Arc<dyn Provider>,
    /// What it lives in.
    _kept: Option<Box<dyn Any + Send>>,
}

impl Database {
    fn new(one: impl Provider, other: impl Provider) -> Self {
        Self { one: Arc::new(one), other: Arc::new(other), _kept: None }
    }

    fn keeping(self, kept: impl Any + Send) -> Self {
        Self { _kept: Some(Box::new(kept)), ..self }
    }

    async fn memory() -> Self {
        let memory = MemoryProvider::new();
        Self::new(memory.clone(), memory)
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sessions.db");
        let open = async || SqliteProvider::open(&file).await.unwrap();
        Self::new(open().await, open().await).keeping(folder)
    }

    #[cfg(feature = "postgres")]
    async fn postgres() -> Self {
        let database = sessions_tests::postgres::Database::create();
        let open = async || {
            let provider =
                sessions_postgres::PostgresProvider::connect(database.url()).await.unwrap();
            provider.create_table().await.unwrap();
            provider
        };
        Self::new(open().await, open().await).keeping(database)
    }

    #[cfg(feature = "redis")]
    async fn redis() -> Self {
        let space = sessions_tests::redis::Space::new();
        Self::new(space.provider().await, space.provider().await).keeping(space)
    }

    /// One that tells of no changes.
    async fn silent() -> Self {
        let memory = MemoryProvider::new();
        Self::new(Fed::silent(memory.clone()), Fed::silent(memory))
    }
}

/// Each database, and whether its provider `tells` of changes or is `asked`. Each kind of page is a
/// test of each.
macro_rules! databases {
    ($($database:ident $how:ident,)*) => {
        $(
            mod $database {
                databases!(@on $database $how axum_websocket AxumSocket);
                databases!(@on $database $how axum_events AxumEvents);
                databases!(@on $database $how actix_websocket ActixSocket);
                databases!(@on $database $how actix_events ActixEvents);
            }
        )*
    };
    (@on $database:ident $how:ident $test:ident $kind:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            super::$how(super::Kind::$kind, super::Database::$database().await).await;
        }
    };
}

databases! {
    memory tells,
    sqlite tells,
    silent asked,
}

#[cfg(feature = "postgres")]
databases! {
    postgres tells,
}

#[cfg(feature = "redis")]
databases! {
    redis tells,
}

/// With a provider that tells of changes.
async fn tells(kind: Kind, database: Database) {
    let delays = delays(kind, database, 12).await;
    let median = delays[delays.len() / 2];
    assert!(median <= Duration::from_millis(100), "{delays:?}");
    assert!(delays.iter().all(|delay| *delay <= SLACK), "{delays:?}");
}

/// With a provider that tells of none, the database is asked in each interval.
async fn asked(kind: Kind, database: Database) {
    let delays = delays(kind, database, 3).await;
    assert!(delays.iter().all(|delay| *delay <= INTERVAL + SLACK), "{delays:?}");
}

/// How long after the answer to what ended a session the page on the other host closes, sorted.
async fn delays(kind: Kind, database: Database, rounds: usize) -> Vec<Duration> {
    let host = async |provider: &Arc<dyn Provider>| {
        let store = Store::builder(provider.clone()).watch_interval(INTERVAL);
        Host::new(kind, store).await
    };
    let (here, there) = (host(&database.one).await, host(&database.other).await);
    let mut delays = Vec::new();
    for round in 0..rounds {
        let user = format!("user {round}");
        let mut browser = there.logged_in(&user).await;
        let mut page = Client::open(&here, &mut browser).await;
        let mut other = there.logged_in(&user).await;
        let ended = tokio::spawn(async move {
            let (heard, at) = (page.next().await, Instant::now());
            assert_eq!(page.next().await, Heard::Closed);
            (heard, at)
        });
        let expected = if round % 3 == 2 {
            assert_eq!(browser.post("/renew", "").await.body, "renewed");
            "Superseded"
        } else {
            assert_eq!(other.post("/end_others", "").await.body, "1");
            "Ended { by: None }"
        };
        let answered = Instant::now();
        let (heard, at) = ended.await.unwrap();
        assert_eq!(heard, Heard::Ended(expected.to_owned()));
        delays.push(at.saturating_duration_since(answered));
    }
    delays.sort();
    println!("{kind:?}: median {:?}, most {:?}", delays[rounds / 2], delays[rounds - 1]);
    delays
}

/// The shortest that there is.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a machine with much else to do may add.
const SLACK: Duration = Duration::from_secs(2);
