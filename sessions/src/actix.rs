//! The middleware and the extractors for actix-web 4.
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
//! /// `None` if the visitor has stored nothing yet.
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
//! - The middleware commits the handlers' changes before the headers are sent, unless the status is
//!   5xx or 408 ([`KeepChanges`](crate::commit::KeepChanges)).
//!   It ends a destroyed session with any status.
//! - If the commit fails, the middleware replaces the handler's response with an empty one: 503
//!   with `Retry-After` if a retry can help, 409 for a conflict, otherwise 500. The new response
//!   keeps the headers that inner middlewares set for every response: CORS, security headers,
//!   `Vary`. Use [`on_error`](SessionMiddleware::on_error) to respond differently.
//! - The middleware adds `Cache-Control: private, no-store` to a response that sets or clears a
//!   session cookie, so shared caches do not store it. If the handler has set `Cache-Control`, the
//!   middleware adds `private` and removes `public`, `s-maxage` and headers such as
//!   `CDN-Cache-Control`.
//! - If a handler takes a session, the middleware adds `Vary: Cookie` to its response. It also adds
//!   `Cache-Control: private`, unless the handler has set `Cache-Control`.
//! - A HEAD request commits nothing.
//! - If the handler of a prefetch (`Sec-Purpose: prefetch`) changes a session, the middleware
//!   commits nothing and responds with 503. The browser then sends the request again when the user
//!   follows the link.
//! - The middleware does not commit a handle that is still alive after the handler has responded,
//!   for example in a streamed body, a WebSocket or a task. Call [`save`](crate::Session::save) on
//!   it.
//!
//! # Several middlewares
//!
//! You may wrap an app in the middleware of one store, and a scope of the app in it again. The
//! inner middleware then has no effect. If an inner middleware uses another store, name the session
//! types of one of the two middlewares with [`only`](SessionMiddleware::only). A type that both
//! middlewares serve causes an [`Error::Misuse`]. The outermost middleware commits all sessions and
//! responds to their errors.
//!
//! # In middleware
//!
//! Middleware takes sessions as handlers do, if you wrap the app in it before the
//! [`SessionMiddleware`], so that the [`SessionMiddleware`] is outside of it. If the middleware
//! drops its handle before the handler runs, the handler sees the middleware's changes. If both
//! hold a handle at the same time, their changes are merged. One commit saves both.
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
//! Use [`Existing<T>`] for a session that is `None` if there is no live one. actix-web implements
//! `Option` for every extractor, and a crate cannot change this. The result is different:
//!
//! - An `Option<Session<T>>` is `Some` for a new visitor too.
//! - It is `None` if the session could not be loaded. The middleware then replaces the handler's
//!   response with the error (503 if the store is down), because the handler has taken a known
//!   visitor for a new one.
//! - Without the middleware it is `None` for every visitor, and only an event reports why.
//!   [`Existing<T>`] responds with 500.

mod extract;
mod headers;

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{CACHE_CONTROL, HOST, HeaderMap, HeaderValue, VARY};
use actix_web::{HttpMessage as _, HttpResponse};
use http::StatusCode;
use pin_project_lite::pin_project;

pub use self::extract::{
    Authenticated, Existing, Loading, LoadingAuthenticated, LoadingExisting, LoadingOrNew, OrNew,
    SessionRejection,
};
use crate::data::SessionData;
use crate::error::Error;
use crate::request;
use crate::request::RequestSessions;
#[cfg(feature = "dbsc")]
use crate::request::device::DeviceAnswer;
use crate::request::ending::Ending;
use crate::request::ending::{Answer, Ended};
use crate::request::kind::RequestKind;
use crate::request::layer::Entered;
use crate::request::slots::Served;
use crate::store::Store;

/// Provides the sessions of an app's handlers, and commits them after a handler has responded.
///
/// One middleware serves any number of session types. A request that touches no session costs no
/// store call. Create the [`Store`] outside the server's factory and clone it inside, so that all
/// workers share one.
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
    /// Creates a middleware for `store`.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, actix::SessionMiddleware};
    /// let middleware = SessionMiddleware::new(Store::new(MemoryProvider::new()));
    /// ```
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { served: Served::all(store), on_error: None }
    }

    /// Restricts the middleware to the session type `T`, and to the types of other calls of this
    /// method. Use it if a request passes the middlewares of two stores.
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

    /// Sets the function that makes the response to an error. The middleware calls it if a commit
    /// fails, if an extractor rejects the request, or if a handler returns an [`Error`] of this
    /// crate. It does not change the response of a handler that handles a [`SessionRejection`].
    ///
    /// `respond` receives the error and the request's method, URI and headers. It decides the
    /// status, the headers and the body. The middleware then adds:
    ///
    /// - `Retry-After` if a retry can help, and `Cache-Control: no-store`, unless `respond` set
    ///   them;
    /// - the cookies of the request's commits that succeeded;
    /// - the headers that inner middlewares set for every response (CORS, security headers,
    ///   `Vary`).
    ///
    /// The error's text is for the log, not for visitors.
    ///
    /// With this function, each request costs a copy of its headers.
    ///
    /// ```
    /// use actix_web::http::header::ACCEPT;
    /// use actix_web::{HttpResponse, ResponseError as _};
    /// use sessions::{MemoryProvider, Store, actix::SessionMiddleware};
    ///
    /// let store = Store::new(MemoryProvider::new());
    /// let middleware = SessionMiddleware::new(store).on_error(|error, request| {
    ///     let json = request.headers().get(ACCEPT).is_some_and(|it| it == "application/json");
    ///     let text = if json { r#"{"error": "it did not work"}"# } else { "it did not work" };
    ///     HttpResponse::build(error.status_code()).body(text)
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

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        #[cfg(feature = "dbsc")]
        if let Some(answer) = headers::answer_device(&self.served, &request) {
            let work = Work::Device { answer, request: Some(request) };
            return ResponseFuture { work, around: None, hook: None };
        }
        name_host(&self.served, &mut request);
        let hook = self.on_error.clone().map(|hook| (hook, Box::new(request.head().clone())));
        let around = request.extensions().get::<RequestSessions>().cloned();
        let kind = || RequestKind::of(&self.served, request.method().as_str(), request.headers());
        let (sessions, around) = match RequestSessions::enter(around.as_ref(), &self.served, kind) {
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
        let work = Work::Request { ending: Ending::new(self.inner.call(request), sessions) };
        ResponseFuture { work, around, hook }
    }
}

/// Adds the `Host` header to a request of HTTP/2, which has it in its URI (RFC 9113, section 8.3.1), if
/// a store needs it.
fn name_host(served: &Served, request: &mut ServiceRequest) {
    if !served.store.reads_host || request.headers().contains_key(HOST) {
        return;
    }
    let host = request.uri().host().and_then(|host| HeaderValue::from_str(host).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
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
    /// The future of a [`SessionService`]'s response. It commits the sessions after the handler has
    /// responded.
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
        work: Work<F>,
        // The outer middleware's sessions, if this one serves a further store.
        around: Option<RequestSessions>,
        // The function, and the head of the request that it receives.
        hook: Option<Hook>,
    }
}

pin_project! {
    /// What a response's future waits for.
    #[project = WorkProjected]
    enum Work<F: Future> {
        Request {
            #[pin]
            ending: Ending<F>,
        },
        // A browser registers or proves a device. The request is there until it is answered.
        Device { answer: DeviceAnswer, request: Option<ServiceRequest> },
    }
}

#[cfg(not(feature = "dbsc"))]
type DeviceAnswer = std::future::Pending<http::Response<String>>;

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
        let (answer, ended) = match this.work.project() {
            WorkProjected::Request { ending } => ready!(ending.poll(context)),
            WorkProjected::Device { answer, request } => {
                let response = ready!(Pin::new(answer).poll(context));
                // A future that has answered is not polled again.
                let Some(request) = request.take() else { return Poll::Pending };
                let response = request.into_response(headers::response(response));
                return Poll::Ready(Ok(response.map_into_right_body()));
            }
        };
        if let (Ok(response), Some(around)) = (&answer, this.around.take()) {
            // Outer middlewares share the request's extensions, so restore their sessions.
            response.request().extensions_mut().insert(around);
        }
        Poll::Ready(settle(answer, ended, this.hook.as_ref()))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
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

/// Returns the handler's response with its session cookies, or the response that replaces it.
fn settle<B: MessageBody>(
    answer: Handled<B>,
    ended: Ended,
    hook: Option<&Hook>,
) -> Handled<EitherBody<B>> {
    let Ended { varies, refused, again, report } = ended;
    let replaced = if refused {
        Some(refusal())
    } else if again {
        Some(link_again())
    } else {
        match (&report.error, hook) {
            (Some(error), _) => Some(respond(error, hook)),
            (None, Some(_)) => answered_error(&answer).map(|error| respond(error, hook)),
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
            request::headers::finish_headers(response.headers_mut(), &varies, report.deliveries);
        }
        Err(_) if varies.is_empty() && report.deliveries.is_empty() => {}
        Err(error) => error.add_response_mapper(move |mut response| {
            let deliveries = report.deliveries.clone();
            request::headers::finish_headers(response.headers_mut(), &varies, deliveries);
            response
        }),
    }
    answer
}

fn respond(error: &Error, hook: Option<&Hook>) -> HttpResponse {
    let mut response = match hook {
        Some((on_error, request)) => on_error(error, request),
        None => HttpResponse::new(headers::status(error.status())),
    };
    request::headers::complete(error, response.headers_mut());
    response
}

/// The response to a prefetch that changed a session. The browser must not use it as the page.
fn refusal() -> HttpResponse {
    let mut response = HttpResponse::ServiceUnavailable().finish();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response to a link from another site whose session needs a proof.
fn link_again() -> HttpResponse {
    #[cfg(feature = "dbsc")]
    return headers::response(crate::device_binding::answer::again());
    #[cfg(not(feature = "dbsc"))]
    HttpResponse::Ok().finish()
}

/// Copies the headers that inner middlewares set on the replaced response.
fn keep(said: &HeaderMap, headers: &mut HeaderMap) {
    for name in said.keys().filter(|name| request::headers::keeps(name.as_str())) {
        if *name == VARY || !headers.contains_key(name) {
            for value in said.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// Returns this crate's error that a handler's answer was made from.
fn answered_error<B>(answer: &Handled<B>) -> Option<&Error> {
    let error = match answer {
        Ok(response) => response.response().error()?,
        Err(error) => error,
    };
    match error.as_error::<SessionRejection>() {
        Some(rejection) => Some(rejection.error()),
        None => error.as_error::<Error>(),
    }
}
