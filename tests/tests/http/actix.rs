//! What is actix-web's own: its `Option` of an extractor, middleware that fails, its worker threads.

use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll, Waker};

use actix_web::body::{MessageBody, to_bytes};
use actix_web::cookie::Cookie;
use actix_web::dev::{Server, Service, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorTooManyRequests;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER, VARY};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, FromRequest as _, HttpRequest, HttpResponse, HttpServer, web};
use sessions::actix::{SessionMiddleware, SessionRejection};
use sessions::{Error, MemoryProvider, Session, Store};
use sessions_tests::browser::Browser;
use sessions_tests::hooked::{Call, Gate, Hooked, Watch, watched};

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    visits: u32,
}

#[derive(Session)]
#[session(name = "theme", version = 1)]
struct Theme {
    dark: bool,
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

/// Runs `test` against the server that `serve` makes, which stops afterwards.
pub(crate) async fn on_a_free_port(
    serve: impl FnOnce(TcpListener) -> std::io::Result<Server>,
    test: impl AsyncFnOnce(SocketAddr),
) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener).unwrap();
    let handle = server.handle();
    let running = actix_web::rt::spawn(server);
    test(address).await;
    handle.stop(true).await;
    running.await.unwrap().unwrap();
}

fn watched_store() -> (Store, Watch) {
    let (provider, watch) = watched(MemoryProvider::new());
    (Store::new(provider), watch)
}

fn request(path: &str, cookie: Option<&Cookie<'static>>) -> TestRequest {
    let request = TestRequest::get().uri(path);
    match cookie {
        Some(cookie) => request.cookie(cookie.clone()),
        None => request,
    }
}

/// Status and text of a service's answer.
async fn ask<S, R, B>(app: &S, request: R) -> (StatusCode, String)
where
    S: Service<R, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    let response = call_service(app, request).await;
    let status = response.status();
    let body = to_bytes(response.into_body()).await.ok().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The cookie that a service's answer sets.
async fn cookie<S, R, B>(app: &S, request: R) -> Cookie<'static>
where
    S: Service<R, Response = ServiceResponse<B>, Error = actix_web::Error>,
{
    let response = call_service(app, request).await;
    let cookie = response.response().cookies().next().expect("a cookie");
    cookie.into_owned()
}

/// Takes a visitor for nobody where the extractor failed, as actix-web's `Option` does.
async fn option(visitor: Option<Session<Visitor>>) -> String {
    visitor.map_or("nobody".to_owned(), |visitor| visitor.visits.to_string())
}

/// As `option`, with a session that can be loaded and saved.
async fn option_and_theme(
    visitor: Option<Session<Visitor>>,
    mut theme: Session<Theme>,
) -> &'static str {
    theme.dark = true;
    if visitor.is_some() { "somebody" } else { "nobody" }
}

/// Decides by itself what to do without a session.
async fn own_decision(request: HttpRequest) -> String {
    let visitor = Session::<Visitor>::extract(&request).await.ok();
    visitor.map_or("nobody".to_owned(), |visitor| visitor.visits.to_string())
}

async fn ignored(visitor: Result<Session<Visitor>, SessionRejection>) -> &'static str {
    match visitor {
        Ok(_) => "somebody",
        Err(_) => "nobody",
    }
}

#[actix_web::test]
async fn an_option_never_takes_a_visitor_for_nobody_because_the_store_is_down() {
    let (store, watch) = watched_store();
    let app = App::new()
        .wrap(SessionMiddleware::new(store))
        .route("/visit", web::get().to(visit))
        .route("/option", web::get().to(option))
        .route("/own_decision", web::get().to(own_decision))
        .route("/ignored", web::get().to(ignored));
    let app = init_service(app).await;
    let cookie = cookie(&app, request("/visit", None).to_request()).await;
    let cookie = Some(&cookie);
    assert_eq!(
        ask(&app, request("/option", cookie).to_request()).await,
        (StatusCode::OK, "1".to_owned())
    );
    // `Existing` is for this.
    assert_eq!(
        ask(&app, request("/option", None).to_request()).await,
        (StatusCode::OK, "0".to_owned())
    );

    watch.set_down(true);
    assert_eq!(
        ask(&app, request("/option", cookie).to_request()).await,
        (StatusCode::SERVICE_UNAVAILABLE, String::new())
    );
    // A handler that saw the error has its own say.
    assert_eq!(
        ask(&app, request("/own_decision", cookie).to_request()).await,
        (StatusCode::OK, "nobody".to_owned())
    );
    assert_eq!(
        ask(&app, request("/ignored", cookie).to_request()).await,
        (StatusCode::OK, "nobody".to_owned())
    );
    watch.set_down(false);
    assert_eq!(
        ask(&app, request("/option", cookie).to_request()).await,
        (StatusCode::OK, "1".to_owned())
    );
}

#[actix_web::test]
async fn what_a_handler_changed_whose_answer_is_not_sent_is_discarded() {
    let (store, _) = watched_store();
    // A second type of the same name in one store is refused, the first is not.
    drop(store.load::<Namesake>(&http::HeaderMap::new()).await.unwrap());
    let app = App::new()
        .wrap(SessionMiddleware::new(store).on_error(|error, _| {
            assert!(matches!(error, Error::Misuse(_)), "{error:?}");
            HttpResponse::ImATeapot().body("hook")
        }))
        .route("/option", web::get().to(option_and_theme));
    let app = init_service(app).await;
    let response = call_service(&app, request("/option", None).to_request()).await;
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.response().cookies().count(), 0, "the theme is not saved");
}

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Namesake {
    visits: u32,
}

fn failed<B>(answer: Result<ServiceResponse<B>, actix_web::Error>) -> actix_web::Error {
    match answer {
        Ok(response) => panic!("the middleware passed: {}", response.status()),
        Err(error) => error,
    }
}

#[actix_web::test]
async fn a_middleware_that_fails_keeps_its_cookies_and_its_error() {
    async fn limit(
        mut visitor: Session<Visitor>,
        mut theme: Session<Theme>,
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
        theme.dark = true;
        visitor.visits += 1;
        drop((visitor, theme));
        match request.path() {
            "/limit" => Err(ErrorTooManyRequests("slow down")),
            "/down" => Err(Error::Unavailable("the test says so".into()).into()),
            _ => next.call(request).await,
        }
    }
    let (store, watch) = watched_store();
    let app = App::new()
        .wrap(from_fn(limit))
        .wrap(SessionMiddleware::new(store).on_error(|error, _| {
            assert!(error.is_unavailable());
            HttpResponse::ServiceUnavailable().body("hook")
        }))
        .default_service(web::to(async || "passed"));
    let app = init_service(app).await;

    let error = failed(app.call(request("/limit", None).to_request()).await);
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.cookies().count(), 2, "what was changed before a 4xx stays");
    assert_eq!(response.headers().get(VARY).unwrap(), "cookie");
    assert_eq!(response.headers().get(CACHE_CONTROL).unwrap(), "private, no-store");

    let error = failed(app.call(request("/down", None).to_request()).await);
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "hook");

    watch.set_down(true);
    let error = failed(app.call(request("/limit", None).to_request()).await);
    assert_eq!(error.error_response().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[actix_web::test]
async fn without_the_middleware_the_rejection_says_what_to_wrap() {
    async fn reason(visitor: Result<Session<Visitor>, SessionRejection>) -> String {
        visitor.err().expect("no sessions").to_string()
    }
    let app = init_service(App::new().route("/", web::get().to(reason))).await;
    let (_, body) = ask(&app, request("/", None).to_request()).await;
    assert!(body.contains("wrap the app in `SessionMiddleware::new(store)`"), "{body}");
}

/// A body that takes the session of its request as a handler does, once the headers have gone.
#[actix_web::test]
async fn a_session_is_extracted_in_a_streamed_body() {
    async fn streamed(request: HttpRequest, mut visitor: Session<Visitor>) -> HttpResponse {
        visitor.visits += 1;
        drop(visitor);
        let body = futures_util::stream::once(async move {
            let mut visitor = Session::<Visitor>::extract(&request).await?;
            visitor.visits += 10;
            visitor.save().await?;
            Ok::<_, actix_web::Error>(web::Bytes::from(visitor.visits.to_string()))
        });
        HttpResponse::Ok().streaming(Box::pin(body))
    }
    let store = Store::new(MemoryProvider::new());
    let app = App::new()
        .wrap(SessionMiddleware::new(store))
        .route("/visit", web::get().to(visit))
        .route("/streamed", web::get().to(streamed));
    let app = init_service(app).await;
    let response = call_service(&app, request("/streamed", None).to_request()).await;
    let cookie = response.response().cookies().next().expect("a cookie").into_owned();
    assert_eq!(to_bytes(response.into_body()).await.ok().unwrap(), "11");
    let (_, visits) = ask(&app, request("/visit", Some(&cookie)).to_request()).await;
    assert_eq!(visits, "12");
}

#[actix_web::test]
async fn a_commit_goes_on_when_the_future_is_dropped() {
    let gate = Gate::new(Call::Save);
    let store = Store::new(Hooked::new(MemoryProvider::new(), gate.clone()));
    let app = App::new()
        .wrap(SessionMiddleware::new(store.clone()))
        .route("/visit", web::get().to(visit))
        .route("/ignored", web::get().to(ignored));
    let app = init_service(app).await;
    let cookie = cookie(&app, request("/visit", None).to_request()).await;
    gate.close();
    let mut left = Box::pin(app.call(request("/visit", Some(&cookie)).to_request()));
    tokio::select! {
        biased;
        _ = &mut left => panic!("the gate is closed"),
        () = gate.arrived(1) => {}
    }
    drop(left);
    let mut shutdown = Box::pin(store.shutdown());
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(shutdown.as_mut().poll(&mut context), Poll::Pending, "the commit is waited for");
    gate.open();
    shutdown.await;
    assert_eq!(ask(&app, request("/visit", Some(&cookie)).to_request()).await.1, "3");
}

#[tokio::test]
async fn all_workers_share_one_store() {
    async fn visit(mut visitor: Session<Visitor>) -> String {
        visitor.visits += 1;
        format!("{} {:?}", visitor.visits, std::thread::current().id())
    }
    let (store, _) = watched_store();
    let server = HttpServer::new(move || {
        let sessions = SessionMiddleware::new(store.clone());
        App::new().wrap(sessions).route("/visit", web::get().to(visit))
    });
    let server = server.workers(2).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let mut browser = Browser::new(server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let mut workers = std::collections::BTreeSet::new();
    for count in 1..=8 {
        let body = browser.get("/visit").await.body;
        let (visits, worker) = body.split_once(' ').expect("two words");
        assert_eq!(visits, count.to_string());
        workers.insert(worker.to_owned());
    }
    assert_eq!(workers.len(), 2, "connections go to the workers in turn");
    handle.stop(true).await;
}
