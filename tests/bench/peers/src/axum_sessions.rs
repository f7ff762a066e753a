//! `axum_session`, with encrypted cookies and else its default settings: it keeps sessions in
//! memory beside the database.

use std::error::Error;
use std::hint::black_box;

use axum::Router;
use axum::routing::get;
use axum_session::{Key, SessionConfig, SessionLayer, SessionStore};
use axum_session_sqlx::SessionPgPool;
use sqlx::PgPool;

use crate::visitor::{KEY, Visitor, somebody};

type Session = axum_session::Session<SessionPgPool>;

pub async fn postgres(url: &str) -> Result<Router, Box<dyn Error>> {
    let pool = PgPool::connect(url).await?;
    let config = SessionConfig::default().with_key(Key::generate());
    let store = SessionStore::<SessionPgPool>::new(Some(pool.into()), config).await?;
    let router = Router::new()
        .route("/fill/logged-in", get(fill::<true>))
        .route("/fill/anonymous", get(fill::<false>))
        .route("/peek", get(peek))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .layer(SessionLayer::new(store));
    Ok(router)
}

fn visitor(session: &Session) -> Visitor {
    session.get(KEY).expect("a visitor who is known")
}

async fn fill<const LOGGED_IN: bool>(session: Session) -> &'static str {
    session.set(KEY, Visitor::filled(LOGGED_IN.then(somebody)));
    "hello"
}

async fn peek(session: Session) -> &'static str {
    let visitor: Option<Visitor> = session.get(KEY);
    assert!(black_box(visitor).is_none_or(|visitor| visitor.seen.len() == 8));
    "hello"
}

async fn read(session: Session) -> &'static str {
    assert_eq!(black_box(visitor(&session)).seen.len(), 8);
    "hello"
}

async fn write(session: Session) -> &'static str {
    let mut visitor = visitor(&session);
    visitor.seen[0] += 1;
    session.set(KEY, visitor);
    "hello"
}

async fn login(session: Session) -> &'static str {
    let mut visitor = visitor(&session);
    assert_eq!(visitor.user, None);
    visitor.user = Some(somebody());
    session.renew();
    session.set(KEY, visitor);
    "hello"
}

async fn logout(session: Session) -> &'static str {
    assert!(visitor(&session).user.is_some());
    session.destroy();
    "hello"
}
