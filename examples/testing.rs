//! Tests of handlers that take a session: `cargo test -p sessions-examples --example testing`. The
//! app is a seat map; its tests log visitors in without a form, move the clock, let two requests
//! meet and switch the database off.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use sessions::{MemoryProvider, Session, Store, StoreBuilder, axum::SessionLayer};

#[derive(Session, Default)]
#[session(name = "testing", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = conflict)]
    seat: String,
}

async fn seat(visitor: Session<Visitor>) -> Result<String, StatusCode> {
    match &visitor.user {
        Some(user) => Ok(format!("{user} sits on {}", visitor.seat)),
        None => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn choose(mut visitor: Session<Visitor>, seat: String) -> StatusCode {
    if visitor.user.is_none() {
        return StatusCode::UNAUTHORIZED;
    }
    visitor.seat = seat;
    StatusCode::NO_CONTENT
}

fn app(store: Store) -> Router {
    Router::new()
        .route("/seat", get(seat))
        .route("/seat", post(choose))
        .layer(SessionLayer::new(store))
}

/// The settings of `main`, which the tests use too.
fn settings(builder: StoreBuilder) -> StoreBuilder {
    builder.idle_timeout(Duration::from_secs(15 * 60)).touch_interval(Duration::from_secs(60))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = settings(Store::builder(MemoryProvider::new())).build()?;
    println!("http://localhost:3000");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(store)).await?)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header::COOKIE};
    use sessions::testing::{Calls, TestStore};
    use tower::ServiceExt as _;

    use super::*;

    /// A store, its app, and the cookie of a visitor who is logged in and has chosen a seat.
    async fn ada() -> (TestStore, Router, String) {
        let test = TestStore::with(settings);
        let ada = Visitor { user: Some("ada".to_owned()), seat: "9F".to_owned() };
        let cookie = test.cookie(&ada).await;
        let app = app(test.store());
        (test, app, cookie)
    }

    async fn send(app: &Router, request: Request<Body>) -> (StatusCode, String) {
        let answer = app.clone().oneshot(request).await.expect("a router always answers");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1_000).await.expect("a short body");
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    async fn get(app: &Router, cookie: &str) -> (StatusCode, String) {
        let request = Request::get("/seat").header(COOKIE, cookie).body(Body::empty());
        send(app, request.expect("a request")).await
    }

    async fn post(app: &Router, cookie: &str, seat: &'static str) -> StatusCode {
        let request = Request::post("/seat").header(COOKIE, cookie).body(Body::from(seat));
        send(app, request.expect("a request")).await.0
    }

    #[tokio::test]
    async fn a_visitor_sees_and_changes_the_seat_and_a_stranger_does_not() {
        let (test, app, ada) = ada().await;
        assert_eq!(get(&app, &ada).await, (StatusCode::OK, "ada sits on 9F".to_owned()));
        assert_eq!(post(&app, &ada, "12A").await, StatusCode::NO_CONTENT);
        assert_eq!(test.read::<Visitor>(&ada).await.expect("a live session").seat, "12A");
        assert_eq!(get(&app, "").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(post(&app, "", "12A").await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn who_is_idle_for_too_long_is_logged_out() {
        let (test, app, ada) = ada().await;
        test.advance(Duration::from_secs(15 * 60));
        assert_eq!(get(&app, &ada).await.0, StatusCode::OK);
        test.advance(Duration::from_secs(17 * 60));
        assert_eq!(get(&app, &ada).await.0, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn of_two_requests_that_choose_a_seat_one_is_refused() {
        let (test, app, ada) = ada().await;
        test.conflict::<Visitor>(|other| other.seat = "12A".to_owned());
        assert_eq!(post(&app, &ada, "3C").await, StatusCode::CONFLICT);
        assert_eq!(test.read::<Visitor>(&ada).await.expect("a live session").seat, "12A");
    }

    #[tokio::test]
    async fn an_outage_of_the_database_logs_nobody_out() {
        let (test, app, ada) = ada().await;
        test.set_down(true);
        assert_eq!(get(&app, &ada).await.0, StatusCode::SERVICE_UNAVAILABLE);
        test.set_down(false);
        assert_eq!(get(&app, &ada).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_page_costs_one_call_of_the_database_and_a_change_two() {
        let (test, app, ada) = ada().await;
        get(&app, &ada).await;
        assert_eq!(test.calls(), Calls { fetch: 1, ..Calls::default() });
        post(&app, &ada, "12A").await;
        assert_eq!(test.calls(), Calls { fetch: 1, save: 1, ..Calls::default() }, "since then");
    }
}
