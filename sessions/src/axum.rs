//! The layer and the extractor for axum. The layer serves any `tower` HTTP stack; without axum,
//! take the sessions from the request's [`RequestSessions`].
//!
//! Add [`SessionLayer`] once, and take [`Session<T>`](struct@crate::Session) in any handler below
//! it:
//!
//! ```
//! use axum::{Router, routing::post};
//! use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     cart: Vec<String>,
//! }
//!
//! async fn add(mut visitor: Session<Visitor>, item: String) {
//!     visitor.cart.push(item);
//! }
//!
//! /// `None` for whoever has stored nothing yet.
//! async fn empty(visitor: Option<Session<Visitor>>) {
//!     if let Some(mut visitor) = visitor {
//!         visitor.cart.clear();
//!     }
//! }
//!
//! let app: Router = Router::new()
//!     .route("/add", post(add))
//!     .route("/empty", post(empty))
//!     .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
//! ```
//!
//! # What the layer does to a response
//!
//! - It commits what the handlers changed, before the headers leave: unless the status is 5xx or
//!   408 ([`KeepChanges`](crate::KeepChanges)). A session that was destroyed ends whatever the
//!   status.
//! - Where the commit fails, an empty response takes the place of the handler's: 503 with
//!   `Retry-After` when trying again can help, 409 for a conflict, else 500. It keeps the headers
//!   that the layers inside set for every response: CORS, security headers, `Vary`.
//!   [`on_error`](SessionLayer::on_error) answers otherwise.
//! - A response that sets or clears a session cookie is kept from shared caches: it carries
//!   `Cache-Control: private, no-store`. Where the handler has set `Cache-Control`, the layer adds
//!   `private` and removes `public`, `s-maxage` and headers such as `CDN-Cache-Control`.
//! - A response whose handler took a session carries `Vary: Cookie`, and `Cache-Control: private`
//!   unless the handler has set `Cache-Control`.
//! - A HEAD request commits nothing, whatever its handler did: axum sends it to the handler of GET.
//! - A prefetch (`Sec-Purpose: prefetch`) whose handler changed a session commits nothing and is
//!   answered with 503, so that the browser asks again when its user follows the link.
//! - A handle that is still alive when the handler has answered (in a streamed body, a WebSocket,
//!   a task) cannot be committed any more: call [`save`](crate::Session::save) on it.
//!
//! # Several layers
//!
//! The layer of one store may be added twice, as around an app and around a router in it: the inner
//! one adds nothing. Where a layer of another store stands inside, name with
//! [`only`](SessionLayer::only) the session types that one of them serves; a type that both would
//! serve is an [`Error::Misuse`]. Sessions are committed, and their errors answered, by the outermost
//! layer.
//!
//! # In middleware
//!
//! Middleware takes sessions as handlers do, if its layer is added before the [`SessionLayer`],
//! which then is outside of it. Drop the handle before the handler runs, and the handler sees what
//! was changed; where both hold one, their changes merge. One commit saves both.
//!
//! ```
//! use axum::extract::Request;
//! use axum::middleware::{Next, from_fn};
//! use axum::response::{IntoResponse, Redirect, Response};
//! use axum::{Router, routing::get};
//! use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
//!
//! #[derive(Session)]
//! #[session(name = "visitor", version = 1)]
//! struct Visitor {
//!     #[session(owner)]
//!     user: Option<u64>,
//! }
//!
//! async fn members_only(visitor: Session<Visitor>, request: Request, next: Next) -> Response {
//!     if visitor.user.is_none() {
//!         return Redirect::to("/login").into_response();
//!     }
//!     drop(visitor);
//!     next.run(request).await
//! }
//!
//! let app: Router = Router::new()
//!     .route("/account", get(async || "yours"))
//!     .layer(from_fn(members_only))
//!     .layer(SessionLayer::new(Store::new(MemoryProvider::new())));
//! ```
//!
//! # In WebSockets and streams
//!
//! Move the handle in, and save it there. The headers have gone by then, and with them the chance
//! to set a cookie: a session that has none yet begins before, by a save in the handler, and no
//! login can happen in the stream. A body that has no handle loads one from its request's
//! [`RequestSessions`]: it holds what the request has committed.
//!
//! ```
//! use axum::extract::ws::{Message, WebSocketUpgrade};
//! use axum::response::Response;
//! use axum::routing::get;
//! use sessions::{Error, Session};
//! # #[derive(Session)]
//! # #[session(name = "visitor", version = 1)]
//! # struct Visitor { #[session(merge = add)] lines: u64 }
//!
//! async fn chat(
//!     upgrade: WebSocketUpgrade,
//!     mut visitor: Session<Visitor>,
//! ) -> Result<Response, Error> {
//!     if visitor.is_new() {
//!         visitor.lines = 1;
//!         visitor.save().await?; // The response to the upgrade brings the cookie.
//!     }
//!     Ok(upgrade.on_upgrade(async move |mut socket| {
//!         while let Some(Ok(Message::Text(_))) = socket.recv().await {
//!             visitor.lines += 1;
//!             if visitor.save().await.is_err() {
//!                 return; // Logged out in another tab, or the store is down.
//!             }
//!         }
//!     }))
//! }
//! # let _: axum::routing::MethodRouter = get(chat);
//! ```

mod extract;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum_core::BoxError;
use axum_core::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, VARY};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use self::extract::ErrorAnswered;
pub use self::extract::{OrNew, SessionRejection, error_response};
use crate::data::SessionData;
use crate::error::Error;
use crate::request;
use crate::request::RequestSessions;
use crate::request::ending::Ending;
use crate::request::ending::{Answer, Ended};
use crate::request::layer::Entered;
use crate::request::slots::{Dry, Served};
use crate::store::Store;

/// Gives a router's handlers their sessions, and commits them once a handler has answered.
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
    /// A layer over this store.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    /// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
    /// ```
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { served: Served::all(store), on_error: None }
    }

    /// Serves this session type, and the others that are named so, but no further one: for a layer
    /// that meets the layer of another store.
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

    /// Makes the responses that tell of an error, in place of the layer's own: where a commit
    /// failed, and where a handler was rejected or answered with an [`Error`] of this crate. A
    /// handler that answers a [`SessionRejection`] in its own way is left alone.
    ///
    /// `respond` gets the error and the request's method, address, version and headers (the
    /// extensions are empty), and decides on status, headers and body. The layer adds `Retry-After`
    /// where trying again can help and `Cache-Control: no-store`, unless they are set, the cookies
    /// of the request's commits that succeeded, and the headers that the layers inside set for
    /// every response (CORS, security headers, `Vary`). The error's text is for the log, not for
    /// visitors.
    ///
    /// With it, each request costs a copy of its headers.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::http::{StatusCode, header::ACCEPT};
    /// use axum::response::{Html, IntoResponse};
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    ///
    /// let store = Store::new(MemoryProvider::new());
    /// let layer = SessionLayer::new(store).on_error(|error, request| {
    ///     let status = if error.is_unavailable() {
    ///         StatusCode::SERVICE_UNAVAILABLE
    ///     } else if error.is_conflict() {
    ///         StatusCode::CONFLICT
    ///     } else {
    ///         StatusCode::INTERNAL_SERVER_ERROR
    ///     };
    ///     let json = request.headers.get(ACCEPT).is_some_and(|it| it == "application/json");
    ///     if json {
    ///         (status, r#"{"error": "try again"}"#).into_response()
    ///     } else {
    ///         (status, Html("<h1>Back in a minute</h1>")).into_response()
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

/// The service that [`SessionLayer`] makes. It fits around a service with any body, and answers
/// with axum's.
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
        let hook = self.on_error.clone().map(|hook| (hook, Box::new(parts(&request))));
        let dry = || Dry::of(request.method().as_str(), || is_prefetch(request.headers()));
        let entered = RequestSessions::enter(request.extensions().get(), &self.served, dry);
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
        ResponseFuture { ending: Ending::new(self.inner.call(request), sessions), hook }
    }
}

/// What [`on_error`](SessionLayer::on_error) is told of a request.
fn parts<B>(request: &Request<B>) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method().clone();
    parts.uri = request.uri().clone();
    parts.version = request.version();
    parts.headers = request.headers().clone();
    parts
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
        ending: Ending<F>,
        // With what it is told of the request.
        hook: Option<(OnError, Box<Parts>)>,
    }
}

impl<F, R, S> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, S>>,
    R: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response<Body>, S>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (answer, ended) = ready!(this.ending.poll(context));
        let mut response = match answer {
            Ok(response) => response.map(Body::new),
            Err(error) => return Poll::Ready(Err(error)),
        };
        let Ended { read, refused, report } = ended;
        let hook = this.hook.as_ref();
        if refused {
            response = in_place_of(&response, refusal());
        } else if let Some(error) = report.error.map(Arc::new).or_else(|| told(&mut response, hook))
        {
            let mut instead = match hook {
                Some((on_error, request)) => on_error(&error, request),
                None => empty(request::layer::status(&error)),
            };
            request::headers::complete(&error, instead.headers_mut());
            response = in_place_of(&response, instead);
        }
        request::headers::finish_headers(response.headers_mut(), read, report.cookies);
        Poll::Ready(Ok(response))
    }
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl<R, S> Answer for Result<Response<R>, S> {
    fn status(&self) -> StatusCode {
        // A service that failed answers as badly as one that says so.
        self.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status)
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The answer to a prefetch that must not be used as the page.
fn refusal() -> Response<Body> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The second response, with what the layers inside have said of the first.
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

/// The error that a handler's response tells of, if there is a hook to tell it otherwise.
fn told<H>(response: &mut Response<Body>, hook: Option<H>) -> Option<Arc<Error>> {
    hook?;
    response.extensions_mut().remove::<ErrorAnswered>().map(|told| told.0)
}
