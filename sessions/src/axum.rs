//! The layer and the extractor for axum. The layer serves any `tower` HTTP stack; without axum,
//! take the sessions from the request's [`RequestSessions`].
//!
//! Add [`SessionLayer`] once, and take [`Session<T>`](struct@Session) in any handler below it:
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
//! - A response that sets a session cookie carries `Cache-Control: private, no-store`, unless the
//!   handler has set `Cache-Control`. One whose handler took a session carries `Vary: Cookie`.
//! - A handle that is still alive when the handler has answered (in a streamed body, in a task)
//!   cannot be committed any more: call [`save`](crate::Session::save) on it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::request::{self, Report, RequestSessions};
use crate::store::{Finish, Store};
use crate::{Error, Session, SessionData, event};

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
#[derive(Clone, Debug)]
pub struct SessionLayer {
    store: Store,
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
        Self { store }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService { store: self.store.clone(), inner }
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
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    store: Store,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let sessions = RequestSessions::new(self.store.clone());
        request.extensions_mut().insert(sessions.clone());
        ResponseFuture { handler: self.inner.call(request), sessions: Some(sessions), finish: None }
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
    /// ) -> ResponseFuture<S::Future, R, S::Error>
    /// where
    ///     S: Service<http::Request<B>, Response = http::Response<R>>,
    /// {
    ///     service.call(request)
    /// }
    /// # let _ = call::<axum::Router, axum::body::Body, axum::body::Body>;
    /// ```
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        handler: F,
        // `None` once the handler has answered and nothing is left to do.
        sessions: Option<RequestSessions>,
        // The handler's answer, and the commit that it waits for.
        finish: Option<(Result<http::Response<R>, E>, Finish<Report>)>,
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<http::Response<R>, E>>,
    R: Default,
{
    type Output = Result<http::Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.finish.is_none() {
            let mut answer = ready!(this.handler.poll(context));
            // A service that failed answers as badly as one that says so.
            let status =
                answer.as_ref().map_or(StatusCode::INTERNAL_SERVER_ERROR, http::Response::status);
            let Some(sessions) = this.sessions.take() else { return Poll::Pending };
            let finished = sessions.finish(status);
            sessions.recycle();
            if let (true, Ok(response)) = (finished.read, &mut answer) {
                request::vary(response.headers_mut());
            }
            match finished.commit {
                None => return Poll::Ready(answer),
                Some(commit) => *this.finish = Some((answer, commit)),
            }
        }
        let Some((_, commit)) = this.finish else { return Poll::Pending };
        let report = ready!(Pin::new(commit).poll(context));
        let Some((answer, _)) = this.finish.take() else { return Poll::Pending };
        Poll::Ready(answer.map(|response| settle(response, report)))
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// The handler's response with its cookies, or what takes its place where a commit failed.
fn settle<R: Default>(mut response: http::Response<R>, mut report: Report) -> http::Response<R> {
    if let Some(error) = report.error.take() {
        response = failed(&error, R::default());
    }
    report.write(response.headers_mut());
    response
}

fn failed<R>(error: &Error, body: R) -> http::Response<R> {
    let (status, retry) = request::status(error);
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().extend(retry);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Loads the request's session, or a new one.
///
/// Rejects with 503 when the store is down or the record needs a newer build, and with 500 for a
/// record that cannot be read; see [`SessionRejection`].
///
/// ```
/// use sessions::Session;
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// async fn home(mut visitor: Session<Visitor>) -> String {
///     visitor.visits += 1;
///     format!("visit number {}", visitor.visits)
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(home);
/// ```
impl<T: SessionData, S: Sync> FromRequestParts<S> for Session<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let Some(sessions) = parts.extensions.get::<RequestSessions>() else {
            let error = Error::config(
                "this router has no sessions; add `.layer(SessionLayer::new(store))` below its \
                 routes",
            );
            event::load_failed(T::SCHEMA.name, &error);
            return Err(SessionRejection(error));
        };
        sessions.load(&parts.headers).await.map_err(|error| {
            event::load_failed(T::SCHEMA.name, &error);
            SessionRejection(error)
        })
    }
}

/// `None` when there is no live session. A store that is down is still a rejection.
///
/// ```
/// use sessions::Session;
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// async fn greeting(visitor: Option<Session<Visitor>>) -> String {
///     visitor.map_or("hello".to_owned(), |visitor| format!("welcome back, {}", visitor.visits))
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(greeting);
/// ```
impl<T: SessionData, S: Sync> OptionalFromRequestParts<S> for Session<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> Result<Option<Self>, SessionRejection> {
        let session = <Self as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Some(session).filter(|session| !session.is_new()))
    }
}

/// Why a handler did not get its session. As a response: 503 with `Retry-After` when trying again
/// can help, else 500; the text says no more than that, the event has the reason.
///
/// Take `Result<Session<T>, SessionRejection>` in a handler to answer otherwise.
///
/// ```
/// use sessions::{Session, axum::SessionRejection};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// async fn home(visitor: Result<Session<Visitor>, SessionRejection>) -> String {
///     match visitor {
///         Ok(visitor) => format!("visit number {}", visitor.visits),
///         Err(rejection) if rejection.error().is_unavailable() => "back in a minute".to_owned(),
///         Err(rejection) => format!("{}", rejection.error()),
///     }
/// }
/// # let _ = home;
/// ```
#[derive(Debug)]
pub struct SessionRejection(Error);

impl SessionRejection {
    /// The reason.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use sessions::axum::SessionRejection;
    ///
    /// fn status(rejection: &SessionRejection) -> StatusCode {
    ///     match rejection.error().is_unavailable() {
    ///         true => StatusCode::SERVICE_UNAVAILABLE,
    ///         false => StatusCode::INTERNAL_SERVER_ERROR,
    ///     }
    /// }
    /// # let _ = status;
    /// ```
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0
    }

    /// The reason, to be passed on.
    ///
    /// ```
    /// use sessions::{Error, axum::SessionRejection};
    ///
    /// enum MyError {
    ///     Session(Error),
    /// }
    ///
    /// impl From<SessionRejection> for MyError {
    ///     fn from(rejection: SessionRejection) -> Self {
    ///         Self::Session(rejection.into_error())
    ///     }
    /// }
    /// # let _ = |error: MyError| match error { MyError::Session(error) => error };
    /// ```
    #[must_use]
    pub fn into_error(self) -> Error {
        self.0
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// So that a handler may use `?` on the store's calls: 503 with `Retry-After`, 409 for a conflict,
/// else 500.
///
/// ```
/// use axum::extract::State;
/// use sessions::{Error, Session, Store};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { #[session(owner)] user: Option<u64> }
///
/// async fn end_all(State(store): State<Store>) -> Result<String, Error> {
///     let ended = store.revoke_all::<Visitor>(7, None).await?;
///     Ok(format!("{ended} sessions ended"))
/// }
/// # let _: axum::routing::MethodRouter<Store> = axum::routing::post(end_all);
/// ```
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // No more than the status says: a reason is for the log.
        let text = match request::status(&self).0 {
            StatusCode::SERVICE_UNAVAILABLE => "sessions are unavailable, try again",
            StatusCode::CONFLICT => "another request changed the same thing, try again",
            _ => "the session failed",
        };
        failed(&self, Body::from(text))
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
