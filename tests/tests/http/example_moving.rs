//! The example of a move from axum-login and tower-sessions, while its visitors come and go.

#[path = "../../../examples/moving_from_tower_sessions.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod example;

use http::StatusCode;
use sessions::tower_sessions::ProviderStore;
use sessions::{MemoryProvider, Store};
use sessions_sqlite::SqliteProvider;
use sessions_tests::browser::Browser;
use sessions_tests::hooked::watched;
use sessions_tests::server::Server;

#[tokio::test]
async fn nobody_is_logged_out_and_no_session_is_taken_over_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (old, old_watch) =
        watched(SqliteProvider::open(folder.path().join("old.db")).await.unwrap());
    let old = ProviderStore::new(old);
    let (new, new_watch) = watched(MemoryProvider::new());
    let before = Server::start(example::before::app(old.clone())).await;
    let mut ada = Browser::new(before.address);
    let mut guest = ada.clone();
    assert_eq!(ada.post("/login", "lovelace").await.status, StatusCode::OK);
    ada.post("/cart", "tea").await;
    guest.post("/cart", "cup").await;
    assert_eq!(ada.get("/cart").await.body, r#"[7,["tea"]]"#);
    let stale = ada.clone();

    drop(before);
    let server = Server::start(example::app(old, Store::new(new))).await;
    let [mut ada, mut guest, mut stale] = [ada, guest, stale].map(|who| who.at(server.address));
    old_watch.set_down(true);
    assert_eq!(ada.get("/cart").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    old_watch.set_down(false);
    new_watch.set_down(true);
    assert_eq!(ada.get("/cart").await.status, StatusCode::SERVICE_UNAVAILABLE);
    new_watch.set_down(false);
    assert_eq!(ada.get("/cart").await.body, r#"[7,["tea"]]"#, "no outage lost the session");
    ada.post("/cart", "kettle").await;
    assert_eq!(ada.get("/cart").await.body, r#"[7,["tea","kettle"]]"#);
    assert_eq!(guest.get("/cart").await.body, r#"[null,["cup"]]"#);

    let names = |browser: &Browser| browser.jar.pairs().map(|pair| pair.0.to_owned()).collect();
    let kept: Vec<String> = names(&ada);
    assert_eq!(kept, ["__Host-moving"], "the old cookie is gone");
    ada.post("/logout", "").await;
    assert_eq!(ada.get("/cart").await.body, "[null,[]]");
    assert_eq!(stale.get("/cart").await.body, "[null,[]]", "a copy of the old cookie is dead");
}
