//! The example of a plain `tower` service, on a free port.

#[path = "../../../examples/tower.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod example;

use http::StatusCode;
use sessions::{MemoryProvider, Store};
use sessions_tests::browser::Browser;
use sessions_tests::hooked::watched;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_plain_service_has_sessions() {
    let (provider, watch) = watched(MemoryProvider::new());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut browser = Browser::new(listener.local_addr().unwrap());
    let server = tokio::spawn(example::serve(listener, Store::new(provider)));
    assert_eq!(browser.get("/").await.body, "visit number 1");
    assert_eq!(browser.get("/").await.body, "visit number 2");
    assert_eq!(browser.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    watch.set_down(true);
    assert_eq!(browser.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    server.abort();
}
