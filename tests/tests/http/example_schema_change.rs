//! The example of a schema change: three builds of an app on one database, one after another.

#[path = "../../../examples/schema_change.rs"]
#[allow(dead_code)] // Its `main` takes port 3000 and a file.
mod example;

use http::StatusCode;
use sessions::Store;
use sessions_sqlite::SqliteProvider;
use sessions_tests::browser::Browser;
use sessions_tests::server::Server;

/// Each deploy has a process of its own, here a server with a store of its own.
async fn deploy(build: usize, file: &std::path::Path) -> Server {
    let provider = SqliteProvider::open(file).await.unwrap();
    let store = Store::builder(provider).app("schema_change").build().unwrap();
    Server::start(example::BUILDS[build - 1](store)).await
}

#[tokio::test]
async fn a_rollback_loses_nothing_and_after_the_last_deploy_a_login_helps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let [v1, v2, v3] = [deploy(1, &file).await, deploy(2, &file).await, deploy(3, &file).await];
    let mut ada = Browser::new(v1.address);
    let mut visit = async |server: &Server| {
        ada = ada.clone().at(server.address);
        ada.get("/").await.body
    };
    assert_eq!(visit(&v1).await, "version 1: 1 hits");
    assert_eq!(visit(&v2).await, "version 2: 2 visits, de");
    assert_eq!(visit(&v1).await, "version 1: 3 hits", "rolled back");
    assert_eq!(visit(&v2).await, "version 2: 4 visits, de");
    assert_eq!(visit(&v3).await, "version 2, finished: 5 visits, de", "what version 1 kept");

    let mut ada = ada.at(v1.address);
    let refused = ada.get("/").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers.contains_key("retry-after"));
    let mut patient = ada.clone().at(v3.address);
    assert_eq!(patient.get("/").await.body, "version 2, finished: 6 visits, de");
    assert_eq!(ada.get("/login/ada").await.body, "welcome");
    assert_eq!(ada.get("/").await.body, "version 1: 1 hits");
}
