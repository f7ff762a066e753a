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
//!   `Retry-After` when trying again can help, 409 for a conflict, else 500.
//!   [`on_error`](SessionLayer::on_error) answers otherwise.
//! - A response that sets a session cookie carries `Cache-Control: private, no-store`, unless the
//!   handler has set `Cache-Control`. One whose handler took a session carries `Vary: Cookie`.
//! - A handle that is still alive when the handler has answered (in a streamed body, a WebSocket,
//!   a task) cannot be committed any more: call [`save`](crate::Session::save) on it.
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
//! login can happen in the stream.
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

pub(crate) mod extract;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

pub use self::extract::{SessionRejection, error_response};
use crate::error::Error;
use crate::request;
use crate::request::ending::Answer;
use crate::request::layer::Report;
use crate::request::{Ending, RequestSessions};
use crate::store::Store;

/// Gives a router's handlers their sessions, and commits them once a handler has answered.
///
/// One layer serves any number of session types. A request that touches no session costs no store
/// call. `E` answers where a session fails: see [`on_error`](Self::on_error).
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
pub struct SessionLayer<E = EmptyResponse> {
    store: Store,
    on_error: E,
}

impl SessionLayer {
    /// A layer over this store.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    /// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
    /// ```
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, on_error: EmptyResponse(()) }
    }
}

impl<E> SessionLayer<E> {
    /// Makes the responses that tell of an error, in place of the layer's own: where a commit
    /// failed, and where a handler was rejected or answered with an [`Error`] of this crate. A
    /// handler that answers a [`SessionRejection`] in its own way is left alone.
    ///
    /// `respond` gets the error and decides on status, headers and body. The layer adds
    /// `Retry-After` where trying again can help and `Cache-Control: no-store`, unless they are
    /// set, and the cookies of the request's commits that succeeded. The error's text is for the
    /// log, not for visitors.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::http::StatusCode;
    /// use axum::response::{Html, IntoResponse};
    /// use sessions::{MemoryProvider, Store, axum::SessionLayer};
    ///
    /// let store = Store::new(MemoryProvider::new());
    /// let layer = SessionLayer::new(store).on_error(|error| {
    ///     let (status, text) = if error.is_unavailable() {
    ///         (StatusCode::SERVICE_UNAVAILABLE, "<h1>Back in a minute</h1>")
    ///     } else if error.is_conflict() {
    ///         (StatusCode::CONFLICT, "<h1>Somebody was faster</h1>")
    ///     } else {
    ///         (StatusCode::INTERNAL_SERVER_ERROR, "<h1>This is our fault</h1>")
    ///     };
    ///     (status, Html(text)).into_response()
    /// });
    /// let app: Router = Router::new().layer(layer);
    /// ```
    #[must_use]
    pub fn on_error<F, R>(self, respond: F) -> SessionLayer<F>
    where
        F: Fn(&Error) -> http::Response<R> + Clone,
    {
        SessionLayer { store: self.store, on_error: respond }
    }
}

impl<S, E: Clone> Layer<S> for SessionLayer<E> {
    type Service = SessionService<S, E>;

    fn layer(&self, inner: S) -> SessionService<S, E> {
        SessionService { store: self.store.clone(), on_error: self.on_error.clone(), inner }
    }
}

impl<E> fmt::Debug for SessionLayer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Answers where a session fails: a function from the error to a response, or [`EmptyResponse`].
///
/// ```
/// use axum::body::Body;
/// use axum::response::{IntoResponse, Response};
/// use sessions::axum::{ErrorResponse, SessionLayer};
/// use sessions::{Error, MemoryProvider, Store};
///
/// fn layer(store: Store) -> SessionLayer<impl ErrorResponse<Body>> {
///     SessionLayer::new(store).on_error(|error: &Error| error.to_string().into_response())
/// }
/// # let _ = layer(Store::new(MemoryProvider::new()));
/// ```
pub trait ErrorResponse<R>: sealed::ErrorResponse<R> + Clone {}

impl<R, E: sealed::ErrorResponse<R> + Clone> ErrorResponse<R> for E {}

/// What answers until [`on_error`](SessionLayer::on_error) says otherwise: no body where a commit
/// failed, and a line of plain text where a handler was rejected.
///
/// ```
/// use sessions::axum::{EmptyResponse, SessionLayer};
/// use sessions::{MemoryProvider, Store};
///
/// let layer: SessionLayer<EmptyResponse> = SessionLayer::new(Store::new(MemoryProvider::new()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EmptyResponse(());

mod sealed {
    use crate::Error;

    #[allow(unreachable_pub)] // It seals what is public.
    pub trait ErrorResponse<R> {
        /// Whether it shapes what handlers answer too.
        const ALL: bool;

        fn respond(&self, error: &Error) -> http::Response<R>;
    }
}

impl<R: Default> sealed::ErrorResponse<R> for EmptyResponse {
    const ALL: bool = false;

    fn respond(&self, error: &Error) -> http::Response<R> {
        let mut response = http::Response::new(R::default());
        *response.status_mut() = request::status(error);
        response
    }
}

impl<R, F: Fn(&Error) -> http::Response<R>> sealed::ErrorResponse<R> for F {
    const ALL: bool = true;

    fn respond(&self, error: &Error) -> http::Response<R> {
        self(error)
    }
}

/// The service that [`SessionLayer`] makes.
///
/// ```
/// # use sessions::{MemoryProvider, Store, axum::{SessionLayer, SessionService}};
/// use tower_layer::Layer;
///
/// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
/// let service: SessionService<()> = layer.layer(());
/// ```
#[derive(Clone)]
pub struct SessionService<S, E = EmptyResponse> {
    store: Store,
    on_error: E,
    inner: S,
}

impl<S, B, R, E> Service<Request<B>> for SessionService<S, E>
where
    S: Service<Request<B>, Response = http::Response<R>>,
    E: ErrorResponse<R>,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, E>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let sessions = RequestSessions::new(self.store.clone());
        request.extensions_mut().insert(sessions.clone());
        ResponseFuture {
            ending: Ending::new(self.inner.call(request), sessions),
            on_error: self.on_error.clone(),
        }
    }
}

impl<S: fmt::Debug, E> fmt::Debug for SessionService<S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("store", &self.store)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response of a [`SessionService`]: the handler's, once its sessions are committed.
    ///
    /// ```
    /// use sessions::axum::{ResponseFuture, SessionService};
    /// use tower_service::Service;
    ///
    /// fn call<S, B, R: Default>(
    ///     service: &mut SessionService<S>,
    ///     request: http::Request<B>,
    /// ) -> ResponseFuture<S::Future>
    /// where
    ///     S: Service<http::Request<B>, Response = http::Response<R>>,
    /// {
    ///     service.call(request)
    /// }
    /// # let _ = call::<axum::Router, axum::body::Body, axum::body::Body>;
    /// ```
    pub struct ResponseFuture<F: Future, E = EmptyResponse> {
        #[pin]
        ending: Ending<F>,
        on_error: E,
    }
}

impl<F, R, S, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<http::Response<R>, S>>,
    E: ErrorResponse<R>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (answer, report) = ready!(this.ending.poll(context));
        let Ok(mut response) = answer else { return Poll::Ready(answer) };
        let (cookies, error) = match report {
            Some(Report { cookies, error }) => (Some(cookies), error.map(Arc::new)),
            None => (None, None),
        };
        if let Some(error) = error.or_else(|| told::<R, E>(&mut response)) {
            response = this.on_error.respond(&error);
            request::complete(&error, response.headers_mut());
        }
        if let Some(cookies) = cookies {
            cookies.write(response.headers_mut());
        }
        Poll::Ready(Ok(response))
    }
}

impl<F: Future, E> fmt::Debug for ResponseFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl<R, S> Answer for Result<http::Response<R>, S> {
    fn status(&self) -> StatusCode {
        // A service that failed answers as badly as one that says so.
        self.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, http::Response::status)
    }

    fn vary(&mut self) {
        if let Ok(response) = self {
            request::vary(response.headers_mut());
        }
    }
}

/// In a response's extensions: the error that it tells of.
#[derive(Clone)]
struct Told(Arc<Error>);

/// The error that a handler's response tells of, if it is to be told otherwise.
fn told<R, E: ErrorResponse<R>>(response: &mut http::Response<R>) -> Option<Arc<Error>> {
    if !E::ALL {
        return None;
    }
    response.extensions_mut().remove::<Told>().map(|told| told.0)
}
