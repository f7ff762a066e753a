//! Wrong settings: each error says what to do, and whether trying again can help.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sessions::provider::{Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions_mysql::MySqlProvider;
use sessions_mysql::sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode};
use sessions_tests::mysql::{Database, MySql, sql};

use crate::{PATIENCE, now, options, own, permanent, pooled_after, unavailable, with_table};

/// Both ways of running, opening nothing yet.
fn both(options: &MySqlConnectOptions) -> [MySqlProvider; 2] {
    let pool = MySqlPoolOptions::new().max_connections(2).connect_lazy_with(options.clone());
    let own = MySqlProvider::connect_lazy_with(options.clone(), 2);
    [own, MySqlProvider::new(pool)].map(|provider| provider.timeout(PATIENCE))
}

/// The error of each call.
async fn errors(provider: &MySqlProvider) -> Vec<ProviderError> {
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

/// Every call that the docs' permissions allow.
async fn works(provider: &MySqlProvider) {
    let record = Record::new("a", 1, "x");
    assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
    assert_eq!(provider.save(&record, Expect::Version(1), now()).await.unwrap(), Saved::Saved);
    assert_eq!(provider.touch("a", now(), Expect::Any, now()).await.unwrap(), Touched::Touched);
    assert_eq!(provider.list("o", Page::first(1), now()).await.unwrap().records, []);
    assert_eq!(provider.purge(now(), 10).await.unwrap(), 0);
    let deleted = provider.delete("a", Expect::Any, now()).await.unwrap();
    assert_eq!(deleted, Deleted::Deleted(Some(record)));
}

#[tokio::test]
async fn a_missing_table_says_what_to_call() {
    let database = Database::create();
    for provider in both(&options(database.url())) {
        for error in errors(&provider.clone().table("elsewhere").unwrap()).await {
            permanent(&error, "table `elsewhere` is missing: call create_table()");
            assert!(std::error::Error::source(&error).is_some(), "{error:?}");
        }
        let nowhere = provider.clone().table("no_database.elsewhere").unwrap();
        for error in errors(&nowhere).await {
            permanent(&error, "is missing");
        }
        permanent(&nowhere.create_table().await.unwrap_err(), "is missing");
        // Once it is there, all is well, on the same connections.
        provider.create_table().await.unwrap();
        assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_before_anything_is_sent() {
    let provider = MySqlProvider::connect_lazy_with(MySqlConnectOptions::new(), 1);
    for name in ["", "a b", "a;b", "`a`", "a.b.c", "1a", "sessions; DROP TABLE users --"] {
        let error = provider.clone().table(name).unwrap_err();
        permanent(&error, "is refused: use 1 to 64 ASCII letters");
    }
}

#[tokio::test]
async fn a_record_whose_id_would_be_cut_off_is_refused() {
    let database = Database::create();
    // Such a server would store it under a shorter one.
    let provider = with_table(pooled_after(options(database.url()), "SET sql_mode = ''")).await;
    let record = Record::new("x".repeat(256), 1, "x");
    let error = provider.save(&record, Expect::Absent, now()).await.unwrap_err();
    permanent(&error, "the record's id has 256 bytes");
    assert_eq!(provider.fetch(&"x".repeat(255), now()).await.unwrap(), None);
}

#[tokio::test]
async fn a_table_with_other_columns_is_named() {
    let database = Database::create();
    let rest = "expires_at BIGINT, format VARBINARY(255) NOT NULL, owner VARBINARY(255), \
                data LONGBLOB NOT NULL";
    for table in [
        "(id VARBINARY(255) PRIMARY KEY, data LONGBLOB)".to_owned(),
        format!("(id VARCHAR(255) PRIMARY KEY, version BIGINT UNSIGNED NOT NULL, {rest})"),
        format!("(id VARBINARY(255) PRIMARY KEY, version BIGINT NOT NULL, {rest})"),
        format!("(id VARBINARY(255) NOT NULL, version BIGINT UNSIGNED NOT NULL, {rest})"),
        format!(
            "(id VARBINARY(255) PRIMARY KEY, version BIGINT UNSIGNED NOT NULL, {rest}, \
             extra TEXT NOT NULL)"
        ),
        format!(
            "(id VARBINARY(255) PRIMARY KEY, version BIGINT UNSIGNED NOT NULL, {rest}, \
             UNIQUE KEY (owner))"
        ),
    ] {
        database.sql(&format!("DROP TABLE IF EXISTS sessions; CREATE TABLE sessions {table}"));
        for provider in both(&options(database.url())) {
            permanent(&provider.create_table().await.unwrap_err(), "other columns");
        }
    }
    for table in ["(id VARBINARY(255) PRIMARY KEY)", "(id INT PRIMARY KEY, version DATE)"] {
        database.sql(&format!("DROP TABLE sessions; CREATE TABLE sessions {table}"));
        for provider in both(&options(database.url())) {
            for error in errors(&provider).await {
                permanent(&error, "other columns");
            }
        }
    }
    database.sql("DROP TABLE sessions; CREATE VIEW sessions AS SELECT 'a' AS id");
    for provider in both(&options(database.url())) {
        permanent(&provider.create_table().await.unwrap_err(), "other columns");
    }
}

/// What a server says of a value that does not fit quotes the value.
#[tokio::test]
async fn no_error_carries_what_was_to_be_stored() {
    let database = Database::create();
    database.sql(
        "CREATE TABLE sessions (id INT PRIMARY KEY, version BIGINT UNSIGNED, expires_at BIGINT, \
         format INT, owner INT, data INT)",
    );
    for provider in both(&options(database.url())) {
        let mut record = Record::new("secret id", 1, "secret data");
        record.owner = Some("secret owner".into());
        for expect in [Expect::Any, Expect::Absent, Expect::Version(1)] {
            let Err(error) = provider.save(&record, expect, now()).await else { continue };
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("secret"), "{text}");
                cause = error.source();
            }
        }
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
        database.sql("ALTER TABLE sessions MODIFY format VARBINARY(300) NOT NULL, ADD note TEXT");
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record.clone()));
        let saved = provider.save(&record, Expect::Version(1), now()).await.unwrap();
        assert_eq!(saved, Saved::Saved);
        database.sql("DROP TABLE sessions");
    }
}

/// The certificate of a server, made by its own authority.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.crt"])
        .current_dir(folder)
        .output()
        .expect("openssl is missing: install it (Debian: openssl)");
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test]
async fn a_user_who_may_not_enter_is_told_why() {
    let database = Database::create();
    let right = options(database.url());
    let error = MySqlProvider::connect_with(right.clone().password("wrong"), 1).await;
    permanent(&error.unwrap_err(), "refused the user or the password: check both");
    for provider in both(&right.clone().password("wrong")) {
        for error in errors(&provider).await {
            permanent(&error, "refused the user or the password");
        }
    }
    for wrong in [right.clone().username("nobody"), right.clone().username("nobody").password("")] {
        let error = MySqlProvider::connect_with(wrong, 1).await.unwrap_err();
        permanent(&error, "refused the user or the password");
    }
    for provider in both(&right.clone().database("nowhere")) {
        permanent(&provider.fetch("a", now()).await.unwrap_err(), "the database is missing");
    }
    let without = database.url().rsplit_once('/').unwrap().0.to_owned();
    for provider in both(&options(&without)) {
        permanent(&provider.fetch("a", now()).await.unwrap_err(), "the database is missing");
    }
    let shown = format!("{:?}", MySqlProvider::connect(database.url()).await.unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn a_server_that_wants_tls_says_so() {
    let server = MySql::start_with(&["ssl-cert=server.crt", "ssl-key=server.key"], certificate);
    let database = Database::create_on(&server.url());
    sql(&server.url(), "SET GLOBAL require_secure_transport = ON");
    let plain = options(database.url()).ssl_mode(MySqlSslMode::Disabled);
    for provider in both(&plain) {
        let error = provider.fetch("a", now()).await.unwrap_err();
        permanent(&error, "whether it must use TLS");
    }
    // This package's features give sqlx TLS: the certificate is one that nobody knows.
    let tls = options(database.url()).ssl_mode(MySqlSslMode::Required);
    let provider = MySqlProvider::connect_with(tls.clone(), 1).await.unwrap();
    provider.create_table().await.unwrap();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    let checked = tls.ssl_mode(MySqlSslMode::VerifyCa);
    let error = MySqlProvider::connect_with(checked.clone(), 1).await.unwrap_err();
    permanent(&error, "TLS to MySQL failed: check ssl-mode, the certificates");
}

#[tokio::test]
async fn a_server_without_tls_says_so_to_those_who_want_it() {
    let database = Database::create();
    for provider in both(&options(database.url()).ssl_mode(MySqlSslMode::Required)) {
        permanent(&provider.fetch("a", now()).await.unwrap_err(), "TLS to MySQL failed");
    }
}

/// Another user of the same server.
fn user(database: &Database, name: &str) -> MySqlConnectOptions {
    let name = format!("{name}_{}", database.name().trim_start_matches("sessions_test_"));
    database.sql(&format!("CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY 'other'"));
    options(database.url()).username(&name).password("other")
}

fn user_name(options: &MySqlConnectOptions) -> String {
    use sessions_mysql::sqlx::ConnectOptions as _;
    options.to_url_lossy().username().to_owned()
}

#[tokio::test]
async fn a_user_without_rights_is_told_what_to_grant() {
    let database = Database::create();
    let admin = own(database.url(), 1);
    let app = user(&database, "app");
    let (name, place) = (user_name(&app), database.name());
    for provider in both(&app) {
        for error in errors(&provider).await {
            permanent(&error, "GRANT SELECT, INSERT, UPDATE, DELETE on it");
        }
    }
    // A right to anything lets a user in.
    database.sql(&format!("GRANT CREATE TEMPORARY TABLES ON {place}.* TO {name}@'%'"));
    for provider in both(&app) {
        permanent(&provider.create_table().await.unwrap_err(), "and CREATE, INDEX and ALTER");
    }
    admin.create_table().await.unwrap();
    for provider in both(&app) {
        for error in errors(&provider).await {
            permanent(&error, "GRANT SELECT, INSERT, UPDATE, DELETE on it");
        }
    }
    // What the docs say is enough.
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    database.sql(&format!("GRANT {rights} ON {place}.sessions TO {name}@'%'"));
    for provider in both(&app) {
        provider.create_table().await.unwrap();
        works(&provider).await;
        permanent(&provider.drop_table().await.unwrap_err(), "the user may not do this");
    }
    // And what they say of creating it.
    database.sql(&format!(
        "DROP TABLE sessions; GRANT {rights}, CREATE, INDEX, ALTER ON {place}.* TO {name}@'%'"
    ));
    for provider in both(&app) {
        provider.create_table().await.unwrap();
        database.sql("ALTER TABLE sessions DROP KEY owner");
        provider.create_table().await.unwrap();
        works(&provider).await;
    }
    database.sql(&format!("DROP USER {name}@'%'"));
}

#[tokio::test]
async fn too_many_connections_are_a_matter_of_time() {
    let database = Database::create();
    let app = user(&database, "few");
    let name = user_name(&app);
    let place = database.name();
    database.sql(&format!("GRANT ALL ON {place}.* TO {name}@'%' WITH MAX_USER_CONNECTIONS 1"));
    let first = MySqlProvider::connect_with(app.clone(), 1).await.unwrap();
    let error = MySqlProvider::connect_with(app.clone(), 1).await.unwrap_err();
    unavailable(&error, "takes no more connections: raise max_connections");
    for provider in both(&app).map(|provider| provider.timeout(Duration::from_secs(2))) {
        let error = provider.fetch("a", now()).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
    first.close().await;
    database.sql(&format!("DROP USER {name}@'%'"));
}

/// A replica, or a primary that was one until just now: reads go on, and writes wait for the new one.
#[tokio::test]
async fn a_read_only_server_is_a_matter_of_time() {
    let server = MySql::start(&[]);
    let database = Database::create_on(&server.url());
    let place = database.name();
    // Who may do everything may write all the same.
    database.sql(&format!(
        "CREATE USER app@'%' IDENTIFIED BY 'secret';
         GRANT SELECT, INSERT, UPDATE, DELETE ON {place}.* TO app@'%'"
    ));
    let app = database.url().replace("//tests:", "//app:");
    own(database.url(), 1).create_table().await.unwrap();
    for provider in both(&options(&app)) {
        let record = Record::new("a", 1, "x");
        assert_eq!(provider.save(&record, Expect::Absent, now()).await.unwrap(), Saved::Saved);
        sql(&server.url(), "SET GLOBAL read_only = 1");
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(record.clone()));
        for expect in [Expect::Any, Expect::Absent, Expect::Version(1)] {
            let error = provider.save(&record, expect, now()).await.unwrap_err();
            unavailable(&error, "the server is read-only");
        }
        let error = provider.touch("a", now(), Expect::Any, now()).await.unwrap_err();
        unavailable(&error, "the server is read-only");
        for expect in [Expect::Any, Expect::Version(1)] {
            let error = provider.delete("a", expect, now()).await.unwrap_err();
            unavailable(&error, "the server is read-only");
        }
        sql(&server.url(), "SET GLOBAL read_only = 0");
        let deleted = provider.delete("a", Expect::Any, now()).await.unwrap();
        assert_eq!(deleted, Deleted::Deleted(Some(record)));
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_what_to_raise() {
    let server = MySql::start(&["max-allowed-packet=64K", "net-buffer-length=8K"]);
    let database = Database::create_on(&server.url());
    for provider in both(&options(database.url())) {
        provider.create_table().await.unwrap();
        let fits = Record::new("a", 1, vec![7; 65_000]);
        assert_eq!(provider.save(&fits, Expect::Any, now()).await.unwrap(), Saved::Saved);
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(fits.clone()));
        for size in [65_500, 66_000, 1 << 20, 20 << 20] {
            let large = Record::new("a", 2, vec![7; size]);
            for expect in [Expect::Any, Expect::Absent, Expect::Version(1)] {
                let error = provider.save(&large, expect, now()).await.unwrap_err();
                permanent(&error, "max_allowed_packet of 65536 allows: raise it, or store less");
            }
        }
        assert_eq!(provider.fetch("a", now()).await.unwrap(), Some(fits));
        // Many ids in one message.
        for number in 0..500 {
            let id = format!("{number}{}", "x".repeat(250));
            let dead = Record { id: id.into(), expires_at: Some(now()), ..Record::new("", 1, "") };
            provider.save(&dead, Expect::Any, now()).await.unwrap();
        }
        assert_eq!(provider.purge(now(), 1_000).await.unwrap(), 500);
        provider.delete("a", Expect::Any, now()).await.unwrap();
    }
    // A limit that falls under an open connection holds for the next ones.
    let lowered = own(database.url(), 1);
    lowered.fetch("a", now()).await.unwrap();
    sql(&server.url(), "SET GLOBAL max_allowed_packet = 16384");
    let record = Record::new("a", 1, vec![7; 60_000]);
    assert_eq!(lowered.save(&record, Expect::Any, now()).await.unwrap(), Saved::Saved);
    let error = own(database.url(), 1).save(&record, Expect::Any, now()).await.unwrap_err();
    permanent(&error, "max_allowed_packet of 16384");
}

#[tokio::test]
async fn a_pool_that_commits_nothing_is_refused() {
    let database = Database::create();
    own(database.url(), 1).create_table().await.unwrap();
    let pool = pooled_after(options(database.url()), "SET autocommit = 0");
    for error in errors(&pool).await {
        permanent(&error, "autocommit is off on the pool's connections");
    }
}

/// Settings that the provider does not change for a pool, and that do not matter.
#[tokio::test]
async fn modes_and_character_sets_of_a_pool_do_not_matter() {
    let database = Database::create();
    for first in [
        "SET sql_mode = ''",
        "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
        "SET sql_mode = 'TRADITIONAL'",
        "SET sql_mode = 'ORACLE'",
        "SET NAMES latin1",
        "SET NAMES binary",
        "SET time_zone = '-05:30'",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET div_precision_increment = 0, max_sort_length = 8, sql_safe_updates = 1",
        "SET completion_type = CHAIN",
    ] {
        let provider = pooled_after(options(database.url()), first);
        provider.create_table().await.unwrap();
        works(&provider).await;
        let mut record = Record::new("ä'`\"\\€", 1, vec![0, 255, 39, 92]);
        (record.owner, record.format) = (Some("ö/\u{1f30a}".into()), "é/1".into());
        for expect in [Expect::Absent, Expect::Any, Expect::Version(1)] {
            assert_eq!(
                provider.save(&record, expect, now()).await.unwrap(),
                Saved::Saved,
                "{first}"
            );
        }
        let listed = provider.list("ö/\u{1f30a}", Page::first(9), now()).await.unwrap();
        assert_eq!(listed.records, std::slice::from_ref(&record), "{first}");
        let removed = provider.delete(&record.id, Expect::Version(1), now()).await.unwrap();
        assert_eq!(removed, Deleted::Deleted(Some(record)), "{first}");
    }
}

#[tokio::test]
async fn a_log_of_statements_says_what_to_set() {
    let server = MySql::start(&["log-bin=binlog", "binlog-format=STATEMENT", "server-id=1"]);
    let database = Database::create_on(&server.url());
    let [own, pool] = both(&options(database.url()));
    own.create_table().await.unwrap();
    let record = Record::new("a", 1, "x");
    let error = own.save(&record, Expect::Absent, now()).await.unwrap_err();
    permanent(&error, "set it to ROW or MIXED");
    works(&pool).await;
    sql(&server.url(), "SET GLOBAL binlog_format = MIXED");
    own.close().await;
    let [own, pool] = both(&options(database.url()));
    works(&own).await;
    works(&pool).await;
}

#[tokio::test]
async fn what_is_no_server_or_no_url_says_so() {
    let port = sessions_tests::process::free_port();
    let url = format!("mysql://tests@127.0.0.1:{port}/x");
    let error = MySqlProvider::connect(&url).await.unwrap_err();
    unavailable(&error, "nothing listens at this host and port");
    let error = MySqlProvider::connect("mysql:///x?socket=/no/such/socket").await.unwrap_err();
    unavailable(&error, "the socket is not there");
    for wrong in ["mysql//nonsense", "mysql://h/d?ssl-mode=nonsense"] {
        let error = MySqlProvider::connect(wrong).await.unwrap_err();
        permanent(&error, "use a URL such as mysql://");
    }
}
