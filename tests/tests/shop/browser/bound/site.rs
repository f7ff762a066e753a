//! An app over HTTPS that binds its sessions, and writes down what each request brought and got.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HeaderMap, REFRESH, SET_COOKIE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use sessions::axum::SessionLayer;
use sessions::clock::ManualClock;
use sessions::{DeviceBinding, MemoryProvider, Session, Store};
use sessions_tests::server::Server;
use tokio::net::TcpListener;
use tower_http::csrf::CsrfLayer;

use super::super::driver::{Browser, LIMIT};
use crate::https::Certificate;

#[derive(Session)]
#[session(name = "site", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
}

/// The cookie of a proof.
pub(super) const BOUND: &str = "__Host-site-bound";
const OWN: &str = "__Host-site";

/// How the log's lines of the two endpoints begin.
pub(super) const REGISTER: &str = "POST /.sessions/dbsc/register";
pub(super) const PROOF: &str = "POST /.sessions/dbsc/refresh";

/// The app, which its visitors know as `localhost` and as `shop.example`, and an identity provider,
/// `idp.example`. It stops when it is dropped.
pub(super) struct Site {
    app: Server,
    provider: Server,
    /// The pin of the certificate.
    pub(super) pin: String,
    pub(super) clock: ManualClock,
    /// The requests, as they reach the app.
    pub(super) log: Log,
    /// The paths of the requests that reach what is inside of the session layer.
    pub(super) inside: Log,
    /// The events of the store.
    pub(super) events: Log,
}

impl Site {
    pub(super) async fn start(binding: DeviceBinding) -> Self {
        let (log, inside, events) = (Log::default(), Log::default(), Log::default());
        let (clock, heard) = (ManualClock::default(), events.clone());
        let store = Store::builder(MemoryProvider::new())
            .clock(clock.clone())
            .device_binding(binding)
            .on_event(move |event| {
                let reason = event.reason().map(|reason| format!(" {reason}"));
                heard.add(format!("{}{}", event.name(), reason.unwrap_or_default()));
            })
            .build()
            .unwrap();
        let certificate = Certificate::new(&["localhost", "shop.example", "idp.example"]).unwrap();
        let pin = certificate.pin.clone();
        let app = serve(&certificate, app(store, log.clone(), inside.clone())).await;
        let callback = format!("https://shop.example:{}", app.address.port());
        let provider = serve(&certificate, provider(callback)).await;
        Self { app, provider, pin, clock, log, inside, events }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.app.address.port())
    }

    /// The same page under another name, for the tests with more than one site.
    pub(super) fn shop_url(&self, path: &str) -> String {
        format!("https://shop.example:{}{path}", self.app.address.port())
    }

    pub(super) fn provider_url(&self, path: &str) -> String {
        format!("https://idp.example:{}{path}", self.provider.address.port())
    }
}

async fn serve(certificate: &Certificate, app: Router) -> Server {
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    Server::start_on(certificate.listen(tcp), app)
}

fn app(store: Store, log: Log, inside: Log) -> Router {
    let note = async |State(inside): State<Log>, request: Request, next: Next| {
        inside.add(request.uri().path().to_owned());
        next.run(request).await
    };
    Router::new()
        .route("/", get(page))
        .route("/part", get(part))
        .route("/static/part", get(part))
        .route("/statics", get(part))
        .route("/login", post(login))
        .route("/callback", get(login))
        .route("/logout", post(logout))
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(inside, note))
        .layer(SessionLayer::new(store))
        .layer(from_fn_with_state(log, write_down))
}

async fn page(visitor: Session<Visitor>) -> Html<String> {
    let user = visitor.user.as_deref().unwrap_or("nobody");
    Html(format!(
        "<!doctype html><title>Site</title><link rel=icon href='data:,'>
         <p id=user>{user}</p><p id=bound>{}</p>
         <form method=post action=/login><button id=login>Log in</button></form>
         <form method=post action=/logout><button id=logout>Log out</button></form>",
        visitor.device_bound()
    ))
}

async fn part(visitor: Session<Visitor>) -> String {
    visitor.user.clone().unwrap_or("nobody".to_owned())
}

async fn login(mut visitor: Session<Visitor>) -> Redirect {
    visitor.user = Some("ada".to_owned());
    Redirect::to("/")
}

async fn logout(mut visitor: Session<Visitor>) -> Redirect {
    visitor.destroy();
    Redirect::to("/")
}

/// Another site: its form leads to the app's callback, as a login with OpenID Connect does, its link
/// to the app's page, and its other form to the app's login, as an attacker's would.
fn provider(shop: String) -> Router {
    let page = format!(
        "<!doctype html><title>Another site</title><link rel=icon href='data:,'>
         <form method=post action=/authorize><button id=authorize>Allow</button></form>
         <form method=post action='{shop}/login'><button id=attack>Win</button></form>
         <a id=link href='{shop}/'>To the shop</a>"
    );
    let back = async move || Redirect::to(&format!("{shop}/callback"));
    Router::new().route("/", get(async || Html(page))).route("/authorize", post(back))
}

/// Lines in the order of their ends. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// The lines until now, which are forgotten.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Those of them that begin so.
    pub(super) fn of(&self, start: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    /// As [`take`](Self::take), without what a browser asks for beside a page.
    pub(super) fn take_pages(&self) -> Vec<String> {
        let mut lines = self.take();
        lines.retain(|line| !line.starts_with("GET /favicon.ico"));
        lines
    }
}

/// Writes a line: `POST /login same-origin bound -> 303 offer`.
async fn write_down(State(log): State<Log>, request: Request, next: Next) -> Response {
    let mut line = format!("{} {}", request.method(), request.uri().path());
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").map_or("no-site", |site| site.to_str().unwrap());
    let mut say = |it: &str| line.extend([" ", it]);
    say(site);
    if has_cookie(headers, OWN) {
        say("session");
    }
    if has_cookie(headers, BOUND) {
        say("bound");
    }
    if let Some(skipped) = headers.get("secure-session-skipped") {
        let reason = skipped.to_str().unwrap().split(';').next().unwrap_or_default();
        say(&format!("skipped={reason}"));
    }
    let (parts, body) = next.run(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    say("->");
    say(parts.status.as_str());
    if parts.headers.contains_key("secure-session-registration") {
        say("offer");
    }
    if parts.headers.get_all(SET_COOKIE).iter().any(|it| is_cookie(it.as_bytes(), BOUND)) {
        say("proven");
    }
    if parts.headers.contains_key(REFRESH) {
        say("again");
    }
    if &body[..] == br#"{"continue":false}"# {
        say("end");
    }
    log.add(line);
    Response::from_parts(parts, Body::from(body)).into_response()
}

fn has_cookie(headers: &HeaderMap, name: &str) -> bool {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|it| it.as_bytes().split(|it| *it == b';'));
    pairs.into_iter().any(|pair| is_cookie(pair.trim_ascii(), name))
}

fn is_cookie(pair: &[u8], name: &str) -> bool {
    pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

impl Browser {
    /// The user that the app's page names.
    pub(super) async fn user(&self) -> String {
        self.text_of("#user").await.expect("the app's page")
    }

    /// Logs in at the app, and waits until the session is bound.
    pub(super) async fn log_in(&self, site: &Site) {
        self.goto(&site.url("/")).await;
        // An earlier session's may still be there.
        let before = self.cookie(BOUND).await;
        self.click("#login").await;
        self.until_cookie(BOUND, before.as_deref()).await;
        self.reload().await;
    }

    /// Waits until the browser has this cookie for the page that is shown, with another value than
    /// `before`.
    pub(super) async fn until_cookie(&self, name: &str, before: Option<&str>) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let value = self.cookie(name).await;
            if let Some(value) = value.filter(|value| Some(&**value) != before) {
                return value;
            }
            assert!(Instant::now() < deadline, "no cookie {name}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The value of this cookie for the page that is shown.
    pub(super) async fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies().await;
        let cookie = cookies.iter().find(|cookie| cookie.name() == name);
        cookie.map(|cookie| cookie.value().to_owned())
    }

    /// Removes the cookie of the proof, as its end does.
    pub(super) async fn forget_proof(&self) {
        self.client.delete_cookie(BOUND).await.unwrap();
    }

    /// Fetches these paths at once, and returns the texts.
    pub(super) async fn fetch(&self, paths: &[&str]) -> Value {
        let script = "
            const get = async path => (await fetch(path)).text();
            return Promise.all(arguments[0].map(get));";
        self.run(script, &[json!(paths)]).await
    }

    /// Ends the browser as its user does, with what its profile keeps.
    pub(super) async fn close(self) {
        self.client.close().await.unwrap();
    }
}
