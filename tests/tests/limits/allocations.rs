//! What a request costs in allocations beyond the router's: a guard that no machine's noise
//! reaches.

use std::sync::Arc;

use allocation_counter::measure;
use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderValue, Request};
use axum::routing::get;
use sessions::axum::SessionLayer;
use sessions::{MemoryProvider, Session, Store};
use tower::util::MapRequestLayer;
use tower::{Service as _, ServiceExt as _};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    user: u64,
    name: String,
    mail: String,
    #[session(default = Vec::new())]
    seen: Vec<u64>,
}

async fn untouched() -> &'static str {
    "hello"
}

async fn read(visitor: Session<Visitor>) -> &'static str {
    assert_eq!(visitor.seen.len(), 8);
    "hello"
}

async fn write(mut visitor: Session<Visitor>) -> &'static str {
    visitor.user += 1;
    "hello"
}

async fn fill(mut visitor: Session<Visitor>) -> &'static str {
    visitor.name = "Ada Lovelace".to_owned();
    visitor.mail = "ada@example.com".to_owned();
    visitor.seen = (0..8).collect();
    "hello"
}

async fn write_list(mut visitor: Session<Visitor>) -> &'static str {
    visitor.seen[0] += 1;
    "hello"
}

#[derive(Session)]
#[session(name = "member", version = 1)]
struct Member {
    #[session(owner)]
    user: Option<u64>,
    visits: u64,
}

async fn visit(mut member: Session<Member>) -> &'static str {
    member.visits += 1;
    "hello"
}

async fn log_in(mut member: Session<Member>) -> &'static str {
    assert_eq!((member.user, member.visits), (None, 1));
    member.user = Some(7);
    "hello"
}

fn routes() -> Router {
    Router::new()
        .route("/visit", get(visit))
        .route("/log-in", get(log_in))
        .route("/write-list", get(write_list))
        .route("/untouched", get(untouched))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/fill", get(fill))
}

/// How often each request is made. A new record may be the first of its part of the provider's map,
/// which then allocates: one of so many is not.
const TIMES: usize = 64;

/// The least that a request costs, warmed up.
fn cost(app: &Router, path: &str, cookie: Option<&HeaderValue>) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut app = app.clone().into_service::<Body>();
    let mut once = || {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert(COOKIE, cookie.clone());
        }
        let counted = measure(|| {
            let response = runtime.block_on(app.call(request)).unwrap();
            assert!(response.status().is_success());
        });
        counted.count_total
    };
    // More saves than a record remembers.
    for _ in 0..9 {
        once();
    }
    (0..TIMES).map(|_| once()).min().unwrap()
}

/// The least that a login costs, each on a session of its own.
fn cost_of_login(app: &Router) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let once = || {
        let cookie = cookie_of(app, "/visit");
        let mut app = app.clone().into_service::<Body>();
        let request = Request::get("/log-in").header(COOKIE, cookie).body(Body::empty()).unwrap();
        let counted = measure(|| {
            let response = runtime.block_on(app.call(request)).unwrap();
            assert!(response.headers().contains_key(SET_COOKIE));
        });
        counted.count_total
    };
    (0..TIMES).map(|_| once()).min().unwrap()
}

fn cookie_of(app: &Router, path: &str) -> HeaderValue {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let filled = Request::get(path).body(Body::empty()).unwrap();
    let filled = runtime.block_on(app.clone().oneshot(filled)).unwrap();
    let cookie = filled.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    HeaderValue::from_str(cookie).unwrap()
}

struct Costs {
    bare: u64,
    app: Router,
    cookie: HeaderValue,
}

fn costs(store: Store) -> Costs {
    // The router boxes and clones every layer that holds something, for each request.
    let held = Arc::new(());
    let nothing = MapRequestLayer::new(move |request: Request<Body>| {
        let _ = &held;
        request
    });
    let bare = cost(&routes().layer(nothing), "/untouched", None);
    let app = routes().layer(SessionLayer::new(store));
    let cookie = cookie_of(&app, "/fill");
    Costs { bare, app, cookie }
}

#[test]
fn a_request_costs_few_allocations_beyond_a_layer_that_does_nothing() {
    let store = Store::new(MemoryProvider::new());
    check(store.clone());
    // Sessions that carry the number of an epoch cost no more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(store.end_all()).unwrap();
    check(store);
}

fn check(store: Store) {
    let Costs { bare, app, cookie } = costs(store);
    let beyond = |path, cookie| cost(&app, path, cookie) - bare;
    let costs = [
        ("untouched", 3, beyond("/untouched", None)),
        ("untouched, with a cookie", 3, beyond("/untouched", Some(&cookie))),
        ("read", 9, beyond("/read", Some(&cookie))),
        // One of them is the base as this build encodes it, once for all fields that changed.
        ("write", 18, beyond("/write", Some(&cookie))),
        ("write of a list", 20, beyond("/write-list", Some(&cookie))),
        ("login", 29, cost_of_login(&app) - bare),
        ("first write", 25, beyond("/fill", None)),
    ];
    for (request, most, cost) in costs {
        println!("{request}: {cost} of at most {most}");
    }
    for (request, most, cost) in costs {
        assert!(cost <= most, "{request}: {cost} allocations, at most {most}");
    }
}
