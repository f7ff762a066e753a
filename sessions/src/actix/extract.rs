//! The extractors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::uri::PathAndQuery;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, ResponseError};

use super::headers;
use crate::data::SessionData;
use crate::error::Error;
use crate::request;
use crate::request::RequestSessions;
use crate::session::Session;

/// Loads the request's session, or creates a new one.
///
/// Rejects the request with 503 if the store is down or the record needs a newer build, and with
/// 500 if the record cannot be read or there is no session middleware. See [`SessionRejection`].
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
/// # let _ = actix_web::web::get().to(home);
/// ```
impl<T: SessionData> FromRequest for Session<T> {
    type Error = SessionRejection;
    type Future = Loading<T>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Loading<T> {
        Loading::new(request, false, None)
    }
}

impl<T: SessionData> Loading<T> {
    /// `within`: how long ago the owner may have proved who they are.
    fn new(request: &HttpRequest, or_new: bool, within: Option<Duration>) -> Self {
        let sessions = request.extensions().get::<RequestSessions>().cloned();
        let (request, own) = (request.clone(), sessions.clone());
        let load = Box::pin(async move {
            let sessions = own.ok_or_else(|| Error::misuse(NO_MIDDLEWARE))?;
            let session: Session<T> = if or_new {
                sessions.load_or_new(request.headers()).await?
            } else {
                sessions.load(request.headers()).await?
            };
            if let Some(within) = within {
                let is_page = request.method() == actix_web::http::Method::GET;
                let path = request.uri().path_and_query().filter(|_| is_page);
                session.require_authentication(within, path.map(PathAndQuery::as_str)).await?;
            }
            Ok(session)
        });
        Self { load, sessions, unseen: None }
    }
}

/// The future of the [`Session`](struct@crate::Session) extractor.
///
/// ```
/// use actix_web::{FromRequest, HttpRequest};
/// use sessions::actix::Loading;
/// use sessions::{Session, SessionData};
///
/// fn load<T: SessionData>(request: &HttpRequest) -> Loading<T> {
///     Session::<T>::extract(request)
/// }
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # let _ = load::<Visitor>;
/// ```
pub struct Loading<T: SessionData> {
    load: Pin<Box<dyn Future<Output = Result<Session<T>, Error>>>>,
    sessions: Option<RequestSessions>,
    /// The place for the rejection's error, if the rejection is dropped before a handler sees it.
    unseen: Option<Unseen>,
}

const NO_MIDDLEWARE: &str = "this request has no sessions: wrap the app in \
    `SessionMiddleware::new(store)` after every middleware that takes a session, for the one that \
    is wrapped last sees a request first";

type Unseen = Arc<Mutex<Option<Error>>>;

impl<T: SessionData> Future for Loading<T> {
    type Output = Result<Session<T>, SessionRejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.load.as_mut().poll(context)).map_err(|error| {
            let events = self.sessions.as_ref().map(RequestSessions::events).unwrap_or_default();
            events.load_failed(T::SCHEMA.name, &error);
            let unseen = Unseen::default();
            self.unseen = Some(unseen.clone());
            SessionRejection { error: Some(error), unseen }
        }))
    }
}

impl<T: SessionData> Drop for Loading<T> {
    /// Reports a rejection that did not outlive this future. Only actix-web's extractor of an
    /// `Option` drops it so early, and the handler then takes its visitor for a new one.
    fn drop(&mut self) {
        let (Some(unseen), Some(sessions)) = (&self.unseen, &self.sessions) else { return };
        let error = unseen.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever asks for an `Option` of an authenticated visitor wants to know that there is none.
        if let Some(error) = error.filter(|error| !error.is_not_authenticated()) {
            sessions.hide(error);
        }
    }
}

impl<T: SessionData> fmt::Debug for Loading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

/// Loads the request's session. It is `None` if there is no live session. If the store is down, the
/// request is still rejected.
///
/// Use it for the `Option<Session<T>>` of other frameworks, because actix-web defines the extractor
/// of an `Option`. See [the module](crate::actix).
///
/// ```
/// use sessions::{Session, actix::Existing};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
///
/// async fn greeting(Existing(visitor): Existing<Visitor>) -> String {
///     visitor.map_or("hello".to_owned(), |visitor| format!("welcome back, {}", visitor.visits))
/// }
/// # let _ = actix_web::web::get().to(greeting);
/// ```
#[derive(Debug)]
pub struct Existing<T: SessionData>(pub Option<Session<T>>);

/// See [`Existing`].
impl<T: SessionData> FromRequest for Existing<T> {
    type Error = SessionRejection;
    type Future = LoadingExisting<T>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> LoadingExisting<T> {
        LoadingExisting(Session::from_request(request, payload))
    }
}

/// The future of the [`Existing`] extractor.
///
/// ```
/// use actix_web::{FromRequest, HttpRequest};
/// use sessions::SessionData;
/// use sessions::actix::{Existing, LoadingExisting};
///
/// fn load<T: SessionData>(request: &HttpRequest) -> LoadingExisting<T> {
///     Existing::<T>::extract(request)
/// }
/// # use sessions::Session;
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # let _ = load::<Visitor>;
/// ```
#[derive(Debug)]
pub struct LoadingExisting<T: SessionData>(Loading<T>);

impl<T: SessionData> Future for LoadingExisting<T> {
    type Output = Result<Existing<T>, SessionRejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let session = ready!(Pin::new(&mut self.0).poll(context))?;
        Poll::Ready(Ok(Existing(Some(session).filter(|session| !session.is_new()))))
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
/// use sessions::{Session, actix::OrNew};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { #[session(owner)] user: Option<u64> }
///
/// async fn login(OrNew(mut visitor): OrNew<Visitor>) -> &'static str {
///     // The password was right.
///     visitor.user = Some(7);
///     "welcome"
/// }
///
/// async fn logout(OrNew(mut visitor): OrNew<Visitor>) -> &'static str {
///     visitor.destroy();
///     "bye"
/// }
/// # let _ = (actix_web::web::post().to(login), actix_web::web::delete().to(logout));
/// ```
#[derive(Debug)]
pub struct OrNew<T: SessionData>(pub Session<T>);

/// See [`OrNew`].
impl<T: SessionData> FromRequest for OrNew<T> {
    type Error = SessionRejection;
    type Future = LoadingOrNew<T>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> LoadingOrNew<T> {
        LoadingOrNew(Loading::new(request, true, None))
    }
}

/// The future of the [`OrNew`] extractor.
///
/// ```
/// use actix_web::{FromRequest, HttpRequest};
/// use sessions::SessionData;
/// use sessions::actix::{LoadingOrNew, OrNew};
///
/// fn load<T: SessionData>(request: &HttpRequest) -> LoadingOrNew<T> {
///     OrNew::<T>::extract(request)
/// }
/// # use sessions::Session;
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # let _ = load::<Visitor>;
/// ```
#[derive(Debug)]
pub struct LoadingOrNew<T: SessionData>(Loading<T>);

impl<T: SessionData> Future for LoadingOrNew<T> {
    type Output = Result<OrNew<T>, SessionRejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_ok(OrNew)
    }
}

/// Loads the session of a visitor who proved who they are at most `SECONDS` ago
/// ([`Session::authenticated_within`]), as before a change of password. Otherwise it rejects the
/// request with [`Error::NotAuthenticated`], which is a 401.
///
/// The error of a GET request holds its path, sealed, so that the visitor comes back after the
/// login: [`Error::return_path`]. Any other request has no page to come back to: call
/// [`Session::require_authentication`] with the path of its form there. The middleware's
/// [`on_error`](super::SessionMiddleware::on_error) redirects for all handlers at once.
///
/// ```
/// use actix_web::http::header;
/// use actix_web::{App, HttpResponse, ResponseError as _, web};
/// use sessions::actix::{Authenticated, SessionMiddleware};
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
/// let middleware = SessionMiddleware::new(Store::new(MemoryProvider::new()));
/// let middleware = middleware.on_error(|error, _| match error.return_path() {
///     Some(next) => {
///         let login = (header::LOCATION, format!("/login?next={next}"));
///         HttpResponse::SeeOther().insert_header(login).finish()
///     }
///     None => HttpResponse::new(error.status_code()),
/// });
/// let app = App::new().route("/keys", web::get().to(keys)).wrap(middleware);
/// ```
#[derive(Debug)]
pub struct Authenticated<T: SessionData, const SECONDS: u64>(pub Session<T>);

impl<T: SessionData, const SECONDS: u64> FromRequest for Authenticated<T, SECONDS> {
    type Error = SessionRejection;
    type Future = LoadingAuthenticated<T, SECONDS>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> LoadingAuthenticated<T, SECONDS> {
        LoadingAuthenticated(Loading::new(request, false, Some(Duration::from_secs(SECONDS))))
    }
}

/// The future of the [`Authenticated`] extractor.
///
/// ```
/// use actix_web::{FromRequest, HttpRequest};
/// use sessions::SessionData;
/// use sessions::actix::{Authenticated, LoadingAuthenticated};
///
/// fn load<T: SessionData>(request: &HttpRequest) -> LoadingAuthenticated<T, 300> {
///     Authenticated::<T, 300>::extract(request)
/// }
/// # use sessions::Session;
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { visits: u32 }
/// # let _ = load::<Visitor>;
/// ```
#[derive(Debug)]
pub struct LoadingAuthenticated<T: SessionData, const SECONDS: u64>(Loading<T>);

impl<T: SessionData, const SECONDS: u64> Future for LoadingAuthenticated<T, SECONDS> {
    type Output = Result<Authenticated<T, SECONDS>, SessionRejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_ok(Authenticated)
    }
}

/// The error of an extractor that could not load a session. Its response is a 503 with
/// `Retry-After` if a retry can help, otherwise a 500. The event contains the reason. The response
/// contains it only for an [`Error::Misuse`].
///
/// To respond differently, take `Result<Session<T>, SessionRejection>` in the handler.
///
/// ```
/// use sessions::{Session, actix::SessionRejection};
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
/// # let _ = actix_web::web::get().to(home);
/// ```
pub struct SessionRejection {
    /// It is `None` only during the drop.
    error: Option<Error>,
    unseen: Unseen,
}

impl SessionRejection {
    /// Returns the reason.
    ///
    /// ```
    /// use actix_web::http::StatusCode;
    /// use sessions::actix::SessionRejection;
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
        self.error.as_ref().expect("only drop and into_error take the error out")
    }

    /// Converts the rejection into its reason.
    ///
    /// ```
    /// use sessions::{Error, actix::SessionRejection};
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
    pub fn into_error(mut self) -> Error {
        self.error.take().expect("only drop and into_error take the error out")
    }
}

impl Drop for SessionRejection {
    fn drop(&mut self) {
        if let Some(error) = self.error.take() {
            *self.unseen.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

impl ResponseError for SessionRejection {
    fn status_code(&self) -> actix_web::http::StatusCode {
        self.error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        self.error().error_response()
    }
}

/// Lets a handler use `?` on the store's methods. The response is a 503 with `Retry-After` if a
/// retry can help, a 409 for a conflict, otherwise a 500.
///
/// ```
/// use actix_web::web::{Data, post};
/// use sessions::{Error, Session, Store};
/// # #[derive(Session)]
/// # #[session(name = "visitor", version = 1)]
/// # struct Visitor { #[session(owner)] user: Option<u64> }
///
/// async fn end_all(store: Data<Store>) -> Result<String, Error> {
///     let ended = store.revoke_all::<Visitor>(7).await?;
///     Ok(format!("{ended} sessions ended"))
/// }
/// # let _ = post().to(end_all);
/// ```
impl ResponseError for Error {
    fn status_code(&self) -> actix_web::http::StatusCode {
        headers::status(self.status())
    }

    fn error_response(&self) -> HttpResponse {
        let text = request::layer::text(self);
        let mut response = HttpResponse::build(self.status_code())
            .content_type("text/plain; charset=utf-8")
            .body(text);
        request::headers::complete(self, response.headers_mut());
        response
    }
}

impl fmt::Debug for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionRejection").field(self.error()).finish()
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.error())
    }
}
