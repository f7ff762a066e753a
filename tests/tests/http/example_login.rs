//! The examples of logging in and out, on both frameworks, on free ports.

#[path = "../../../examples/login.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod axum_example;

#[path = "../../../examples/login_actix.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod actix_example;

use std::net::SocketAddr;

use http::StatusCode;
use sessions::{MemoryProvider, Store};
use sessions_tests::browser::Browser;
use sessions_tests::server::Server;

use crate::actix::on_a_free_port;

/// `name` is the form's field, and `greeting` what a page says to her.
async fn ada_logs_in_and_out(address: SocketAddr, name: &str, greeting: &str) {
    let mut browser = Browser::new(address);
    assert!(browser.get("/").await.body.contains("you are logged out"));
    let refused = browser.post("/login", &format!("{name}=ada&password=guess")).await;
    assert_eq!((refused.status, browser.jar.is_empty()), (StatusCode::FORBIDDEN, true));
    let answer = browser.post("/login", &format!("{name}=ada&password=lovelace")).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers["location"], "/");
    assert!(browser.get("/").await.body.contains(greeting));

    let mut copy = browser.clone();
    assert_eq!(browser.post("/logout", "").await.status, StatusCode::SEE_OTHER);
    assert!(browser.jar.is_empty());
    assert!(copy.get("/").await.body.contains("you are logged out"), "its session has ended");
}

#[tokio::test]
async fn on_axum() {
    let server = Server::start(axum_example::app(Store::new(MemoryProvider::new()))).await;
    ada_logs_in_and_out(server.address, "user", "you are logged in").await;
}

#[actix_web::test]
async fn on_actix_web() {
    let serve = |listener| actix_example::serve(listener, Store::new(MemoryProvider::new()));
    on_a_free_port(serve, async |address| {
        ada_logs_in_and_out(address, "name", "you are number 7").await;
    })
    .await;
}
