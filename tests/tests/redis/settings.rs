//! Wrong settings and wrong servers: each an error that says what to do, and whether it passes by
//! itself.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sessions::provider::{Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched};
use sessions_redis::{Connection, RedisProvider};
use sessions_tests::process::free_port;
use sessions_tests::redis::{RedisCluster, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{HOUR, now};

fn owned(id: &str) -> Record {
    let mut record = Record::new(id, 1, &b"data"[..]);
    record.owner = Some("ada".into());
    record.expires_at = Some(now() + HOUR);
    record
}

#[track_caller]
fn permanent<T: std::fmt::Debug>(answer: Result<T, ProviderError>, text: &str) {
    let error = answer.expect_err("an error");
    assert!(!error.is_unavailable() && !error.is_unsupported(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(answer: Result<T, ProviderError>, text: &str) {
    let error = answer.expect_err("an error");
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains(text), "{error:?}");
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
}

fn with_user(server: &RedisServer, user: &str) -> String {
    server.url().replace("redis://", &format!("redis://{user}@"))
}

#[tokio::test]
async fn a_wrong_password_says_so_and_a_right_one_heals_it() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    permanent(RedisProvider::connect(&server.url()).await, "the user or the password");
    let wrong = with_user(&server, ":wrong");
    permanent(RedisProvider::connect(&wrong).await, "the user or the password");
    let nobody = with_user(&server, "nobody:right");
    permanent(RedisProvider::connect(&nobody).await, "the user or the password");
    let provider = RedisProvider::new(Connection::open(&wrong).unwrap());
    permanent(provider.fetch("a", now()).await, "the user or the password");
    assert!(!format!("{:?}", Connection::open(&wrong).unwrap()).contains("wrong"));

    let right = RedisProvider::connect(&with_user(&server, ":right")).await.unwrap();
    let operator = with_user(&server, "default:right");
    let changed = sessions_tests::redis::cli(&operator, &["CONFIG", "SET", "requirepass", "wrong"]);
    assert_eq!(changed, "OK");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
    // Redis keeps whom it has let in.
    assert_eq!(right.fetch("a", now()).await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_port_or_host_is_unavailable() {
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    unavailable(RedisProvider::connect(&nobody).await, "host and port");
    let provider = RedisProvider::connect("redis://no-such-host.invalid:6379").await;
    unavailable(provider, "host");
    let provider = RedisProvider::connect("redis+unix:///no/such/socket").await;
    unavailable(provider, "check");
}

#[tokio::test]
async fn a_wrong_url_is_permanent() {
    for url in ["", "localhost", "localhost:6379", "http://localhost", "redis://", "redis://h:port"]
    {
        permanent(RedisProvider::connect(url).await, "redis://user:password@host:port/database");
    }
    let server = RedisServer::start(&[]);
    permanent(RedisProvider::connect(&format!("{}/99", server.url())).await, "database");
    let provider = RedisProvider::connect(&format!("{}/3", server.url())).await.unwrap();
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    assert_eq!(server.cli(&["-n", "3", "EXISTS", "sessions:record:a"]), "1");
    let cluster = RedisProvider::connect_cluster(["localhost"]).await;
    permanent(cluster, "redis://user:password@host:port/database");
    permanent(RedisProvider::connect_cluster([""; 0]).await, "settings of the connection");
}

#[tokio::test]
async fn a_server_of_another_kind_is_permanent_and_a_silent_one_unavailable() {
    let other = async |answer: &'static [u8]| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        format!("redis://{address}")
    };
    let web = other(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    permanent(RedisProvider::connect(&web).await, "does not speak Redis' protocol");
    let tls = other(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]).await;
    permanent(RedisProvider::connect(&tls).await, "rediss://");
    let silent = other(b"").await;
    let second = Duration::from_millis(200);
    let silent = Connection::open_with_timeouts(&silent, second, second).unwrap();
    unavailable(RedisProvider::new(silent).create().await, "in time");
}

#[tokio::test]
async fn a_key_of_another_kind_says_whose_prefix_it_is() {
    let server = RedisServer::start(&[]);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    let other = owned("other");
    for command in [
        &["SET", "sessions:record:other", "text"][..],
        &["RPUSH", "sessions:record:other", "one"],
        &["HSET", "sessions:record:other", "v", "one", "f", "x", "d", "y"],
        &["HSET", "sessions:record:other", "v", "1", "d", "y"],
    ] {
        let _ = server.cli(&["DEL", "sessions:record:other"]);
        let _ = server.cli(command);
        permanent(provider.fetch("other", now()).await, "prefix()");
        if command[0] != "HSET" {
            let other = Record { owner: None, ..other.clone() };
            permanent(provider.save(&other, Expect::Absent, now()).await, "prefix()");
            permanent(provider.save(&other, Expect::Version(1), now()).await, "prefix()");
            permanent(provider.touch("other", now(), Expect::Any, now()).await, "prefix()");
            permanent(provider.delete("other", Expect::Any, now()).await, "prefix()");
        }
        assert_eq!(server.cli(&["EXISTS", "sessions:record:other"]), "1");
    }
    let _ = server.cli(&["SET", "sessions:{owner:ada}:ids", "text"]);
    permanent(provider.list("ada", Page::first(2), now()).await, "prefix()");
    permanent(provider.save(&owned("b"), Expect::Absent, now()).await, "prefix()");
    // Nothing was saved that the owner's list does not show.
    assert_eq!(provider.fetch("b", now()).await.unwrap(), None);
}

#[tokio::test]
async fn a_replica_takes_no_writes_until_it_is_promoted() {
    let primary = RedisServer::start(&[]);
    let provider = RedisProvider::connect(&primary.url()).await.unwrap();
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    let port = primary.port.to_string();
    let replica = RedisServer::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let provider = RedisProvider::new(Connection::open(&replica.url()).unwrap());
    let start = Instant::now();
    while provider.fetch("a", now()).await.unwrap_or_default().is_none() {
        assert!(start.elapsed() < HOUR / 60, "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unavailable(provider.create().await, "replica");
    unavailable(provider.save(&owned("b"), Expect::Absent, now()).await, "replica");
    unavailable(provider.save(&owned("a"), Expect::Version(1), now()).await, "replica");
    unavailable(provider.touch("a", now() + 2 * HOUR, Expect::Any, now()).await, "replica");
    unavailable(provider.delete("a", Expect::Any, now()).await, "replica");
    let _ = replica.cli(&["REPLICAOF", "NO", "ONE"]);
    provider.create().await.unwrap();
    assert!(matches!(
        provider.delete("a", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(_))
    ));
}

#[tokio::test]
async fn a_full_server_takes_no_saves_and_loses_nothing() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    provider.save(&owned("b"), Expect::Absent, now()).await.unwrap();
    let stored = provider.fetch("a", now()).await.unwrap();
    server.set("maxmemory", "1");
    let update = Record { version: 2, ..owned("a") };
    let bare = Record { owner: None, ..update.clone() };
    unavailable(provider.save(&update, Expect::Version(1), now()).await, "maxmemory");
    unavailable(provider.save(&bare, Expect::Version(1), now()).await, "maxmemory");
    unavailable(provider.save(&bare, Expect::Any, now()).await, "maxmemory");
    unavailable(provider.save(&owned("c"), Expect::Absent, now()).await, "maxmemory");
    unavailable(provider.create().await, "maxmemory");
    assert_eq!(provider.fetch("a", now()).await.unwrap(), stored);
    assert_eq!(provider.list("ada", Page::first(9), now()).await.unwrap().records.len(), 2);
    // Logging out goes on, and so does staying logged in.
    assert_eq!(
        provider.touch("a", now() + HOUR + HOUR / 10, Expect::Any, now()).await.unwrap(),
        Touched::Touched
    );
    assert!(matches!(
        provider.delete("b", Expect::Any, now()).await.unwrap(),
        Deleted::Deleted(Some(_))
    ));
    server.set("maxmemory", "0");
    let saved = provider.save(&update, Expect::Version(1), now()).await.unwrap();
    assert_eq!(saved, Saved::Saved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_still_loads_is_unavailable() {
    let mut server = RedisServer::start(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    for id in 0..200 {
        let record = Record::new(format!("id{id}"), 1, vec![b'x'; 500]);
        provider.save(&record, Expect::Absent, now()).await.unwrap();
    }
    // The file as one snapshot, of which each key is slow to load.
    let _ = server.cli(&["BGREWRITEAOF"]);
    let start = Instant::now();
    while !server.cli(&["INFO", "persistence"]).contains("aof_rewrite_in_progress:0") {
        assert!(start.elapsed() < HOUR / 60);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill();
    server.start_again_with(&["--key-load-delay", "20000"]);
    unavailable(provider.fetch("a", now()).await, "loads its data");
    unavailable(provider.save(&owned("b"), Expect::Absent, now()).await, "loads its data");
    unavailable(provider.create().await, "loads its data");
    let start = Instant::now();
    while let Err(error) = provider.fetch("a", now()).await {
        assert!(error.is_unavailable(), "{error:?}");
        assert!(start.elapsed() < HOUR / 60, "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(provider.fetch("a", now()).await.unwrap().is_some());
}

#[tokio::test]
async fn the_permissions_in_the_documentation_are_enough_and_each_is_needed() {
    let server = RedisServer::start(&[]);
    let documented: Vec<&str> = sessions_redis::PERMISSIONS.split_whitespace().collect();
    let allow = |without: &str| {
        let rules = documented.iter().filter(|rule| **rule != without).copied();
        let mut command = vec!["ACL", "SETUSER", "shop", "reset", "on", ">secret"];
        command.extend(rules);
        assert_eq!(server.cli(&command), "OK");
    };
    let url = with_user(&server, "shop:secret");
    let everything = async || -> Result<(), ProviderError> {
        let provider = RedisProvider::connect(&url).await?;
        let mut record = owned("a");
        provider.save(&record, Expect::Any, now()).await?;
        record.version = 2;
        provider.save(&record, Expect::Version(1), now()).await?;
        provider.save(&record, Expect::Version(1), now()).await?;
        record.expires_at = None;
        provider.save(&record, Expect::Any, now()).await?;
        record.expires_at = Some(now() + HOUR);
        provider.save(&record, Expect::Any, now()).await?;
        provider.touch("a", now() + 3 * HOUR, Expect::Any, now()).await?;
        provider.list("ada", Page::first(1), now()).await?;
        // An id whose time has come, and scripts that the server has forgotten.
        let _ = server.cli(&["ZADD", "sessions:{owner:ada}:until", "1", "old"]);
        let _ = server.cli(&["SCRIPT", "FLUSH"]);
        provider.save(&owned("b"), Expect::Any, now()).await?;
        provider.delete("b", Expect::Any, now()).await?;
        Ok(())
    };
    allow("");
    everything().await.unwrap();
    assert_eq!(RedisProvider::connect(&url).await.unwrap().warnings().await.unwrap().len(), 1);
    for rule in &documented {
        allow(rule);
        let optional = ["+client|tracking", "+info", "+time"];
        let optional = optional.contains(rule) && everything().await.is_ok();
        if !optional {
            permanent(everything().await, "permission");
        }
    }
    // Without them it works, and only cannot warn.
    allow("+info");
    let provider = RedisProvider::connect(&url).await.unwrap();
    assert_eq!(provider.warnings().await.unwrap(), [""; 0]);
    permanent(provider.prefix("other").unwrap().create().await, "permission");
}

#[tokio::test]
async fn clearing_and_clusters_take_the_permissions_that_are_documented() {
    let allow = |server: &RedisServer, more: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", "shop", "reset", "on", ">secret"];
        command.extend(sessions_redis::PERMISSIONS.split_whitespace());
        command.extend(more);
        assert_eq!(server.cli(&command), "OK");
    };
    let server = RedisServer::start(&[]);
    allow(&server, &[]);
    let provider = RedisProvider::connect(&with_user(&server, "shop:secret")).await.unwrap();
    permanent(provider.clear().await, "permission");
    allow(&server, &["+scan", "+unlink"]);
    provider.clear().await.unwrap();

    let cluster = RedisCluster::start();
    let urls = cluster.nodes.iter().map(|node| with_user(node, "shop:secret"));
    let urls: Vec<_> = urls.collect();
    let allow = |more: &[&str]| cluster.nodes.iter().for_each(|node| allow(node, more));
    allow(&[]);
    permanent(RedisProvider::connect_cluster(&urls).await, "permission");
    allow(&["+cluster|slots"]);
    let provider = RedisProvider::connect_cluster(&urls).await.unwrap();
    provider.save(&owned("a"), Expect::Absent, now()).await.unwrap();
    // The driver does not say why.
    permanent(provider.clear().await, "driver");
    allow(&["+cluster|slots", "+keys", "+unlink"]);
    provider.clear().await.unwrap();
    assert_eq!(provider.fetch("a", now()).await.unwrap(), None);
}

#[tokio::test]
async fn warnings_name_what_can_lose_sessions() {
    let server = RedisServer::start(&["--appendonly", "yes"]);
    let provider = RedisProvider::connect(&server.url()).await.unwrap();
    assert_eq!(provider.warnings().await.unwrap(), [""; 0]);
    server.set("maxmemory", "100mb");
    server.set("maxmemory-policy", "allkeys-lru");
    let warnings = provider.warnings().await.unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("allkeys-lru") && warnings[0].contains("noeviction"));
    server.set("appendonly", "no");
    let warnings = provider.warnings().await.unwrap();
    assert!(warnings.len() == 2 && warnings[1].contains("appendonly yes"), "{warnings:?}");
    let cluster = RedisCluster::start();
    let provider = RedisProvider::connect_cluster(cluster.urls()).await.unwrap();
    assert_eq!(provider.warnings().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_unavailable() {
    let server = RedisServer::start(&["--maxclients", "1"]);
    let first = RedisProvider::connect(&server.url()).await.unwrap();
    let second = RedisProvider::new(Connection::open(&server.url()).unwrap());
    unavailable(second.fetch("a", now()).await, "maxclients");
    drop(first);
    let start = Instant::now();
    while let Err(error) = second.fetch("a", now()).await {
        assert!(error.is_unavailable() && start.elapsed() < HOUR / 60, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_node_of_a_cluster_says_how_to_connect() {
    let cluster = RedisCluster::start();
    permanent(RedisProvider::connect(&cluster.nodes[0].url()).await, "connect_cluster()");
    let server = RedisServer::start(&[]);
    let single = RedisProvider::connect_cluster([server.url()]).await;
    permanent(single, "no cluster");
}

/// What gives a child process the URL of the server whose certificate it trusts, or does not. Its root
/// certificates are in `SSL_CERT_FILE`, which a process reads but should not write.
const TRUSTS: &str = "SESSIONS_TEST_TRUSTS";
const DISTRUSTS: &str = "SESSIONS_TEST_DISTRUSTS";

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("openssl is missing: install it (Debian: openssl)");
    assert!(made.status.success(), "{made:?}");
}

/// The test of certificates again, in a process that trusts those in a file.
fn in_a_child_process(variable: &str, url: &str, roots: &Path) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "settings::a_certificate_is_checked"])
        .env(variable, url)
        .env("SSL_CERT_FILE", roots)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
}

#[tokio::test]
async fn a_certificate_is_checked() {
    if let Ok(url) = std::env::var(TRUSTS) {
        return trusted(&url).await;
    }
    if let Ok(url) = std::env::var(DISTRUSTS) {
        return not_trusted(&url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (authority, name) in [("ca", "one"), ("other", "another")] {
        openssl(
            folder.path(),
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} \
                 -addext keyUsage=critical,keyCertSign -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    openssl(folder.path(), "req -newkey rsa:2048 -nodes -subj /CN=redis -keyout key.pem -out csr");
    std::fs::write(at("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        folder.path(),
        "x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
         -out cert.pem",
    );
    let server = RedisServer::start(&[]);
    let port = sessions_tests::process::free_port().to_string();
    for (name, value) in [
        ("tls-cert-file", at("cert.pem")),
        ("tls-key-file", at("key.pem")),
        ("tls-ca-cert-file", at("ca.pem")),
        ("tls-auth-clients", "no".into()),
    ] {
        // Taken together once all are there.
        let _ = server.cli(&["CONFIG", "SET", name, value.to_str().unwrap()]);
    }
    server.set("tls-port", &port);
    let url = format!("rediss://127.0.0.1:{port}");
    in_a_child_process(TRUSTS, &url, &at("ca.pem"));
    in_a_child_process(DISTRUSTS, &url, &at("other.pem"));
    assert_eq!(server.cli(&["HGET", "sessions:record:a", "d"]), "data");
}

async fn trusted(url: &str) {
    let provider = RedisProvider::connect(url).await.unwrap();
    let record = Record::new("a", 1, &b"data"[..]);
    provider.save(&record, Expect::Absent, now()).await.unwrap();
}

async fn not_trusted(url: &str) {
    let error = RedisProvider::connect(url).await.unwrap_err();
    assert!(!error.is_unavailable() && error.to_string().contains("certificate"), "{error:?}");
    // Redis closes a connection that is not encrypted without a word.
    let plain = url.replace("rediss", "redis");
    let error = RedisProvider::new(Connection::open(&plain).unwrap()).create().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}
