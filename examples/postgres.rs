//! PostgreSQL in production: the app's own pool, encrypted keys, a purge task, and a stop that loses
//! nothing:
//!
//! ```sh
//! export DATABASE_URL=postgres://app:secret@localhost/shop
//! export SESSIONS_KEY=$(openssl rand -base64 32) # In production: from a secret that stays.
//! cargo run -p sessions-examples --features postgres --example postgres
//! ```

use std::future::Future;
use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use sessions::{Error, Session, Store, axum::SessionLayer, keys::LocalKey};
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::{self, PgPool, postgres::PgPoolOptions};
use tokio::net::TcpListener;

#[derive(Session)]
#[session(name = "postgres", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    visits: u32,
}

async fn home(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    format!("visit number {}", visitor.visits)
}

/// For the load balancer: the same pool serves the rest of the app.
async fn ready(State(pool): State<PgPool>) -> Result<&'static str, StatusCode> {
    let answer = sqlx::query("SELECT 1").execute(&pool).await;
    answer.map(|_| "ready").map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// The pool of the whole app.
pub(crate) async fn pool(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(Duration::from_secs(2)) // As long as a request may wait.
        .connect(url)
        .await
}

/// Fails now, and not at the first request, if the table is missing or the key is wrong.
pub(crate) async fn store(pool: PgPool, key: LocalKey) -> Result<Store, Error> {
    let provider = PostgresProvider::new(pool);
    provider.create_table().await?; // Or in a migration, if the role may not create tables.
    let store = Store::builder(provider)
        .app("shop")
        .idle_timeout(7 * DAY)
        .lifetime(30 * DAY)
        .key_encryption(key)
        .build()?;
    store.codec().refresh().await?;
    Ok(store)
}

/// Serves until `stop` completes, then answers what is under way and saves what it changed.
pub(crate) async fn run(
    listener: TcpListener,
    pool: PgPool,
    store: Store,
    purge_interval: Duration,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    let purge = tokio::spawn(store.purge_task(purge_interval));
    let app = Router::new()
        .route("/", get(home))
        .layer(SessionLayer::new(store.clone()))
        .route("/ready", get(ready))
        .with_state(pool.clone());
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // A commit retries for at most 2 seconds.
    tokio::time::timeout(Duration::from_secs(5), store.shutdown()).await?;
    purge.await?;
    pool.close().await;
    Ok(())
}

/// SIGTERM, as a deploy sends it, or Ctrl-C.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a tokio runtime is running");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init(); // The events of a store say why a request failed.
    let key = LocalKey::from_env("SESSIONS_KEY")?;
    let pool = pool(&std::env::var("DATABASE_URL")?).await?;
    let store = store(pool.clone(), key).await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000");
    run(listener, pool, store, Duration::from_secs(10 * 60), stop()).await
}
