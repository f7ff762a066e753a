//! Tasks that all write to one session: how fast they are, how often they try again, and whose
//! updates are lost, beside `tower-sessions`.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use sessions::provider::Provider;
use sessions::tower_sessions::ProviderStore;
use sessions::{MemoryProvider, Session, Store, commit::Outcome};
use sessions_bench::report::{Part, Plot};
use sessions_postgres::PostgresProvider;
use sessions_tests::hooked::watched;
use sessions_tests::postgres::Postgres;
use tokio::runtime::Runtime;
use tower_sessions::{MemoryStore, SessionStore};

const TASKS: [u64; 4] = [1, 4, 16, 64];

/// How often each measurement is made; the median of its throughputs counts.
const ROUNDS: usize = 3;

#[derive(Session)]
#[session(name = "counter", version = 1)]
struct Counter {
    #[session(merge = add)]
    count: u64,
    name: String,
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let server = Postgres::start(&[]);
    let mut part = Part::new("4-contention", "Contention");
    part.say(
        "Concurrent tasks write to one session: each loads it, adds one and saves, in a loop. \
         \"Tries\" is the number of saves for each update. \"Lost\" is the number of updates \
         that are missing from the sum at the end; `tower-sessions` has no lock that could \
         detect them. Ours opens the cookie's token each time, while `tower-sessions` gets the \
         id. On PostgreSQL `tower-sessions` uses `sessions::tower_sessions::ProviderStore`. The \
         figures are those of the round with the median throughput, out of three; lost updates \
         are those of all rounds.",
    );
    for (database, updates) in [("memory", 20_000), ("PostgreSQL", 1_500)] {
        let mut plot = Plot::new(
            &format!("Updates of one session in {database}"),
            "a second",
            &["ours", "tower-sessions"],
        );
        let mut rows = Vec::new();
        let mut alone = None;
        for tasks in TASKS {
            let ours = median(|| match database {
                "memory" => runtime.block_on(ours(MemoryProvider::new(), tasks, updates)),
                _ => {
                    let provider = runtime.block_on(postgres(&server));
                    runtime.block_on(ours(provider, tasks, updates))
                }
            });
            let theirs = median(|| match database {
                "memory" => runtime.block_on(theirs(MemoryStore::default(), tasks, updates)),
                _ => {
                    let provider = runtime.block_on(postgres(&server));
                    runtime.block_on(theirs(ProviderStore::new(provider), tasks, updates))
                }
            });
            assert_eq!(ours.lost, 0, "an update was lost");
            let ratio = ours.throughput / *alone.get_or_insert(ours.throughput);
            plot.group(
                &format!("{tasks} tasks"),
                &[Some(ours.throughput), Some(theirs.throughput)],
            );
            rows.push(vec![
                tasks.to_string(),
                format!("{:.0}", ours.throughput),
                format!("{ratio:.2}"),
                if tasks == 64 { "≥ 0.25".to_owned() } else { String::new() },
                format!("{:.2}", ours.tries),
                millis(ours.p99),
                ours.lost.to_string(),
                format!("{:.0}", theirs.throughput),
                millis(theirs.p99),
                format!("{} of {}", theirs.lost, updates * ROUNDS as u64),
            ]);
        }
        part.say(&format!("In {database}:"));
        part.table(
            &[
                "tasks",
                "updates/s",
                "to 1 task's",
                "goal",
                "tries",
                "p99",
                "lost",
                "theirs/s",
                "their p99",
                "their lost",
            ],
            rows,
        );
        part.plot(&plot);
    }
    part.write();
}

/// A provider with a table of its own.
async fn postgres(server: &Postgres) -> PostgresProvider {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let table = format!("sessions_{}", TABLES.fetch_add(1, Ordering::Relaxed));
    let provider = PostgresProvider::connect(&server.url()).await.unwrap();
    let provider = provider.table(&table).unwrap();
    provider.create_table().await.unwrap();
    provider
}

/// What a crowd of writers came to.
struct Crowd {
    throughput: f64,
    tries: f64,
    p99: Duration,
    lost: u64,
}

async fn ours(provider: impl Provider, tasks: u64, updates: u64) -> Crowd {
    let (provider, watch) = watched(provider);
    let store = Store::new(provider);
    let mut first = store.load::<Counter>(&HeaderMap::new()).await.unwrap();
    first.name = "Ada Lovelace".to_owned();
    let commit = first.commit().await.unwrap();
    let set_cookie = commit.set_cookie().unwrap().to_str().unwrap();
    let pair = set_cookie.split(';').next().unwrap();
    let cookies = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(pair).unwrap())]);
    let _ = watch.take();
    let (store, cookies) = (Arc::new(store), Arc::new(cookies));
    let (time, mut times) = crowd(tasks, updates, || {
        let (store, cookies) = (store.clone(), cookies.clone());
        async move {
            // A commit that gives up has saved nothing, and says so.
            loop {
                let mut session = store.load::<Counter>(&cookies).await.unwrap();
                session.count += 1;
                match session.commit().await {
                    Ok(commit) => {
                        assert_eq!(commit.outcome(), Outcome::Saved);
                        return;
                    }
                    Err(error) => assert!(error.error().is_unavailable(), "{error}"),
                }
            }
        }
    })
    .await;
    let saves = watch.take().save;
    let last = store.load::<Counter>(&cookies).await.unwrap();
    Crowd {
        throughput: updates as f64 / time.as_secs_f64(),
        tries: f64::from(saves) / updates as f64,
        p99: p99(&mut times),
        lost: updates.abs_diff(last.count),
    }
}

async fn theirs(store: impl SessionStore, tasks: u64, updates: u64) -> Crowd {
    let store = Arc::new(store);
    let first = tower_sessions::Session::new(None, store.clone(), None);
    first.insert("name", "Ada Lovelace").await.unwrap();
    first.insert("count", 0_u64).await.unwrap();
    first.save().await.unwrap();
    let id = first.id();
    let open = || tower_sessions::Session::new(id, store.clone(), None);
    let (time, mut times) = crowd(tasks, updates, || {
        let session = open();
        async move {
            let count: u64 = session.get("count").await.unwrap().unwrap();
            session.insert("count", count + 1).await.unwrap();
            session.save().await.unwrap();
        }
    })
    .await;
    let count: u64 = open().get("count").await.unwrap().unwrap();
    Crowd {
        throughput: updates as f64 / time.as_secs_f64(),
        tries: 1.0,
        p99: p99(&mut times),
        lost: updates.abs_diff(count),
    }
}

/// Makes so many updates in so many tasks; returns how long all took, and each.
async fn crowd<F>(
    tasks: u64,
    updates: u64,
    update: impl Fn() -> F + Clone + Send,
) -> (Duration, Vec<Duration>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let share = updates / tasks + u64::from(task < updates % tasks);
        let updates: Vec<_> = (0..share).map(|_| update()).collect();
        running.spawn(async move {
            let mut times = Vec::with_capacity(updates.len());
            for update in updates {
                let start = Instant::now();
                update.await;
                times.push(start.elapsed());
            }
            times
        });
    }
    let times: Vec<_> = running.join_all().await.into_iter().flatten().collect();
    (start.elapsed(), times)
}

fn median(run: impl FnMut() -> Crowd) -> Crowd {
    let mut crowds: Vec<_> = std::iter::repeat_with(run).take(ROUNDS).collect();
    let lost = crowds.iter().map(|crowd| crowd.lost).sum();
    crowds.sort_by(|one, two| one.throughput.total_cmp(&two.throughput));
    Crowd { lost, ..crowds.swap_remove(ROUNDS / 2) }
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
