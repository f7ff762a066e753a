//! The conformance suite on PostgreSQL: two instances on one table, with connections of the
//! provider's own, over pools of a user's, and through a pooler; and the versions of a record are each
//! won once.

use std::sync::{Arc, OnceLock};

use sessions::provider::conformance::{Subject, suite};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::PgPoolOptions;
use sessions_tests::pgbouncer::Pgbouncer;
use sessions_tests::postgres::{Database, Postgres};
use sessions_tests::racing::{Bytes, race};

use crate::{PATIENCE, options, own, pooled, with_table};

async fn subject(one: PostgresProvider, two: PostgresProvider) -> Subject {
    let [one, two] = [one, two].map(|provider| provider.timeout(PATIENCE));
    one.create_table().await.unwrap();
    Subject::new(one).with_twin(two)
}

async fn over_pools(sizes: [u32; 2]) -> Subject {
    let database = Database::create();
    let pool = |size| {
        let pool = PgPoolOptions::new().max_connections(size);
        PostgresProvider::new(pool.connect_lazy_with(options(database.url())))
    };
    let [one, two] = sizes.map(pool);
    subject(one, two).await.keep(database)
}

/// A pooler before a server, and a database on it.
struct Pooled {
    database: Database,
    pooler: &'static Pgbouncer,
}

impl Pooled {
    fn new() -> Self {
        static SERVERS: OnceLock<(Postgres, Pgbouncer)> = OnceLock::new();
        let (server, pooler) = SERVERS.get_or_init(|| {
            let server = Postgres::start(&[]);
            let pooler = Pgbouncer::start(server.port(), 3);
            (server, pooler)
        });
        Self { database: Database::create_on(&server.url()), pooler }
    }

    fn url(&self) -> String {
        self.pooler.url(self.database.name())
    }
}

mod own_connections {
    use super::*;

    suite!(async || {
        let database = Database::create();
        let one = PostgresProvider::connect(database.url()).await.unwrap();
        let two = PostgresProvider::connect_with(options(database.url()), 3).await.unwrap();
        subject(one, two).await.keep(database)
    });
}

mod a_users_pool {
    use super::*;

    suite!(async || over_pools([10, 3]).await);
}

mod a_pool_of_one_connection {
    use super::*;

    suite!(async || over_pools([1, 1]).await);
}

/// Statements fail with a serialization error there, as they do in CockroachDB, DSQL and YugabyteDB.
mod repeatable_read {
    use super::*;

    suite!(async || isolated("repeatable read").await);
}

mod serializable {
    use super::*;

    suite!(async || isolated("serializable").await);
}

async fn isolated(level: &str) -> Subject {
    let database = Database::create();
    let options = options(database.url()).options([("default_transaction_isolation", level)]);
    let [one, two] = [10, 3].map(|size| PostgresProvider::connect_lazy_with(options.clone(), size));
    subject(one, two).await.keep(database)
}

mod without_changes {
    use super::*;

    suite!(async || {
        let database = Database::create();
        let [one, two] = [own(database.url(), 3), pooled(database.url(), 3)];
        let [one, two] = [one, two].map(PostgresProvider::without_changes);
        subject(one, two).await.without_changes().keep(database)
    });
}

mod through_a_pooler_in_transaction_mode {
    use super::*;

    suite!(async || {
        let pooled = Pooled::new();
        let one = PostgresProvider::connect(&pooled.url()).await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect_lazy_with(options(&pooled.url()).extra_float_digits(None));
        let [one, two] = [one, PostgresProvider::new(pool)]
            .map(|it| it.unprepared().listen_with(options(pooled.database.url())));
        subject(one, two).await.keep(pooled)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_race_over_own_connections() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let database = Database::create();
        let one = with_table(own(database.url(), 16)).await;
        let two = own(database.url(), 16);
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_race_over_pools() {
    for bytes in [Bytes::Different, Bytes::Equal] {
        let database = Database::create();
        let one = with_table(pooled(database.url(), 16)).await;
        let two = pooled(database.url(), 16);
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_race_through_a_pooler() {
    let server = Postgres::start(&[]);
    let pooler = Pgbouncer::start(server.port(), 5);
    for bytes in [Bytes::Different, Bytes::Equal] {
        let database = Database::create_on(&server.url());
        let url = pooler.url(database.name());
        let one = with_table(own(&url, 16).unprepared()).await;
        let two = own(&url, 16).unprepared();
        let report = race(Arc::new(one), Arc::new(two), bytes).await;
        assert!(report.won > 0 && report.lost > 0, "{report:?}");
    }
}
