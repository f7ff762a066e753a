//! The extractors.

use std::fmt;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::Told;
use crate::request::{self, RequestSessions};
use crate::{Error, Session, SessionData, event};

/// Loads the request's session, or a new one.
///
/// Rejects with 503 when the store is down or the record needs a newer build, and with 500 for a
/// record that cannot be read, or where no layer gives this request its sessions; see
/// [`SessionRejection`].
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
        let load = async { RequestSessions::of(&parts.extensions)?.load(&parts.headers).await };
        load.await.map_err(|error| {
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

/// The request's session, or a new one where this build cannot read what is stored: for the
/// handlers that log in and out.
///
/// After a deploy was rolled back, or where a conversion fails, every page of such a visitor is an
/// error. With this extractor they can still log in: the new session takes the place of the one
/// that cannot be read, which ends. A handler that changes nothing leaves it as it was. A store
/// that is down is still a rejection.
///
/// ```
/// use sessions::{Session, axum::OrNew};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { #[session(owner)] user: Option<u64> }
///
/// async fn login(OrNew(mut visitor): OrNew<Visitor>) {
///     // The password was right.
///     visitor.user = Some(7);
/// }
///
/// async fn logout(OrNew(mut visitor): OrNew<Visitor>) {
///     visitor.destroy();
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::post(login).delete(logout);
/// ```
#[derive(Debug)]
pub struct OrNew<T: SessionData>(pub Session<T>);

impl<T: SessionData, S: Sync> FromRequestParts<S> for OrNew<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let load = async {
            let sessions = RequestSessions::of(&parts.extensions)?;
            sessions.load_or_new(&parts.headers).await
        };
        load.await.map(Self).map_err(|error| {
            event::load_failed(T::SCHEMA.name, &error);
            SessionRejection(error)
        })
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
///     let ended = store.revoke_all::<Visitor>(7).await?;
///     Ok(format!("{ended} sessions ended"))
/// }
/// # let _: axum::routing::MethodRouter<Store> = axum::routing::post(end_all);
/// ```
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        error_response::<Body>(self)
    }
}

/// The response to an error where there is no axum: 503 with `Retry-After` when trying again can
/// help, 409 for a conflict, else 500, and a line of text. The layer's
/// [`on_error`](super::SessionLayer::on_error) replaces it.
///
/// ```
/// use http_body_util::Full;
/// use hyper::body::Bytes;
/// use sessions::{Error, RequestSessions, Session, axum::error_response};
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
    let mut response = http::Response::new(request::text(&error).into());
    *response.status_mut() = request::status(&error);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    request::complete(&error, response.headers_mut());
    response.extensions_mut().insert(Told(Arc::new(error)));
    response
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
