//! The shop of the examples, as the README starts it: its own process, its own file.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::env;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use axum::http::StatusCode;
use sessions_tests::browser::Browser;

/// A shop that runs; it is ended by its process id when it is dropped.
struct Shop {
    process: Child,
    address: SocketAddr,
    /// Kept open: a program that cannot print ends.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Shop {
    fn open(program: &Path, db: &Path) -> Self {
        let mut process = Command::new(program)
            .args(["--port", "0", "--db"])
            .arg(db)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the shop prints its address").unwrap();
        let port = first.rsplit(':').next().unwrap().parse().expect("a port at the end");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, address, _output: lines }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // As hard as a crash: what was answered must be in the file.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the example where it is not there yet, with the features of a run of the whole suite, so
/// that such a run has nothing to build.
fn program() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = Command::new(cargo)
        .args(["build", "--locked", "--workspace", "--all-features", "--example", "shop"])
        .current_dir(workspace)
        .status()
        .unwrap();
    assert!(built.success(), "the example does not build");
    // target/<profile>/deps/this test -> target/<profile>/examples/shop
    let target = env::current_exe().unwrap();
    target.parent().unwrap().parent().unwrap().join("examples").join("shop")
}

#[tokio::test]
async fn a_visitor_is_still_logged_in_after_a_restart() {
    let program = program();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("shop.db");

    let shop = Shop::open(&program, &db);
    let mut browser = Browser::new(shop.address);
    let front = browser.get("/").await;
    assert!(front.body.contains("Add to cart"));
    assert_eq!(front.headers["cache-control"], "private, no-store");
    assert!(browser.jar.is_empty(), "looking around stores nothing");
    assert_eq!(browser.post("/cart/add", "id=sencha").await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/").await.body.contains("Sencha is in your cart"));
    assert!(!browser.get("/").await.body.contains("is in your cart"), "a notice is shown once");

    browser.post("/login", "user=ada&password=wrong").await;
    assert!(browser.get("/login").await.body.contains("Wrong name or password"));
    let anonymous = browser.jar.clone();
    browser.post("/login", "user=ada&password=lovelace").await;
    assert_ne!(browser.jar, anonymous);
    drop(shop);

    let shop = Shop::open(&program, &db);
    let mut browser = browser.at(shop.address);
    let account = browser.get("/account").await;
    assert_eq!(account.status, StatusCode::OK);
    assert!(account.body.contains("this one"), "{}", account.body);
    assert!(browser.get("/cart").await.body.contains("Sencha"), "the cart came along");

    // Another device, ended from this one.
    let mut phone = Browser::new(shop.address);
    phone.post("/login", "user=ada&password=lovelace").await;
    assert_eq!(phone.get("/account").await.status, StatusCode::OK);
    browser.post("/account/end-others", "").await;
    assert_eq!(phone.get("/account").await.status, StatusCode::SEE_OTHER, "sent to the login");
    assert!(browser.get("/account").await.body.contains("One other device is logged out"));

    browser.post("/logout", "").await;
    assert!(browser.jar.is_empty());
    assert_eq!(browser.get("/account").await.status, StatusCode::SEE_OTHER);
}
