//! What a request costs in allocations on actix-web beyond a middleware that does nothing: a guard
//! that no machine's noise reaches.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::cell::Cell;

use actix_web::cookie::Cookie;
use actix_web::dev::Service;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, web};
use allocation_counter::measure;
use sessions::actix::SessionMiddleware;
use sessions::{MemoryProvider, Session, Store};

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

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/untouched", web::get().to(untouched))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write))
        .route("/fill", web::get().to(fill));
}

/// The least that a request costs, warmed up.
macro_rules! cost {
    ($runtime:expr, $app:expr, $path:expr, $cookie:expr) => {{
        let once = || {
            let cookie: Option<&Cookie<'static>> = $cookie;
            let request = TestRequest::get().uri($path);
            let request = match cookie {
                Some(cookie) => request.cookie(cookie.clone()),
                None => request,
            };
            let request = Cell::new(Some(request.to_request()));
            let counted = measure(|| {
                let request = request.take().unwrap();
                let response = $runtime.block_on(Service::call(&$app, request));
                assert!(response.unwrap().status().is_success());
            });
            counted.count_total
        };
        (0..5).map(|_| once()).min().unwrap()
    }};
}

#[test]
fn a_request_costs_few_allocations_beyond_a_middleware_that_does_nothing() {
    let runtime = actix_web::rt::System::new();
    let bare = runtime.block_on(init_service(
        App::new().wrap_fn(|request, app| app.call(request)).configure(routes),
    ));
    let bare = cost!(runtime, bare, "/untouched", None);
    let sessions = SessionMiddleware::new(Store::new(MemoryProvider::new()));
    let app = runtime.block_on(init_service(App::new().wrap(sessions).configure(routes)));
    let fill = TestRequest::get().uri("/fill").to_request();
    let filled = runtime.block_on(actix_web::test::call_service(&app, fill));
    let cookie = filled.response().cookies().next().unwrap().into_owned();
    drop(filled);
    let costs = [
        ("untouched", 2, cost!(runtime, app, "/untouched", None)),
        ("untouched, with a cookie", 2, cost!(runtime, app, "/untouched", Some(&cookie))),
        ("read", 9, cost!(runtime, app, "/read", Some(&cookie))),
        ("write", 18, cost!(runtime, app, "/write", Some(&cookie))),
    ];
    let costs = costs.map(|(request, most, cost)| (request, most, cost.saturating_sub(bare)));
    for (request, most, cost) in costs {
        println!("{request}: {cost} of at most {most}");
    }
    for (request, most, cost) in costs {
        assert!(cost <= most, "{request}: {cost} allocations, at most {most}");
    }
}
