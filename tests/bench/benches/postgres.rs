//! `sessionful-postgres` beside `pgbench`, and its purge beside clients that read and write.
//!
//! Starts a server of its own. Prints ratios that were measured in the same run, in turns:
//!
//! ```sh
//! cargo bench -p sessions-bench --bench postgres               # both
//! cargo bench -p sessions-bench --bench postgres -- throughput
//! cargo bench -p sessions-bench --bench postgres -- purge
//! ```

use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sessions::provider::{
    Bytes, Expect, Provider, Record, Saved, from_unix_millis, to_unix_millis,
};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sessions_tests::postgres::{Postgres, program, sql};

/// Connections of each contestant.
const CLIENTS: u32 = 8;

/// Records of each client.
const RECORDS: u32 = 2_000;

const DATA: usize = 400;

const ROUNDS: usize = 7;

const TURN: Duration = Duration::from_secs(3);

/// Expired records in the bench of the purge.
const EXPIRED: u32 = 1_000_000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let wanted = |name: &str| {
        let mut names = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|it| it == name)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if wanted("throughput") {
        runtime.block_on(throughput())?;
    }
    if wanted("purge") {
        runtime.block_on(purge())?;
    }
    Ok(())
}

async fn throughput() -> Outcome<()> {
    let server = start();
    let options: PgConnectOptions = server.url().parse()?;
    let own = PostgresProvider::connect_with(options.clone(), CLIENTS).await?;
    let pool = PgPoolOptions::new().max_connections(CLIENTS).connect_with(options).await?;
    let pool = PostgresProvider::new(pool);
    own.create_table().await?;
    fill(&server);
    let select = "SELECT id, version, expires_at, format, owner, data FROM sessions \
         WHERE id = :id::text AND coalesce(expires_at, 9223372036854775807) > :now::bigint";
    let update = "UPDATE sessions SET version = version + 1, expires_at = :now::bigint + 604800000, \
         format = 'bench/1', owner = 'bench/' || :id, data = convert_to(:data, 'UTF8') \
         WHERE id = :id::text AND version <> 0 \
         AND coalesce(expires_at, 9223372036854775807) > :now::bigint";
    // One turn of each to warm up.
    let mut turns = Turns::default();
    let mut versions = versions();
    for round in 0..=ROUNDS {
        let turn = Turn {
            pgbench_select: pgbench(&server, select)?,
            own_fetch: clients(&own, Work::Fetch, TURN, &mut versions).await?.0,
            pool_fetch: clients(&pool, Work::Fetch, TURN, &mut versions).await?.0,
            pgbench_update: pgbench(&server, update)?,
            own_save: clients(&own, Work::Save, TURN, &mut versions).await?.0,
            pool_save: clients(&pool, Work::Save, TURN, &mut versions).await?.0,
        };
        if round > 0 {
            turns.0.push(turn);
        }
    }
    println!("{CLIENTS} connections, {DATA} bytes of data, medians of {ROUNDS} rounds");
    turns.report("own connections, fetch", |it| it.own_fetch, |it| it.pgbench_select, 0.8);
    turns.report("own connections, save", |it| it.own_save, |it| it.pgbench_update, 0.7);
    turns.report("a user's pool, fetch", |it| it.pool_fetch, |it| it.pgbench_select, 0.45);
    turns.report("a user's pool, save", |it| it.pool_save, |it| it.pgbench_update, 0.5);
    Ok(())
}

/// Calls per second of each contestant in one round.
struct Turn {
    pgbench_select: f64,
    own_fetch: f64,
    pool_fetch: f64,
    pgbench_update: f64,
    own_save: f64,
    pool_save: f64,
}

#[derive(Default)]
struct Turns(Vec<Turn>);

impl Turns {
    fn report(&self, what: &str, ours: fn(&Turn) -> f64, theirs: fn(&Turn) -> f64, goal: f64) {
        let ratio = median(self.0.iter().map(|turn| ours(turn) / theirs(turn)));
        let (ours, theirs) = (median(self.0.iter().map(ours)), median(self.0.iter().map(theirs)));
        println!("{what}: {ratio:.2} of pgbench (goal {goal}): {ours:.0} of {theirs:.0} a second");
    }
}

async fn purge() -> Outcome<()> {
    let server = start();
    let options: PgConnectOptions = server.url().parse()?;
    let provider = PostgresProvider::connect_with(options.clone(), CLIENTS).await?;
    provider.create_table().await?;
    fill(&server);
    sql(
        &server.url(),
        &format!(
            "INSERT INTO sessions (id, version, expires_at, format, owner, data) \
             SELECT 'expired-' || i, 1, 1600000000000 + i * 100::bigint, 'bench/1', \
             'bench/' || i, convert_to(repeat('x', {DATA}), 'UTF8') \
             FROM generate_series(1, {EXPIRED}) i; ANALYZE sessions"
        ),
    );
    // A turn to settle, then without the purge, with it, and without again.
    let mut versions = versions();
    clients(&provider, Work::Both, TURN, &mut versions).await?;
    let (_, mut before) = clients(&provider, Work::Both, 3 * TURN, &mut versions).await?;
    let purger = PostgresProvider::connect_with(options, 1).await?;
    let done = Arc::new(AtomicBool::new(false));
    let purging = tokio::spawn({
        let done = done.clone();
        async move {
            let (start, mut purged) = (Instant::now(), 0);
            loop {
                let batch = purger.purge(SystemTime::now(), 10_000).await;
                match batch {
                    Ok(0) | Err(_) => done.store(true, Ordering::SeqCst),
                    Ok(_) => {}
                }
                match batch? {
                    0 => return Outcome::Ok((purged, start.elapsed())),
                    some => purged += some,
                }
            }
        }
    });
    let mut during = Vec::new();
    while !done.load(Ordering::SeqCst) {
        during.extend(
            clients(&provider, Work::Both, Duration::from_millis(500), &mut versions).await?.1,
        );
    }
    let (purged, took) = purging.await??;
    assert_eq!(purged, u64::from(EXPIRED), "every expired record is removed");
    let left = sql(&server.url(), "SELECT count(*) FROM sessions");
    assert_eq!(left, (2 * CLIENTS * RECORDS).to_string(), "no other record is");
    let (_, mut after) = clients(&provider, Work::Both, 3 * TURN, &mut versions).await?;
    println!(
        "purge of {purged} records in {:.1} s while {CLIENTS} clients work",
        took.as_secs_f64()
    );
    let [quiet, busy, later] = [&mut before, &mut during, &mut after].map(|times| {
        times.sort_unstable();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        println!("{} calls: median {:?}, p99 {:?}", times.len(), at(0.5), at(0.99));
        at(0.99).as_secs_f64()
    });
    println!(
        "p99 during the purge: {:.2} of the p99 before, {:.2} of the p99 after (goal: at most 3)",
        busy / quiet,
        busy / later
    );
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Fetch,
    Save,
    Both,
}

/// The versions of the records of each client.
type Versions = Vec<Vec<u64>>;

fn versions() -> Versions {
    vec![vec![1; RECORDS as usize]; CLIENTS as usize]
}

/// Lets the clients work: calls per second of all, and how long each took.
async fn clients(
    provider: &PostgresProvider,
    work: Work,
    time: Duration,
    versions: &mut Versions,
) -> Outcome<(f64, Vec<Duration>)> {
    let start = Instant::now();
    let tasks: Vec<_> = std::mem::take(versions)
        .into_iter()
        .zip(0..)
        .map(|(versions, client)| {
            tokio::spawn(one(provider.clone(), client, work, start + time, versions))
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        let (took, now_at) = task.await??;
        times.extend(took);
        versions.push(now_at);
    }
    Ok((times.len() as f64 / start.elapsed().as_secs_f64(), times))
}

async fn one(
    provider: PostgresProvider,
    client: u32,
    work: Work,
    end: Instant,
    mut versions: Vec<u64>,
) -> Outcome<(Vec<Duration>, Vec<u64>)> {
    let mut times = Vec::new();
    let data = Bytes::from(vec![b'x'; DATA]);
    let mut random = u64::from(client) + 1;
    loop {
        let began = Instant::now();
        if began >= end {
            return Ok((times, versions));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let index = (random >> 33) as u32 % RECORDS;
        let id = (1 + client * RECORDS + index).to_string();
        let now = SystemTime::now();
        if work == Work::Fetch || work == Work::Both && random >> 63 == 0 {
            provider.fetch(&id, now).await?.ok_or("a record is gone")?;
        } else {
            let version = &mut versions[index as usize];
            let mut record = Record::new(&*id, *version + 1, data.clone());
            record.expires_at = Some(from_unix_millis(to_unix_millis(now) + 7 * 86_400_000));
            record.format = "bench/1".into();
            record.owner = Some(format!("bench/{id}").into());
            let saved = provider.save(&record, Expect::Version(*version), now).await?;
            if saved != Saved::Saved {
                return Err("a record was saved by another".into());
            }
            *version += 1;
        }
        times.push(began.elapsed());
    }
}

/// Transactions per second of one turn.
fn pgbench(server: &Postgres, statement: &str) -> Outcome<f64> {
    let script = tempfile::NamedTempFile::new()?;
    // Records of its own, as it does not tell their versions.
    let (first, last) = (CLIENTS * RECORDS + 1, 2 * CLIENTS * RECORDS);
    std::fs::write(script.path(), format!("\\set id random({first}, {last})\n{statement};\n"))?;
    let output = Command::new(program("pgbench"))
        .args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-j", "2"])
        .args(["-p", &server.port().to_string(), "-c", &CLIENTS.to_string()])
        .args(["-T", &TURN.as_secs().to_string()])
        .args(["-D", &format!("now={}", to_unix_millis(SystemTime::now()))])
        .args(["-D", &format!("data={}", "x".repeat(DATA)), "-f"])
        .arg(script.path())
        .arg("postgres")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let tps = tps.ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(tps.parse()?)
}

/// Live records, `1` to the last: those of the clients, and as many for `pgbench`.
fn fill(server: &Postgres) {
    sql(
        &server.url(),
        &format!(
            "INSERT INTO sessions (id, version, expires_at, format, owner, data) \
             SELECT i, 1, extract(epoch FROM now())::bigint * 1000 + 604800000, 'bench/1', \
             'bench/' || i, convert_to(repeat('x', {DATA}), 'UTF8') \
             FROM generate_series(1, {}) i; ANALYZE sessions",
            2 * CLIENTS * RECORDS
        ),
    );
}

fn start() -> Postgres {
    Postgres::start(&["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h"])
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
