//! Many sessions, 16 clients, four hosts, and movers that are killed at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions::clock::{Clock, SystemClock};
use sessions::moving::{Moved, Moving};
use sessions::provider::{Expect, Page, Provider, Record, Saved};
use sessions::{Store, StoreKey};
use sessions_postgres::PostgresProvider;
use sessions_tests::postgres::Database;
use sessions_tests::redis::Space;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clients::{Client, Ledger, Visitor};

/// 100 000 take minutes.
fn sessions() -> usize {
    if std::env::var_os("SESSIONS_LONG_TESTS").is_some() { 100_000 } else { 10_000 }
}

const CLIENTS: usize = 16;

const HOSTS: usize = 4;

/// A mover of the other direction counts as running for a minute.
struct Later(Duration);

impl Clock for Later {
    fn now(&self) -> SystemTime {
        SystemClock.now() + self.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_and_no_answered_save_is_lost() {
    let database = Database::create();
    let postgres = PostgresProvider::connect(database.url()).await.unwrap();
    postgres.create_table().await.unwrap();
    let space = Space::new();
    let redis = space.provider().await;

    let hosts: Vec<Moving> =
        (0..HOSTS).map(|_| Moving::new(postgres.clone(), redis.clone())).collect();
    let stores: Vec<Store> = hosts.iter().map(|it| Store::new(it.clone())).collect();
    let ledger = Ledger::open(&stores[0], 500).await;
    fill(&postgres, &stores[0], sessions() - ledger.len()).await;
    assert_eq!(live(&redis).await, 0);

    let moved = busy(&stores, &ledger, 1, kill_and_run(&hosts[0], Duration::ZERO)).await;
    assert_eq!(moved.left, 0);
    assert_eq!(live(&postgres).await, 0, "the old database has live records left");
    ledger.check(&stores).await;
    let all = live(&redis).await;
    assert_eq!(all, sessions() - ledger.ended(), "sessions in the new database");

    // And back, by hosts that know the other order.
    let hosts: Vec<Moving> =
        (0..HOSTS).map(|_| Moving::new(redis.clone(), postgres.clone())).collect();
    let stores: Vec<Store> = hosts.iter().map(|it| Store::new(it.clone())).collect();
    let later = Duration::from_secs(61);
    let moved = busy(&stores, &ledger, 2, kill_and_run(&hosts[0], later)).await;
    assert_eq!(moved.left, 0);
    assert_eq!(live(&redis).await, 0, "the new database has live records left");
    ledger.check(&stores).await;
    assert_eq!(live(&postgres).await, sessions() - ledger.ended(), "sessions after going back");
}

/// Runs the clients for as long as the move takes, and a while longer.
async fn busy(
    stores: &[Store],
    ledger: &Arc<Ledger>,
    seed: u64,
    moving: impl Future<Output = Moved>,
) -> Moved {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let store = stores[number % HOSTS].clone();
        let client = Client::new(store, ledger.clone(), seed * 1_000 + number as u64);
        let stop = stop.clone();
        clients.spawn(async move { client.run(&stop).await });
    }
    let moved = moving.await;
    stop.store(true, Ordering::Release);
    while let Some(requests) = clients.join_next().await {
        assert!(requests.unwrap() > 0, "a client has done nothing");
    }
    moved
}

/// Runs the mover, kills it again and again, and lets the last one come to its end.
async fn kill_and_run(moving: &Moving, later: Duration) -> Moved {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..20 {
        let life = Duration::from_millis(rng.random_range(5..400));
        let killed = timeout(life, moving.mover().clock(Later(later)).run()).await;
        assert!(killed.is_err(), "the move ended before anybody killed it: {killed:?}");
    }
    // Two at once.
    let mover = || moving.mover().clock(Later(later)).run();
    let (one, two) = tokio::join!(mover(), mover());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.moved + two.moved > 0, "{one:?} {two:?}");
    one
}

/// Saves sessions that nobody uses, as copies of one.
async fn fill(postgres: &PostgresProvider, store: &Store, count: usize) {
    let mut session = store.load::<Visitor>(&http::HeaderMap::new()).await.unwrap();
    session.count = 1;
    session.save().await.unwrap();
    let key = session.key().unwrap().clone();
    let now = SystemTime::now();
    let template = postgres.fetch(key.as_str(), now).await.unwrap().unwrap();
    postgres.delete(key.as_str(), Expect::Any, now).await.unwrap();
    let numbers = stream::iter(0..count);
    numbers
        .for_each_concurrent(32, |number| {
            let record = Record { id: some_key(number).into(), ..template.clone() };
            async move {
                let saved = postgres.save(&record, Expect::Absent, now).await.unwrap();
                assert_eq!(saved, Saved::Saved);
            }
        })
        .await;
}

fn some_key(number: usize) -> String {
    let text = format!("{number:043}");
    assert!(text.parse::<StoreKey>().is_ok(), "{text}");
    text
}

/// The live sessions of a database, by its own scan.
async fn live(provider: &impl Provider) -> usize {
    let (mut ids, mut page) = (std::collections::HashSet::new(), Page::first(1_000));
    loop {
        let listed = provider.scan(page, SystemTime::now()).await.unwrap();
        let sessions = listed.records.into_iter().filter(|it| it.format.starts_with("visitor/"));
        ids.extend(sessions.map(|record| record.id));
        let Some(mark) = listed.next else { return ids.len() };
        page = Page::after(mark, 1_000);
    }
}
