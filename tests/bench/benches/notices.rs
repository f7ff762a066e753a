//! What it costs a save on PostgreSQL that listeners are told of it.
//!
//! 64 writers save their own records. Each round measures, in rotated order: plain saves; saves that
//! notify in their statement, which the provider does not do; saves whose ids one task gathers and
//! announces, as a store with a cache does; and the provider's saves that announce, which end only
//! when their announcement has ended. It does so on a server that waits for the disk and on one that
//! does not, with 0, 1 and 8 listeners. Prints the medians of the ratios to the plain saves of the same
//! round.
//!
//! ```sh
//! cargo bench -p sessions-bench --bench notices
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use sessions::provider::{
    Bytes, ChangeListener, Expect, Notice, Provider, Record, Saved, from_unix_millis,
    to_unix_millis,
};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::{PgConnectOptions, PgConnection};
use sessions_postgres::sqlx::{self, ConnectOptions as _};
use sessions_tests::postgres::{Postgres, sql};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};

const WRITERS: u32 = 64;

/// Records of each writer.
const RECORDS: u32 = 200;

const DATA: usize = 400;

const ROUNDS: usize = 9;

const TURN: Duration = Duration::from_millis(1_500);

const LISTENERS: [usize; 3] = [0, 1, 8];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    InTheStatement,
    Gathered,
    /// The provider's: gathered, and each writer waits for the announcement of its save.
    Awaited,
}

const WAYS: [Way; 4] = [Way::Plain, Way::InTheStatement, Way::Gathered, Way::Awaited];

/// What one turn measured.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// Saves a second.
    rate: f64,
    /// Ids in each announcement.
    gathered: f64,
}

fn main() -> Outcome<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Outcome<()> {
    let mut benches = Vec::new();
    for fsync in ["on", "off"] {
        benches.push(Bench::start(fsync).await?);
    }
    // One round to warm up.
    for round in 0..=ROUNDS {
        for bench in 0..benches.len() {
            let place = (bench + round) % benches.len();
            benches[place].round(round).await?;
        }
    }
    println!(
        "{WRITERS} writers, {DATA} bytes of data, medians of {ROUNDS} rounds; ratios to plain saves\n\n\
         | fsync | listeners | plain, a second | in the statement | gathered | gathered, and \
         awaited | ids in an announcement |\n|---|---:|---:|---:|---:|---:|---:|"
    );
    for bench in &benches {
        bench.report();
    }
    Ok(())
}

/// A server, and what was measured on it.
struct Bench {
    fsync: &'static str,
    server: Postgres,
    provider: PostgresProvider,
    /// One of each writer, for statements that the provider does not send.
    connections: Vec<Arc<Mutex<PgConnection>>>,
    versions: Vec<Vec<u64>>,
    /// By the number of listeners, by round.
    turns: [Vec<[Turn; WAYS.len()]>; LISTENERS.len()],
}

impl Bench {
    async fn start(fsync: &'static str) -> Outcome<Self> {
        let server = Postgres::start(&[
            &format!("fsync={fsync}"),
            "shared_buffers=512MB",
            "max_wal_size=8GB",
            "checkpoint_timeout=1h",
            "max_connections=200",
        ]);
        sql(&server.url(), "CREATE EXTENSION pg_stat_statements");
        let options: PgConnectOptions = server.url().parse()?;
        // One for announcements, so that they wait for no writer.
        let provider = PostgresProvider::connect_with(options.clone(), WRITERS + 1).await?;
        let provider = provider.timeout(Duration::from_secs(30));
        provider.create_table().await?;
        let mut connections = Vec::new();
        for _ in 0..WRITERS {
            connections.push(Arc::new(Mutex::new(options.connect().await?)));
        }
        let versions = vec![vec![1; RECORDS as usize]; WRITERS as usize];
        Ok(Self { fsync, server, provider, connections, versions, turns: Default::default() })
    }

    async fn round(&mut self, round: usize) -> Outcome<()> {
        // Every round begins on a table of the same size.
        let url = self.server.url();
        sql(
            &url,
            &format!(
                "TRUNCATE sessions; INSERT INTO sessions \
                 (id, version, expires_at, format, owner, data) \
                 SELECT i, 1, extract(epoch FROM now())::bigint * 1000 + 604800000, 'bench/1', \
                 'bench/' || i, convert_to(repeat('x', {DATA}), 'UTF8') \
                 FROM generate_series(1, {}) i",
                WRITERS * RECORDS
            ),
        );
        sql(&url, "VACUUM ANALYZE sessions");
        sql(&url, "CHECKPOINT");
        self.versions.iter_mut().for_each(|versions| versions.fill(1));
        for index in 0..LISTENERS.len() {
            let index = (index + round) % LISTENERS.len();
            let heard = Arc::new(AtomicU64::new(0));
            let listeners = self.listen(LISTENERS[index], &heard).await?;
            let mut turns = [Turn::default(); WAYS.len()];
            for way in 0..WAYS.len() {
                let way = (way + round) % WAYS.len();
                turns[way] = self.turn(WAYS[way]).await?;
            }
            assert_eq!(heard.load(Ordering::SeqCst) > 0, LISTENERS[index] > 0);
            for listener in listeners {
                listener.abort();
            }
            if round > 0 {
                self.turns[index].push(turns);
            }
        }
        Ok(())
    }

    /// Feeds that have begun.
    async fn listen(&self, count: usize, heard: &Arc<AtomicU64>) -> Outcome<Vec<JoinHandle<()>>> {
        let (sender, mut begun) = mpsc::unbounded_channel();
        let mut tasks = Vec::new();
        for _ in 0..count {
            let (sender, heard) = (sender.clone(), heard.clone());
            let listener = ChangeListener::new(move |notice| match notice {
                Notice::Began => drop(sender.send(())),
                Notice::Changed(_) => drop(heard.fetch_add(1, Ordering::SeqCst)),
                _ => {}
            });
            let provider = self.provider.clone();
            tasks.push(tokio::spawn(async move {
                let Err(error) = provider.changes(listener).await;
                panic!("a feed ended: {error:?}");
            }));
            begun.recv().await.ok_or("a feed does not begin")?;
        }
        Ok(tasks)
    }

    async fn turn(&mut self, way: Way) -> Outcome<Turn> {
        sql(&self.server.url(), "SELECT pg_stat_statements_reset()");
        let (saved, ids) = mpsc::unbounded_channel();
        let announcer = tokio::spawn(announce(self.provider.clone(), ids));
        let start = Instant::now();
        let mut writers = JoinSet::new();
        for (writer, versions) in (0..).zip(std::mem::take(&mut self.versions)) {
            let by = match way {
                Way::Plain => By::Plain,
                Way::InTheStatement => By::Raw(self.connections[writer as usize].clone()),
                Way::Gathered => By::Gathered(saved.clone()),
                Way::Awaited => By::Awaited,
            };
            writers.spawn(write(self.provider.clone(), by, writer, versions, start + TURN));
        }
        let (mut count, mut versions) = (0, Vec::new());
        while let Some(written) = writers.join_next().await {
            let (saves, writer, of_writer) = written??;
            count += saves;
            versions.push((writer, of_writer));
        }
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        versions.sort_unstable_by_key(|(writer, _)| *writer);
        self.versions = versions.into_iter().map(|(_, versions)| versions).collect();
        drop(saved);
        announcer.await??;
        let announcements: f64 = sql(&self.server.url(), ANNOUNCEMENTS).parse()?;
        Ok(Turn { rate, gathered: f64::from(count) / announcements.max(1.0) })
    }

    fn report(&self) {
        for (listeners, turns) in LISTENERS.iter().zip(&self.turns) {
            let plain = median(turns.iter().map(|turn| turn[0].rate));
            let ratio = |way: usize| {
                let mut ratios: Vec<f64> =
                    turns.iter().map(|turn| turn[way].rate / turn[0].rate).collect();
                ratios.sort_by(f64::total_cmp);
                let at = |share: usize| ratios[(ratios.len() - 1) * share / 4];
                format!("{:.2} ({:.2}–{:.2})", at(2), at(1), at(3))
            };
            println!(
                "| {} | {listeners} | {plain:.0} | {} | {} | {} | {:.0}, {:.0} |",
                self.fsync,
                ratio(1),
                ratio(2),
                ratio(3),
                median(turns.iter().map(|turn| turn[2].gathered)),
                median(turns.iter().map(|turn| turn[3].gathered)),
            );
        }
    }
}

/// Announces what was saved, one call at a time.
async fn announce(
    provider: PostgresProvider,
    mut saved: mpsc::UnboundedReceiver<String>,
) -> Outcome<()> {
    let mut gathered = Vec::new();
    while saved.recv_many(&mut gathered, usize::MAX).await > 0 {
        let ids: Vec<&str> = gathered.iter().map(String::as_str).collect();
        provider.announce(&ids).await?;
        gathered.clear();
    }
    Ok(())
}

/// How a writer saves.
enum By {
    Plain,
    /// Over a connection of its own.
    Raw(Arc<Mutex<PgConnection>>),
    Gathered(mpsc::UnboundedSender<String>),
    Awaited,
}

impl By {
    async fn save(
        &self,
        provider: &PostgresProvider,
        record: &Record,
        version: u64,
        now: SystemTime,
    ) -> Outcome<bool> {
        let expect = Expect::Version(version);
        let saved = match self {
            Self::Plain => provider.save(record, expect, now).await?,
            Self::Awaited => provider.save_and_announce(record, expect, now).await?,
            Self::Gathered(saved) => {
                let outcome = provider.save(record, expect, now).await?;
                saved.send(record.id.to_string())?;
                outcome
            }
            Self::Raw(connection) => {
                let notified = sqlx::query(SAVE_AND_NOTIFY)
                    .bind(&*record.id)
                    .bind(record.version.cast_signed())
                    .bind(record.expires_at.map(|at| to_unix_millis(at).cast_signed()))
                    .bind(&*record.format)
                    .bind(record.owner.as_deref())
                    .bind(&*record.data)
                    .bind(to_unix_millis(now).cast_signed())
                    .bind(version.cast_signed())
                    .fetch_all(&mut *connection.lock().await)
                    .await?;
                return Ok(notified.len() == 1);
            }
        };
        Ok(saved == Saved::Saved)
    }
}

/// The provider's save over a version, and the notice of it.
const SAVE_AND_NOTIFY: &str = "WITH saved AS (UPDATE sessions SET \
    version = $2, expires_at = $3, format = $4, owner = $5, data = $6 \
    WHERE id = $1 AND version = $8 AND coalesce(expires_at, 9223372036854775807) > $7 \
    RETURNING id) \
    SELECT pg_notify('sessions_' || 'sessions'::regclass::oid, '+' || id) FROM saved";

/// How many announcements there were.
const ANNOUNCEMENTS: &str = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements \
    WHERE query LIKE 'SELECT pg_notify%unnest%'";

/// Saves until the end: how many times, and the versions then.
async fn write(
    provider: PostgresProvider,
    by: By,
    writer: u32,
    mut versions: Vec<u64>,
    end: Instant,
) -> Outcome<(u32, u32, Vec<u64>)> {
    let data = Bytes::from(vec![b'x'; DATA]);
    let mut random = u64::from(writer) + 1;
    let mut count = 0;
    while Instant::now() < end {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let index = (random >> 33) as u32 % RECORDS;
        let id = (1 + writer * RECORDS + index).to_string();
        let now = SystemTime::now();
        let version = &mut versions[index as usize];
        let mut record = Record::new(&*id, *version + 1, data.clone());
        record.expires_at = Some(from_unix_millis(to_unix_millis(now) + 7 * 86_400_000));
        record.format = "bench/1".into();
        record.owner = Some(format!("bench/{id}").into());
        if !by.save(&provider, &record, *version, now).await? {
            return Err("a record was saved by another".into());
        }
        *version += 1;
        count += 1;
    }
    Ok((count, writer, versions))
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
