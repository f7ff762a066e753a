//! The server functions of the example, over HTTP.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

#[path = "main.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod example;

use http::StatusCode;
use sessions::testing::TestStore;
use sessions_tests::browser::Browser;
use sessions_tests::server::Server;

#[tokio::test]
async fn server_functions_log_in_and_out_and_share_the_session() {
    let store = TestStore::new();
    let server = Server::start(example::app(store.store())).await;
    let mut browser = Browser::new(server.address);
    assert!(browser.get("/").await.body.contains("/api/login"));
    let answer = browser.post("/api/greet", "").await;
    assert_eq!(answer.body, r#""hello stranger, visit number 1""#);
    let stranger = browser.jar.clone();

    let refused = browser.post("/api/login", "user=ada&password=guess").await;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(browser.jar, stranger);
    let form = [("accept", "text/html"), ("referer", "http://127.0.0.1/")];
    let answer = browser.post_with("/api/login", "user=ada&password=lovelace", &form).await;
    assert_eq!(
        (answer.status, answer.headers["location"].as_bytes()),
        (StatusCode::FOUND, &b"/"[..])
    );
    assert_ne!(browser.jar, stranger, "a login renews the secret");
    let answer = browser.post("/api/greet", "").await;
    assert_eq!(answer.body, r#""hello ada, visit number 2""#);

    store.set_down(true);
    let answer = browser.post("/api/greet", "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    store.set_down(false);
    let mut copy = browser.clone();
    browser.post("/api/logout", "").await;
    assert!(browser.jar.is_empty());
    assert_eq!(copy.post("/api/greet", "").await.body, r#""hello stranger, visit number 1""#);
}
