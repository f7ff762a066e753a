//! Sessions that live in their cookies.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use sessions::axum::SessionLayer;
use sessions::provider::Page;
use sessions::{Error, MemoryProvider, Session, Store, clock::ManualClock, keys::LocalKey};
use sessions_tests::browser::Browser;
use sessions_tests::hooked::{Calls, Watch, watched};
use sessions_tests::server::Server;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    visits: u32,
    note: String,
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

async fn show(visitor: Session<Visitor>) -> String {
    let owner = visitor.owner().unwrap_or("-").to_owned();
    format!("{owner} {} {} {}", visitor.visits, visitor.is_new(), visitor.log_id())
}

async fn note(mut visitor: Session<Visitor>, note: String) {
    visitor.note = note;
}

async fn login(mut visitor: Session<Visitor>, user: String) {
    visitor.user = Some(user);
}

async fn logout(mut visitor: Session<Visitor>) {
    visitor.destroy();
}

struct Site {
    browser: Browser,
    watch: Watch,
    clock: ManualClock,
    store: Store,
    _server: Server,
}

async fn site() -> Site {
    let clock = ManualClock::default();
    let (provider, watch) = watched(MemoryProvider::new());
    let store = Store::builder(provider)
        .clock(clock.clone())
        .client_side()
        .key_encryption(LocalKey::from_bytes([7; 32]))
        .build()
        .unwrap();
    let app = Router::new()
        .route("/visit", get(visit))
        .route("/show", get(show))
        .route("/note", post(note))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(store.clone()));
    let server = Server::start(app).await;
    Site { browser: Browser::new(server.address), watch, clock, store, _server: server }
}

#[tokio::test]
async fn the_same_session_without_a_record() {
    let Site { mut browser, watch, _server, .. } = site().await;
    assert_eq!(browser.get("/show").await.body, "- 0 true new");
    assert_eq!(browser.get("/visit").await.body, "1");
    assert_eq!(browser.get("/visit").await.body, "2");
    browser.post("/login", "ada").await;
    assert_eq!(browser.get("/show").await.body, "ada 2 false client-side");
    assert_eq!(watch.take(), Calls::default(), "only the keys are stored");
    assert_eq!(browser.post("/logout", "").await.set_cookies().len(), 1);
    assert!(browser.jar.is_empty());
    assert_eq!(browser.get("/show").await.body, "- 0 true new");
}

#[tokio::test]
async fn an_unchanged_session_is_not_sent_again_until_a_touch_is_due() {
    let Site { mut browser, clock, _server, .. } = site().await;
    browser.get("/visit").await;
    let first = browser.jar.clone();
    clock.advance(Duration::from_millis(3_599_000));
    assert_eq!(browser.get("/show").await.set_cookies(), [""; 0]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get("/show").await.set_cookies().len(), 1);
    assert_ne!(browser.jar, first);
}

#[tokio::test]
async fn idle_timeout_and_lifetime_hold_on_the_server() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let Site { mut browser, clock, _server, .. } = site().await;
    browser.get("/visit").await;
    // Seven days of idleness and an hour of touch interval.
    clock.advance(7 * 24 * HOUR + HOUR - Duration::from_millis(1));
    assert_eq!(browser.get("/show").await.body, "- 1 false client-side");
    // That was activity; but nothing extends the 30 days.
    for _ in 0..3 {
        clock.advance(7 * 24 * HOUR);
        assert_eq!(browser.get("/show").await.body, "- 1 false client-side");
    }
    clock.advance(2 * 24 * HOUR);
    assert_eq!(browser.get("/show").await.body, "- 0 true new");

    browser.get("/visit").await;
    clock.advance(7 * 24 * HOUR + HOUR);
    assert_eq!(browser.get("/show").await.body, "- 0 true new");
}

#[tokio::test]
async fn what_no_browser_would_keep_is_an_error_before_the_header() {
    let Site { mut browser, _server, .. } = site().await;
    browser.get("/visit").await;
    let before = browser.jar.clone();
    // The longest note that fits, to the byte.
    let mut fits = 0;
    for length in 2_800..3_100 {
        let answer = browser.post("/note", &"x".repeat(length)).await;
        if answer.status == StatusCode::OK {
            fits = length;
            let [cookie] = &answer.set_cookies()[..] else { panic!("{answer:?}") };
            let pair = cookie.split(';').next().unwrap();
            assert!(pair.len() - 1 <= 4_096, "{}", pair.len());
        } else {
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.set_cookies(), [""; 0]);
        }
    }
    assert!((2_900..3_050).contains(&fits), "{fits}");
    assert_ne!(browser.jar, before);
    assert_eq!(browser.get("/show").await.body, "- 1 false client-side", "the last that fit");
    let huge = browser.post("/note", &"x".repeat(1_000_000)).await;
    assert_eq!(huge.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_changed_cookie_is_a_fresh_session() {
    let Site { mut browser, _server, .. } = site().await;
    browser.get("/visit").await;
    let good = browser.jar.value("__Host-visitor").to_owned();
    for at in [0, 10, 60, good.len() - 1] {
        let mut forged = good.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let cookie = [b"__Host-visitor=", forged.as_slice()].concat();
        assert_eq!(browser.get_with("/show", &[&cookie]).await.body, "- 0 true new");
    }
    // A store with records does not take it for one of its own.
    let cookie = format!("__Host-visitor={good}");
    let headers = http::HeaderMap::from_iter([(http::header::COOKIE, cookie.parse().unwrap())]);
    let store = Store::new(MemoryProvider::new());
    assert!(store.load::<Visitor>(&headers).await.unwrap().is_new());
}

#[tokio::test]
async fn what_needs_records_says_so() {
    let Site { store, _server, .. } = site().await;
    let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse().unwrap();
    let errors = [
        store.list::<Visitor>("ada", Page::first(1)).await.unwrap_err(),
        store.revoke_any(&key).await.unwrap_err(),
        store.revoke_all::<Visitor>("ada").await.unwrap_err(),
        store.update_any::<Visitor, _>(&key, |_| ()).await.unwrap_err(),
        store.purge_expired(1).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::Misuse(_)), "{error:?}");
        assert!(error.to_string().contains("client_side()"), "{error}");
    }
}
