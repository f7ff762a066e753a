//! How near a fetch and a save come to what the database itself can do: PostgreSQL beside `pgbench`,
//! Redis beside `redis-benchmark`, each with the very statements and commands that our provider has
//! sent, on the same server.
//!
//! ```sh
//! cargo bench -p sessions-bench --bench limits
//! cargo bench -p sessions-bench --bench limits -- --rounds 3 redis
//! ```

use std::error::Error;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use sessions::provider::{
    Bytes, Expect, Provider, Record, Saved, from_unix_millis, to_unix_millis,
};
use sessions_bench::report::{Part, Spread};
use sessions_postgres::PostgresProvider;
use sessions_redis::RedisProvider;
use sessions_tests::postgres::{Postgres, program, sql};
use sessions_tests::redis::{Monitor, RedisServer};

/// Tasks of ours, and connections of the peers and of our PostgreSQL provider.
const CLIENTS: u32 = 16;

const RECORDS: u32 = 10_000;

const DATA: usize = 400;

/// How long all but `redis-benchmark` work in a turn.
const TURN: Duration = Duration::from_secs(2);

/// Commands of `redis-benchmark` in a turn. It takes no time.
const COMMANDS: u32 = 150_000;

const ROUNDS: usize = 12;

const FORMAT: &str = "bench/1";

/// `pgbench` makes no text of a number, so all records have one owner.
const OWNER: &str = "bench/owner";

const VERSION: u64 = 1;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let (mut rounds, mut wanted) = (ROUNDS, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().ok_or("--rounds needs a number")?.parse()?,
            // What cargo adds.
            "--bench" => {}
            "postgres" | "redis" => wanted.push(arg),
            _ => return Err(format!("{arg} is unknown: name postgres or redis").into()),
        }
    }
    let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = Vec::new();
    if wanted("postgres") {
        rows.extend(runtime.block_on(postgres(rounds))?);
    }
    if wanted("redis") {
        rows.extend(runtime.block_on(redis(rounds))?);
    }
    let mut part = Part::new("9-limits", "Limits");
    part.say(&format!(
        "Calls a second of {CLIENTS} clients at once, on {RECORDS} records of {DATA} bytes, beside a \
         program in C that sends the same to the same server: `pgbench -M prepared` over {CLIENTS} \
         connections, as ours, and `redis-benchmark -P 1` over {CLIENTS}, where ours has one. In each of \
         {rounds} rounds ours, ours again and the peer take turns, in rotated order. The ratios are \
         medians, with the middle half in parentheses. \"Noise\" is ours again, to ours."
    ));
    let columns = ["call", "ours", "peer", "ratio", "goal", "noise"];
    part.table(&columns, rows);
    part.write();
    Ok(())
}

async fn postgres(rounds: usize) -> Outcome<Vec<Vec<String>>> {
    let server =
        Postgres::start(&["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h"]);
    let provider = PostgresProvider::connect_with(server.url().parse()?, CLIENTS).await?;
    provider.create_table().await?;
    // As long as those of `redis-benchmark`.
    let bench = Bench::new(provider, 100_000_000_000).await?;
    sql(&server.url(), "VACUUM ANALYZE sessions");
    let mut rows = Vec::new();
    for (work, goal) in [(Work::Fetch, "≥ 0.85"), (Work::Save, "≥ 0.8")] {
        bench.call(work, bench.first).await?;
        let begins = match work {
            Work::Fetch => "SELECT id, version,",
            Work::Save => "UPDATE ",
        };
        let asks =
            format!("SELECT query FROM pg_stat_activity WHERE query LIKE '{begins}%' LIMIT 1");
        let statement = sql(&server.url(), &asks);
        let script = tempfile::NamedTempFile::new()?;
        std::fs::write(script.path(), bench.script(work, &statement)?)?;
        let [now, expires_at] = [bench.now, bench.expires_at].map(to_unix_millis);
        let peer = || {
            let mut pgbench = Command::new(program("pgbench"));
            pgbench.args(["-n", "-M", "prepared", "-h", "127.0.0.1", "-U", "postgres", "-j", "2"]);
            pgbench.args(["-p", &server.port().to_string(), "-c", &CLIENTS.to_string()]);
            pgbench.args(["-T", &TURN.as_secs().to_string(), "-D", &format!("now={now}")]);
            pgbench.args(["-D", &format!("expires_at={expires_at}")]);
            pgbench.args(["-D", &format!("version={VERSION}"), "-D", &format!("format={FORMAT}")]);
            pgbench.args(["-D", &format!("owner={OWNER}"), "-D"]);
            pgbench.arg(format!("data={}", "x".repeat(DATA))).arg("-f").arg(script.path());
            let output = pgbench.arg("postgres").output()?;
            rate(&output, |text| {
                text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next())
            })
        };
        rows.push(bench.row("PostgreSQL", work, goal, rounds, peer).await?);
    }
    Ok(rows)
}

async fn redis(rounds: usize) -> Outcome<Vec<Vec<String>>> {
    let server = RedisServer::start(&[]);
    let provider = RedisProvider::connect(&server.url()).await?;
    let bench = Bench::new(provider, 0).await?;
    let mut rows = Vec::new();
    for work in [Work::Fetch, Work::Save] {
        let mut monitor = Monitor::start(&server);
        bench.call(work, bench.first).await?;
        let command = match &monitor.commands()[..] {
            [command] => command.replace(&id(bench.first), "__rand_int__"),
            several => return Err(format!("no single command: {several:?}").into()),
        };
        drop(monitor);
        // Each argument is in quotes, and none has any of its own.
        let arguments = command.split('"').skip(1).step_by(2);
        let peer = || {
            let mut benchmark = Command::new("redis-benchmark");
            benchmark.args(["-p", &server.port.to_string(), "-P", "1", "-q"]);
            benchmark.args(["-c", &CLIENTS.to_string(), "-n", &COMMANDS.to_string()]);
            benchmark.args(["-r", &RECORDS.to_string()]).args(arguments.clone());
            rate(&benchmark.output()?, |text| {
                text.split_once(" requests per second")?.0.rsplit(' ').next()
            })
        };
        // The peer goes on where the server refuses a command.
        let refused = || server.cli(&["INFO", "errorstats"]);
        let before = refused();
        rows.push(bench.row("Redis", work, "", rounds, peer).await?);
        if refused() != before {
            return Err(format!("Redis has refused commands: {}", refused()).into());
        }
    }
    Ok(rows)
}

/// What a peer's output says, if it ended well.
fn rate(output: &Output, find: fn(&str) -> Option<&str>) -> Outcome<f64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let found = find(&text).filter(|_| output.status.success());
    let found =
        found.ok_or_else(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(found.parse()?)
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Fetch,
    Save,
}

/// A provider with its records, and what all calls say.
#[derive(Clone)]
struct Bench<P> {
    provider: P,
    /// The number of the first record.
    first: u64,
    data: Bytes,
    now: SystemTime,
    expires_at: SystemTime,
}

impl<P: Provider + Clone> Bench<P> {
    async fn new(provider: P, first: u64) -> Outcome<Self> {
        let now = to_unix_millis(SystemTime::now());
        let bench = Self {
            provider,
            first,
            data: Bytes::from(vec![b'x'; DATA]),
            now: from_unix_millis(now),
            expires_at: from_unix_millis(now + 7 * 86_400_000),
        };
        for number in first..first + u64::from(RECORDS) {
            bench.save(number, Expect::Absent).await?;
        }
        Ok(bench)
    }

    /// The statement for a record at random, as `pgbench` takes it.
    fn script(&self, work: Work, statement: &str) -> Outcome<String> {
        let values = match work {
            Work::Fetch => &["id", "now"][..],
            Work::Save => {
                &["id", "version", "expires_at", "format", "owner", "data", "now", "version"]
            }
        };
        let mut text = statement.to_owned();
        for (value, number) in values.iter().zip(1..) {
            let place = format!("${number}");
            if !text.contains(&place) {
                return Err(format!("{statement:?} has no {place}").into());
            }
            text = text.replace(&place, &format!(":{value}"));
        }
        let last = self.first + u64::from(RECORDS) - 1;
        Ok(format!("\\set id random({}, {last})\n{text};\n", self.first))
    }

    async fn call(&self, work: Work, number: u64) -> Outcome<()> {
        match work {
            Work::Fetch => {
                self.provider.fetch(&id(number), self.now).await?.ok_or("a record is gone")?;
                Ok(())
            }
            // The peers do not know versions, so no save makes another. The work is the same.
            Work::Save => self.save(number, Expect::Version(VERSION)).await,
        }
    }

    async fn save(&self, number: u64, expect: Expect) -> Outcome<()> {
        let mut record = Record::new(id(number), VERSION, self.data.clone());
        record.expires_at = Some(self.expires_at);
        record.format = FORMAT.into();
        record.owner = Some(OWNER.into());
        match self.provider.save(&record, expect, self.now).await? {
            Saved::Saved => Ok(()),
            conflict => Err(format!("{conflict:?}").into()),
        }
    }
}

impl<P: Provider + Clone + 'static> Bench<P> {
    async fn row(
        &self,
        database: &str,
        work: Work,
        goal: &str,
        rounds: usize,
        peer: impl Fn() -> Outcome<f64>,
    ) -> Outcome<Vec<String>> {
        let mut turns = Vec::new();
        // One round to warm up.
        for round in 0..=rounds {
            let mut turn = [0.0; 3];
            for place in 0..turn.len() {
                let place = (place + round) % turn.len();
                turn[place] = if place == PEER { peer()? } else { self.clients(work).await? };
            }
            println!("{database}, {work:?}: {turn:.0?}");
            turns.push(turn);
        }
        let turns = &turns[1..];
        let rate = |who: usize| format!("{:.0}", Spread::of(turns.iter().map(|it| it[who])).median);
        let ratio = |one: usize, two: usize| {
            Spread::of(turns.iter().map(|it| it[one] / it[two])).to_string()
        };
        let call = format!("{database}, {work:?}").to_lowercase();
        let goal = goal.to_owned();
        Ok(vec![call, rate(OURS), rate(PEER), ratio(OURS, PEER), goal, ratio(AGAIN, OURS)])
    }

    /// The calls of all clients a second.
    async fn clients(&self, work: Work) -> Outcome<f64> {
        let start = Instant::now();
        let clients = (1..=CLIENTS).map(|client| {
            let bench = self.clone();
            tokio::spawn(async move {
                let (mut random, mut calls) = (u64::from(client), 0_u32);
                while start.elapsed() < TURN {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    bench.call(work, bench.first + (random >> 33) % u64::from(RECORDS)).await?;
                    calls += 1;
                }
                Outcome::Ok(calls)
            })
        });
        let mut calls = 0;
        for client in clients.collect::<Vec<_>>() {
            calls += client.await??;
        }
        Ok(f64::from(calls) / start.elapsed().as_secs_f64())
    }
}

/// As `redis-benchmark` makes them.
fn id(number: u64) -> String {
    format!("{number:012}")
}

/// The places of a round.
const OURS: usize = 0;
const AGAIN: usize = 1;
const PEER: usize = 2;
