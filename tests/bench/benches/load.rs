//! Servers under load, over sockets: ours on each database beside `tower-sessions`,
//! `actix-session`, `axum_session` and the frameworks alone.
//!
//! `cargo bench -p sessions-bench --bench load -- --rounds 1 --seconds 0.3 redis read write`

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sessions_bench::load::client::{Connection, fill, paced};
use sessions_bench::load::target::{Programs, Running, Target, build_peers};
use sessions_bench::load::usage::{processor_time, resident, with_children};
use sessions_bench::load::wrk::{self, Take};
use sessions_bench::report::{Part, Plot, Spread, target_folder};
use sessions_bench::trips::Trips;
use sessions_tests::postgres::{Postgres, sql};
use sessions_tests::redis::RedisServer;

fn main() {
    let options = Options::from_args();
    wrk::require();
    let programs = Programs {
        ours: PathBuf::from(env!("CARGO_BIN_EXE_load_server")),
        peers: build_peers(&target_folder()),
    };
    let mut results = Results::default();
    for round in 0..options.rounds {
        let start = Instant::now();
        for group in options.groups() {
            if round == 0 {
                count_calls(&options, &programs, group, &mut results);
            }
            measure(&options, &programs, group, round, &mut results);
        }
        println!("round {} of {}: {:.0?}", round + 1, options.rounds, start.elapsed());
    }
    report(&options, &results);
}

/// What is measured, from the command line.
struct Options {
    rounds: usize,
    time: Duration,
    sessions: usize,
    connections: Vec<usize>,
    words: BTreeSet<String>,
}

impl Options {
    fn from_args() -> Self {
        let mut options = Self {
            rounds: 12,
            time: Duration::from_millis(250),
            sessions: 10_000,
            connections: vec![1, 4, MAIN, 64],
            words: BTreeSet::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--seconds" => {
                    let seconds: f64 = value().parse().expect("a number of seconds");
                    // wrk needs some of it to start.
                    assert!(seconds >= 0.2, "--seconds is at least 0.2");
                    options.time = Duration::from_secs_f64(seconds);
                }
                "--sessions" => options.sessions = value().parse().expect("a number of sessions"),
                "--connections" => {
                    let all = value();
                    let all = all.split(',').map(|one| one.parse().expect("numbers, as in 1,16"));
                    options.connections = all.collect();
                }
                // What cargo adds.
                "--bench" => {}
                word if GROUPS.iter().any(|group| group.name == word)
                    || ROWS.iter().any(|row| row.name == word) =>
                {
                    options.words.insert(arg);
                }
                _ => panic!(
                    "{arg} is unknown: name databases {:?} or requests {:?}",
                    GROUPS.map(|group| group.name),
                    ROWS.map(|row| row.name)
                ),
            }
        }
        options
    }

    fn groups(&self) -> impl Iterator<Item = &'static Group> {
        let all = !GROUPS.iter().any(|group| self.words.contains(group.name));
        GROUPS.iter().filter(move |group| all || self.words.contains(group.name))
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let all = !ROWS.iter().any(|row| self.words.contains(row.name));
        ROWS.iter().filter(move |row| all || self.words.contains(row.name))
    }

    fn connections(&self, row: &Row) -> impl Iterator<Item = usize> {
        let all = row.all_connections;
        self.connections.iter().copied().filter(move |&count| all || count == MAIN)
    }
}

/// What is compared: servers on one database, measured in turns.
struct Group {
    name: &'static str,
    targets: &'static [Target],
}

const fn ours(name: &'static str, app: &'static str) -> Target {
    Target { name, app, ours: true }
}

const fn peer(name: &'static str, app: &'static str) -> Target {
    Target { name, app, ours: false }
}

/// The first of each group.
const OURS: &str = "ours";

/// The same program as the first: what the two differ by is noise.
const AGAIN: &str = "ours again";

/// With a cache of records in the process.
const CACHED: &str = "ours, cached";

const TOWER: &str = "tower-sessions";

const GROUPS: [Group; 4] = [
    Group {
        name: "memory",
        targets: &[
            ours(OURS, "axum/ours/memory"),
            ours(AGAIN, "axum/ours/memory"),
            peer(TOWER, "axum/tower-sessions/memory"),
            ours("axum alone", "axum/bare"),
            ours("ours, actix-web", "actix-web/ours/memory"),
            ours("actix-web alone", "actix-web/bare"),
        ],
    },
    Group {
        name: "sqlite",
        targets: &[
            ours(OURS, "axum/ours/sqlite"),
            ours(AGAIN, "axum/ours/sqlite"),
            ours(CACHED, "axum/cached/sqlite"),
            peer(TOWER, "axum/tower-sessions/sqlite"),
        ],
    },
    Group {
        name: "postgres",
        targets: &[
            ours(OURS, "axum/ours/postgres"),
            ours(AGAIN, "axum/ours/postgres"),
            ours(CACHED, "axum/cached/postgres"),
            peer(TOWER, "axum/tower-sessions/postgres"),
            ours("ours, a user's pool", "axum/ours/postgres-pool"),
            peer("axum_session", "axum/axum_session/postgres"),
        ],
    },
    Group {
        name: "redis",
        targets: &[
            ours(OURS, "axum/ours/redis"),
            ours(AGAIN, "axum/ours/redis"),
            ours(CACHED, "axum/cached/redis"),
            peer(TOWER, "axum/tower-sessions/redis"),
            ours("ours, actix-web", "actix-web/ours/redis"),
            peer("actix-session", "actix-web/actix-session/redis"),
        ],
    },
];

/// A kind of request.
struct Row {
    name: &'static str,
    path: &'static str,
    cookies: Cookies,
    /// Whether it is measured at each number of connections, or only at [`MAIN`].
    all_connections: bool,
    /// Whether its times are measured at a fixed rate.
    paced: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cookies {
    /// None: a visitor who is new.
    None,
    /// That of one session.
    One,
    /// Those of all sessions, at random.
    All,
    /// The same, and every tenth request is a write.
    Mixed,
    /// Those of all sessions, altered.
    Forged,
    /// Those of visitors who are not logged in, each once.
    Anonymous,
    /// Those of all sessions, each once.
    Once,
}

const fn row(name: &'static str, path: &'static str, cookies: Cookies) -> Row {
    Row { name, path, cookies, all_connections: false, paced: false }
}

/// The logout comes last, as it ends the sessions that the others use.
const ROWS: [Row; 8] = [
    row("read-one", "/read", Cookies::One),
    Row { all_connections: true, paced: true, ..row("read", "/read", Cookies::All) },
    Row { all_connections: true, paced: true, ..row("write", "/write", Cookies::All) },
    Row { paced: true, ..row("mixed", "/read", Cookies::Mixed) },
    Row { paced: true, ..row("login", "/login", Cookies::Anonymous) },
    row("anonymous", "/peek", Cookies::None),
    row("forged", "/peek", Cookies::Forged),
    row("logout", "/logout", Cookies::Once),
];

const LOGGED_IN: &str = "/fill/logged-in";

const ANONYMOUS: &str = "/fill/anonymous";

/// The number of connections that every request is measured at.
const MAIN: usize = 16;

/// How many logins a second are prepared for. A faster server is measured for a shorter time.
const LOGINS: f64 = 20_000.0;

/// The load of the times, as a share of the rate that the slower of two servers reaches.
const SHARE: f64 = 0.7;

/// What the client of the times can send without being the bottleneck.
const MOST_PACED: f64 = 20_000.0;

/// A database server of a round's own.
enum Database {
    Memory,
    Sqlite(tempfile::TempDir),
    Postgres(Postgres),
    Redis(RedisServer),
}

impl Database {
    fn start(group: &Group) -> Self {
        match group.name {
            "sqlite" => Self::Sqlite(tempfile::tempdir().unwrap()),
            "postgres" => Self::Postgres(Postgres::start(&[])),
            "redis" => Self::Redis(RedisServer::start(&[])),
            _ => Self::Memory,
        }
    }

    /// The URL of an empty database for the server of this number.
    fn url(&self, number: usize) -> String {
        match self {
            Self::Memory => String::new(),
            Self::Sqlite(folder) => {
                folder.path().join(format!("{number}.db")).to_str().unwrap().to_owned()
            }
            Self::Postgres(server) => {
                sql(&server.url(), &format!("CREATE DATABASE load_{number}"));
                let url = server.url();
                format!("{}/load_{number}", url.trim_end_matches("/postgres"))
            }
            Self::Redis(server) => format!("{}/{number}", server.url()),
        }
    }

    fn port(&self) -> Option<u16> {
        match self {
            Self::Memory | Self::Sqlite(_) => None,
            Self::Postgres(server) => Some(server.port()),
            Self::Redis(server) => Some(server.port),
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Memory | Self::Sqlite(_) => Vec::new(),
            Self::Postgres(server) => with_children(server.pid()),
            Self::Redis(server) => vec![server.pid()],
        }
    }
}

/// The database, the server, the request and the connections of a figure.
type Name = (&'static str, &'static str, &'static str, usize);

/// One figure for each round.
#[derive(Default)]
struct Results {
    cells: BTreeMap<Name, Vec<Cell>>,
    /// p50, p99 and p99.9 in nanoseconds.
    times: BTreeMap<Name, Vec<[f64; 3]>>,
    /// Round trips to the database a request.
    calls: BTreeMap<Name, f64>,
    /// Bytes of memory of the server at the end of a round.
    memory: BTreeMap<Name, Vec<f64>>,
}

struct Cell {
    rate: f64,
    /// Processor time a request, in nanoseconds.
    server: f64,
    database: f64,
}

/// Counts the round trips of each request, one after the other, through a relay.
fn count_calls(options: &Options, programs: &Programs, group: &Group, results: &mut Results) {
    const WARM: usize = 5;
    const COUNTED: usize = 20;
    let database = Database::start(group);
    let Some(port) = database.port() else { return };
    let (address, trips) = Trips::start(([127, 0, 0, 1], port).into());
    let (direct, relayed) = (format!(":{port}/"), format!(":{}/", address.port()));
    for (number, target) in group.targets.iter().enumerate() {
        let url = database.url(number).replace(&direct, &relayed);
        let server = target.start(programs, &url);
        let mut connection = Connection::open(server.port);
        for row in options.rows() {
            let path = if row.cookies == Cookies::Anonymous { ANONYMOUS } else { LOGGED_IN };
            let cookies: Vec<_> = (0..WARM + COUNTED).map(|_| connection.get(path, "")).collect();
            let mut counted = 0;
            for (number, cookie) in cookies.iter().enumerate() {
                let _ = trips.take();
                let cookie = match row.cookies {
                    Cookies::None => String::new(),
                    Cookies::Forged => forged(cookie, number),
                    _ => cookie.clone(),
                };
                let path = if row.cookies == Cookies::Mixed && number.is_multiple_of(10) {
                    "/write"
                } else {
                    row.path
                };
                connection.get(path, &cookie);
                if number >= WARM {
                    counted += trips.take();
                }
            }
            let name = (group.name, target.name, row.name, MAIN);
            results.calls.insert(name, counted as f64 / COUNTED as f64);
        }
    }
}

/// One server of a round, and its visitors.
struct Contestant {
    target: &'static Target,
    server: Running,
    all: Vec<String>,
}

impl Contestant {
    /// Cookies for so many requests of this kind.
    fn cookies(&self, row: &Row, count: usize) -> Vec<String> {
        // A framework alone has no sessions, and answers all requests alike.
        if self.all[0].is_empty() || row.cookies == Cookies::None {
            return vec![String::new()];
        }
        match row.cookies {
            Cookies::One => vec![self.all[0].clone()],
            Cookies::Forged => {
                self.all.iter().enumerate().map(|(at, cookie)| forged(cookie, at)).collect()
            }
            Cookies::Anonymous => fill(self.server.port, ANONYMOUS, count),
            _ => self.all.clone(),
        }
    }
}

fn measure(
    options: &Options,
    programs: &Programs,
    group: &'static Group,
    round: usize,
    results: &mut Results,
) {
    let database = Database::start(group);
    let started = group.targets.iter().enumerate().map(|(number, target)| {
        let server = target.start(programs, &database.url(number));
        let all = if target.app.ends_with("bare") {
            vec![String::new()]
        } else {
            fill(server.port, LOGGED_IN, options.sessions)
        };
        Contestant { target, server, all }
    });
    let contestants: Vec<_> = started.collect();
    // Each is first in its turn.
    let mut turn = round;
    let mut order = || {
        turn += 1;
        (0..contestants.len()).map(move |at| (at + turn) % group.targets.len())
    };
    for row in options.rows() {
        let mut rates = vec![f64::INFINITY; contestants.len()];
        for connections in options.connections(row) {
            for at in order() {
                let one = &contestants[at];
                let cell = load(options, one, &database, row, connections);
                if connections == MAIN {
                    rates[at] = cell.rate;
                }
                let name = (group.name, one.target.name, row.name, connections);
                results.cells.entry(name).or_default().push(cell);
            }
        }
        if row.paced {
            let tower = group.targets.iter().position(|target| target.name == TOWER).unwrap();
            // Ours and theirs at one load; those that cannot bear that, at one of their own.
            let lower = rates[0].min(rates[tower]);
            for at in order() {
                let rate = (SHARE * lower.min(rates[at])).min(MOST_PACED);
                let times = times(options, &contestants[at], row, rate);
                let name = (group.name, contestants[at].target.name, row.name, MAIN);
                results.times.entry(name).or_default().push(times);
            }
        }
    }
    for one in &contestants {
        let name = (group.name, one.target.name, "", 0);
        results.memory.entry(name).or_default().push(resident(one.server.pid()));
    }
}

fn load(
    options: &Options,
    one: &Contestant,
    database: &Database,
    row: &Row,
    connections: usize,
) -> Cell {
    let logins = (LOGINS * options.time.as_secs_f64()) as usize;
    let cookies = one.cookies(row, logins);
    let take = match row.cookies {
        Cookies::Mixed => Take::Mixed,
        Cookies::Anonymous | Cookies::Once if cookies.len() > 1 => Take::Once,
        _ => Take::Random,
    };
    let (server, pids) = ([one.server.pid()], database.pids());
    let before = (processor_time(&server), processor_time(&pids));
    let rate = wrk::rate(one.server.port, connections, options.time, row.path, &cookies, take);
    let after = (processor_time(&server), processor_time(&pids));
    Cell {
        rate: rate.a_second,
        server: (after.0 - before.0) / rate.requests,
        database: (after.1 - before.1) / rate.requests,
    }
}

/// The times of requests at this rate: p50, p99 and p99.9, in nanoseconds.
fn times(options: &Options, one: &Contestant, row: &Row, rate: f64) -> [f64; 3] {
    let count = ((rate * options.time.as_secs_f64()) as usize).max(MAIN);
    let mut cookies = one.cookies(row, count);
    if row.cookies != Cookies::Anonymous || cookies.len() == 1 {
        let mut random = StdRng::seed_from_u64(7);
        let pick = |_| cookies[random.random_range(0..cookies.len())].clone();
        cookies = (0..count).map(pick).collect();
    }
    let writes = row.cookies == Cookies::Mixed;
    let path =
        |number: usize| if writes && number.is_multiple_of(10) { "/write" } else { row.path };
    let times = paced(one.server.port, MAIN, rate, &cookies, path);
    [0.5, 0.99, 0.999].map(|share| times[(times.len() as f64 * share) as usize] as f64)
}

/// The cookie with four characters of its value altered.
fn forged(cookie: &str, number: usize) -> String {
    let from = cookie.find('=').map_or(0, |at| at + 1);
    let end = cookie.find(';').unwrap_or(cookie.len());
    // Neither in the escapes of the first and last characters, nor where a base64 text pads.
    let middle = from + (end - from) / 2;
    let mut text = cookie.as_bytes().to_vec();
    let mut digits = format!("{:04x}", number % 0x1_0000).into_bytes().into_iter();
    let places = (middle..end).filter(|&at| {
        let escaped = cookie.as_bytes()[at - 2..at].contains(&b'%');
        cookie.as_bytes()[at].is_ascii_alphanumeric() && !escaped
    });
    for at in places {
        let Some(digit) = digits.next() else { break };
        text[at] = if text[at] == digit { b'f' - (digit == b'f') as u8 } else { digit };
    }
    String::from_utf8(text).unwrap()
}

fn report(options: &Options, results: &Results) {
    let mut part = Part::new("7-load", "Load");
    part.say(&format!(
        "Requests to servers over sockets, from `wrk` on the same machine, which takes a share of \
         its processors. Each round starts its own servers and databases and measures every \
         request on each server in turn, for {} ms. The order of the servers rotates. The \
         figures are medians of {} rounds, with the middle half of the rounds in parentheses. \
         A server has {} sessions, encrypted cookies, and otherwise the default settings of its \
         library; `axum_session` keeps sessions in memory beside the database and writes each \
         at most every 10 seconds.",
        options.time.as_millis(),
        options.rounds,
        options.sessions
    ));
    part.say(&format!(
        "\"Rate\" is the requests a second over {MAIN} connections as a ratio to tower-sessions \
         on the same database. \"ours again\" is the same program a second time, as a ratio to \
         the first: it shows the noise. A ratio is called even if it is as close to 1 as the \
         middle half of that row. The times are those at a fixed rate: 70 % of the lower rate \
         of ours, tower-sessions and the server itself, but at most {MOST_PACED:.0} a second. \
         \"Server\" and \"database\" are the processor time of their processes a request, user \
         and system. \"Calls\" are round trips to the database a request. DynamoDB is left \
         out: its calls are in the section \"Store\"."
    ));
    for group in options.groups() {
        part.say(&format!("On {}:", group.name));
        rates(options, results, group, &mut part);
        beside_memory(options, results, group, &mut part);
    }
    part.write();
}

/// How near reads from the cache come to those of a database in the process, round by round.
fn beside_memory(options: &Options, results: &Results, group: &'static Group, part: &mut Part) {
    let cells = |group, target, row| results.cells.get(&(group, target, row, MAIN));
    for row in options.rows().filter(|row| row.path == "/read") {
        let cached = cells(group.name, CACHED, row.name);
        let (Some(cached), Some(memory)) = (cached, cells("memory", OURS, row.name)) else {
            continue;
        };
        let rounds = cached.iter().zip(memory).map(|(cached, memory)| cached.rate / memory.rate);
        let Spread { low, median, high } = Spread::of(rounds);
        part.say(&format!(
            "`{}` with the cache reaches {median:.2} ({low:.2}–{high:.2}) of the rate of ours in \
             memory.",
            row.name
        ));
    }
}

fn rates(options: &Options, results: &Results, group: &'static Group, part: &mut Part) {
    let mut plot = Plot::new(
        &format!("Requests a second, {}", group.name),
        "a second",
        &["ours", "tower-sessions"],
    );
    let mut rows = Vec::new();
    for row in options.rows() {
        let rate = |target: &str| {
            let cells = results.cells.iter().find(|(name, _)| {
                (name.0, name.1, name.2, name.3) == (group.name, target, row.name, MAIN)
            })?;
            Some(Spread::of(cells.1.iter().map(|cell| cell.rate)).median)
        };
        plot.group(row.name, &[rate(OURS), rate(TOWER)]);
        for target in group.targets {
            let name = (group.name, target.name, row.name, MAIN);
            let Some(cells) = results.cells.get(&name) else { continue };
            let of = |figure: fn(&Cell) -> f64| Spread::of(cells.iter().map(figure)).median;
            let times = |at: usize| {
                results.times.get(&name).map_or("–".to_owned(), |times| {
                    let time = Spread::of(times.iter().map(|times| times[at])).median;
                    format!("{:.2} ms", time / 1e6)
                })
            };
            rows.push(vec![
                row.name.to_owned(),
                target.name.to_owned(),
                ratio(results, group, target, row, MAIN),
                format!("{:.0}", of(|cell| cell.rate)),
                times(0),
                times(1),
                times(2),
                micros(of(|cell| cell.server)),
                micros(of(|cell| cell.database)),
                results.calls.get(&name).map_or("–".to_owned(), |calls| format!("{calls:.1}")),
            ]);
        }
    }
    part.table(
        &[
            "request", "library", "rate", "a second", "p50", "p99", "p99.9", "server", "database",
            "calls",
        ],
        rows,
    );
    part.plot(&plot);
    let columns: Vec<_> = options.connections.iter().map(ToString::to_string).collect();
    let columns: Vec<_> =
        ["request", "library"].into_iter().chain(columns.iter().map(String::as_str)).collect();
    let rows = options.rows().filter(|row| row.all_connections).flat_map(|row| {
        group.targets.iter().map(move |target| {
            let ratios = options
                .connections
                .iter()
                .map(|&connections| ratio(results, group, target, row, connections));
            [row.name, target.name].map(str::to_owned).into_iter().chain(ratios).collect()
        })
    });
    part.say("The ratio of the rates by the number of connections:");
    part.table(&columns, rows);
    part.say("The memory of the server (RSS) at the end of a round:");
    let rows = group.targets.iter().map(|target| {
        let bytes = &results.memory[&(group.name, target.name, "", 0)];
        let Spread { low, median, high } = Spread::of(bytes.iter().copied());
        let [low, median, high] = [low, median, high].map(|bytes| bytes / 1e6);
        vec![target.name.to_owned(), format!("{median:.0} MB ({low:.0}–{high:.0})")]
    });
    part.table(&["library", "memory"], rows);
}

/// The ratio of its rate to that of `tower-sessions`, and whether that is more than noise.
fn ratio(
    results: &Results,
    group: &'static Group,
    target: &Target,
    row: &Row,
    connections: usize,
) -> String {
    let of = |one: &str, two: &str| {
        let cells = |wanted: &str| {
            let target = group.targets.iter().find(|target| target.name == wanted)?;
            results.cells.get(&(group.name, target.name, row.name, connections))
        };
        let rounds = cells(one)?.iter().zip(cells(two)?);
        Some(Spread::of(rounds.map(|(one, two)| one.rate / two.rate)))
    };
    let noise = of(AGAIN, OURS);
    let (found, verdict) = match target.name {
        AGAIN => (noise, ""),
        TOWER => return "1".to_owned(),
        name => {
            let found = of(name, TOWER);
            let verdict = found.as_ref().zip(noise).map_or("", |(found, noise)| {
                let most = noise.low.ln().abs().max(noise.high.ln().abs());
                let ratio = found.median.ln();
                match ratio {
                    _ if ratio.abs() <= most => ", even",
                    _ if ratio > 0.0 => ", ahead",
                    _ => ", behind",
                }
            });
            (found, verdict)
        }
    };
    found.map_or("–".to_owned(), |found| format!("{found}{verdict}"))
}

fn micros(nanos: f64) -> String {
    if nanos == 0.0 { "–".to_owned() } else { format!("{:.1} µs", nanos / 1e3) }
}
