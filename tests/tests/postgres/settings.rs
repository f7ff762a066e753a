//! Wrong settings: each error says what to do, and whether trying again can help.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sessions::provider::{Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sessions_tests::pgbouncer::Pgbouncer;
use sessions_tests::postgres::{Database, Postgres};

use crate::{now, options};

/// Both ways of running, opening nothing yet.
fn both(options: &PgConnectOptions) -> [PostgresProvider; 2] {
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options.clone());
    let own = PostgresProvider::connect_lazy_with(options.clone(), 2);
    [own, PostgresProvider::new(pool)].map(|provider| provider.timeout(Duration::from_secs(30)))
}

/// The error of each call.
async fn errors(provider: &PostgresProvider) -> Vec<ProviderError> {
    let record = Record::new("a", 1, "x");
    let mut errors = vec![
        provider.fetch("a", now()).await.unwrap_err(),
        provider.delete("a", Expect::Any, now()).await.unwrap_err(),
        provider.touch("a", now(), Expect::Any, now()).await.unwrap_err(),
        provider.list("o", Page::first(1), now()).await.unwrap_err(),
        provider.purge(now(), 1).await.unwrap_err(),
    ];
    for expect in [Expect::Absent, Expect::Version(1), Expect::Any] {
        errors.push(provider.save(&record, expect, now()).await.unwrap_err());
    }
    errors
}

#[track_caller]
fn permanent(error: &ProviderError, text: &str) {
    assert!(!error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[track_caller]
fn unavailable(error: &ProviderError, text: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[tokio::test]
async fn a_missing_table_says_what_to_call() {
    let database = Database::create();
    for provider in both(&options(database.url())) {
        for error in errors(&provider.clone().table("elsewhere").unwrap()).await {
            permanent(&error, "table `elsewhere` is missing: call create_table()");
            assert!(std::error::Error::source(&error).is_some(), "{error:?}");
        }
        for error in errors(&provider.clone().table("no_schema.elsewhere").unwrap()).await {
            permanent(&error, "table `no_schema.elsewhere` is missing: call create_table()");
        }
        let nowhere = provider.clone().table("no_schema.elsewhere").unwrap();
        permanent(&nowhere.create_table().await.unwrap_err(), "the schema of table");
        // Once it is there, all is well, on the same connections.
        provider.create_table().await.unwrap();
        assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_before_anything_is_sent() {
    let provider = PostgresProvider::connect_lazy_with(PgConnectOptions::new(), 1);
    for name in ["", "a b", "a;b", "\"a\"", "a.b.c", "1a", "sessions; DROP TABLE users --"] {
        let error = provider.clone().table(name).unwrap_err();
        permanent(&error, "is refused: use 1 to 50 ASCII letters");
    }
}

#[tokio::test]
async fn a_table_with_other_columns_is_named() {
    let database = Database::create();
    for table in [
        "(id text PRIMARY KEY, data bytea)",
        "(id uuid PRIMARY KEY, version bigint, expires_at bigint, format text, owner text, \
         data bytea, expires_slot bigint)",
        "(id text PRIMARY KEY, version bigint, expires_at timestamptz, format text, owner text, \
         data bytea, expires_slot bigint)",
        "(id text, version bigint, expires_at bigint, format text, owner text, data bytea, \
         expires_slot bigint GENERATED ALWAYS AS (expires_at >> 20) STORED)",
        "(id text PRIMARY KEY, version bigint, expires_at bigint, format text, owner text, \
         data bytea, extra text NOT NULL, \
         expires_slot bigint GENERATED ALWAYS AS (expires_at >> 20) STORED)",
    ] {
        database.sql(&format!("DROP TABLE IF EXISTS sessions; CREATE TABLE sessions {table}"));
        for provider in both(&options(database.url())) {
            permanent(&provider.create_table().await.unwrap_err(), "other columns");
            let record = Record::new("a", 1, "x");
            let error = provider.save(&record, Expect::Absent, now()).await.unwrap_err();
            permanent(&error, "other columns");
        }
    }
    database.sql("DROP TABLE sessions; CREATE VIEW sessions AS SELECT 'a'::text AS id");
    for provider in both(&options(database.url())) {
        permanent(&provider.create_table().await.unwrap_err(), "other columns");
    }
}

/// Statements that were prepared before a column changed are prepared anew.
#[tokio::test]
async fn a_column_that_changes_under_a_connection_is_no_lasting_error() {
    let database = Database::create();
    for provider in both(&options(database.url())) {
        provider.create_table().await.unwrap();
        let record = Record::new("a", 1, "x");
        assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record.clone()));
        database.sql("ALTER TABLE sessions ALTER format TYPE varchar(255)");
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record));
        database.sql("DROP TABLE sessions");
    }
}

/// A server on which nobody gets in without a password, nor without TLS where `host` is `hostssl`.
fn strict(host: &'static str, settings: &[&str]) -> Postgres {
    Postgres::start_with(settings, move |data| {
        let rules = format!("{host} all all 127.0.0.1/32 scram-sha-256\n");
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        if host == "hostssl" {
            certificate(data);
        }
    })
}

fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.crt"])
        .current_dir(folder)
        .output()
        .expect("openssl is missing: install it (Debian: openssl)");
    assert!(made.status.success(), "{made:?}");
    let key = Command::new("chmod").args(["600", "server.key"]).current_dir(folder).status();
    assert!(key.unwrap().success());
}

#[tokio::test]
async fn a_user_who_may_not_enter_is_told_why() {
    let server = strict("host", &[]);
    let right = options(&server.url());
    PostgresProvider::connect(&server.url()).await.unwrap();
    let error = PostgresProvider::connect_with(right.clone().password("wrong"), 1).await;
    permanent(&error.unwrap_err(), "refused the password: check the user and the password");
    for provider in both(&right.clone().password("wrong")) {
        for error in errors(&provider).await {
            permanent(&error, "refused the password");
        }
    }
    // Who does not exist is not told so.
    let error = PostgresProvider::connect_with(right.clone().username("nobody"), 1).await;
    permanent(&error.unwrap_err(), "refused the password");
    for provider in both(&right.clone().database("nowhere")) {
        permanent(&provider.fetch("a", now()).await.unwrap_err(), "the database is missing");
    }
    let secret = format!("{:?}", PostgresProvider::connect(&server.url()).await.unwrap());
    assert!(!secret.contains("secret"), "{secret}");
}

#[tokio::test]
async fn a_server_that_wants_tls_says_so() {
    let server = strict("hostssl", &["ssl=on"]);
    let plain = options(&server.url()).ssl_mode(PgSslMode::Disable);
    for provider in both(&plain) {
        let error = provider.fetch("a", now()).await.unwrap_err();
        permanent(&error, "with or without TLS as sslmode says");
    }
    // This package's features give sqlx TLS: the certificate is one that nobody knows.
    let tls = options(&server.url()).ssl_mode(PgSslMode::Require);
    let provider = PostgresProvider::connect_with(tls.clone(), 1).await.unwrap();
    provider.create_table().await.unwrap();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    let checked = tls.ssl_mode(PgSslMode::VerifyCa);
    let error = PostgresProvider::connect_with(checked.clone(), 1).await.unwrap_err();
    permanent(&error, "TLS to PostgreSQL failed: check sslmode, the certificates");
}

#[tokio::test]
async fn a_server_without_tls_says_so_to_those_who_want_it() {
    let database = Database::create();
    for provider in both(&options(database.url()).ssl_mode(PgSslMode::Require)) {
        permanent(&provider.fetch("a", now()).await.unwrap_err(), "TLS to PostgreSQL failed");
    }
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_to_grant() {
    let server = Postgres::start(&[]);
    let database = Database::create_on(&server.url());
    let admin = PostgresProvider::connect(database.url()).await.unwrap();
    database.sql("CREATE ROLE app LOGIN");
    let app = options(database.url()).username("app");
    let [own, pool] = both(&app);
    // PostgreSQL 14 and older let everybody create tables in `public`.
    database.sql("REVOKE CREATE ON SCHEMA public FROM public");
    permanent(&own.create_table().await.unwrap_err(), "CREATE on the schema");
    admin.create_table().await.unwrap();
    for provider in [&own, &pool] {
        for error in errors(provider).await {
            permanent(&error, "GRANT SELECT, INSERT, UPDATE, DELETE on it");
        }
        // It is there, and complete.
        provider.create_table().await.unwrap();
    }
    // What the docs say is enough.
    database.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO app");
    for provider in [&own, &pool] {
        let record = Record::new("a", 1, "x");
        assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
        assert_eq!(provider.touch("a", now(), Expect::Any, now()).await.unwrap(), Touched::Touched);
        assert_eq!(provider.list("o", Page::first(1), now()).await.unwrap().records, []);
        assert_eq!(provider.purge(now(), 10).await.unwrap(), 0);
        assert_eq!(
            provider.delete("a", Expect::Any, now()).await.unwrap(),
            Deleted::Deleted(Some(record))
        );
    }
    permanent(&own.drop_table().await.unwrap_err(), "the role may not do this");
}

#[tokio::test]
async fn too_many_connections_are_a_matter_of_time() {
    let server = Postgres::start(&[]);
    server_sql(&server, "CREATE ROLE app LOGIN CONNECTION LIMIT 0");
    let app = options(&server.url()).username("app");
    for provider in both(&app).map(|provider| provider.timeout(Duration::from_secs(2))) {
        let error = provider.fetch("a", now()).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
    let error = PostgresProvider::connect_with(app, 1).await.unwrap_err();
    unavailable(&error, "takes no more connections: raise max_connections");
}

#[tokio::test]
async fn a_standby_or_a_cancelled_statement_is_a_matter_of_time() {
    let database = Database::create();
    for provider in both(&options(database.url())) {
        provider.create_table().await.unwrap();
        let record = Record::new("a", 1, "x");
        let name = database.name();
        database.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.sql(cut);
        assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
        let error = provider.save(&record, Expect::Absent, now()).await.unwrap_err();
        unavailable(&error, "the server is read-only");
        // The primary again, where new connections lead.
        let mark = if database.url().contains('?') { '&' } else { '?' };
        let writing =
            format!("{}{mark}options=-cdefault_transaction_read_only%3Doff", database.url());
        let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
        sessions_tests::postgres::sql(&writing, &reset);
        assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
        provider.delete("a", Expect::Any, now()).await.unwrap();
    }
    let patient = options(database.url()).options([("statement_timeout", "50ms")]);
    let pool = PgPoolOptions::new().connect_lazy_with(options(database.url()));
    let mut writer = pool.begin().await.unwrap();
    let lock = sessions_postgres::sqlx::query("LOCK TABLE sessions IN EXCLUSIVE MODE");
    lock.execute(&mut *writer).await.unwrap();
    for provider in both(&patient) {
        let error = provider.delete("a", Expect::Any, now()).await.unwrap_err();
        unavailable(&error, "cancelled, by statement_timeout or by an administrator");
    }
}

/// Under stricter isolation than the default, a save that meets another gives way to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_gives_way_to_another_is_a_conflict() {
    let database = Database::create();
    let strict = [("default_transaction_isolation", "repeatable read")];
    let pool = PgPoolOptions::new().connect_lazy_with(options(database.url()));
    for provider in both(&options(database.url()).options(strict)) {
        provider.create_table().await.unwrap();
        provider.save(&Record::new("a", 1, "x"), Expect::Any, now()).await.unwrap();
        let mut writer = pool.begin().await.unwrap();
        let write = sessions_postgres::sqlx::query("UPDATE sessions SET version = 2");
        write.execute(&mut *writer).await.unwrap();
        let save = tokio::spawn({
            let provider = provider.clone();
            async move { provider.save(&Record::new("a", 2, "y"), Expect::Version(1), now()).await }
        });
        let waits = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.sql(waits) != "1" {
            assert!(!save.is_finished(), "the save waits for the writer");
        }
        writer.commit().await.unwrap();
        // As under READ COMMITTED, with the record that the writer left.
        let conflict = Saved::Conflict(Some(Record::new("a", 2, "x")));
        assert_eq!(save.await.unwrap().unwrap(), conflict);
        let next = Record::new("a", 3, "y");
        let saved = provider.save(&next, Expect::Version(2), now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
    }
}

#[tokio::test]
async fn what_is_no_server_or_no_url_says_so() {
    let port = sessions_tests::process::free_port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/x");
    let error = PostgresProvider::connect(&url).await.unwrap_err();
    unavailable(&error, "nothing listens at this host and port");
    let error = PostgresProvider::connect("mysql//nonsense").await.unwrap_err();
    permanent(&error, "use a URL such as postgres://");
    let error = PostgresProvider::connect("postgres://h/d?sslmode=nonsense").await.unwrap_err();
    permanent(&error, "use a URL such as postgres://");
}

/// A pooler in transaction mode that does not know prepared statements mixes those of its clients.
#[tokio::test]
async fn prepared_statements_behind_a_pooler_are_told_of() {
    let server = Postgres::start(&[]);
    let pooler = Pgbouncer::start(server.port(), 1);
    let database = Database::create_on(&server.url());
    let url = pooler.url(database.name());
    let one = PostgresProvider::connect_with(options(&url), 1).await.unwrap();
    let two = PostgresProvider::connect_with(options(&url), 1).await.unwrap();
    // Each names its first statement the same, on the one connection of the server.
    one.clone().unprepared().create_table().await.unwrap();
    assert_eq!(one.fetch("a", now()).await.unwrap(), None);
    let error = two.purge(now(), 1).await.unwrap_err();
    permanent(&error, "stands before PostgreSQL; call unprepared()");
    // The same client, told so.
    assert_eq!(two.unprepared().purge(now(), 1).await.unwrap(), 0);
}

fn server_sql(server: &Postgres, text: &str) {
    sessions_tests::postgres::sql(&server.url(), text);
}
