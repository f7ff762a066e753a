//! The application on axum: without sessions, with ours, with those of `tower-sessions`.

use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use axum::routing::{RouterIntoService, get};
use sessions::axum::SessionLayer;
use sessions::provider::Provider;
use sessions::{Session, Store};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use tower_sessions::cookie::Key;
use tower_sessions::{MemoryStore, SessionManagerLayer};

use super::{App, Cookie, FILL_ANONYMOUS, FILL_LOGGED_IN, Kind, PATHS};
use crate::visitor::{Visitor, somebody};

/// The application with one of the libraries.
pub struct Axum {
    runtime: Runtime,
    service: RouterIntoService<Body>,
    logged_in: Option<HeaderValue>,
    others: Vec<Option<HeaderValue>>,
}

/// The routes without sessions: all answer alike.
pub fn bare() -> Router {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, get(untouched)))
}

/// The routes with a layer of ours.
pub fn ours(store: Store) -> Router {
    Router::new()
        .route(FILL_LOGGED_IN, get(ours::fill::<true>))
        .route(FILL_ANONYMOUS, get(ours::fill::<false>))
        .route("/untouched", get(untouched))
        .route("/peek", get(ours::peek))
        .route("/read", get(ours::read))
        .route("/write", get(ours::write))
        .route("/login", get(ours::login))
        .route("/logout", get(ours::logout))
        .layer(SessionLayer::new(store))
}

impl Axum {
    /// The router alone. It answers all kinds of requests alike.
    #[must_use]
    pub fn bare() -> Self {
        Self::new(bare())
    }

    /// With a layer of ours.
    pub fn ours(provider: impl Provider) -> Self {
        Self::new(ours(Store::new(provider)))
    }

    /// With a layer of `tower-sessions`, with private cookies and its own store.
    #[must_use]
    pub fn tower_sessions() -> Self {
        let routes = Router::new()
            .route(FILL_LOGGED_IN, get(theirs::fill::<true>))
            .route(FILL_ANONYMOUS, get(theirs::fill::<false>))
            .route("/untouched", get(untouched))
            .route("/read", get(theirs::read))
            .route("/write", get(theirs::write))
            .route("/login", get(theirs::login));
        let layer = SessionManagerLayer::new(MemoryStore::default()).with_private(Key::generate());
        Self::new(routes.layer(layer))
    }

    fn new(router: Router) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut app =
            Self { runtime, service: router.into_service(), logged_in: None, others: Vec::new() };
        app.logged_in = app.fill(FILL_LOGGED_IN);
        app
    }

    fn requests(&mut self, path: &str, cookies: &[Option<HeaderValue>]) -> Option<HeaderValue> {
        let Self { runtime, service, .. } = self;
        // A server polls each connection anew; here one loop makes all requests.
        runtime.block_on(tokio::task::unconstrained(async {
            let mut set_cookie = None;
            for cookie in cookies {
                let mut request = Request::new(Body::empty());
                *request.uri_mut() = path.parse().unwrap();
                if let Some(cookie) = cookie {
                    request.headers_mut().insert(COOKIE, cookie.clone());
                }
                let mut response = service.call(request).await.unwrap();
                assert!(response.status().is_success());
                set_cookie = response.headers_mut().remove(SET_COOKIE);
            }
            set_cookie
        }))
    }

    /// The cookie that a browser sends after it was here.
    fn fill(&mut self, path: &str) -> Option<HeaderValue> {
        let set_cookie = self.requests(path, &[None]);
        let set_cookie = set_cookie.as_ref().map_or(super::SOME, |value| value.to_str().unwrap());
        Some(super::pair(set_cookie).parse().unwrap())
    }
}

impl App for Axum {
    fn make(&mut self, kind: Kind, count: usize, measure: &mut dyn FnMut(&mut dyn FnMut())) {
        let cookies: Vec<_> = match kind.cookie {
            Cookie::None => vec![None; count],
            Cookie::LoggedIn => vec![self.logged_in.clone(); count],
            Cookie::Others => {
                while self.others.len() < super::OTHERS {
                    let other = self.fill(FILL_LOGGED_IN);
                    self.others.push(other);
                }
                self.others.iter().cycle().take(count).cloned().collect()
            }
            Cookie::Anonymous => (0..count).map(|_| self.fill(FILL_ANONYMOUS)).collect(),
        };
        measure(&mut || drop(self.requests(kind.path, &cookies)));
    }

    fn set_cookie(&mut self) -> Option<String> {
        let set_cookie = self.requests(FILL_LOGGED_IN, &[None])?;
        Some(set_cookie.to_str().unwrap().to_owned())
    }
}

async fn untouched() -> &'static str {
    "hello"
}

mod ours {
    use super::*;

    pub(super) async fn fill<const LOGGED_IN: bool>(mut visitor: Session<Visitor>) -> &'static str {
        *visitor = Visitor::filled(LOGGED_IN.then(somebody));
        "hello"
    }

    /// Writes at the same time each add the number that they change to the merged list.
    pub(super) async fn read(visitor: Session<Visitor>) -> &'static str {
        assert!(black_box(&*visitor).seen.len() >= 8);
        "hello"
    }

    /// The visitor may be new.
    pub(super) async fn peek(visitor: Session<Visitor>) -> &'static str {
        let seen = black_box(&*visitor).seen.len();
        assert!(seen == 0 || seen >= 8);
        "hello"
    }

    pub(super) async fn write(mut visitor: Session<Visitor>) -> &'static str {
        visitor.seen[0] += 1;
        "hello"
    }

    /// The id changes by itself.
    pub(super) async fn login(mut visitor: Session<Visitor>) -> &'static str {
        assert_eq!(visitor.user, None);
        visitor.user = Some(somebody());
        "hello"
    }

    pub(super) async fn logout(mut visitor: Session<Visitor>) -> &'static str {
        assert!(visitor.user.is_some());
        visitor.destroy();
        "hello"
    }
}

mod theirs {
    use tower_sessions::Session;

    use super::*;

    const KEY: &str = "visitor";

    async fn visitor(session: &Session) -> Visitor {
        session.get(KEY).await.unwrap().unwrap()
    }

    pub(super) async fn fill<const LOGGED_IN: bool>(session: Session) -> &'static str {
        let visitor = Visitor::filled(LOGGED_IN.then(somebody));
        session.insert(KEY, visitor).await.unwrap();
        "hello"
    }

    pub(super) async fn read(session: Session) -> &'static str {
        assert_eq!(black_box(visitor(&session).await).seen.len(), 8);
        "hello"
    }

    pub(super) async fn write(session: Session) -> &'static str {
        let mut visitor = visitor(&session).await;
        visitor.seen[0] += 1;
        session.insert(KEY, visitor).await.unwrap();
        "hello"
    }

    pub(super) async fn login(session: Session) -> &'static str {
        let mut visitor = visitor(&session).await;
        assert_eq!(visitor.user, None);
        visitor.user = Some(somebody());
        session.cycle_id().await.unwrap();
        session.insert(KEY, visitor).await.unwrap();
        "hello"
    }
}
