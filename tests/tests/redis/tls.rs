//! Redis behind TLS, whose certificate is checked.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use sessions::provider::{Expect, Provider, Record};
use sessions_redis::{Connection, RedisProvider};
use sessions_tests::redis::RedisServer;

/// The child process's server. Its root certificates are in `SSL_CERT_FILE`, which a process reads
/// but should not write.
const URL: &str = "SESSIONS_TEST_TLS_URL";

fn openssl(folder: &Path, arguments: &str) {
    let made = Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split_whitespace())
        .output()
        .expect("openssl is missing: install it (Debian: openssl)");
    assert!(made.status.success(), "{made:?}");
}

/// This test again, in a process that trusts the certificates in a file.
fn in_a_child_process(test: &str, url: &str, roots: &Path) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", roots)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
}

#[test]
fn a_certificate_is_checked() {
    if std::env::var_os(URL).is_some() {
        return;
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
    in_a_child_process("trusted", &url, &at("ca.pem"));
    in_a_child_process("not_trusted", &url, &at("other.pem"));
    assert_eq!(server.cli(&["HGET", "sessions:record:a", "d"]), "data");
}

/// Does nothing unless it runs in a child process.
#[tokio::test]
async fn trusted() {
    let Ok(url) = std::env::var(URL) else { return };
    let provider = RedisProvider::connect(&url).await.unwrap();
    let record = Record::new("a", 1, &b"data"[..]);
    provider.save(&record, Expect::Absent, SystemTime::now()).await.unwrap();
}

/// Does nothing unless it runs in a child process.
#[tokio::test]
async fn not_trusted() {
    let Ok(url) = std::env::var(URL) else { return };
    let error = RedisProvider::connect(&url).await.unwrap_err();
    assert!(!error.is_unavailable() && error.to_string().contains("certificate"), "{error:?}");
    // Redis closes a connection that is not encrypted without a word.
    let plain = url.replace("rediss", "redis");
    let error = RedisProvider::new(Connection::open(&plain).unwrap()).create().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}
