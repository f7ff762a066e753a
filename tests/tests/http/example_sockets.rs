//! The example of a WebSocket that closes when its session ends, on a free port.

#[path = "../../../examples/sockets.rs"]
#[allow(dead_code)] // Its `main` takes port 3000.
mod example;

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use sessions::{MemoryProvider, Store};
use sessions_tests::browser::Browser;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(address: SocketAddr, browser: &Browser) -> Socket {
    let mut request = format!("ws://{address}/socket").into_client_request().unwrap();
    request.headers_mut().extend(browser.jar.headers().clone());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

/// What the handshake of a socket that this page opens is answered with.
async fn opened_by(origin: &str, address: SocketAddr) -> StatusCode {
    let mut request = format!("ws://{address}/socket").into_client_request().unwrap();
    request.headers_mut().insert("origin", origin.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, answer)) => answer.status(),
        Err(Error::Http(answer)) => answer.status(),
        Err(error) => panic!("{error}"),
    }
}

async fn reason(socket: &mut Socket) -> String {
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => frame.reason.to_string(),
        other => panic!("it goes on: {other:?}"),
    }
}

#[tokio::test]
async fn a_logout_closes_the_socket_and_so_does_the_server() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, closing) = watch::channel(());
    let app = example::app(Store::new(MemoryProvider::new()), closing);
    let mut stopping = open.subscribe();
    let stop = async move {
        let _ = stopping.changed().await;
    };
    let server =
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stop).await });

    let mut browser = Browser::new(address);
    browser.get("/").await;
    for (origin, expected) in [
        (format!("http://{address}"), StatusCode::SWITCHING_PROTOCOLS),
        (format!("http://a.{address}"), StatusCode::FORBIDDEN),
        ("null".to_owned(), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(opened_by(&origin, address).await, expected, "{origin}");
    }
    let mut socket = connect(address, &browser).await;
    socket.send(Message::text("hello")).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer.into_text().unwrap().as_str(), "you said: hello");
    browser.post("/logout", "").await;
    assert_eq!(reason(&mut socket).await, "you are logged out");
    assert_eq!(reason(&mut connect(address, &browser).await).await, "you are logged out");

    browser.get("/").await;
    let mut socket = connect(address, &browser).await;
    drop(open);
    assert_eq!(reason(&mut socket).await, "the server stops");
    drop(socket);
    server.await.unwrap().unwrap();
}
