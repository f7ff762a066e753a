//! A long mixed load on each database, whose server is killed and started at random.
//!
//! `soak [--seconds 600] [sqlite] [postgres] [mysql] [redis]`
//!
//! It fails if an acknowledged update is lost or counted twice, if a session that ended comes back, if
//! the process grows by more than 5 % after the first minute, or if requests are slow for longer than
//! some seconds after a fault. SQLite has no server: there a second process on the same file is killed.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // Whatever fails here fails the run.

mod faults;
mod load;
mod measure;
mod victim;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessions::Store;
use sessions::provider::Provider;
use sessions_mysql::MySqlProvider;
use sessions_postgres::PostgresProvider;
use sessions_redis::RedisProvider;
use sessions_sqlite::SqliteProvider;
use sessions_tests::mysql::{self, MySql};
use sessions_tests::postgres::Postgres;
use sessions_tests::redis::RedisServer;

use self::faults::Server;
use self::load::{CLIENTS, Counter, Load, Visitor, counters};
use self::measure::{Meter, Sums, Verdict};
use self::victim::Victim;

const DATABASES: [&str; 4] = ["sqlite", "postgres", "mysql", "redis"];

fn main() -> ExitCode {
    let (mut seconds, mut databases) = (600, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--victim" => return victim::run(&args.next().expect("--victim FILE")),
            "--seconds" => {
                let number = args.next().and_then(|text| text.parse().ok());
                seconds = number.expect("--seconds NUMBER");
            }
            name => {
                let known = DATABASES.into_iter().find(|known| *known == name);
                databases.push(known.unwrap_or_else(|| panic!("one of {DATABASES:?}, not {name}")));
            }
        }
    }
    assert!(seconds >= SHORTEST, "--seconds is at least {SHORTEST}");
    if databases.is_empty() {
        databases.extend(DATABASES);
    }
    let mut good = true;
    for database in databases {
        let verdict = soak(database, Duration::from_secs(seconds));
        verdict.print(database);
        good &= verdict.is_good();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn soak(database: &str, length: Duration) -> Verdict {
    // A runtime for each, which ends with all that it holds.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db").to_str().unwrap().to_owned();
    match database {
        "sqlite" => runtime.block_on(async {
            let open = || async { SqliteProvider::open(&file).await.unwrap() };
            let victim = |counters| Server::Sqlite(Victim::new(&file, counters));
            run(length, open, victim).await
        }),
        "postgres" => {
            let server = Postgres::start(&[]);
            let url = server.url();
            runtime.block_on(async {
                let open = || async {
                    let provider = PostgresProvider::connect(&url).await.unwrap();
                    provider.create_table().await.unwrap();
                    provider
                };
                run(length, open, |_| Server::Postgres(server)).await
            })
        }
        "mysql" => {
            let server = MySql::start(&[]);
            let database = mysql::Database::create_on(&server.url());
            runtime.block_on(async {
                let open = || async {
                    let provider = MySqlProvider::connect(database.url()).await.unwrap();
                    provider.create_table().await.unwrap();
                    provider
                };
                run(length, open, |_| Server::MySql(server)).await
            })
        }
        _ => {
            // What it has acknowledged is on the disk.
            let settings = ["--appendonly", "yes", "--appendfsync", "always"];
            let server = RedisServer::start(&settings);
            let url = server.url();
            runtime.block_on(async {
                let open = || async { RedisProvider::connect(&url).await.unwrap() };
                run(length, open, |_| Server::Redis(server)).await
            })
        }
    }
}

async fn run<P: Provider>(
    length: Duration,
    open: impl AsyncFn() -> P,
    server: impl FnOnce(Arc<Vec<Counter>>) -> Server,
) -> Verdict {
    let store = Store::new(open().await);
    let counters = Arc::new(counters(&store).await);
    let server = server(counters.clone());
    let meter = Arc::new(Meter::new(length));
    let stop = Arc::new(AtomicBool::new(false));
    let load = Load {
        store: store.clone(),
        counters: counters.clone(),
        meter: meter.clone(),
        stop: stop.clone(),
    };
    let load = Arc::new(load);
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(load.clone().client())).collect();
    let ticks = {
        let meter = meter.clone();
        tokio::spawn(async move {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            second.tick().await;
            loop {
                second.tick().await;
                meter.tick();
            }
        })
    };
    // A minute, or half of a short run.
    let calm = Duration::from_secs(60).min(length / 2);
    let faults = {
        let meter = meter.clone();
        tokio::task::spawn_blocking(move || faults::run(server, &meter, calm, length))
    };
    let (mut server, faults) = faults.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    ticks.abort();
    if let Server::Sqlite(victim) = &mut server {
        victim.kill();
    }
    store.shutdown().await;
    // Not through what served the load.
    let store = Store::new(open().await);
    let mut sums = Sums::default();
    for (index, counter) in counters.iter().enumerate() {
        let stored = store.load::<Visitor>(&counter.headers).await.unwrap().visits;
        let acknowledged = counter.acknowledged.load(Ordering::SeqCst);
        let unknown = counter.unknown.load(Ordering::SeqCst);
        if stored < acknowledged || stored > acknowledged + unknown {
            meter.wrong(format!(
                "counter {index}: {acknowledged} updates acknowledged, {unknown} unknown, {stored} stored"
            ));
        }
        sums.acknowledged += acknowledged;
        sums.unknown += unknown;
        sums.stored += stored;
    }
    meter.verdict(&faults, calm, sums)
}

/// A shorter run has no time for faults.
const SHORTEST: u64 = 60;
