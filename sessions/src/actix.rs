//! The middleware and the extractor for actix-web 4.
//!
//! Wrap the app in a [`SessionMiddleware`] once, and take
//! [`Session<T>`](struct@crate::Session) in any handler:
//!
//! ```
//! use actix_web::{App, HttpServer, web};
//! use sessions::actix::{Existing, SessionMiddleware};
//! use sessions::{MemoryProvider, Session, Store};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     cart: Vec<String>,
//! }
//!
//! async fn add(mut visitor: Session<Visitor>, item: String) -> String {
//!     visitor.cart.push(item);
//!     format!("{} items", visitor.cart.len())
//! }
//!
//! /// `None` for whoever has stored nothing yet.
//! async fn empty(Existing(visitor): Existing<Visitor>) -> &'static str {
//!     if let Some(mut visitor) = visitor {
//!         visitor.cart.clear();
//!     }
//!     "empty"
//! }
//!
//! let store = Store::new(MemoryProvider::new());
//! let server = HttpServer::new(move || {
//!     App::new()
//!         .wrap(SessionMiddleware::new(store.clone()))
//!         .route("/add", web::post().to(add))
//!         .route("/empty", web::post().to(empty))
//! });
//! # let _ = server;
//! ```
//!
//! # What the middleware does to a response
//!
//! - It commits what the handlers changed, before the headers leave: unless the status is 5xx or
//!   408 ([`KeepChanges`](crate::KeepChanges)). A session that was destroyed ends whatever the
//!   status.
//! - Where the commit fails, an empty response takes the place of the handler's: 503 with
//!   `Retry-After` when trying again can help, 409 for a conflict, else 500. It keeps the headers
//!   that the middleware inside sets for every response: CORS, security headers, `Vary`.
//!   [`on_error`](SessionMiddleware::on_error) answers otherwise.
//! - A response that sets or clears a session cookie is kept from shared caches: it carries
//!   `Cache-Control: private, no-store`. Where the handler has set `Cache-Control`, the middleware
//!   adds `private` and removes `public`, `s-maxage` and headers such as `CDN-Cache-Control`.
//! - A response whose handler took a session carries `Vary: Cookie`, and `Cache-Control: private`
//!   unless the handler has set `Cache-Control`.
//! - A HEAD request commits nothing, whatever its handler did.
//! - A prefetch (`Sec-Purpose: prefetch`) whose handler changed a session commits nothing and is
//!   answered with 503, so that the browser asks again when its user follows the link.
//! - A handle that is still alive when the handler has answered (in a streamed body, a WebSocket,
//!   a task) cannot be committed any more: call [`save`](crate::Session::save) on it.
//!
//! # Several middlewares
//!
//! The middleware of one store may be wrapped twice, as around an app and around a scope in it: the
//! inner one adds nothing. Where a middleware of another store stands inside, name with
//! [`only`](SessionMiddleware::only) the session types that one of them serves; a type that both
//! would serve is an [`Error::Misuse`]. Sessions are committed, and their errors answered, by the
//! outermost middleware.
//!
//! # In middleware
//!
//! Middleware takes sessions as handlers do, if it is wrapped around the app before the
//! [`SessionMiddleware`], which then is outside of it. Drop the handle before the handler runs, and
//! the handler sees what was changed; where both hold one, their changes merge. One commit saves
//! both.
//!
//! ```
//! use actix_web::body::MessageBody;
//! use actix_web::dev::{ServiceRequest, ServiceResponse};
//! use actix_web::middleware::{Next, from_fn};
//! use actix_web::{App, Error, error::ErrorUnauthorized, web};
//! use sessions::{MemoryProvider, Session, Store, actix::SessionMiddleware};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(owner)]
//!     user: Option<u64>,
//! }
//!
//! async fn members_only(
//!     visitor: Session<Visitor>,
//!     request: ServiceRequest,
//!     next: Next<impl MessageBody>,
//! ) -> Result<ServiceResponse<impl MessageBody>, Error> {
//!     if visitor.user.is_none() {
//!         return Err(ErrorUnauthorized("log in first"));
//!     }
//!     drop(visitor);
//!     next.call(request).await
//! }
//!
//! let app = App::new()
//!     .route("/account", web::get().to(async || "yours"))
//!     .wrap(from_fn(members_only))
//!     .wrap(SessionMiddleware::new(Store::new(MemoryProvider::new())));
//! ```
//!
//! # `Option<Session<T>>`
//!
//! actix-web makes an `Option` of every extractor itself, `None` where it fails. It cannot be told
//! otherwise, so [`Existing<T>`] stands for the session that is `None` when there is no live one.
//! An `Option<Session<T>>` is `Some` for a new visitor too; and where it is `None` because the
//! session could not be loaded, the middleware sends the error (503 when the store is down) in place
//! of the handler's answer: nobody is taken for a stranger because a database is down. Where the
//! middleware is missing, an `Option<Session<T>>` is `None` for everybody, and only an event says
//! why: one more reason for [`Existing<T>`], which answers 500 then.

mod extract;
mod headers;

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use actix_web::{HttpMessage as _, HttpResponse};
use http::StatusCode;
use pin_project_lite::pin_project;

pub use self::extract::{
    Existing, Loading, LoadingExisting, LoadingOrNew, OrNew, SessionRejection,
};
use crate::data::SessionData;
use crate::error::Error;
use crate::request;
use crate::request::RequestSessions;
use crate::request::ending::Ending;
use crate::request::ending::{Answer, Ended};
use crate::request::layer::Entered;
use crate::request::slots::{Dry, Served};
use crate::store::Store;

/// Gives an app's handlers their sessions, and commits them once a handler has answered.
///
/// One middleware serves any number of session types. A request that touches no session costs no
/// store call. Make the [`Store`] outside the server's factory and clone it in: all workers share
/// one.
///
/// ```
/// use actix_web::{App, HttpServer, web};
/// use sessions::{MemoryProvider, Session, Store, actix::SessionMiddleware};
///
/// #[derive(Session)]
/// #[session(name = "visitor", version = 1)]
/// struct Visitor {
///     visits: u32,
/// }
///
/// async fn home(mut visitor: Session<Visitor>) -> String {
///     visitor.visits += 1;
///     format!("visit number {}", visitor.visits)
/// }
///
/// let store = Store::new(MemoryProvider::new());
/// let server = HttpServer::new(move || {
///     App::new().wrap(SessionMiddleware::new(store.clone())).route("/", web::get().to(home))
/// });
/// # let _ = server;
/// ```
#[derive(Clone)]
pub struct SessionMiddleware {
    served: Served,
    on_error: Option<OnError>,
}

type OnError = Arc<dyn Fn(&Error, &RequestHead) -> HttpResponse + Send + Sync>;

impl SessionMiddleware {
    /// A middleware over this store.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, actix::SessionMiddleware};
    /// let middleware = SessionMiddleware::new(Store::new(MemoryProvider::new()));
    /// ```
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { served: Served::all(store), on_error: None }
    }

    /// Serves this session type, and the others that are named so, but no further one: for a
    /// middleware that meets the middleware of another store.
    ///
    /// ```
    /// use actix_web::{App, web};
    /// use sessions::{
    ///     CookieConfig, MemoryProvider, SameSite, Session, Store, actix::SessionMiddleware,
    /// };
    ///
    /// #[derive(Session)]
    /// #[session(name = "admin", version = 1)]
    /// struct Admin {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// let visitors = Store::new(MemoryProvider::new());
    /// let admins = Store::builder(MemoryProvider::new())
    ///     .cookie(CookieConfig::new().same_site(SameSite::Strict))
    ///     .build()?;
    /// // Handlers of this scope take both: `Admin` from its store, everything else from the other.
    /// let admin = web::scope("/admin").wrap(SessionMiddleware::new(admins).only::<Admin>());
    /// let app = App::new().wrap(SessionMiddleware::new(visitors)).service(admin);
    /// # let _ = app;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[must_use]
    pub fn only<T: SessionData>(self) -> Self {
        Self { served: self.served.only::<T>(), ..self }
    }

    /// Makes the responses that tell of an error, in place of the middleware's own: where a commit
    /// failed, and where a handler was rejected or answered with an [`Error`] of this crate. A
    /// handler that answers a [`SessionRejection`] in its own way is left alone.
    ///
    /// `respond` gets the error and the request's method, address and headers, and decides on
    /// status, headers and body. The middleware adds `Retry-After` where trying again can help and
    /// `Cache-Control: no-store`, unless they are set, the cookies of the request's commits that
    /// succeeded, and the headers that the middleware inside sets for every response (CORS,
    /// security headers, `Vary`). The error's text is for the log, not for visitors.
    ///
    /// With it, each request costs a copy of its headers.
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use actix_web::http::header::ACCEPT;
    /// use sessions::{MemoryProvider, Store, actix::SessionMiddleware};
    ///
    /// let store = Store::new(MemoryProvider::new());
    /// let middleware = SessionMiddleware::new(store).on_error(|error, request| {
    ///     if request.headers().get(ACCEPT).is_some_and(|it| it == "application/json") {
    ///         HttpResponse::ServiceUnavailable().body(r#"{"error": "try again"}"#)
    ///     } else if error.is_unavailable() {
    ///         HttpResponse::ServiceUnavailable().body("back in a minute")
    ///     } else if error.is_conflict() {
    ///         HttpResponse::Conflict().body("somebody was faster")
    ///     } else {
    ///         HttpResponse::InternalServerError().body("this is our fault")
    ///     }
    /// });
    /// # let _ = middleware;
    /// ```
    #[must_use]
    pub fn on_error(
        self,
        respond: impl Fn(&Error, &RequestHead) -> HttpResponse + Send + Sync + 'static,
    ) -> Self {
        Self { on_error: Some(Arc::new(respond)), ..self }
    }
}

impl<S, B> Transform<S, ServiceRequest> for SessionMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = SessionService<S>;
    type InitError = ();
    type Future = Ready<Result<SessionService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        let Self { served, on_error } = self.clone();
        ready(Ok(SessionService { served, on_error, inner }))
    }
}

impl fmt::Debug for SessionMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = &self.served.store;
        f.debug_struct("SessionMiddleware").field("store", store).finish_non_exhaustive()
    }
}

/// The service that [`SessionMiddleware`] makes.
///
/// ```
/// use actix_web::dev::Transform;
/// use actix_web::test::{TestRequest, ok_service};
/// use actix_web::dev::Service;
/// use sessions::actix::{SessionMiddleware, SessionService};
/// use sessions::{MemoryProvider, Store};
///
/// # #[actix_web::main] async fn main() -> Result<(), actix_web::Error> {
/// let middleware = SessionMiddleware::new(Store::new(MemoryProvider::new()));
/// let service: SessionService<_> = middleware.new_transform(ok_service()).await.expect("no error");
/// let response = service.call(TestRequest::default().to_srv_request()).await?;
/// assert!(response.status().is_success());
/// # Ok(()) }
/// ```
pub struct SessionService<S> {
    served: Served,
    on_error: Option<OnError>,
    inner: S,
}

impl<S, B> Service<ServiceRequest> for SessionService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), actix_web::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let hook = self.on_error.clone().map(|hook| (hook, Box::new(request.head().clone())));
        let around = request.extensions().get::<RequestSessions>().cloned();
        let dry = || Dry::of(request.method().as_str(), || is_prefetch(request.headers()));
        let (sessions, around) = match RequestSessions::enter(around.as_ref(), &self.served, dry) {
            Entered::First(sessions) => {
                request.extensions_mut().insert(sessions.clone());
                (Some(sessions), None)
            }
            Entered::Added(sessions) => {
                request.extensions_mut().insert(sessions);
                (None, around)
            }
            Entered::Again => (None, None),
        };
        let ending = Ending::new(self.inner.call(request), sessions);
        ResponseFuture { ending, around, hook }
    }
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    static NAMES: [HeaderName; 3] = [
        HeaderName::from_static("sec-purpose"),
        HeaderName::from_static("purpose"),
        HeaderName::from_static("x-moz"),
    ];
    let mut values = NAMES.iter().flat_map(|name| headers.get_all(name));
    values.any(|value| request::headers::is_prefetch(value.as_bytes()))
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("store", &self.served.store)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a [`SessionService`]: the handler's, once its sessions are committed.
    ///
    /// ```
    /// use actix_web::Error;
    /// use actix_web::body::MessageBody;
    /// use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
    /// use sessions::actix::{ResponseFuture, SessionService};
    ///
    /// fn call<S, B: MessageBody>(
    ///     service: &SessionService<S>,
    ///     request: ServiceRequest,
    /// ) -> ResponseFuture<S::Future>
    /// where
    ///     S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    /// {
    ///     service.call(request)
    /// }
    /// # fn of<S, B: MessageBody>(_: &S)
    /// # where S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> {
    /// #     let _ = call::<S, B>;
    /// # }
    /// # of(&actix_web::test::ok_service());
    /// ```
    pub struct ResponseFuture<F: Future> {
        #[pin]
        ending: Ending<F>,
        // The sessions that this middleware has added its own to.
        around: Option<RequestSessions>,
        // With what it is told of the request.
        hook: Option<Hook>,
    }
}

type Hook = (OnError, Box<RequestHead>);

type Handled<B> = Result<ServiceResponse<B>, actix_web::Error>;

impl<F, B> Future for ResponseFuture<F>
where
    F: Future<Output = Handled<B>>,
    B: MessageBody,
{
    type Output = Handled<EitherBody<B>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (answer, ended) = ready!(this.ending.poll(context));
        if let (Ok(response), Some(around)) = (&answer, this.around.take()) {
            // The extensions of a request are shared, also with what is outside.
            response.request().extensions_mut().insert(around);
        }
        Poll::Ready(settle(answer, ended, this.hook.as_ref()))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl<B> Answer for Handled<B> {
    fn status(&self) -> StatusCode {
        let status = match self {
            Ok(response) => response.status(),
            Err(error) => error.error_response().status(),
        };
        StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The handler's response with its cookies, or what takes its place.
fn settle<B: MessageBody>(
    answer: Handled<B>,
    ended: Ended,
    hook: Option<&Hook>,
) -> Handled<EitherBody<B>> {
    let Ended { read, refused, report } = ended;
    let replaced = if refused {
        Some(refusal())
    } else {
        match (&report.error, hook) {
            (Some(error), _) => Some(respond(error, hook)),
            (None, Some(_)) => told(&answer).map(|error| respond(error, hook)),
            (None, None) => None,
        }
    };
    let mut answer = match (answer, replaced) {
        (Ok(response), None) => Ok(response.map_into_left_body()),
        (Ok(response), Some(mut instead)) => {
            keep(response.headers(), instead.headers_mut());
            Ok(response.into_response(instead).map_into_right_body())
        }
        (Err(error), None) => Err(error),
        (Err(error), Some(mut instead)) => {
            keep(error.error_response().headers(), instead.headers_mut());
            Err(actix_web::error::InternalError::from_response(error, instead).into())
        }
    };
    match &mut answer {
        Ok(response) => {
            request::headers::finish_headers(response.headers_mut(), read, report.cookies);
        }
        Err(_) if !read && report.cookies.is_empty() => {}
        Err(error) => error.add_response_mapper(move |mut response| {
            request::headers::finish_headers(response.headers_mut(), read, report.cookies.clone());
            response
        }),
    }
    answer
}

fn respond(error: &Error, hook: Option<&Hook>) -> HttpResponse {
    let mut response = match hook {
        Some((on_error, request)) => on_error(error, request),
        None => HttpResponse::new(headers::status(request::layer::status(error))),
    };
    request::headers::complete(error, response.headers_mut());
    response
}

/// The answer to a prefetch that must not be used as the page.
fn refusal() -> HttpResponse {
    let mut response = HttpResponse::ServiceUnavailable().finish();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Takes over what the middleware inside has said of the response that is replaced.
fn keep(said: &HeaderMap, headers: &mut HeaderMap) {
    for name in said.keys().filter(|name| request::headers::keeps(name.as_str())) {
        if *name == VARY || !headers.contains_key(name) {
            for value in said.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// The error of ours that a handler's answer tells of.
fn told<B>(answer: &Handled<B>) -> Option<&Error> {
    let error = match answer {
        Ok(response) => response.response().error()?,
        Err(error) => error,
    };
    match error.as_error::<SessionRejection>() {
        Some(rejection) => Some(rejection.error()),
        None => error.as_error::<Error>(),
    }
}
