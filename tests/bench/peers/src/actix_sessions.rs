//! `actix-session`, with its default settings.

use std::hint::black_box;

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::web::get;
use actix_web::{App, HttpServer};

use crate::Outcome;
use crate::serve::listen;
use crate::visitor::{KEY, Visitor, somebody};

pub async fn redis(url: &str) -> Outcome {
    let store = RedisSessionStore::new(url).await?;
    let key = Key::generate();
    let app = move || {
        App::new()
            .route("/fill/logged-in", get().to(fill::<true>))
            .route("/fill/anonymous", get().to(fill::<false>))
            .route("/peek", get().to(peek))
            .route("/read", get().to(read))
            .route("/write", get().to(write))
            .route("/login", get().to(login))
            .route("/logout", get().to(logout))
            .wrap(SessionMiddleware::new(store.clone(), key.clone()))
    };
    Ok(HttpServer::new(app).listen(listen()?)?.run().await?)
}

fn visitor(session: &Session) -> Visitor {
    session.get(KEY).expect("a readable session").expect("a visitor who is known")
}

fn keep(session: &Session, visitor: Visitor) {
    session.insert(KEY, visitor).expect("a visitor can be written");
}

async fn fill<const LOGGED_IN: bool>(session: Session) -> &'static str {
    keep(&session, Visitor::filled(LOGGED_IN.then(somebody)));
    "hello"
}

async fn peek(session: Session) -> &'static str {
    let visitor: Option<Visitor> = session.get(KEY).expect("a readable session");
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
    keep(&session, visitor);
    "hello"
}

async fn login(session: Session) -> &'static str {
    let mut visitor = visitor(&session);
    assert_eq!(visitor.user, None);
    visitor.user = Some(somebody());
    session.renew();
    keep(&session, visitor);
    "hello"
}

async fn logout(session: Session) -> &'static str {
    assert!(visitor(&session).user.is_some());
    session.purge();
    "hello"
}
