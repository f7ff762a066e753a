//! What is axum's own: WebSockets, server-sent events, rejections as a handler's own error.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sessions::axum::{SessionLayer, SessionRejection};
use sessions::{Error, MemoryProvider, Session, Store};
use sessions_tests::browser::Browser;
use sessions_tests::events::Events;
use sessions_tests::hooked::watched;
use sessions_tests::server::Server;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tracing::Level;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = append)]
    lines: Vec<String>,
}

async fn show(visitor: Session<Visitor>) -> String {
    format!("{} {}", visitor.user.as_deref().unwrap_or("-"), visitor.lines.join(","))
}

async fn add(mut visitor: Session<Visitor>, line: String) {
    visitor.lines.push(line);
}

async fn login(mut visitor: Session<Visitor>, user: String) {
    visitor.user = Some(user);
}

async fn logout(mut visitor: Session<Visitor>) {
    visitor.destroy();
}

/// Takes the session into the socket, and saves it with each line.
async fn chat(upgrade: WebSocketUpgrade, visitor: Session<Visitor>) -> Response {
    upgrade.on_upgrade(move |socket| talk(socket, visitor))
}

/// As `chat`; the session gets its cookie before the headers leave.
async fn chat_with_a_cookie(
    upgrade: WebSocketUpgrade,
    mut visitor: Session<Visitor>,
) -> Result<Response, Error> {
    visitor.lines.push("hello".to_owned());
    visitor.save().await?;
    Ok(upgrade.on_upgrade(move |socket| talk(socket, visitor)))
}

async fn talk(mut socket: WebSocket, mut visitor: Session<Visitor>) {
    while let Some(Ok(Message::Text(line))) = socket.recv().await {
        visitor.lines.push(line.to_string());
        let answer = match visitor.save().await {
            Ok(()) => format!("saved {}", visitor.lines.join(",")),
            Err(error) => format!("{error}"),
        };
        if socket.send(Message::Text(answer.into())).await.is_err() {
            return;
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(
    address: SocketAddr,
    path: &str,
    browser: &Browser,
) -> (Socket, tungstenite::handshake::client::Response) {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    request.headers_mut().extend(browser.jar.headers().clone());
    tokio_tungstenite::connect_async(request).await.unwrap()
}

async fn say(socket: &mut Socket, line: &str) -> String {
    socket.send(tungstenite::Message::text(line)).await.unwrap();
    socket.next().await.expect("an answer").unwrap().into_text().unwrap().to_string()
}

async fn site() -> (Server, Browser) {
    let app = Router::new()
        .route("/show", get(show))
        .route("/add", post(add))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/chat", get(chat))
        .route("/chat_with_a_cookie", get(chat_with_a_cookie))
        .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
    let server = Server::start(app).await;
    let browser = Browser::new(server.address);
    (server, browser)
}

#[tokio::test]
async fn a_websocket_saves_while_other_requests_do() {
    let events = Events::capture(Level::WARN);
    let (server, mut browser) = site().await;
    browser.post("/login", "ada").await;
    let (mut socket, upgraded) = connect(server.address, "/chat", &browser).await;
    assert_eq!(upgraded.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(say(&mut socket, "one").await, "saved one");
    assert_eq!(browser.get("/show").await.body, "ada one");
    // What another request saved meanwhile is merged, and the socket sees it.
    browser.post("/add", "two").await;
    assert_eq!(say(&mut socket, "three").await, "saved one,two,three");
    assert_eq!(browser.get("/show").await.body, "ada one,two,three");
    assert_eq!(events.take(), [""; 0], "nothing is lost, nothing is told of");

    // The visitor logs out in another tab: the session is not revived.
    browser.post("/logout", "").await;
    assert_eq!(say(&mut socket, "four").await, Error::Gone.to_string());
}

#[tokio::test]
async fn a_websocket_of_a_new_visitor_needs_its_cookie_before_the_upgrade() {
    let (server, mut browser) = site().await;
    let (mut socket, upgraded) = connect(server.address, "/chat", &browser).await;
    assert!(!upgraded.headers().contains_key(SET_COOKIE));
    assert!(say(&mut socket, "one").await.contains("can take no new cookie"));

    let (mut socket, upgraded) = connect(server.address, "/chat_with_a_cookie", &browser).await;
    browser.jar.keep_all(upgraded.headers());
    assert_eq!(say(&mut socket, "one").await, "saved hello,one");
    assert_eq!(browser.get("/show").await.body, "- hello,one");
}

/// Saves the session before each event, when the test lets it.
async fn events(
    visitor: Session<Visitor>,
    go: Arc<Notify>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold((visitor, 0), move |(mut visitor, count)| {
        let go = go.clone();
        async move {
            go.notified().await;
            visitor.lines.push(format!("event {count}"));
            let saved = match visitor.save().await {
                Ok(()) => visitor.lines.join(","),
                Err(error) => error.to_string(),
            };
            Some((Ok(Event::default().data(saved)), (visitor, count + 1)))
        }
    }))
}

#[tokio::test]
async fn server_sent_events_save_the_session_as_they_go() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let app = Router::new()
        .route("/show", get(show))
        .route("/add", post(add))
        .route("/events", get(async move |visitor| events(visitor, gate.clone()).await))
        .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    browser.post("/add", "before").await;

    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = http::Request::get(format!("http://{}/events", server.address))
        .header(COOKIE, format!("__Host-visitor={}", browser.jar.value("__Host-visitor")))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        go.notify_one();
        let frame = body.frame().await.expect("an event").unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(next().await, "data: before,event 0\n\n");
    assert_eq!(browser.get("/show").await.body, "- before,event 0");
    browser.post("/add", "between").await;
    assert_eq!(next().await, "data: before,event 0,between,event 1\n\n");
    assert_eq!(browser.get("/show").await.body, "- before,event 0,between,event 1");
}

/// A handler's own error, made of a rejection and of what else went wrong.
enum Failure {
    Session(Error),
}

impl From<SessionRejection> for Failure {
    fn from(rejection: SessionRejection) -> Self {
        Self::Session(rejection.into_error())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self::Session(error) = self;
        assert!(error.is_unavailable());
        (StatusCode::BAD_GATEWAY, "own page").into_response()
    }
}

#[tokio::test]
async fn a_rejection_becomes_a_handlers_own_error() {
    async fn handler(
        visitor: Result<Session<Visitor>, SessionRejection>,
    ) -> Result<String, Failure> {
        Ok(visitor?.lines.join(","))
    }
    let (provider, watch) = watched(MemoryProvider::new());
    let app = Router::new()
        .route("/", get(handler))
        .route("/add", post(add))
        .layer(SessionLayer::new(Store::new(provider)).on_error(|_, _| -> Response { panic!() }));
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    browser.post("/add", "line").await;
    assert_eq!(browser.get("/").await.body, "line");
    watch.set_down(true);
    let answer = browser.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::BAD_GATEWAY, "own page"));
}

#[tokio::test]
async fn without_the_layer_the_rejection_says_what_to_add() {
    async fn reason(visitor: Result<Session<Visitor>, SessionRejection>) -> String {
        visitor.err().expect("no sessions").to_string()
    }
    let server = Server::start(Router::new().route("/", get(reason))).await;
    let answer = Browser::new(server.address).get("/").await;
    assert!(answer.body.contains("SessionLayer::new(store)"), "{}", answer.body);
}
