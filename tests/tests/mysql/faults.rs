//! MariaDB killed, cut off, and stalled: each call ends in time, in an answer or in an error
//! that says rightly whether trying again can help; no save is lost or made twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sessions::provider::{Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions::{Session, Store, commit::Outcome};
use sessions_mysql::MySqlProvider;
use sessions_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sessions_tests::jar::Jar;
use sessions_tests::mysql::{Database, MySql, sql};
use sessions_tests::proxy::Proxy;
use sessions_tests::steps::logins_survive_a_killed_server;
use tokio::task::JoinSet;

use crate::{now, own, pooled, with_table};

/// How long a call may take that waits for nothing, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server of this test's own, a proxy before it, and providers that know only the proxy.
struct World {
    server: MySql,
    proxy: Proxy,
    /// Past the proxy.
    direct: MySqlProvider,
}

/// How a provider gets its connections.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Own,
    Pool,
}

impl World {
    async fn new() -> Self {
        let server = MySql::start(&[]);
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
        let direct = MySqlProvider::connect(&server.url()).await.unwrap().timeout(PATIENCE);
        direct.create_table().await.unwrap();
        Self { server, proxy, direct }
    }

    fn provider(&self, mode: Mode, connections: u32) -> MySqlProvider {
        let options: MySqlConnectOptions = self.server.url().parse().unwrap();
        let options = options.port(self.proxy.address.port());
        let provider = match mode {
            Mode::Own => MySqlProvider::connect_lazy_with(options, connections),
            Mode::Pool => MySqlProvider::new(
                MySqlPoolOptions::new().max_connections(connections).connect_lazy_with(options),
            ),
        };
        provider.timeout(PATIENCE)
    }

    async fn put(&self, record: &Record) {
        self.direct.save(record, Expect::Any, now()).await.unwrap();
    }
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, ProviderError>) -> ProviderError {
    let error = result.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    error
}

/// The connection goes while a save is on its way: the server never sees it.
#[tokio::test]
async fn a_save_that_was_cut_off_did_not_happen_and_may_be_tried_again() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        let old = Record::new(format!("{mode:?}"), 1, "old");
        let new = Record::new(&*old.id, 2, "cut me here");
        world.put(&old).await;
        world.proxy.cut_before(b"cut me here");
        unavailable(provider.save(&new, Expect::Version(1), now()).await);
        assert!(!world.proxy.cut_is_due());
        assert_eq!(provider.fetch(&old.id, now()).await.unwrap(), Some(old), "{mode:?}");
        let again = provider.save(&new, Expect::Version(1), now()).await.unwrap();
        assert_eq!(again, Saved::Saved);
        world.direct.delete(&new.id, Expect::Any, now()).await.unwrap();
        world.proxy.cut_before(b"cut me here");
        unavailable(provider.save(&new, Expect::Absent, now()).await);
        assert_eq!(provider.fetch(&new.id, now()).await.unwrap(), None, "{mode:?}");
        let again = provider.save(&new, Expect::Absent, now()).await.unwrap();
        assert_eq!(again, Saved::Saved);
    }
}

/// The connection goes while the answer to a save is on its way. Tried again it meets what it has
/// written itself, or what another has; it writes nothing twice.
#[tokio::test]
async fn a_save_whose_answer_was_lost_is_told_apart_from_anothers() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        let old = Record::new(format!("{mode:?}"), 1, "old");
        let mine = Record::new(&*old.id, 2, "mine, and lost");
        world.put(&old).await;
        world.proxy.cut_after(b"mine, and lost");
        unavailable(provider.save(&mine, Expect::Version(1), now()).await);
        assert_eq!(world.direct.fetch(&old.id, now()).await.unwrap(), Some(mine.clone()));
        let again = provider.save(&mine, Expect::Version(1), now()).await.unwrap();
        assert_eq!(again, Saved::Conflict(Some(mine.clone())), "{mode:?}: mine");

        world.put(&old).await;
        world.proxy.cut_before(b"mine, and lost");
        unavailable(provider.save(&mine, Expect::Version(1), now()).await);
        let theirs = Record::new(&*old.id, 2, "theirs");
        let won = world.direct.save(&theirs, Expect::Version(1), now()).await.unwrap();
        assert_eq!(won, Saved::Saved);
        let again = provider.save(&mine, Expect::Version(1), now()).await.unwrap();
        assert_eq!(again, Saved::Conflict(Some(theirs)), "{mode:?}: theirs");

        world.direct.delete(&mine.id, Expect::Any, now()).await.unwrap();
        world.proxy.cut_after(b"mine, and lost");
        unavailable(provider.save(&mine, Expect::Absent, now()).await);
        let again = provider.save(&mine, Expect::Absent, now()).await.unwrap();
        assert_eq!(again, Saved::Conflict(Some(mine)), "{mode:?}: created");
    }
}

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    count: u32,
    note: String,
}

/// The store tries again by itself, and knows its own save by the id that it wrote into it.
#[tokio::test]
async fn the_store_counts_once_whatever_becomes_of_the_answers() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let store = Store::new(world.provider(mode, 4));
        let mut jar = Jar::new();
        let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
        session.note = "first".to_owned();
        jar.keep(&session.commit().await.unwrap());
        for (number, lost) in [true, false, true, true, false].into_iter().enumerate() {
            let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
            session.count += 1;
            session.note = format!("note {number} of {mode:?}");
            if lost {
                world.proxy.cut_after(session.note.as_bytes());
            } else {
                world.proxy.cut_before(session.note.as_bytes());
            }
            let commit = session.commit().await.unwrap();
            assert_eq!(commit.outcome(), Outcome::Saved);
            assert!(!world.proxy.cut_is_due());
            let session = store.load::<Visitor>(jar.headers()).await.unwrap();
            assert_eq!(session.count as usize, number + 1, "{mode:?}");
        }
    }
}

/// What can be done twice is done again where its connection was lost, and nobody hears of it.
#[tokio::test]
async fn reads_and_touches_survive_a_lost_connection() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        let mut record = Record::new("read me", 1, "x");
        record.expires_at = Some(now() + Duration::from_secs(60));
        record.owner = Some("own me".into());
        world.put(&record).await;
        let later = now() + Duration::from_secs(90);
        for lost in [false, true] {
            let cut = |bytes: &[u8]| {
                if lost { world.proxy.cut_after(bytes) } else { world.proxy.cut_before(bytes) }
            };
            cut(b"read me");
            assert_eq!(provider.fetch("read me", now()).await.unwrap(), Some(record.clone()));
            assert!(!world.proxy.cut_is_due());
            cut(b"read me");
            assert_eq!(
                provider.touch("read me", later, Expect::Any, now()).await.unwrap(),
                Touched::Touched,
                "{mode:?}"
            );
            assert!(!world.proxy.cut_is_due());
            record.expires_at = Some(later);
            cut(b"own me");
            let listed = provider.list("own me", Page::first(9), now()).await.unwrap();
            assert_eq!(listed.records, [record.clone()]);
            assert!(!world.proxy.cut_is_due());
        }
        // What expects the expiry that it moves would conflict with itself.
        let untouched = Expect::Untouched { version: 1, expires_at: record.expires_at };
        let later = later + Duration::from_secs(30);
        world.proxy.cut_after(b"read me");
        unavailable(provider.touch("read me", later, untouched, now()).await);
        // What a delete removed is told once only.
        world.proxy.cut_after(b"x'72656164206d65'"); // "read me"
        unavailable(provider.delete("read me", Expect::Any, now()).await);
        assert_eq!(
            provider.delete("read me", Expect::Any, now()).await.unwrap(),
            Deleted::Deleted(None)
        );
    }
}

/// A connection that was lost while it lay idle costs nobody anything: not even a save, once the
/// connection has lain there for a while.
#[tokio::test]
async fn idle_connections_that_were_lost_are_found_out() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 4);
        for version in 1..=20 {
            if version % 2 == 0 {
                provider.fetch("a", now()).await.unwrap();
            } else {
                // Four connections at once.
                let reads = (0..4).map(|_| {
                    let provider = provider.clone();
                    tokio::spawn(async move { provider.fetch("a", now()).await.unwrap() })
                });
                for read in reads.collect::<Vec<_>>() {
                    read.await.unwrap();
                }
            }
            world.proxy.cut_all();
            // Their clock goes on, as it does for connections that nobody uses.
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(3)).await;
            tokio::time::resume();
            let record = Record::new("a", version, "x");
            let saved = provider.save(&record, Expect::Any, now()).await.unwrap();
            assert_eq!(saved, Saved::Saved, "{mode:?}");
        }
    }
}

/// A save on a connection that was just used and has been ended without a word: it did not happen, and
/// the server has not said so. The next one opens another connection.
async fn saves_though_ended(provider: &MySqlProvider, record: &Record, mode: Mode) {
    match (mode, provider.save(record, Expect::Any, now()).await) {
        (_, Ok(saved)) => assert_eq!(saved, Saved::Saved),
        (Mode::Own, Err(error)) => {
            unavailable::<()>(Err(error));
            let again = provider.save(record, Expect::Any, now()).await.unwrap();
            assert_eq!(again, Saved::Saved);
        }
        // It asks each connection first.
        (Mode::Pool, Err(error)) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_server_restarted_in_order_costs_no_read_and_one_save() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        for version in 1..=3 {
            let record = Record::new("a", version, "x");
            provider.save(&record, Expect::Any, now()).await.unwrap();
            world.server.stop();
            world.server.run();
            assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record.clone()));
            world.server.stop();
            world.server.run();
            saves_though_ended(&provider, &record, mode).await;
            world.server.stop();
            // sqlx's pool tries to connect for as long as it may.
            let hurried = provider.clone().timeout(Duration::from_secs(1));
            unavailable(hurried.save(&record, Expect::Any, now()).await);
            unavailable(hurried.fetch("a", now()).await);
            world.server.run();
            assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_no_answered_save_and_everything_goes_on() {
    for mode in [Mode::Own, Mode::Pool] {
        let world = World::new().await;
        let provider = world.provider(mode, 6);
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU32::new(0));
        let failed = Arc::new(AtomicU32::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..12 {
            let provider = provider.clone();
            let (stop, answered, failed) = (stop.clone(), answered.clone(), failed.clone());
            writers.spawn(async move {
                let id = format!("writer {writer}");
                let record =
                    |version: u64| Record::new(&*id, version, format!("{version} of {id}"));
                // What is stored for sure, and what may be.
                let (mut known, mut tried) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    let expect = if known == 0 { Expect::Absent } else { Expect::Version(known) };
                    let start = Instant::now();
                    let saved = provider.save(&record(known + 1), expect, now()).await;
                    assert!(start.elapsed() < 2 * PATIENCE, "a call outlasts its timeout");
                    match saved {
                        Ok(Saved::Saved) => (known, tried) = (known + 1, known + 1),
                        Ok(Saved::Conflict(current)) => {
                            // Only a save of one's own whose answer was lost can have come first.
                            assert_eq!(current, Some(record(tried)), "{id} after {known}");
                            assert_eq!(tried, known + 1);
                            known = tried;
                        }
                        Err(error) => {
                            assert!(error.is_unavailable(), "{error:?}");
                            tried = known + 1;
                            failed.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                (id.clone(), known, tried)
            });
        }
        for _ in 0..4 {
            until(|| answered.load(Ordering::SeqCst) > 100).await;
            world.server.kill();
            failed.store(0, Ordering::SeqCst);
            until(|| failed.load(Ordering::SeqCst) > 12).await;
            world.server.run();
            answered.store(0, Ordering::SeqCst);
        }
        until(|| answered.load(Ordering::SeqCst) > 500).await;
        stop.store(true, Ordering::SeqCst);
        while let Some(ended) = writers.join_next().await {
            let (id, known, tried) = ended.unwrap();
            let stored = world.direct.fetch(&id, now()).await.unwrap().unwrap();
            assert!(stored.version == known || stored.version == tried, "{stored:?} after {known}");
            assert_eq!(stored.data, format!("{} of {id}", stored.version));
        }
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(120), "it has not come to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The network stands still for 2 seconds, which is less than calls may take.
#[tokio::test]
async fn a_stall_below_the_timeout_only_delays() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        let record = Record::new(format!("{mode:?}"), 1, "x");
        provider.fetch("a", now()).await.unwrap();
        let before = world.proxy.connections();
        world.proxy.stall(true);
        let save = tokio::spawn({
            let (provider, record) = (provider.clone(), record.clone());
            async move { provider.save(&record, Expect::Absent, now()).await }
        });
        tokio::time::sleep(STALL).await;
        assert!(!save.is_finished());
        world.proxy.stall(false);
        assert_eq!(save.await.unwrap().unwrap(), Saved::Saved);
        // A pool may have been asking whether its connection is alive, and opened another.
        if let Mode::Own = mode {
            assert_eq!(world.proxy.connections(), before, "the connection is kept");
        }
    }
}

/// The network stands still for longer than calls may take: each ends in time, and once the stall
/// is over the next finds a good connection.
#[tokio::test]
async fn a_stall_above_the_timeout_ends_every_call_in_time() {
    let world = World::new().await;
    let short = Duration::from_millis(300);
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        provider.fetch("a", now()).await.unwrap();
        let hurried = provider.clone().timeout(short);
        world.proxy.stall(true);
        let start = Instant::now();
        let record = Record::new(format!("{mode:?}"), 1, "x");
        // On the connection that is there, on a new one, and with none left.
        let (one, two, three) = tokio::join!(
            hurried.save(&record, Expect::Absent, now()),
            hurried.fetch("a", now()),
            hurried.delete("a", Expect::Any, now()),
        );
        unavailable(one);
        unavailable(two);
        unavailable(three);
        unavailable(hurried.touch("a", now(), Expect::Any, now()).await);
        unavailable(hurried.list("o", Page::first(1), now()).await);
        unavailable(hurried.purge(now(), 1).await);
        assert!(start.elapsed() >= short);
        assert!(start.elapsed() < PATIENCE, "the calls outlast their timeouts");
        tokio::time::sleep(STALL.saturating_sub(start.elapsed())).await;
        world.proxy.stall(false);
        let stored = provider.fetch(&record.id, now()).await.unwrap();
        assert!(stored.is_none_or(|stored| stored == record), "{mode:?}: whole or not at all");
        let saved = provider.save(&record, Expect::Any, now()).await.unwrap();
        assert_eq!(saved, Saved::Saved, "{mode:?}");
    }
}

/// How long the network stands still.
const STALL: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_server_that_refuses_connections_is_found_again() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 2);
        provider.fetch("a", now()).await.unwrap();
        // sqlx's pool tries to connect for as long as it may.
        let hurried = provider.clone().timeout(Duration::from_secs(1));
        world.proxy.refuse(true);
        world.proxy.cut_all();
        for _ in 0..3 {
            unavailable(hurried.fetch("a", now()).await);
        }
        world.proxy.refuse(false);
        assert_eq!(provider.fetch("a", now()).await.unwrap(), None, "{mode:?}");
    }
}

/// The answer to a call that was cancelled must not reach another.
#[tokio::test]
async fn the_connection_of_a_cancelled_call_is_not_used_again() {
    let world = World::new().await;
    for mode in [Mode::Own, Mode::Pool] {
        let provider = world.provider(mode, 1);
        world.put(&Record::new("a", 1, "x")).await;
        provider.fetch("a", now()).await.unwrap();
        for turn in 0..10 {
            let before = world.proxy.connections();
            world.proxy.stall(true);
            let fetch = provider.fetch("a", now());
            assert!(tokio::time::timeout(Duration::from_millis(20), fetch).await.is_err());
            world.proxy.stall(false);
            assert_eq!(provider.fetch("b", now()).await.unwrap(), None);
            // A pool's call may have been cancelled before it got the connection.
            if let Mode::Own = mode {
                assert!(world.proxy.connections() > before, "turn {turn}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_each_step_of_a_login_loses_none() {
    let world = World::new().await;
    let provider = world.provider(Mode::Own, 4);
    let (server, down) = (Arc::new(world.server), Arc::new(AtomicBool::new(false)));
    let (killed, is_down) = (server.clone(), down.clone());
    let kill = move || {
        killed.kill();
        is_down.store(true, Ordering::SeqCst);
    };
    let run = || {
        if down.swap(false, Ordering::SeqCst) {
            server.run();
        }
    };
    logins_survive_a_killed_server(provider, kill, run).await;
}

#[tokio::test]
async fn connections_ended_by_an_administrator_cost_no_read_and_one_save() {
    let database = Database::create();
    let connections =
        format!("SELECT id FROM information_schema.processlist WHERE db = '{}'", database.name());
    // Not in the database, so not among those that it ends.
    let server = database.url().rsplit_once('/').unwrap().0;
    let end = || {
        for id in sql(server, &connections).lines() {
            sql(server, &format!("KILL {id}"));
        }
    };
    let own = with_table(own(database.url(), 2)).await;
    for (mode, provider) in [(Mode::Own, own), (Mode::Pool, pooled(database.url(), 2))] {
        for version in 1..=5 {
            let record = Record::new("a", version, "x");
            provider.save(&record, Expect::Any, now()).await.unwrap();
            end();
            assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record.clone()));
            end();
            saves_though_ended(&provider, &record, mode).await;
        }
    }
}

#[tokio::test]
async fn a_closed_provider_is_unavailable() {
    let database = Database::create();
    for provider in [own(database.url(), 2), pooled(database.url(), 2)] {
        let provider = with_table(provider).await;
        provider.close().await;
        let error = provider.fetch("a", now()).await.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains("closed"), "{error:?}");
        let count = format!(
            "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE db = '{}' AND id <> CONNECTION_ID()",
            database.name()
        );
        // The server takes its time to end a connection's process.
        for tries in 0.. {
            if database.sql(&count) == "0" {
                break;
            }
            assert!(tries < 100, "the connections are still open");
        }
    }
}
