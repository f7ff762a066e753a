//! `tower-sessions`, with encrypted cookies and else its default settings.

use std::error::Error;
use std::hint::black_box;

use axum::Router;
use axum::routing::get;
use tower_sessions::cookie::Key;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};
use tower_sessions_sqlx_store::sqlx::PgPool;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use tower_sessions_sqlx_store::{PostgresStore, SqliteStore};

use crate::visitor::{KEY, Visitor, somebody};

/// Connections to Redis: as many as in the example of the store.
const REDIS_CONNECTIONS: usize = 6;

pub fn memory() -> Router {
    router(MemoryStore::default())
}

/// With the settings that our provider opens the file with: WAL, `synchronous = FULL`.
pub async fn sqlite(path: &str) -> Result<Router, Box<dyn Error>> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let store = SqliteStore::new(SqlitePool::connect_with(options).await?);
    store.migrate().await?;
    Ok(router(store))
}

pub async fn postgres(url: &str) -> Result<Router, Box<dyn Error>> {
    let store = PostgresStore::new(PgPool::connect(url).await?);
    store.migrate().await?;
    Ok(router(store))
}

pub async fn redis(url: &str) -> Result<Router, Box<dyn Error>> {
    let pool = Pool::new(Config::from_url(url)?, None, None, None, REDIS_CONNECTIONS)?;
    // The task behind the connections; it lives as long as the pool.
    let _connections = pool.connect();
    pool.wait_for_connect().await?;
    Ok(router(RedisStore::new(pool)))
}

fn router(store: impl SessionStore + Clone) -> Router {
    Router::new()
        .route("/fill/logged-in", get(fill::<true>))
        .route("/fill/anonymous", get(fill::<false>))
        .route("/peek", get(peek))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .layer(SessionManagerLayer::new(store).with_private(Key::generate()))
}

async fn visitor(session: &Session) -> Visitor {
    session.get(KEY).await.expect("the store works").expect("a visitor who is known")
}

async fn keep(session: &Session, visitor: Visitor) {
    session.insert(KEY, visitor).await.expect("the store works");
}

async fn fill<const LOGGED_IN: bool>(session: Session) -> &'static str {
    keep(&session, Visitor::filled(LOGGED_IN.then(somebody))).await;
    "hello"
}

async fn peek(session: Session) -> &'static str {
    let visitor: Option<Visitor> = session.get(KEY).await.expect("the store works");
    assert!(black_box(visitor).is_none_or(|visitor| visitor.seen.len() == 8));
    "hello"
}

async fn read(session: Session) -> &'static str {
    assert_eq!(black_box(visitor(&session).await).seen.len(), 8);
    "hello"
}

async fn write(session: Session) -> &'static str {
    let mut visitor = visitor(&session).await;
    visitor.seen[0] += 1;
    keep(&session, visitor).await;
    "hello"
}

async fn login(session: Session) -> &'static str {
    let mut visitor = visitor(&session).await;
    assert_eq!(visitor.user, None);
    visitor.user = Some(somebody());
    session.cycle_id().await.expect("the store works");
    keep(&session, visitor).await;
    "hello"
}

async fn logout(session: Session) -> &'static str {
    assert!(visitor(&session).await.user.is_some());
    session.flush().await.expect("the store works");
    "hello"
}
