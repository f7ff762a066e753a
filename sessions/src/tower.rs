//! The layer for any `tower` HTTP stack, and the service that it makes. For axum,
//! [`sessions::axum`](crate::axum) has the same layer and the extractors.
//!
//! A service below the layer takes the request's sessions from its extensions:
//!
//! ```
//! use axum::body::Body;
//! use http::{Request, Response};
//! use sessions::request::RequestSessions;
//! use sessions::{MemoryProvider, Session, Store, tower::SessionLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(merge = add)]
//!     visits: u32,
//! }
//!
//! async fn count(request: Request<Body>) -> Result<Response<Body>, sessions::Error> {
//!     let sessions = RequestSessions::of(request.extensions())?;
//!     let mut visitor = sessions.load::<Visitor>(request.headers()).await?;
//!     visitor.visits += 1;
//!     Ok(Response::new(Body::from(format!("visit number {}", visitor.visits))))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
//! let mut service = ServiceBuilder::new().layer(layer).service(service_fn(count));
//! let response = service.ready().await.unwrap().call(Request::new(Body::empty())).await.unwrap();
//! assert!(response.headers().contains_key("set-cookie"));
//! # }
//! ```
//!
//! # What the layer does to a response
//!
//! - The layer commits the handlers' changes before the headers are sent, unless the status is 5xx
//!   or 408 ([`KeepChanges`](crate::commit::KeepChanges)).
//!   It ends a destroyed session with any status.
//! - If the commit fails, the layer replaces the handler's response with an empty one: 503 with
//!   `Retry-After` if a retry can help, 409 for a conflict, otherwise 500. The new response keeps
//!   the headers that inner layers set for every response: CORS, security headers, `Vary`. Use
//!   [`on_error`](SessionLayer::on_error) to respond differently.
//! - The layer adds `Cache-Control: private, no-store` to a response that sets or clears a session
//!   cookie, so shared caches do not store it. If the handler has set `Cache-Control`, the layer
//!   adds `private` and removes `public`, `s-maxage` and headers such as `CDN-Cache-Control`.
//! - If a handler takes a session, the layer adds `Vary: Cookie` to its response. It also adds
//!   `Cache-Control: private`, unless the handler has set `Cache-Control`.
//! - A HEAD request commits nothing, because axum sends it to the GET handler.
//! - If the handler of a prefetch (`Sec-Purpose: prefetch`) changes a session, the layer commits
//!   nothing and responds with 503. The browser then sends the request again when the user follows
//!   the link.
//! - The layer does not commit a handle that is still alive after the handler has responded, for
//!   example in a streamed body, a WebSocket or a task. Call [`save`](crate::Session::save) on it.
//!
//! # Several layers
//!
//! You may add the layer of one store twice, for example around an app and around a router in it.
//! The inner layer then has no effect. If an inner layer uses another store, name the session types
//! of one of the two layers with [`only`](SessionLayer::only). A type that both layers serve causes
//! an [`Error::Misuse`]. The outermost layer commits all sessions and responds to their errors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, VARY};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

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

/// Provides the sessions of a router's handlers, and commits them after a handler has responded.
///
/// One layer serves any number of session types. A request that touches no session costs no store
/// call.
///
/// ```
/// use axum::{Router, routing::get};
/// use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
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
/// let app: Router = Router::new().route("/", get(home)).layer(SessionLayer::new(store));
/// ```
#[derive(Clone)]
pub struct SessionLayer {
    served: Served,
    on_error: Option<OnError>,
}

type OnError = Arc<dyn Fn(&Error, &Parts) -> Response<Body> + Send + Sync>;

impl SessionLayer {
    /// Creates a layer for `store`.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    /// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
    /// ```
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { served: Served::all(store), on_error: None }
    }

    /// Restricts the layer to the session type `T`, and to the types of other calls of this method.
    /// Use it if a request passes the layers of two stores.
    ///
    /// ```
    /// use axum::Router;
    /// use sessions::{CookieConfig, MemoryProvider, SameSite, Session, Store, axum::SessionLayer};
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
    /// let admin: Router = Router::new().layer(SessionLayer::new(admins).only::<Admin>());
    /// // Handlers of `admin` take both: `Admin` from its store, everything else from this one.
    /// let app: Router = Router::new().nest("/admin", admin).layer(SessionLayer::new(visitors));
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[must_use]
    pub fn only<T: SessionData>(self) -> Self {
        Self { served: self.served.only::<T>(), ..self }
    }

    /// Sets the function that makes the response to an error. The layer calls it if a commit fails,
    /// if an extractor rejects the request, or if a handler returns an [`Error`] of this crate. It
    /// does not change the response of a handler that handles a [`SessionRejection`](crate::axum::SessionRejection).
    ///
    /// `respond` receives the error and the request's method, URI, version and headers (the
    /// extensions are empty). It decides the status, the headers and the body. The layer then adds:
    ///
    /// - `Retry-After` if a retry can help, and `Cache-Control: no-store`, unless `respond` set
    ///   them;
    /// - the cookies of the request's commits that succeeded;
    /// - the headers that inner layers set for every response (CORS, security headers, `Vary`).
    ///
    /// The error's text is for the log, not for visitors.
    ///
    /// With this function, each request costs a copy of its headers.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::http::header::ACCEPT;
    /// use axum::response::{Html, IntoResponse};
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    ///
    /// let store = Store::new(MemoryProvider::new());
    /// let layer = SessionLayer::new(store).on_error(|error, request| {
    ///     let status = error.status();
    ///     let json = request.headers.get(ACCEPT).is_some_and(|it| it == "application/json");
    ///     if json {
    ///         (status, r#"{"error": "it did not work"}"#).into_response()
    ///     } else {
    ///         (status, Html("<h1>It did not work</h1>")).into_response()
    ///     }
    /// });
    /// let app: Router = Router::new().layer(layer);
    /// ```
    #[must_use]
    pub fn on_error<B>(
        self,
        respond: impl Fn(&Error, &Parts) -> Response<B> + Send + Sync + 'static,
    ) -> Self
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let on_error: OnError =
            Arc::new(move |error, request| respond(error, request).map(Body::new));
        Self { on_error: Some(on_error), ..self }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        let Self { served, on_error } = self.clone();
        SessionService { served, on_error, inner }
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("store", &self.served.store).finish_non_exhaustive()
    }
}

/// The service that [`SessionLayer`] makes. The inner service may have any body type. The responses
/// have axum's.
///
/// ```
/// # use sessions::{MemoryProvider, Store, axum::{SessionLayer, SessionService}};
/// use tower_layer::Layer;
///
/// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
/// let service: SessionService<()> = layer.layer(());
/// ```
#[derive(Clone)]
pub struct SessionService<S> {
    served: Served,
    on_error: Option<OnError>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        #[cfg(feature = "dbsc")]
        if let Some(answer) = {
            let headers = || request.headers().clone();
            self.served.answer_device(request.method(), request.uri().path(), headers)
        } {
            return ResponseFuture { work: Work::Device { answer }, hook: None };
        }
        name_host(&self.served, &mut request);
        let hook = self.on_error.clone().map(|hook| (hook, Box::new(parts(&request))));
        let kind = || RequestKind::of(&self.served, request.method().as_str(), request.headers());
        let entered = RequestSessions::enter(request.extensions().get(), &self.served, kind);
        let sessions = match entered {
            Entered::First(sessions) => {
                request.extensions_mut().insert(sessions.clone());
                Some(sessions)
            }
            Entered::Added(sessions) => {
                request.extensions_mut().insert(sessions);
                None
            }
            Entered::Again => None,
        };
        let ending = Ending::new(self.inner.call(request), sessions);
        ResponseFuture { work: Work::Request { ending }, hook }
    }
}

/// Adds the `Host` header to a request of HTTP/2, which has it in its URI (RFC 9113, section 8.3.1), if
/// a store needs it.
fn name_host<B>(served: &Served, request: &mut Request<B>) {
    if !served.store.reads_host || request.headers().contains_key(HOST) {
        return;
    }
    let host = request.uri().authority().map(|authority| authority.host().to_owned());
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Copies the parts of a request that [`on_error`](SessionLayer::on_error) receives.
fn parts<B>(request: &Request<B>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts
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
    /// use axum::body::Body;
    /// use sessions::axum::{ResponseFuture, SessionService};
    /// use tower_service::Service;
    ///
    /// fn call<S, B>(
    ///     service: &mut SessionService<S>,
    ///     request: http::Request<B>,
    /// ) -> ResponseFuture<S::Future>
    /// where
    ///     S: Service<http::Request<B>, Response = http::Response<Body>>,
    /// {
    ///     service.call(request)
    /// }
    /// # let _ = call::<axum::Router, axum::body::Body>;
    /// ```
    pub struct ResponseFuture<F: Future> {
        #[pin]
        work: Work<F>,
        // The function, and the parts of the request that it receives.
        hook: Option<(OnError, Box<Parts>)>,
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
        // A browser registers or proves a device.
        Device { answer: DeviceAnswer },
    }
}

#[cfg(not(feature = "dbsc"))]
type DeviceAnswer = std::future::Pending<Response<Body>>;

impl<F, R, S> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, S>>,
    R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response<Body>, S>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (answer, ended) = match this.work.project() {
            WorkProjected::Request { ending } => ready!(ending.poll(context)),
            WorkProjected::Device { answer } => {
                return Pin::new(answer).poll(context).map(|response| Ok(response.map(Body::from)));
            }
        };
        let mut response = match answer {
            Ok(response) => response.map(Body::new),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let Ended { varies, refused, again, report } = ended;
        let hook = this.hook.as_ref();
        if refused {
            response = in_place_of(&response, refusal());
        } else if again {
            response = in_place_of(&response, link_again());
        } else if let Some(error) =
            report.error.map(Arc::new).or_else(|| answered_error(&mut response, hook))
        {
            let mut instead = match hook {
                Some((on_error, request)) => on_error(&error, request),
                None => empty(error.status()),
            };
            request::headers::complete(&error, instead.headers_mut());
            response = in_place_of(&response, instead);
        }
        request::headers::finish_headers(response.headers_mut(), &varies, report.deliveries);
        Poll::Ready(Ok(response))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<R, S> Answer for Result<Response<R>, S> {
    fn status(&self) -> StatusCode {
        // The error of a service counts as a 500.
        self.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status)
    }
}

/// Returns the response to an error, for services without axum. It is a 503 with `Retry-After` if a
/// retry can help, a 409 for a conflict, otherwise a 500, with a line of text. The layer's
/// [`on_error`](SessionLayer::on_error) replaces it.
///
/// ```
/// use http_body_util::Full;
/// use hyper::body::Bytes;
/// use sessions::{Error, Session, tower::error_response, request::RequestSessions};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// /// A handler of a plain `tower` service.
/// async fn home<B>(request: http::Request<B>) -> http::Response<Full<Bytes>> {
///     match visits(&request).await {
///         Ok(visits) => http::Response::new(format!("{visits} visits").into()),
///         Err(error) => error_response(error),
///     }
/// }
///
/// async fn visits<B>(request: &http::Request<B>) -> Result<u32, Error> {
///     let sessions = RequestSessions::of(request.extensions())?;
///     let visitor = sessions.load::<Visitor>(request.headers()).await?;
///     Ok(visitor.visits)
/// }
/// # let _ = home::<()>;
/// ```
pub fn error_response<R: From<&'static str>>(error: Error) -> http::Response<R> {
    let mut response = http::Response::new(request::layer::text(&error).into());
    *response.status_mut() = error.status();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    request::headers::complete(&error, response.headers_mut());
    response.extensions_mut().insert(ErrorAnswered(Arc::new(error)));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The response to a prefetch that changed a session. The browser must not use it as the page.
fn refusal() -> Response<Body> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The response to a link from another site whose session needs a proof.
fn link_again() -> Response<Body> {
    #[cfg(feature = "dbsc")]
    return crate::device_binding::answer::again().map(Body::from);
    #[cfg(not(feature = "dbsc"))]
    empty(StatusCode::OK)
}

/// Returns `response` with the headers that inner layers set on `replaced`.
fn in_place_of(replaced: &Response<Body>, mut response: Response<Body>) -> Response<Body> {
    let said = replaced.headers();
    for name in said.keys().filter(|name| request::headers::keeps(name.as_str())) {
        if *name == VARY || !response.headers().contains_key(name) {
            for value in said.get_all(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
    }
    response
}

/// Takes the error out of a response that a handler made from it, if there is a hook to replace
/// that response.
fn answered_error<H>(response: &mut Response<Body>, hook: Option<H>) -> Option<Arc<Error>> {
    hook?;
    response.extensions_mut().remove::<ErrorAnswered>().map(|told| told.0)
}

/// The error that a response was made from. The response's extensions keep it for the layer's
/// `on_error`.
#[derive(Clone)]
pub(crate) struct ErrorAnswered(pub(crate) Arc<Error>);
