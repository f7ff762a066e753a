//! The application on actix-web: without sessions, with ours, with those of `actix-session`.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use actix_http::Request;
use actix_session::SessionMiddleware;
use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_web::body::MessageBody;
use actix_web::cookie::Key;
use actix_web::cookie::time::{Duration, OffsetDateTime};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::{ServiceConfig, get};
use rand::distr::{Alphanumeric, SampleString as _};
use sessions::Store;
use sessions::provider::Provider;

use super::{App, Cookie, FILL_ANONYMOUS, FILL_LOGGED_IN, Kind, PATHS};
use crate::visitor::{Visitor, somebody};

/// The application with one of the libraries.
pub struct Actix<S> {
    system: SystemRunner,
    service: S,
    logged_in: Option<HeaderValue>,
    others: Vec<Option<HeaderValue>>,
}

/// The framework alone. It answers all kinds of requests alike.
#[must_use]
pub fn bare() -> Box<dyn App> {
    let app = actix_web::App::new().configure(bare_routes);
    Actix::start(|system| system.block_on(init_service(app)))
}

/// With a middleware of ours.
pub fn ours(provider: impl Provider) -> Box<dyn App> {
    let app = actix_web::App::new()
        .configure(our_routes)
        .wrap(sessions::actix::SessionMiddleware::new(Store::new(provider)));
    Actix::start(|system| system.block_on(init_service(app)))
}

/// With the middleware of `actix-session`, with private cookies.
#[must_use]
pub fn actix_session() -> Box<dyn App> {
    let app = actix_web::App::new()
        .route(FILL_LOGGED_IN, get().to(theirs::fill::<true>))
        .route(FILL_ANONYMOUS, get().to(theirs::fill::<false>))
        .route("/untouched", get().to(untouched))
        .route("/read", get().to(theirs::read))
        .route("/write", get().to(theirs::write))
        .route("/login", get().to(theirs::login))
        .wrap(SessionMiddleware::new(Memory::default(), Key::generate()));
    Actix::start(|system| system.block_on(init_service(app)))
}

/// The routes without sessions: all answer alike.
pub fn bare_routes(config: &mut ServiceConfig) {
    for path in PATHS {
        config.route(path, get().to(untouched));
    }
}

/// The routes for a middleware of ours.
pub fn our_routes(config: &mut ServiceConfig) {
    config
        .route(FILL_LOGGED_IN, get().to(ours::fill::<true>))
        .route(FILL_ANONYMOUS, get().to(ours::fill::<false>))
        .route("/untouched", get().to(untouched))
        .route("/peek", get().to(ours::peek))
        .route("/read", get().to(ours::read))
        .route("/write", get().to(ours::write))
        .route("/login", get().to(ours::login))
        .route("/logout", get().to(ours::logout));
}

impl<S, B> Actix<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
{
    fn start(service: impl FnOnce(&SystemRunner) -> S) -> Box<dyn App> {
        let system = System::new();
        let service = service(&system);
        let mut app = Self { system, service, logged_in: None, others: Vec::new() };
        app.logged_in = app.fill(FILL_LOGGED_IN);
        Box::new(app)
    }

    fn requests(&self, path: &str, cookies: &[Option<HeaderValue>]) -> Option<HeaderValue> {
        self.system.block_on(tokio::task::unconstrained(async {
            let mut set_cookie = None;
            for cookie in cookies {
                let mut request = TestRequest::with_uri(path);
                if let Some(cookie) = cookie {
                    request = request.insert_header((COOKIE, cookie.clone()));
                }
                let response = self.service.call(request.to_request()).await.unwrap();
                assert!(response.status().is_success());
                set_cookie = response.headers().get(SET_COOKIE).cloned();
            }
            set_cookie
        }))
    }

    /// The cookie that a browser sends after it was here.
    fn fill(&self, path: &str) -> Option<HeaderValue> {
        let set_cookie = self.requests(path, &[None]);
        let set_cookie = set_cookie.as_ref().map_or(super::SOME, |value| value.to_str().unwrap());
        Some(super::pair(set_cookie).parse().unwrap())
    }
}

impl<S, B> App for Actix<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
{
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
    use sessions::Session;

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
    use actix_session::Session;

    use super::*;

    const KEY: &str = "visitor";

    fn visitor(session: &Session) -> Visitor {
        session.get(KEY).unwrap().unwrap()
    }

    pub(super) async fn fill<const LOGGED_IN: bool>(session: Session) -> &'static str {
        session.insert(KEY, Visitor::filled(LOGGED_IN.then(somebody))).unwrap();
        "hello"
    }

    pub(super) async fn read(session: Session) -> &'static str {
        assert_eq!(black_box(visitor(&session)).seen.len(), 8);
        "hello"
    }

    pub(super) async fn write(session: Session) -> &'static str {
        let mut visitor = visitor(&session);
        visitor.seen[0] += 1;
        session.insert(KEY, visitor).unwrap();
        "hello"
    }

    pub(super) async fn login(session: Session) -> &'static str {
        let mut visitor = visitor(&session);
        assert_eq!(visitor.user, None);
        visitor.user = Some(somebody());
        session.renew();
        session.insert(KEY, visitor).unwrap();
        "hello"
    }
}

/// A store in memory for `actix-session`, which comes with none. It does as its Redis store does,
/// but keeps the values as they are, which costs less than a text of all.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, Kept>>);

/// What a session holds, and when it ends.
type Kept = (HashMap<String, String>, OffsetDateTime);

impl Memory {
    fn with<R>(&self, run: impl FnOnce(&mut HashMap<String, Kept>) -> R) -> R {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SessionStore for Memory {
    async fn load(&self, key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        let now = OffsetDateTime::now_utc();
        Ok(self.with(|kept| {
            let (state, end) = kept.get(key.as_ref())?;
            (*end > now).then(|| state.clone())
        }))
    }

    async fn save(
        &self,
        state: HashMap<String, String>,
        ttl: &Duration,
    ) -> Result<SessionKey, SaveError> {
        let key = Alphanumeric.sample_string(&mut rand::rng(), 64);
        let end = OffsetDateTime::now_utc() + *ttl;
        self.with(|kept| kept.insert(key.clone(), (state, end)));
        SessionKey::try_from(key).map_err(|error| SaveError::Other(error.into()))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: HashMap<String, String>,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let end = OffsetDateTime::now_utc() + *ttl;
        self.with(|kept| {
            if let Some(session) = kept.get_mut(key.as_ref()) {
                *session = (state, end);
            }
        });
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> anyhow::Result<()> {
        let end = OffsetDateTime::now_utc() + *ttl;
        self.with(|kept| {
            if let Some(session) = kept.get_mut(key.as_ref()) {
                session.1 = end;
            }
        });
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        self.with(|kept| kept.remove(key.as_ref()));
        Ok(())
    }
}
