//! One host of an app with a cache, over HTTP: `coherence-host URL PREFIX`.
//!
//! It says where it listens, and ends with its input. The test of the same name starts several on one
//! database and checks what they answer.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::convert::Infallible;
use std::io::Read as _;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use sessions::axum::SessionLayer;
use sessions::{Cache, Session, Store};
use sessions_postgres::PostgresProvider;
use sessions_redis::{Connection, RedisProvider};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u64,
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (url, prefix) = (args.next().expect("a URL"), args.next().expect("a prefix"));
    let store = store(&url, &prefix).await;
    let app = Router::new()
        .route("/read", get(read))
        .route("/add", post(add))
        .route("/login/{user}", post(log_in))
        .route("/renew", post(renew))
        .route("/logout", post(log_out))
        .route("/key", get(key))
        .route("/revoke/{key}", post(revoke))
        .route("/ended", get(ended))
        .layer(SessionLayer::new(store.clone()))
        .with_state(store);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    // Ends with the test, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    axum::serve(listener, app).await.unwrap();
}

async fn store(url: &str, prefix: &str) -> Store {
    let builder = if url.starts_with("postgres") {
        let provider = PostgresProvider::connect(url).await.unwrap();
        provider.create_table().await.unwrap();
        Store::builder(provider)
    } else if url.contains(',') {
        let urls: Vec<_> = url.split(',').collect();
        let provider = RedisProvider::connect_cluster(urls).await.unwrap();
        Store::builder(provider.prefix(prefix).unwrap())
    } else {
        let connection = Connection::open(url).unwrap();
        Store::builder(RedisProvider::new(connection).prefix(prefix).unwrap())
    };
    builder.cache(Cache::new()).build().unwrap()
}

/// "none", or the session's number and owner.
async fn read(visitor: Session<Visitor>) -> String {
    match visitor.is_new() {
        true => "none".to_owned(),
        false => visitor.count.to_string(),
    }
}

async fn add(mut visitor: Session<Visitor>) -> Result<String, StatusCode> {
    if visitor.is_new() {
        return Err(StatusCode::GONE);
    }
    visitor.count += 1;
    Ok(visitor.count.to_string())
}

async fn log_in(mut visitor: Session<Visitor>, Path(user): Path<u64>) {
    visitor.user = Some(user);
}

async fn renew(mut visitor: Session<Visitor>) -> Result<(), StatusCode> {
    if visitor.is_new() {
        return Err(StatusCode::GONE);
    }
    visitor.renew();
    Ok(())
}

async fn log_out(mut visitor: Session<Visitor>) {
    visitor.destroy();
}

async fn key(visitor: Session<Visitor>) -> String {
    visitor.key().map(ToString::to_string).unwrap_or_default()
}

async fn revoke(State(store): State<Store>, Path(key): Path<String>) -> impl IntoResponse {
    match store.revoke_any(&key.parse().unwrap()).await {
        Ok(ended) => (StatusCode::OK, ended.to_string()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// A stream that ends with the session.
async fn ended(visitor: Session<Visitor>) -> impl IntoResponse {
    let begun = stream::once(async { Ok::<_, Infallible>(Event::default().data("begun")) });
    let ended = visitor.ended();
    let end = stream::once(async move { Ok(Event::default().data(format!("{:?}", ended.await))) });
    Sse::new(begun.chain(end))
}
