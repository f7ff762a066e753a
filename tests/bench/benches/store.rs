//! What each kind of request costs the store: calls of its provider, and round trips to the
//! database.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use sessions::MemoryProvider;
use sessions::provider::Provider;
use sessions_bench::apps::axum::Axum;
use sessions_bench::apps::{App, KINDS};
use sessions_bench::report::Part;
use sessions_bench::trips::Trips;
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::PgConnectOptions;
use sessions_redis::RedisProvider;
use sessions_sqlite::SqliteProvider;
use sessions_tests::dynamodb;
use sessions_tests::hooked::{Calls, watched};
use sessions_tests::postgres::Postgres;
use sessions_tests::redis::RedisServer;
use tokio::runtime::Runtime;

fn main() {
    // The providers' connections live in it.
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteProvider::open(folder.path().join("sessions.db"));
    let calls = calls(MemoryProvider::new());
    assert_eq!(calls, self::calls(runtime.block_on(sqlite).unwrap()), "the provider matters");

    let postgres = Postgres::start(&[]);
    let (address, to_postgres) = Trips::start(([127, 0, 0, 1], postgres.port()).into());
    let options: PgConnectOptions =
        format!("postgres://postgres@{address}/postgres").parse().unwrap();
    let provider = runtime.block_on(async {
        let provider = PostgresProvider::connect_with(options, 1).await.unwrap();
        provider.create_table().await.unwrap();
        provider
    });
    let postgres_trips = trips(provider, &to_postgres);

    let redis = RedisServer::start(&[]);
    let server = redis.url();
    let server = server.trim_start_matches("redis://").trim_end_matches('/');
    let (address, to_redis) = Trips::start(server.parse().unwrap());
    let provider = runtime.block_on(RedisProvider::connect(&format!("redis://{address}"))).unwrap();
    let redis_trips = trips(provider, &to_redis);

    let (address, to_dynamodb) = Trips::start(dynamodb::address());
    let table = runtime.block_on(dynamodb::Table::create());
    let provider = table.provider_with(dynamodb::client(&format!("http://{address}")));
    let dynamodb_trips = trips(provider, &to_dynamodb);

    let mut part = Part::new("5-store", "Store");
    part.say(
        "The calls of a request to its provider, which are the same for every provider, and the \
         round trips on the connection to the database: each change of direction of the bytes \
         counts. Memory and SQLite have no round trips. The traffic of the key ring is \
         excluded, because requests do not read it.",
    );
    let rows = KINDS.iter().enumerate().map(|(at, kind)| {
        let trips = [&postgres_trips, &redis_trips, &dynamodb_trips];
        let [postgres, redis, dynamodb] = trips.map(|trips| trips[at].to_string());
        vec![kind.name.to_owned(), calls[at].clone(), postgres, redis, dynamodb]
    });
    part.table(&["request", "calls", "PostgreSQL, trips", "Redis, trips", "DynamoDB, trips"], rows);
    part.write();
}

/// The calls of each kind of request, as text.
fn calls(provider: impl Provider) -> Vec<String> {
    let (provider, watch) = watched(provider);
    let mut app = Axum::ours(provider);
    each(&mut app, || {
        let Calls { fetch, save, touch, delete, list, .. } = watch.take();
        let calls = [
            (fetch, "fetch"),
            (save, "save"),
            (touch, "touch"),
            (delete, "delete"),
            (list, "list"),
        ];
        let made = calls.iter().filter(|(count, _)| *count > 0);
        let made: Vec<_> = made.map(|(count, name)| format!("{count} {name}")).collect();
        if made.is_empty() { "none".to_owned() } else { made.join(", ") }
    })
}

/// The round trips of each kind of request.
fn trips(provider: impl Provider, trips: &Trips) -> Vec<u64> {
    each(&mut Axum::ours(provider), || trips.take())
}

/// What `take` says of the last of some requests of each kind: the first may prepare statements.
fn each<R>(app: &mut dyn App, take: impl Fn() -> R) -> Vec<R> {
    let mut of = |kind| {
        let mut last = None;
        for _ in 0..5 {
            app.make(kind, 1, &mut |request| {
                let _ = take();
                request();
                last = Some(take());
            });
        }
        last.unwrap()
    };
    KINDS.into_iter().map(&mut of).collect()
}
