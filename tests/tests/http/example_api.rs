//! The example of a JSON API and its client, on a free port.

#[path = "../../../examples/api.rs"]
#[allow(dead_code)] // Its `main` starts a server of its own.
mod example;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_client_without_cookies_logs_in_works_and_logs_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = example::store().unwrap();
    let app = example::app(store.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = example::Client::new(address);
    let mut send = async |method, path, body| client.send(method, path, body).await.unwrap();

    let login = |password| json!({ "user": "ada", "password": password, "device": "phone" });
    assert_eq!(send("GET", "/notes", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send("POST", "/login", login("wrong")).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = send("POST", "/login", login("lovelace")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body["token"].as_str().unwrap().starts_with("sess_"));
    assert_eq!(send("POST", "/notes", json!("buy tea")).await.0, StatusCode::NO_CONTENT);
    let (_, body) = send("GET", "/notes", Value::Null).await;
    assert_eq!(body, json!({ "user": "ada", "notes": ["buy tea"] }));
    // Logged in again: the new token is kept, and the notes too.
    send("POST", "/login", login("lovelace")).await;
    assert_eq!(send("GET", "/notes", Value::Null).await.1["notes"], json!(["buy tea"]));
    assert_eq!(send("POST", "/logout", Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(send("GET", "/notes", Value::Null).await.0, StatusCode::UNAUTHORIZED);
    server.abort();
}
