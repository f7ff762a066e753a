//! What grows on a real database, and by which power: with the sessions stored, those of one owner, the
//! size of a record, and the processes that use it.
//!
//! `cargo bench -p sessions-bench --bench growth -- [--most 1000000] [sqlite] [postgres] [redis]`

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions::__private::Header;
use sessions::provider::{Expect, Page, Provider, Record, Saved};
use sessions::{SessionData as _, Store};
use sessions_bench::report::{Part, Plot};
use sessions_bench::visitor::Visitor;
use sessions_postgres::PostgresProvider;
use sessions_redis::RedisProvider;
use sessions_sqlite::SqliteProvider;
use sessions_tests::postgres::{Postgres, sql};
use sessions_tests::redis::RedisServer;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const SESSIONS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const OWNED: [u32; 5] = [1, 10, 100, 1_000, 10_000];
const SIZES: [u32; 5] = [200, 1024, 4 * 1024, 16 * 1024, 64 * 1024];
const PROCESSES: [u32; 3] = [1, 2, 4];

fn main() {
    let (mut most, mut names) = (1_000_000, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => {}
            "--most" => most = args.next().unwrap().parse().unwrap(),
            name => names.push(name.to_owned()),
        }
    }
    let runtime = Runtime::new().unwrap();
    let mut tables: [Table; 4] = Default::default();
    for name in ["sqlite", "postgres", "redis"] {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            let server = Server::start(name, true);
            runtime.block_on(async {
                by_size(&server, &mut tables[2]).await;
                by_owner(&server, &mut tables[1]).await;
            });
            by_process(&server, &mut tables[3]);
            // On one that holds nothing yet, for its size counts. Each session would wait for the disk.
            let server = Server::start(name, false);
            runtime.block_on(by_sessions(&server, most, &mut tables[0]));
        }
    }
    report(tables, most);
}

/// Rows of what was measured at each of some numbers.
#[derive(Default)]
struct Table(Vec<(String, Vec<f64>)>);

impl Table {
    fn add(&mut self, name: String, values: &[f64]) {
        println!("{name}: {values:.1?}");
        self.0.push((name, values.to_vec()));
    }

    fn write(&self, part: &mut Part, of: &str, at: &[u32], number: impl Fn(u32) -> String) {
        let mut columns = vec![of.to_owned()];
        columns.extend(at.iter().map(|at| number(*at)));
        columns.push("power".to_owned());
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows = self.0.iter().map(|(name, values)| {
            let mut row = vec![name.clone()];
            row.extend(values.iter().map(|value| short(*value)));
            row.push(format!("{:.2}", power(at, values)));
            row
        });
        part.table(&columns, rows);
    }
}

/// The slope of the line through the logarithms, by least squares.
fn power(at: &[u32], values: &[f64]) -> f64 {
    let points: Vec<_> =
        at.iter().zip(values).map(|(at, value)| (f64::from(*at).ln(), value.ln())).collect();
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let (x, y) = (x / count, y / count);
    let over: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    over / points.iter().map(|it| (it.0 - x) * (it.0 - x)).sum::<f64>()
}

fn short(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..1000.0 => format!("{value:.0}"),
        _ => format!("{:.0} 000", value / 1000.0),
    }
}

enum Server {
    Sqlite(TempDir),
    Postgres(Postgres),
    Redis(RedisServer),
}

impl Server {
    fn start(name: &str, waits_for_the_disk: bool) -> Self {
        let fsync = if waits_for_the_disk { "fsync=on" } else { "fsync=off" };
        match name {
            "sqlite" => Self::Sqlite(tempfile::tempdir().unwrap()),
            "postgres" => Self::Postgres(Postgres::start(&[fsync, "shared_buffers=512MB"])),
            _ => Self::Redis(RedisServer::start(&[])),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
            Self::Redis(_) => "Redis",
        }
    }

    /// A provider with connections of its own.
    async fn open(&self) -> Arc<dyn Provider> {
        match self {
            Self::Sqlite(folder) => {
                Arc::new(SqliteProvider::open(folder.path().join("sessions.db")).await.unwrap())
            }
            Self::Postgres(server) => {
                let provider = PostgresProvider::connect(&server.url()).await.unwrap();
                provider.create_table().await.unwrap();
                Arc::new(provider)
            }
            Self::Redis(server) => Arc::new(RedisProvider::connect(&server.url()).await.unwrap()),
        }
    }

    /// What the sessions take: with indexes, without the log of what changed.
    fn bytes(&self) -> f64 {
        match self {
            Self::Sqlite(folder) => {
                std::fs::metadata(folder.path().join("sessions.db")).unwrap().len() as f64
            }
            Self::Postgres(server) => {
                let size = "SELECT pg_total_relation_size('sessions')";
                sql(&server.url(), size).parse().unwrap()
            }
            Self::Redis(server) => {
                let info = server.cli(&["INFO", "memory"]);
                let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
                line.unwrap().trim().parse().unwrap()
            }
        }
    }
}

async fn by_size(server: &Server, table: &mut Table) {
    let provider = server.open().await;
    let (mut fetch, mut save) = (Vec::new(), Vec::new());
    for (at, size) in SIZES.into_iter().enumerate() {
        let first = 10_000_000 + at as u32 * RECORDS;
        let record = |number| record(first + number, vec![7; size as usize], None);
        store_all(&provider, (0..RECORDS).map(record)).await;
        let mut random = StdRng::seed_from_u64(7);
        let mut pick = || first + random.random_range(0..RECORDS);
        fetch.push(time_of_fetch(&provider, &mut pick).await);
        save.push(time_of_save(&provider, &mut pick).await);
        delete_all(&provider, (0..RECORDS).map(|number| id(first + number))).await;
    }
    table.add(format!("{}, fetch, µs", server.name()), &fetch);
    table.add(format!("{}, save, µs", server.name()), &save);
}

async fn by_owner(server: &Server, table: &mut Table) {
    let provider = server.open().await;
    let store = Store::builder(provider.clone()).build().unwrap();
    let (mut first_page, mut list, mut login, mut revoke) = (vec![], vec![], vec![], vec![]);
    for (at, count) in OWNED.into_iter().enumerate() {
        let (user, first) = (1_000_000 + at as u64, 20_000_000 + at as u32 * 10_000);
        let owner = format!("app/visitor/{user}");
        let record = |number| record(first + number, data(), Some(&owner));
        store_all(&provider, (0..count).map(record)).await;
        let page = async |page| store.list::<Visitor>(user, page).await.unwrap();
        first_page.push(median_of(200, async || drop(page(Page::first(20)).await)).await);
        let whole = async || {
            let mut next = Some(Page::first(100));
            while let Some(after) = next {
                next = page(after).await.next;
            }
        };
        list.push(median_of(5, whole).await);
        let log_in = async || {
            let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
            visitor.user = Some(user);
            let _ = visitor.commit().await.unwrap();
        };
        login.push(median_of(50, log_in).await);
        let start = Instant::now();
        assert_eq!(store.revoke_all::<Visitor>(user).await.unwrap(), u64::from(count) + 50);
        // Of one session, with the logins' own.
        revoke.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(count + 50));
    }
    table.add(format!("{}, the first 20, µs", server.name()), &first_page);
    table.add(format!("{}, the whole list, µs", server.name()), &list);
    table.add(format!("{}, a login, µs", server.name()), &login);
    table.add(format!("{}, `revoke_all`, µs for each session", server.name()), &revoke);
}

/// Stores with connections and a thread of their own, as processes have.
fn by_process(server: &Server, table: &mut Table) {
    let single = || Builder::new_current_thread().enable_all().build().unwrap();
    single().block_on(async {
        let provider = server.open().await;
        store_all(&provider, (0..1_000).map(|number| record(number, data(), None))).await;
    });
    let rates = PROCESSES.map(|processes| {
        let done = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for process in 0..processes {
                let done = &done;
                scope.spawn(move || {
                    let requests = single().block_on(async {
                        let provider = server.open().await;
                        let mut tasks = JoinSet::new();
                        for task in 0..8 {
                            tasks.spawn(mixed(provider.clone(), u64::from(process * 8 + task)));
                        }
                        tasks.join_all().await.into_iter().sum()
                    });
                    done.fetch_add(requests, Ordering::Relaxed);
                });
            }
        });
        f64::from(done.into_inner()) / SLICE.as_secs_f64()
    });
    table.add(format!("{}, requests a second", server.name()), &rates);
}

/// Nine reads for each write, for a while.
async fn mixed(provider: Arc<dyn Provider>, seed: u64) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < SLICE {
        let id = id(random.random_range(0..1_000));
        let now = SystemTime::now();
        let mut record = provider.fetch(&id, now).await.unwrap().unwrap();
        if random.random_ratio(1, 10) {
            let version = record.version;
            record.version += 1;
            provider.save(&record, Expect::Version(version), now).await.unwrap();
        }
        done += 1;
    }
    done
}

async fn by_sessions(server: &Server, most: u32, table: &mut Table) {
    let provider = server.open().await;
    let (mut fetch, mut save, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stored, empty) = (0, server.bytes());
    for count in SESSIONS.into_iter().filter(|count| *count <= most) {
        let start = Instant::now();
        let owned = |number| record(number, data(), Some(&format!("app/visitor/{number}")));
        store_all(&provider, (stored..count).map(owned)).await;
        println!("{}: {count} sessions after {:?}", server.name(), start.elapsed());
        stored = count;
        let mut random = StdRng::seed_from_u64(7);
        let mut pick = || random.random_range(0..count);
        bytes.push((server.bytes() - empty) / f64::from(count));
        fetch.push(time_of_fetch(&provider, &mut pick).await);
        save.push(time_of_save(&provider, &mut pick).await);
    }
    table.add(format!("{}, fetch, µs", server.name()), &fetch);
    table.add(format!("{}, save, µs", server.name()), &save);
    table.add(format!("{}, bytes for each session", server.name()), &bytes);
}

async fn time_of_fetch(provider: &Arc<dyn Provider>, pick: &mut impl FnMut() -> u32) -> f64 {
    let ids: Vec<_> = (0..2_000).map(|_| id(pick())).collect();
    let mut times = Vec::new();
    for id in ids {
        let start = Instant::now();
        provider.fetch(&id, SystemTime::now()).await.unwrap().unwrap();
        times.push(start.elapsed());
    }
    median(times)
}

async fn time_of_save(provider: &Arc<dyn Provider>, pick: &mut impl FnMut() -> u32) -> f64 {
    let mut times = Vec::new();
    for _ in 0..500 {
        let now = SystemTime::now();
        let mut record = provider.fetch(&id(pick()), now).await.unwrap().unwrap();
        let version = record.version;
        record.version += 1;
        let start = Instant::now();
        let saved = provider.save(&record, Expect::Version(version), now).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(saved, Saved::Saved);
    }
    median(times)
}

async fn median_of(times: usize, call: impl AsyncFn()) -> f64 {
    let mut taken = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        call().await;
        taken.push(start.elapsed());
    }
    median(taken)
}

/// In microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

async fn store_all(provider: &Arc<dyn Provider>, records: impl Iterator<Item = Record>) {
    let mut tasks = JoinSet::new();
    for record in records {
        if tasks.len() >= AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let provider = provider.clone();
        tasks.spawn(async move {
            let saved = provider.save(&record, Expect::Absent, SystemTime::now()).await.unwrap();
            assert_eq!(saved, Saved::Saved);
        });
    }
    tasks.join_all().await;
}

async fn delete_all(provider: &Arc<dyn Provider>, ids: impl Iterator<Item = String>) {
    for id in ids {
        provider.delete(&id, Expect::Any, SystemTime::now()).await.unwrap();
    }
}

fn record(number: u32, data: Vec<u8>, owner: Option<&str>) -> Record {
    let mut record = Record::new(id(number), 1, data);
    record.format = "visitor/1".into();
    record.owner = owner.map(Into::into);
    record.expires_at = Some(SystemTime::now() + Duration::from_secs(86_400));
    record
}

/// As a session's key is.
fn id(number: u32) -> String {
    let mut bytes = [0; 32];
    StdRng::seed_from_u64(number.into()).fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Of a session that was saved eight times.
fn data() -> Vec<u8> {
    let mut header = Header::new(SystemTime::now());
    header.saves = (1..=8).map(|n| u64::MAX / n).collect();
    Visitor::filled(Some(7)).fields().unwrap().to_data(&header).unwrap().to_vec()
}

fn report(tables: [Table; 4], most: u32) {
    let mut part = Part::new("8-growth", "Growth");
    part.say(
        "What grows, and by which power: the slope of the line through the logarithms, so 0 is \
         \"not at all\", and 1 \"as fast as the number in the head\". Times are medians of calls \
         one after another, each a round trip.",
    );
    let [sessions, owned, sizes, processes] = tables;
    let counts: Vec<u32> = SESSIONS.into_iter().filter(|count| *count <= most).collect();
    part.say(&format!(
        "By the sessions in the database. A record has {} bytes. \
         PostgreSQL does not wait for the disk here.",
        data().len()
    ));
    sessions.write(&mut part, "sessions", &counts, grouped);
    part.say("By the sessions of one owner:");
    owned.write(&mut part, "sessions of the owner", &OWNED, grouped);
    part.say("By the bytes of a record:");
    sizes.write(&mut part, "bytes of a record", &SIZES, grouped);
    part.say(
        "By the processes: stores with connections and a thread of their own, 8 requests at once \
         each, 9 reads for each write.",
    );
    processes.write(&mut part, "processes", &PROCESSES, grouped);
    for (title, call) in [("A fetch, by the sessions stored", "fetch"), ("A save", "save")] {
        let rows: Vec<_> = sessions.0.iter().filter(|row| row.0.contains(call)).collect();
        let names: Vec<_> = rows.iter().map(|row| row.0.split(',').next().unwrap()).collect();
        let mut plot = Plot::new(title, "µs", &names);
        for (at, count) in counts.iter().enumerate() {
            let values: Vec<_> = rows.iter().map(|row| row.1.get(at).copied()).collect();
            plot.group(&format!("{} sessions", grouped(*count)), &values);
        }
        part.plot(&plot);
    }
    part.write();
}

/// 10 000
fn grouped(number: u32) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{} {:03}", number / 1_000, number % 1_000),
        _ => format!("{} {:03} {:03}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000),
    }
}

/// Of each size.
const RECORDS: u32 = 500;

/// How many saves are under way while sessions are made.
const AT_ONCE: usize = 256;

/// How long processes make requests.
const SLICE: Duration = Duration::from_secs(3);
