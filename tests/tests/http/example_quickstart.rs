//! The README's counter, on both frameworks, on free ports.

#[path = "../../../examples/quickstart.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod axum_example;

#[path = "../../../examples/quickstart_actix.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod actix_example;

use std::net::SocketAddr;

use sessions::{MemoryProvider, Store};
use sessions_tests::browser::Browser;
use sessions_tests::server::Server;

use crate::actix::on_a_free_port;

async fn two_browsers_are_counted_apart(address: SocketAddr) {
    let (mut ada, mut bob) = (Browser::new(address), Browser::new(address));
    for number in 1..=3 {
        assert_eq!(ada.get("/").await.body, format!("visit number {number}"));
    }
    assert_eq!(bob.get("/").await.body, "visit number 1");
}

#[tokio::test]
async fn on_axum() {
    let server = Server::start(axum_example::app(Store::new(MemoryProvider::new()))).await;
    two_browsers_are_counted_apart(server.address).await;
}

#[actix_web::test]
async fn on_actix_web() {
    let serve = |listener| actix_example::serve(listener, Store::new(MemoryProvider::new()));
    on_a_free_port(serve, two_browsers_are_counted_apart).await;
}
