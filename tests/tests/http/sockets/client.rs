//! A client of a page that stays open.

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use sessions_tests::browser::Browser;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::host::Host;

/// An open page. Whoever drops it goes away.
pub(super) enum Client {
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Events { body: Incoming, text: String },
}

/// What a client is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Said(String),
    /// And how the session ended.
    Ended(String),
    /// The connection is closed.
    Closed,
}

impl Client {
    /// Opens the page of a host's kind, in a browser, which keeps the cookie that comes.
    pub(super) async fn open(host: &Host, browser: &mut Browser) -> Self {
        Self::open_at(host, host.kind.path(), browser).await
    }

    pub(super) async fn open_at(host: &Host, path: &str, browser: &mut Browser) -> Self {
        let address = host.address;
        if path == "/socket" {
            let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
            request.headers_mut().extend(browser.jar.headers().clone());
            let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
            browser.jar.keep_all(answer.headers());
            return Self::Socket(Box::new(socket));
        }
        let mut request = http::Request::get(format!("http://{address}{path}"));
        request.headers_mut().unwrap().extend(browser.jar.headers().clone());
        let client = Http::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        browser.jar.keep_all(answer.headers());
        Self::Events { body: answer.into_body(), text: String::new() }
    }

    /// Waits for what is sent next.
    pub(super) async fn next(&mut self) -> Heard {
        match self {
            Self::Socket(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => Heard::Said(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => Heard::Ended(frame.reason.to_string()),
                Some(Ok(message)) => panic!("{message:?}"),
                Some(Err(_)) | None => Heard::Closed,
            },
            Self::Events { body, text } => loop {
                if let Some((event, rest)) = text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    *text = rest;
                    let said = event.strip_prefix("event: said\ndata: ");
                    let ended = event.strip_prefix("event: ended\ndata: ");
                    match (said, ended) {
                        (Some(said), _) => return Heard::Said(said.to_owned()),
                        (_, Some(ended)) => return Heard::Ended(ended.to_owned()),
                        _ => assert_eq!(event, ":", "a comment"),
                    }
                    continue;
                }
                let Some(frame) = body.frame().await else { return Heard::Closed };
                let chunk = frame.unwrap().into_data().unwrap();
                text.push_str(str::from_utf8(&chunk).unwrap());
            },
        }
    }

    /// Waits for the end, with nothing before it, and returns how the session ended.
    pub(super) async fn end(&mut self) -> String {
        let Heard::Ended(how) = self.next().await else { panic!("it goes on") };
        assert_eq!(self.next().await, Heard::Closed);
        how
    }

    /// Says something, as a visitor who uses the page, and returns the answer.
    pub(super) async fn use_page(&mut self) -> Heard {
        let Self::Socket(socket) = self else { panic!("an event stream takes nothing") };
        socket.send(Message::text("hello")).await.unwrap();
        self.next().await
    }
}
