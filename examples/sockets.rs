//! A WebSocket that closes when its session ends: `cargo run --example sockets`. Open the page in two
//! tabs, and log out in one of them.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::http::header::{HOST, HeaderMap, ORIGIN};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use sessions::axum::SessionLayer;
use sessions::{MemoryProvider, Session, SessionEnd, Store, Watch};
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Session)]
#[session(name = "sockets", version = 1)]
struct Visitor {
    #[session(merge = add)]
    visits: u32,
}

/// Begins a session: the page's socket has one to watch.
async fn page(mut visitor: Session<Visitor>) -> Html<&'static str> {
    visitor.visits += 1;
    Html(PAGE)
}

async fn logout(mut visitor: Session<Visitor>) -> &'static str {
    visitor.destroy();
    "You are logged out, here and in the other tab."
}

/// Browsers send the cookie to a socket that a page of another subdomain opens, too.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true }; // It comes from no browser.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| host == Some(origin))
}

async fn socket(
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
    State(closing): State<watch::Receiver<()>>,
    visitor: Session<Visitor>,
) -> Response {
    if !is_own_page(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let ended = visitor.ended();
    upgrade.on_upgrade(|socket| talk(socket, ended, closing))
}

/// Answers each line, until the session ends, the server stops, or the client goes.
async fn talk(mut socket: WebSocket, mut ended: Watch, mut closing: watch::Receiver<()>) {
    let (code, reason) = loop {
        tokio::select! {
            end = &mut ended => break (close_code::POLICY, reason(end)),
            // The sender has gone.
            _ = closing.changed() => break (close_code::AWAY, "the server stops"),
            message = socket.recv() => {
                let answer = match message {
                    Some(Ok(Message::Text(line))) => answer(&line, &ended).await,
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return,
                };
                if socket.send(Message::text(answer)).await.is_err() {
                    return;
                }
            }
        }
    };
    let frame = CloseFrame { code, reason: reason.into() };
    // A client that has gone need not be told.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// A line from the visitor is activity; the open socket is none.
async fn answer(line: &str, ended: &Watch) -> String {
    match ended.touch().await {
        Ok(true) => format!("you said: {line}"),
        Ok(false) => "you are logged out".to_owned(),
        Err(error) => format!("try again: {error}"),
    }
}

fn reason(end: SessionEnd) -> &'static str {
    match end {
        SessionEnd::Superseded => "connect again, with the new cookie",
        SessionEnd::Expired => "you have not used the page for too long",
        _ => "you are logged out",
    }
}

/// The app. Its sockets close when the sender of `closing` is dropped.
pub(crate) fn app(store: Store, closing: watch::Receiver<()>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/socket", get(socket))
        .route("/logout", post(logout))
        .with_state(closing)
        .layer(SessionLayer::new(store))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new(MemoryProvider::new());
    let (open, closing) = watch::channel(());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000");
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        // The server waits for its connections: this closes the sockets.
        drop(open);
    };
    let server = axum::serve(listener, app(store.clone(), closing));
    server.with_graceful_shutdown(stop).await?;
    store.shutdown().await;
    Ok(())
}

const PAGE: &str = r#"<!DOCTYPE html>
<title>Sockets</title>
<form id="say"><input name="line" autofocus> <button>Say</button></form>
<form method="post" action="/logout"><button>Log out</button></form>
<pre id="log"></pre>
<script>
const log = text => document.getElementById("log").append(text + "\n");
const socket = new WebSocket("/socket");
socket.onmessage = message => log(message.data);
socket.onclose = close => log("closed: " + close.reason);
document.getElementById("say").onsubmit = event => {
    event.preventDefault();
    socket.send(event.target.line.value);
    event.target.reset();
};
</script>
"#;
