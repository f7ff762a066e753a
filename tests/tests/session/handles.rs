//! What may become of a handle: saved in the middle, two at once, moved out of its request,
//! abandoned by the client, dropped by a panic.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{COOKIE, SET_COOKIE};
use hyper::body::{Bytes, Frame};
use sessions::axum::SessionLayer;
use sessions::testing::TestStore;
use sessions::{Error, MemoryProvider, Session, Store};
use sessions_tests::browser::Browser;
use sessions_tests::events::Events;
use sessions_tests::hooked::{Call, Calls, Fault, Faults, Gate, Hooked, Watch, watched};
use sessions_tests::server::Server;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt as _;
use tracing::Level;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
    marks: Vec<String>,
}

async fn show(visitor: Session<Visitor>) -> String {
    let Visitor { user, visits, marks } = &*visitor;
    format!("{} {visits} {}", user.as_deref().unwrap_or("-"), marks.join(","))
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

#[track_caller]
fn assert_outlived(errors: &Events, times: usize) {
    let lines = errors.take();
    let outlived = |line: &&String| {
        line.contains("outlived its request, call save()") && line.contains("session=\"visitor\"")
    };
    assert_eq!(lines.iter().filter(outlived).count(), times, "{lines:?}");
    assert_eq!(lines.len(), times);
}

struct Site {
    _server: Server,
    browser: Browser,
    watch: Watch,
}

async fn site(app: Router) -> Site {
    let (provider, watch) = watched(MemoryProvider::new());
    let app = app
        .route("/show", get(show))
        .route("/visit", get(visit))
        .layer(SessionLayer::new(Store::new(provider)));
    let server = Server::start(app).await;
    let browser = Browser::new(server.address);
    Site { _server: server, browser, watch }
}

// Saved in the middle of a handler.

#[tokio::test]
async fn a_save_in_the_middle_stays_and_the_layer_saves_the_rest() {
    async fn order(mut visitor: Session<Visitor>, status: String) -> Result<StatusCode, Error> {
        visitor.marks.push("before".to_owned());
        visitor.save().await?;
        assert!(!visitor.is_new(), "it has a record now");
        visitor.marks.push("after".to_owned());
        Ok(status.parse().unwrap())
    }
    let Site { mut browser, watch, _server } = site(Router::new().route("/", post(order))).await;
    let answer = browser.post("/", "200").await;
    // One cookie, of the save in the middle; the second save is of the same session.
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(watch.take(), Calls { save: 2, ..Calls::default() });
    assert_eq!(browser.get("/show").await.body, "- 0 before,after");

    // What a handler saved itself stays when it fails, and so does its cookie.
    let mut failed = Browser::new(_server.address);
    let answer = failed.post("/", "500").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(failed.get("/show").await.body, "- 0 before");
}

#[tokio::test]
async fn a_login_saved_in_the_middle_brings_its_cookie_and_others_changes() {
    async fn login(mut visitor: Session<Visitor>, user: String) -> Result<String, Error> {
        visitor.user = Some(user);
        let (key, binding) = (visitor.key().cloned(), visitor.binding());
        visitor.save().await?;
        assert_eq!(visitor.key().cloned(), key, "the session is the same");
        assert_ne!(visitor.binding(), binding, "its secret is not");
        visitor.visits += 10;
        Ok(visitor.owner().unwrap_or("-").to_owned())
    }
    let Site { mut browser, _server, .. } = site(Router::new().route("/login", post(login))).await;
    browser.get("/visit").await;
    let mut old = browser.clone();
    assert_eq!(browser.post("/login", "ada").await.body, "ada");
    assert_eq!(browser.get("/show").await.body, "ada 11 ");
    assert_eq!(old.get("/show").await.body, "- 0 ");
}

#[tokio::test]
async fn a_save_that_comes_too_late_says_so() {
    let store = Store::new(MemoryProvider::new());
    let mut jar = sessions_tests::jar::Jar::new();
    let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
    session.visits = 1;
    jar.keep(&session.commit().await.unwrap());
    let mut late = store.load::<Visitor>(jar.headers()).await.unwrap();
    store.revoke_any(session.key().unwrap()).await.unwrap();
    late.visits = 2;
    assert!(matches!(late.save().await, Err(Error::Gone)));
    // Nothing to save is no error.
    let mut unchanged = store.load::<Visitor>(jar.headers()).await.unwrap();
    unchanged.save().await.unwrap();
}

/// A handler that hears of it answers by itself; the layer must not log them in after all.
#[tokio::test]
async fn a_login_that_was_undone_in_the_middle_is_not_carried_out_by_the_layer() {
    async fn login(mut visitor: Session<Visitor>) -> String {
        visitor.user = Some("ada".to_owned());
        visitor.save().await.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }
    let test = TestStore::with(|builder| builder.max_sessions_per_owner(1));
    let store = test.store();
    let app = Router::new().route("/", post(login)).layer(SessionLayer::new(store.clone()));
    let of_ada = |visits| Visitor { user: Some("ada".to_owned()), visits, marks: Vec::new() };
    let anonymous = test.cookie(&Visitor { user: None, ..of_ada(1) }).await;
    let elsewhere = test.clone();
    test.before_save(move |_, _| async move {
        // The first lists none, the second one: both are above what is in hand.
        for visits in [2, 3] {
            elsewhere.cookie(&of_ada(visits)).await;
        }
    });
    let request = Request::post("/").header(COOKIE, &anonymous).body(Body::empty()).unwrap();
    let answer = app.oneshot(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers().get(SET_COOKIE)), (StatusCode::OK, None));
    let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
    assert_eq!(body, "the login was undone, log in again");
    assert!(test.read::<Visitor>(&anonymous).await.is_none());
    let listed = store.list::<Visitor>("ada", sessions::Page::first(9)).await.unwrap().items;
    assert_eq!(listed.len(), 1, "the last login elsewhere");
}

#[tokio::test]
async fn what_a_handler_could_not_save_is_saved_once_by_the_layer() {
    async fn count(State(faults): State<Faults>, mut visitor: Session<Visitor>) -> String {
        visitor.visits += 1;
        // Each takes place, and nobody hears of it.
        faults.set(Fault::LostEach(Call::Save, 1));
        let saved = visitor.save().await.is_ok();
        faults.set(Fault::None);
        visitor.marks.push("after".to_owned());
        saved.to_string()
    }
    let faults = Faults::default();
    let store = Store::new(Hooked::new(MemoryProvider::new(), faults.clone()));
    let app = Router::new()
        .route("/count", get(count))
        .route("/show", get(show))
        .layer(SessionLayer::new(store))
        .with_state(faults);
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    let first = browser.get("/count").await;
    assert_eq!((first.status, first.set_cookies().len()), (StatusCode::OK, 1));
    assert_eq!(browser.get("/show").await.body, "- 1 after");
    assert_eq!(browser.get("/count").await.status, StatusCode::OK);
    assert_eq!(browser.get("/show").await.body, "- 2 after,after");
}

/// The response waits for it, and brings its cookie.
#[tokio::test]
async fn a_save_that_a_handler_dropped_half_way_counts_once() {
    async fn count(State(gate): State<Gate>, mut visitor: Session<Visitor>) {
        visitor.visits += 1;
        gate.close();
        tokio::select! {
            biased;
            _ = visitor.save() => panic!("the gate is closed"),
            () = gate.arrived(1) => {}
        }
        visitor.marks.push("after".to_owned());
        gate.open();
    }
    let gate = Gate::new(Call::Save);
    let store = Store::new(Hooked::new(MemoryProvider::new(), gate.clone()));
    let app = Router::new()
        .route("/count", get(count))
        .route("/show", get(show))
        .layer(SessionLayer::new(store))
        .with_state(gate);
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    let first = browser.get("/count").await;
    assert_eq!((first.status, first.set_cookies().len()), (StatusCode::OK, 1));
    assert_eq!(browser.get("/show").await.body, "- 1 after");
    assert_eq!(browser.get("/count").await.set_cookies(), [""; 0]);
    assert_eq!(browser.get("/show").await.body, "- 2 after,after");
}

// Two handles in one request.

#[tokio::test]
async fn two_handles_merge_as_two_requests_would() {
    async fn both(mut one: Session<Visitor>, mut two: Session<Visitor>) -> String {
        one.visits += 1;
        one.marks.push("one".to_owned());
        two.visits += 1;
        two.marks.push("two".to_owned());
        format!("{} {}", one.visits, two.visits)
    }
    async fn twice(mut one: Session<Visitor>, mut two: Session<Visitor>) -> Result<String, Error> {
        one.visits += 1;
        two.visits += 1;
        one.save().await?;
        two.save().await?;
        Ok(format!("{} {}", one.visits, two.visits))
    }
    async fn end(mut one: Session<Visitor>, mut two: Session<Visitor>) {
        two.visits += 1;
        one.destroy();
    }
    let app =
        Router::new().route("/both", get(both)).route("/twice", get(twice)).route("/end", get(end));
    let Site { mut browser, watch, _server } = site(app).await;
    for (visits, saves) in [(2, 1), (4, 1)] {
        let _ = watch.take();
        browser.get("/both").await;
        assert_eq!(watch.take().save, saves, "one save for both");
        let shown = browser.get("/show").await.body;
        assert!(shown.starts_with(&format!("- {visits} ")), "{shown}");
        for mark in ["one", "two"] {
            assert_eq!(shown.matches(mark).count(), visits / 2, "{shown}");
        }
    }
    assert_eq!(browser.get("/twice").await.body, "5 6");
    assert!(browser.get("/show").await.body.starts_with("- 6 "));
    // One asks to end the session, the other to change it: it ends.
    browser.get("/end").await;
    assert!(browser.jar.is_empty());
}

// Moved out of the request.

/// A task that waits for the test, and tells it when it is done.
#[derive(Clone)]
struct Later {
    go: watch::Sender<bool>,
    reports: mpsc::UnboundedSender<String>,
}

/// Answers at once; a task goes on with the session, doing what the path names before the answer
/// and after it.
async fn spawn(
    State(later): State<Later>,
    Path((before, after)): Path<(String, String)>,
    mut visitor: Session<Visitor>,
) {
    if before == "change" {
        visitor.visits += 10;
    }
    tokio::spawn(async move {
        later.go.subscribe().wait_for(|go| *go).await.unwrap();
        let mut report = String::new();
        if after != "read" {
            visitor.visits += 1;
        }
        if after == "login" {
            visitor.user = Some("ada".to_owned());
        }
        if after == "renew" {
            visitor.renew();
        }
        if ["save", "login", "renew"].contains(&&*after) {
            report = visitor.save().await.map_or_else(|error| error.to_string(), |()| "ok".into());
        }
        drop(visitor);
        later.reports.send(report).unwrap();
    });
}

#[tokio::test]
async fn a_handle_moved_into_a_task_is_never_dropped_in_silence() {
    let (reports, mut done) = mpsc::unbounded_channel();
    let later = Later { go: watch::Sender::new(false), reports };
    let app = Router::new().route("/{before}/{after}", get(spawn)).with_state(later.clone());
    let Site { mut browser, _server, .. } = site(app).await;
    browser.get("/visit").await;
    let errors = Events::capture(Level::ERROR);
    let mut visits = 0;
    // What is done, the errors when the layer commits, those after, and how many visits are saved.
    for (path, first, second, saved) in [
        ("/read/read", 0, 0, 0),
        ("/change/read", 1, 1, 0),
        ("/read/change", 0, 1, 0),
        ("/read/save", 0, 0, 1),
        ("/change/save", 1, 0, 11),
    ] {
        later.go.send_replace(false);
        assert_eq!(browser.get(path).await.status, StatusCode::OK);
        assert_outlived(&errors, first);
        later.go.send_replace(true);
        let report = done.recv().await.unwrap();
        assert_eq!(report, if path.ends_with("save") { "ok" } else { "" }, "{path}");
        assert_outlived(&errors, second);
        visits += saved;
        assert_eq!(browser.get("/show").await.body, format!("- {} ", 1 + visits), "{path}");
    }

    // Once the headers have gone, no cookie can name a new session, nor hold the new secret of an old one.
    let new = Browser::new(_server.address);
    for (mut browser, path, shown) in [
        (new, "/read/save", "- 0 "),
        (browser.clone(), "/read/login", "- 13 "),
        (browser.clone(), "/read/renew", "- 13 "),
        (browser, "/change/renew", "- 13 "),
    ] {
        later.go.send_replace(false);
        browser.get(path).await;
        let _ = errors.take();
        later.go.send_replace(true);
        let report = done.recv().await.unwrap();
        assert!(report.contains("before the handler answers"), "{path}: {report}");
        assert_outlived(&errors, 1);
        assert_eq!(browser.get("/show").await.body, shown, "{path}");
    }
}

/// A body that counts each of its frames in the session.
struct Counting {
    session: Session<Visitor>,
    frames: u32,
    /// Dropped last.
    _ended: oneshot::Sender<()>,
}

impl hyper::body::Body for Counting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.frames == 0 {
            return Poll::Ready(None);
        }
        self.frames -= 1;
        self.session.visits += 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

#[tokio::test]
async fn a_handle_moved_into_a_stream_is_never_dropped_in_silence() {
    type Ended = mpsc::UnboundedSender<oneshot::Receiver<()>>;
    async fn stream(
        State(ended): State<Ended>,
        Path(frames): Path<u32>,
        session: Session<Visitor>,
    ) -> Body {
        let (_ended, receiver) = oneshot::channel();
        ended.send(receiver).unwrap();
        Body::new(Counting { session, frames, _ended })
    }
    let (ended, mut streams) = mpsc::unbounded_channel();
    let app = Router::new().route("/stream/{frames}", get(stream)).with_state(ended);
    let Site { mut browser, _server, .. } = site(app).await;
    browser.get("/visit").await;
    let errors = Events::capture(Level::ERROR);
    for (frames, outlived) in [(3, 1), (0, 0)] {
        let answer = browser.get(&format!("/stream/{frames}")).await;
        assert_eq!(answer.body, "frame".repeat(frames));
        let _ = streams.recv().await.unwrap().await;
        assert_outlived(&errors, outlived);
    }
    assert_eq!(browser.get("/show").await.body, "- 1 ");
}

// Abandoned by the client.

struct Leaving {
    app: Router,
    store: Store,
    gate: Gate,
    /// A handler that waits after its change tells that it is there.
    started: mpsc::UnboundedReceiver<()>,
    /// One for each request that was dropped or answered.
    ended: mpsc::UnboundedReceiver<()>,
    cookie: String,
}

struct Tell(mpsc::UnboundedSender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A site whose saves wait at a gate, and a visitor who has been there once.
async fn leaving() -> Leaving {
    let gate = Gate::new(Call::Save);
    let store = Store::new(Hooked::new(MemoryProvider::new(), gate.clone()));
    let (tell_start, started) = mpsc::unbounded_channel();
    let (tell_end, mut ended) = mpsc::unbounded_channel();
    let wait = async move |mut visitor: Session<Visitor>| {
        visitor.visits += 1;
        let _ = tell_start.send(());
        std::future::pending::<()>().await;
    };
    let watch = move |request: Request, next: Next| {
        let tell = Tell(tell_end.clone());
        async move {
            let response = next.run(request).await;
            drop(tell);
            response
        }
    };
    let app = Router::new()
        .route("/visit", get(visit))
        .route("/show", get(show))
        .route("/wait", get(wait))
        .layer(SessionLayer::new(store.clone()))
        .layer(from_fn(watch));
    let request = Request::get("/visit").body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    ended.recv().await.unwrap();
    Leaving { app, store, gate, started, ended, cookie }
}

impl Leaving {
    fn request(&self, path: &str) -> Request {
        Request::get(path).header(COOKIE, &self.cookie).body(Body::empty()).unwrap()
    }

    async fn shown(&self) -> String {
        let response = self.app.clone().oneshot(self.request("/show")).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Shuts down while a commit waits at the gate.
    async fn shut_down(&self) {
        let mut shutdown = pin!(self.store.shutdown());
        let mut context = Context::from_waker(Waker::noop());
        assert!(shutdown.as_mut().poll(&mut context).is_pending(), "a commit is under way");
        tokio::task::yield_now().await;
        assert!(shutdown.as_mut().poll(&mut context).is_pending(), "and waits at the gate");
        self.gate.open();
        shutdown.await;
    }
}

#[tokio::test]
async fn a_commit_goes_on_when_the_connection_is_cut() {
    let mut site = leaving().await;
    let server = Server::start(site.app.clone()).await;
    site.gate.close();
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /visit HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", site.cookie);
    connection.write_all(request.as_bytes()).await.unwrap();
    site.gate.arrived(1).await;
    drop(connection);
    site.ended.recv().await.unwrap();
    assert_eq!(site.shown().await, "- 1 ", "the save waits");
    site.shut_down().await;
    assert_eq!(site.shown().await, "- 2 ");
}

#[tokio::test]
async fn a_commit_goes_on_when_the_future_is_dropped() {
    let mut site = leaving().await;
    site.gate.close();
    let gate = site.gate.clone();
    tokio::select! {
        biased;
        _ = site.app.clone().oneshot(site.request("/visit")) => panic!("the gate is closed"),
        () = gate.arrived(1) => {}
    }
    site.ended.recv().await.unwrap();
    site.shut_down().await;
    assert_eq!(site.shown().await, "- 2 ");
}

#[tokio::test]
async fn a_save_in_the_middle_goes_on_when_it_is_dropped() {
    let site = leaving().await;
    let mut headers = http::HeaderMap::new();
    headers.insert(COOKIE, site.cookie.parse().unwrap());
    let mut visitor = site.store.load::<Visitor>(&headers).await.unwrap();
    visitor.visits += 1;
    site.gate.close();
    tokio::select! {
        biased;
        _ = visitor.save() => panic!("the gate is closed"),
        () = site.gate.arrived(1) => {}
    }
    drop(visitor);
    site.shut_down().await;
    assert_eq!(site.shown().await, "- 2 ");
}

#[tokio::test]
async fn a_handler_that_is_dropped_half_way_saves_nothing() {
    let mut site = leaving().await;
    let answer = site.app.clone().oneshot(site.request("/wait"));
    tokio::select! {
        biased;
        _ = answer => panic!("the handler waits forever"),
        _ = site.started.recv() => {}
    }
    site.ended.recv().await.unwrap();
    site.store.shutdown().await;
    assert_eq!(site.shown().await, "- 1 ");
}

// Dropped by a panic.

#[tokio::test]
async fn a_panic_saves_nothing() {
    async fn panics(mut visitor: Session<Visitor>) -> StatusCode {
        visitor.visits += 100;
        panic!("on purpose");
    }
    async fn task_panics(mut visitor: Session<Visitor>) -> StatusCode {
        visitor.visits += 100;
        let task = tokio::spawn(async move {
            visitor.visits += 100;
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        StatusCode::OK
    }
    /// Two handles, of which one is in a panic.
    async fn one_panics(mut one: Session<Visitor>, mut two: Session<Visitor>) -> StatusCode {
        one.visits += 100;
        drop(one);
        let task = tokio::spawn(async move {
            two.visits += 100;
            panic!("on purpose");
        });
        assert!(task.await.is_err());
        StatusCode::OK
    }
    async fn catch(request: Request, next: Next) -> Response {
        let answer = tokio::spawn(next.run(request)).await;
        answer.unwrap_or_else(|_| Response::new(Body::from("caught")))
    }
    let app = Router::new()
        .route("/panics", get(panics))
        .route("/task-panics", get(task_panics))
        .route("/one-panics", get(one_panics))
        .layer(from_fn(catch));
    let Site { mut browser, watch, _server } = site(app).await;
    browser.get("/visit").await;
    let _ = watch.take();
    for path in ["/panics", "/task-panics", "/one-panics"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "what answers for the panic is no failure");
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert_eq!(watch.take(), Calls { fetch: 1, ..Calls::default() }, "{path}");
    }
    assert_eq!(browser.get("/show").await.body, "- 1 ");
}

/// A panic that nobody catches takes the request with it, and nothing else.
#[tokio::test]
async fn a_panic_through_the_layer_saves_nothing() {
    let site = leaving().await;
    async fn panics(mut visitor: Session<Visitor>) {
        visitor.visits += 100;
        panic!("on purpose");
    }
    let app =
        Router::new().route("/panics", get(panics)).layer(SessionLayer::new(site.store.clone()));
    let answer = tokio::spawn(app.oneshot(site.request("/panics")));
    assert!(answer.await.unwrap_err().is_panic());
    site.store.shutdown().await;
    assert_eq!(site.shown().await, "- 1 ");
}

/// A login whose save was answered by nobody, and that `reload` finds: its response has the cookie.
#[tokio::test]
async fn what_a_reload_recovers_reaches_the_browser() {
    async fn login(State(faults): State<Faults>, mut visitor: Session<Visitor>) -> String {
        visitor.user = Some("ada".to_owned());
        faults.set(Fault::LostThenDown(Call::Save));
        assert!(visitor.save().await.is_err());
        faults.heal();
        visitor.reload().await.unwrap();
        visitor.owner().unwrap_or("nobody").to_owned()
    }
    let faults = Faults::default();
    let store = Store::new(Hooked::new(MemoryProvider::new(), faults.clone()));
    let app = Router::new()
        .route("/", post(login).with_state(faults))
        .layer(SessionLayer::new(store.clone()));
    let answer = app.oneshot(Request::post("/").body(Body::empty()).unwrap()).await.unwrap();
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    let headers = http::HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
    let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(body, "ada");
    assert_eq!(store.load::<Visitor>(&headers).await.unwrap().owner(), Some("ada"));
}
