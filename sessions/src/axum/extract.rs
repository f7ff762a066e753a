//! The extractors.

use std::fmt;
use std::time::Duration;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, Method};

use crate::data::SessionData;
use crate::error::Error;
use crate::request::RequestSessions;
use crate::session::Session;
use crate::tower::error_response;

/// Loads the request's session, or creates a new one.
///
/// Rejects the request with 503 if the store is down or the record needs a newer build, and with
/// 500 if the record cannot be read or there is no session layer. See [`SessionRejection`].
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
            load_failed(&parts.extensions, T::SCHEMA.name, &error);
            SessionRejection(error)
        })
    }
}

/// Loads the request's session. It is `None` if there is no live session. If the store is down, the
/// request is still rejected.
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

/// Loads the request's session, or creates a new one if this build cannot read the stored one. Use
/// it in the handlers that log visitors in and out.
///
/// After a rolled back deploy, or if a conversion fails, every page responds to such a visitor with
/// an error. With this extractor the visitor can still log in: the new session replaces the
/// unreadable one, and the unreadable one ends. If the handler changes nothing, the stored session
/// stays as it is. If the store is down, the request is still rejected.
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
            load_failed(&parts.extensions, T::SCHEMA.name, &error);
            SessionRejection(error)
        })
    }
}

/// Loads the session of a visitor who proved who they are at most `SECONDS` ago
/// ([`Session::authenticated_within`]), as before a change of password. Otherwise it rejects the
/// request with [`Error::NotAuthenticated`], which is a 401.
///
/// The error of a GET request holds its path, sealed, so that the visitor comes back after the
/// login: [`Error::return_path`]. Any other request has no page to come back to: call
/// [`Session::require_authentication`] with the path of its form there. The layer's [`on_error`](crate::tower::SessionLayer::on_error)
/// redirects for all handlers at once. In a nested router, axum takes the prefix off the path: call
/// [`Session::require_authentication`] with axum's `OriginalUri` there.
///
/// ```
/// use axum::response::{IntoResponse, Redirect};
/// use axum::{Router, routing::get};
/// use sessions::axum::{Authenticated, SessionLayer};
/// use sessions::{MemoryProvider, Session, Store};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { #[session(owner)] user: Option<u64> }
///
/// const FIVE_MINUTES: u64 = 5 * 60;
///
/// async fn keys(Authenticated(visitor): Authenticated<Visitor, FIVE_MINUTES>) -> String {
///     format!("the keys of user {:?}", visitor.user)
/// }
///
/// let layer = SessionLayer::new(Store::new(MemoryProvider::new()));
/// let layer = layer.on_error(|error, _| match error.return_path() {
///     Some(next) => Redirect::to(&format!("/login?next={next}")).into_response(),
///     None if error.is_not_authenticated() => Redirect::to("/login").into_response(),
///     None => error.status().into_response(),
/// });
/// let app: Router = Router::new().route("/keys", get(keys)).layer(layer);
/// ```
#[derive(Debug)]
pub struct Authenticated<T: SessionData, const SECONDS: u64>(pub Session<T>);

impl<T: SessionData, S: Sync, const SECONDS: u64> FromRequestParts<S>
    for Authenticated<T, SECONDS>
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        let session = <Session<T> as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let is_page = parts.method == Method::GET;
        let path = parts.uri.path_and_query().filter(|_| is_page).map(PathAndQuery::as_str);
        let required = session.require_authentication(Duration::from_secs(SECONDS), path).await;
        required.map_err(SessionRejection)?;
        Ok(Self(session))
    }
}

/// The error of an extractor that could not load a session. Its response is a 503 with
/// `Retry-After` if a retry can help, a 401 for [`Authenticated`], otherwise a 500. The event contains the reason. The response
/// contains it only for an [`Error::Misuse`].
///
/// To respond differently, take `Result<Session<T>, SessionRejection>` in the handler.
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
    /// Returns the reason.
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

    /// Converts the rejection into its reason.
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

/// Lets a handler use `?` on the store's methods. The response is a 503 with `Retry-After` if a
/// retry can help, a 409 for a conflict, otherwise a 500.
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

/// Reports that a request could not load its session, to the store of its layer if it has one.
fn load_failed(extensions: &Extensions, session: &'static str, error: &Error) {
    let sessions = RequestSessions::of(extensions).ok();
    sessions.map(RequestSessions::events).unwrap_or_default().load_failed(session, error);
}
