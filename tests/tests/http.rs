//! The layer and the extractor over a real socket, with a client that keeps cookies as a browser
//! does.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use sessions::axum::{SessionLayer, SessionRejection};
use sessions::{Clock as _, Error, ManualClock, MemoryProvider, Session, Store};
use sessions_tests::browser::Browser;
use sessions_tests::server::Server;
use sessions_tests::watched::{Calls, Watch, Watched};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
    cart: Vec<String>,
}

#[derive(Session)]
#[session(name = "theme", version = 1)]
struct Theme {
    dark: bool,
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

async fn show(visitor: Session<Visitor>) -> String {
    let Visitor { user, visits, cart } = &*visitor;
    format!("{} {visits} {}", user.as_deref().unwrap_or("-"), cart.join(","))
}

async fn dark(mut theme: Session<Theme>) -> String {
    theme.dark = true;
    "dark".to_owned()
}

async fn both(visitor: Session<Visitor>, theme: Session<Theme>) -> String {
    format!("{} {}", visitor.visits, theme.dark)
}

async fn login(mut visitor: Session<Visitor>, user: String) -> &'static str {
    visitor.user = Some(user);
    "welcome"
}

async fn logout(mut visitor: Session<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

async fn add(mut visitor: Session<Visitor>, item: String) -> StatusCode {
    visitor.cart.push(item);
    StatusCode::NO_CONTENT
}

/// Changes the session and answers with the status that the path names.
async fn answer(
    axum::extract::Path(code): axum::extract::Path<u16>,
    mut visitor: Session<Visitor>,
) -> StatusCode {
    visitor.cart.push(format!("status {code}"));
    StatusCode::from_u16(code).expect("a status")
}

async fn fail_logout(mut visitor: Session<Visitor>) -> StatusCode {
    visitor.destroy();
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn known(visitor: Option<Session<Visitor>>) -> String {
    visitor.map_or("nobody".to_owned(), |visitor| visitor.visits.to_string())
}

async fn own_rejection(visitor: Result<Session<Visitor>, SessionRejection>) -> Response {
    match visitor {
        Ok(visitor) => visitor.visits.to_string().into_response(),
        Err(error) => (StatusCode::IM_A_TEAPOT, error.to_string()).into_response(),
    }
}

async fn sessions_of(State(store): State<Store>, user: String) -> Result<String, Error> {
    let page = sessions::provider::Page::first(10);
    Ok(store.list::<Visitor>(user, page).await?.sessions.len().to_string())
}

#[derive(serde::Deserialize)]
struct Remember {
    days: u64,
}

async fn remember(mut visitor: Session<Visitor>, Form(form): Form<Remember>) -> &'static str {
    visitor.remember(std::time::Duration::from_secs(form.days * 24 * 60 * 60));
    "remembered"
}

struct Site {
    _server: Server,
    browser: Browser,
    watch: Watch,
    clock: ManualClock,
}

async fn site() -> Site {
    let clock = ManualClock::default();
    let (provider, watch) = Watched::new(MemoryProvider::new());
    let store = Store::builder(provider).clock(clock.clone()).build().unwrap();
    let app = Router::new()
        .route("/visit", get(visit))
        .route("/show", get(show))
        .route("/dark", get(dark))
        .route("/both", get(both))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/add", post(add))
        .route("/answer/{code}", post(answer))
        .route("/fail-logout", post(fail_logout))
        .route("/known", get(known))
        .route("/own-rejection", get(own_rejection))
        .route("/sessions", post(sessions_of))
        .route("/remember", post(remember))
        .route("/plain", get(async || "plain"))
        .layer(SessionLayer::new(store.clone()))
        .with_state(store);
    let server = Server::start(app).await;
    let browser = Browser::new(server.address);
    Site { _server: server, browser, watch, clock }
}

#[tokio::test]
async fn a_session_survives_from_request_to_request() {
    let Site { mut browser, _server, .. } = site().await;
    let first = browser.get("/visit").await;
    assert_eq!((first.status, first.body.as_str()), (StatusCode::OK, "1"));
    let [cookie] = &first.set_cookies()[..] else { panic!("one cookie: {first:?}") };
    for part in ["__Host-visitor=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie} lacks {part}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // 16 bytes of id make a token of 88 characters (design of the codec).
    assert_eq!(browser.jar["__Host-visitor"].len(), 88);
    assert_eq!(first.headers["cache-control"], "private, no-store");
    assert_eq!(first.headers["vary"], "cookie");

    let second = browser.get("/visit").await;
    assert_eq!(second.body, "2");
    assert_eq!(second.set_cookies(), [""; 0], "a fresh token is not sent again");
    assert_eq!(browser.get("/show").await.body, "- 2 ");
}

#[tokio::test]
async fn two_session_types_have_their_own_cookies() {
    let Site { mut browser, _server, .. } = site().await;
    browser.get("/visit").await;
    browser.get("/dark").await;
    let names: Vec<_> = browser.jar.keys().map(String::as_str).collect();
    assert_eq!(names, ["__Host-theme", "__Host-visitor"]);
    assert_eq!(browser.get("/both").await.body, "1 true");
    // One type's token is not the other's.
    let swapped = browser.jar["__Host-theme"].clone();
    browser.jar.insert("__Host-visitor".to_owned(), swapped);
    assert_eq!(browser.get("/both").await.body, "0 true");
}

#[tokio::test]
async fn login_gives_a_new_id_and_the_old_cookie_is_dead() {
    let Site { mut browser, _server, .. } = site().await;
    browser.get("/visit").await;
    browser.post("/add", "tea").await;
    let mut thief = browser.clone();

    assert_eq!(browser.post("/login", "ada").await.body, "welcome");
    assert_ne!(browser.jar, thief.jar);
    assert_eq!(browser.get("/show").await.body, "ada 1 tea");

    let stolen = thief.get("/show").await;
    assert_eq!((stolen.status, stolen.body.as_str()), (StatusCode::OK, "- 0 "));
    // Whoever brings the old cookie can neither save nor touch the browser's cookie.
    let before = thief.jar.clone();
    let written = thief.post("/add", "poison").await;
    assert_eq!(written.status, StatusCode::NO_CONTENT);
    assert_eq!(written.set_cookies(), [""; 0]);
    assert_eq!(thief.jar, before);
    assert_eq!(browser.get("/show").await.body, "ada 1 tea");
}

#[tokio::test]
async fn logout_ends_the_session_and_clears_the_cookie() {
    let Site { mut browser, _server, .. } = site().await;
    browser.post("/login", "ada").await;
    assert_eq!(browser.post("/sessions", "ada").await.body, "1");
    let mut copy = browser.clone();
    let bye = browser.post("/logout", "").await;
    assert!(bye.set_cookies()[0].contains("Max-Age=0"), "{bye:?}");
    assert!(browser.jar.is_empty());
    assert_eq!(browser.post("/sessions", "ada").await.body, "0");
    // A copy of the cookie opens nothing, and its id is not adopted by what is saved next.
    assert_eq!(copy.get("/show").await.body, "- 0 ");
    let before = copy.jar.clone();
    assert_eq!(copy.get("/visit").await.body, "1");
    assert_ne!(copy.jar, before);
}

#[tokio::test]
async fn a_forged_cookie_is_a_fresh_anonymous_session() {
    let Site { mut browser, _server, watch, .. } = site().await;
    browser.get("/visit").await;
    let good = browser.jar["__Host-visitor"].clone();
    let _ = watch.take();
    let mut forged = good.clone().into_bytes();
    forged[60] = if forged[60] == b'A' { b'B' } else { b'A' };
    for value in [forged.as_slice(), b"", b"x", &[b'A'; 88], &[0xff; 88], &[b'A'; 12_000]] {
        let cookie = [b"__Host-visitor=", value].concat();
        let answer = browser.get_with("/show", &[&cookie]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "- 0 "));
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    assert_eq!(watch.take(), Calls::default(), "what does not open asks the store for nothing");
    // Among several of one name, the first that opens counts.
    let mixed = format!("__Host-visitor=x; a=b;; __Host-visitor={good}");
    assert_eq!(browser.get_with("/show", &[mixed.as_bytes()]).await.body, "- 1 ");
    let split = format!("__Host-visitor={good}");
    assert_eq!(browser.get_with("/show", &[b"\xfe=\xff", split.as_bytes()]).await.body, "- 1 ");
}

#[tokio::test]
async fn a_store_that_is_down_is_503_and_keeps_the_cookie() {
    let Site { mut browser, _server, watch, .. } = site().await;
    browser.post("/login", "ada").await;
    let jar = browser.jar.clone();
    watch.set_down(true);
    for answer in
        [browser.get("/show").await, browser.get("/visit").await, browser.get("/known").await]
    {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert!(!answer.body.contains("switched off"), "the reason is for the log");
    }
    assert_eq!(browser.get("/own-rejection").await.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(browser.get("/plain").await.status, StatusCode::OK);
    assert_eq!(browser.post("/logout", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.jar, jar);
    watch.set_down(false);
    assert_eq!(browser.get("/show").await.body, "ada 0 ");
}

#[tokio::test]
async fn a_session_that_is_not_extracted_costs_no_call() {
    let Site { mut browser, _server, watch, .. } = site().await;
    browser.get("/visit").await;
    let _ = watch.take();
    let answer = browser.get("/plain").await;
    assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::OK, 0));
    assert!(!answer.headers.contains_key("vary"), "it is the same for everybody");
    assert_eq!(watch.take(), Calls::default());
}

#[tokio::test]
async fn a_commit_that_fails_replaces_the_response() {
    let Site { _server, mut browser, watch, .. } = site().await;
    // A new visitor's handler succeeds; only its commit meets the store.
    browser.get("/visit").await;
    let mut other = Browser::new(_server.address);
    watch.set_down(true);
    let answer = other.get("/visit").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.body, "");
    assert!(other.jar.is_empty());
}

#[tokio::test]
async fn what_a_failed_response_changed_is_discarded() {
    let Site { mut browser, _server, .. } = site().await;
    browser.get("/visit").await;
    for code in [500, 503, 408] {
        assert_eq!(browser.post(&format!("/answer/{code}"), "").await.status.as_u16(), code);
    }
    assert_eq!(browser.get("/show").await.body, "- 1 ");
    // What a handler changed before it refused the request stays.
    for code in [404, 302] {
        browser.post(&format!("/answer/{code}"), "").await;
    }
    assert_eq!(browser.get("/show").await.body, "- 1 status 404,status 302");
    // Logging out is carried out whatever the status.
    let copy = browser.clone();
    assert_eq!(browser.post("/fail-logout", "").await.status.as_u16(), 500);
    assert!(browser.jar.is_empty());
    assert_eq!(copy.clone().get("/show").await.body, "- 0 ");
}

#[tokio::test]
async fn an_optional_session_is_none_until_something_is_stored() {
    let Site { mut browser, _server, .. } = site().await;
    assert_eq!(browser.get("/known").await.body, "nobody");
    assert!(browser.jar.is_empty());
    browser.get("/visit").await;
    assert_eq!(browser.get("/known").await.body, "1");
}

#[tokio::test]
async fn remember_keeps_a_session_beyond_the_idle_timeout() {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    let Site { mut browser, _server, clock, .. } = site().await;
    browser.get("/visit").await;
    let mut forgotten = Browser::new(_server.address);
    forgotten.get("/visit").await;
    browser.post("/remember", "days=60").await;
    clock.advance(59 * DAY);
    assert_eq!(forgotten.get("/show").await.body, "- 0 ");
    assert_eq!(browser.get("/show").await.body, "- 1 ");
    clock.advance(DAY);
    assert_eq!(browser.get("/show").await.body, "- 0 ");
    assert!(clock.now() > ManualClock::default().now());
}

#[tokio::test]
async fn without_the_layer_the_rejection_says_what_to_add() {
    let server = Server::start(Router::new().route("/", get(own_rejection))).await;
    let answer = Browser::new(server.address).get("/").await;
    assert!(answer.body.contains("SessionLayer::new(store)"), "{}", answer.body);
}

#[tokio::test]
async fn a_middleware_and_a_handler_share_the_session() {
    use axum::extract::Request;
    use axum::middleware::{Next, from_fn};

    // One handle for the whole request, one that is dropped before the handler runs.
    async fn count(mut held: Session<Visitor>, request: Request, next: Next) -> Response {
        held.visits += 1;
        let response = next.run(request).await;
        held.visits += 1;
        held.cart.push("middleware".to_owned());
        response
    }
    async fn first(mut visitor: Session<Visitor>, request: Request, next: Next) -> Response {
        visitor.visits += 10;
        drop(visitor);
        next.run(request).await
    }
    async fn handler(mut visitor: Session<Visitor>) -> String {
        visitor.visits += 100;
        visitor.cart.push("handler".to_owned());
        visitor.visits.to_string()
    }

    let (provider, watch) = Watched::new(MemoryProvider::new());
    let app = Router::new()
        .route("/", get(handler))
        .route("/show", get(show))
        .layer(from_fn(count))
        .layer(from_fn(first))
        .layer(SessionLayer::new(Store::new(provider)));
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    let answer = browser.get("/").await;
    // The handler does not see what the middleware still holds.
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "100"));
    assert_eq!(watch.take(), Calls { save: 1, ..Calls::default() });
    let shown = browser.get("/show").await.body;
    assert!(shown.contains("handler") && shown.contains("middleware"), "{shown}");
}
