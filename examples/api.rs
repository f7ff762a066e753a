//! A JSON API whose clients keep their token themselves, and such a client:
//! `cargo run --example api`.

use std::net::SocketAddr;

use axum::extract::Json;
use axum::http::{Request, StatusCode, header::AUTHORIZATION, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sessions::axum::SessionLayer;
use sessions::{Error, MemoryProvider, Session, Store, Transport};
use tokio::net::TcpListener;

#[derive(Session)]
#[session(name = "api", version = 1)]
struct Account {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = append)]
    notes: Vec<String>,
}

async fn login(mut account: Session<Account>, Json(form): Json<Value>) -> Result<Response, Error> {
    // Stands for an app's own check of a password.
    let ("ada", "lovelace") =
        (form["user"].as_str().unwrap_or(""), form["password"].as_str().unwrap_or(""))
    else {
        return Ok(refusal("wrong user or password"));
    };
    account.user = Some("ada".to_owned());
    account.set_label(
        form["device"].as_str().unwrap_or("a client").chars().take(64).collect::<String>(),
    );
    account.save().await?;
    // The header `Session-Token` of this response has it as well.
    Ok(Json(json!({ "token": account.token() })).into_response())
}

async fn notes(account: Session<Account>) -> Response {
    match &account.user {
        Some(user) => Json(json!({ "user": user, "notes": account.notes })).into_response(),
        None => refusal("log in first"),
    }
}

async fn add_note(mut account: Session<Account>, Json(note): Json<String>) -> Response {
    if account.user.is_none() {
        return refusal("log in first");
    }
    account.notes.push(note);
    StatusCode::NO_CONTENT.into_response()
}

/// The response says with an empty `Session-Token` that the client may forget its token.
async fn logout(mut account: Session<Account>) -> StatusCode {
    account.destroy();
    StatusCode::NO_CONTENT
}

fn refusal(text: &str) -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": text }))).into_response()
}

/// The API over this store.
pub(crate) fn app(store: Store) -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/notes", get(notes).post(add_note))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(store))
}

/// A store whose tokens travel in `Authorization: Bearer sess_...`.
pub(crate) fn store() -> Result<Store, Error> {
    Store::builder(MemoryProvider::new()).transport(Transport::Header).build()
}

/// A client of the API. It keeps its token as a mobile app keeps it in the system's key store.
pub(crate) struct Client {
    http: HttpClient<HttpConnector, Body>,
    server: SocketAddr,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { http, server, token: None }
    }

    /// Sends a request, and keeps the token that the response brings.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<(StatusCode, Value), Box<dyn std::error::Error>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.server))
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = self.http.request(request.body(Body::from(body.to_string()))?).await?;
        // A login, and each renewal, brings a new one: the old one is dead. An empty one says that
        // the session has ended.
        if let Some(token) = response.headers().get("session-token") {
            let token = token.to_str()?;
            self.token = Some(token.to_owned()).filter(|token| !token.is_empty());
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut client = Client::new(listener.local_addr()?);
    let server = axum::serve(listener, app(store()?));
    tokio::spawn(async move { server.await });

    let login = json!({ "user": "ada", "password": "lovelace", "device": "example" });
    println!("{:?}", client.send("GET", "/notes", Value::Null).await?);
    println!("{:?}", client.send("POST", "/login", login).await?);
    println!("{:?}", client.send("POST", "/notes", json!("buy tea")).await?);
    println!("{:?}", client.send("GET", "/notes", Value::Null).await?);
    println!("{:?}", client.send("POST", "/logout", Value::Null).await?);
    println!("{:?}", client.send("GET", "/notes", Value::Null).await?);
    Ok(())
}
