//! The app on axum.

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use sessions::axum::{Authenticated, OrNew, SessionLayer, SessionRejection};
use sessions::{Error, Session, Store, request::RequestSessions};

use crate::app::{self, App, Layers, Reply, Theme, Types, Visitor};

pub(crate) fn router(app: &App) -> Router {
    let [saved, seat, both_changed, back] = [(); 4].map(|()| app.clone());
    let router = Router::new()
        .route("/plain", get(app::plain))
        .route("/visit", get(app::visit))
        .route("/show", get(app::show))
        .route("/dark", get(app::dark))
        .route("/both", get(app::both))
        .route("/login", post(app::login))
        .route("/token", post(app::token))
        .route("/move", post(app::move_to_header))
        .route("/act", post(async |it, agent, what| app::act(it, what, agent).await))
        .route("/keys", get(keys))
        .route("/strict_keys", get(async |Authenticated(it): Minute| app::keys(Ok(it)).await))
        .route("/back", post(async move |sealed: String| app::back(sealed, &back).await))
        .route("/logout", post(app::logout))
        .route("/fail_logout", post(app::fail_logout))
        .route("/add", post(app::add))
        .route("/answer", post(app::answer))
        .route("/remember", post(app::remember))
        .route("/known", get(app::known))
        .route("/own_rejection", get(own_rejection))
        .route("/saved", get(async move |visitor| app::saved(visitor, &saved).await))
        .route("/seat", post(async move |visitor, name| app::seat(visitor, name, &seat).await))
        .route(
            "/seat_and_theme",
            post(async move |visitor, theme| {
                app::seat_and_theme(visitor, theme, &both_changed).await
            }),
        )
        .route("/panic", get(app::panic))
        .route("/stream", get(app::stream))
        .route("/outlive", get(app::outlive))
        .route("/with_headers", get(app::with_headers))
        .route("/end_unread", get(end_unread).post(end_unread))
        .route("/take", get(app::take))
        .route("/take_and_save", get(app::take_and_save))
        .route("/borrow", get(app::borrow))
        .route("/bye", get(app::logout))
        .route("/say", post(app::say))
        .route("/late", post(late))
        .route("/login_or_new", post(async |OrNew(it), user| app::login_or_new(it, user).await))
        .route("/logout_or_new", post(async |OrNew(it)| app::logout(it).await))
        .route("/beside", get(app::beside).layer(from_fn(around)).layer(from_fn(before)));
    let mut router = router;
    if app.headers {
        router = router.layer(from_fn(headers));
    }
    let (Layers { outer, inner }, hook) = (app.layers.clone(), app.hook);
    if let Some(inner) = inner {
        router = router.layer(layer(inner, hook)).layer(from_fn(between));
    }
    match outer {
        Some(outer) => router.layer(layer(outer, hook)),
        None => router,
    }
}

pub(crate) fn layer((store, types): (Store, Types), hook: bool) -> SessionLayer {
    let layer = SessionLayer::new(store);
    let layer = match types {
        Types::All => layer,
        Types::Visitor => layer.only::<Visitor>(),
        Types::Theme => layer.only::<Theme>(),
    };
    if !hook {
        return layer;
    }
    layer.on_error(|error, request| {
        let accept = request.headers.get("accept").map(HeaderValue::as_bytes);
        let (method, path) = (request.method.as_str(), request.uri.path());
        let (status, text) = app::on_error(error, method, path, accept);
        (StatusCode::from_u16(status).expect("a status"), text).into_response()
    })
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in app::HEADERS {
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    response
}

async fn between(request: Request, next: Next) -> Result<Response, SessionRejection> {
    let named = request.headers().get("between").map(HeaderValue::as_bytes);
    let (kind, (mut parts, body)) = (named.map(<[u8]>::to_vec), request.into_parts());
    match kind.as_deref() {
        Some(b"visitor") => app::between_visitor(parts.extract().await?),
        Some(b"theme") => app::between_theme(parts.extract().await?),
        _ => {}
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn late(
    Extension(sessions): Extension<RequestSessions>,
    headers: HeaderMap,
    form: String,
) -> Result<Reply, Error> {
    app::late(sessions, headers, form).await
}

/// Whoever proved in the last minute who they are.
type Minute = Authenticated<Visitor, 60>;

async fn keys(visitor: Result<Minute, SessionRejection>) -> Reply {
    app::keys(visitor.map(|it| it.0).map_err(SessionRejection::into_error)).await
}

async fn own_rejection(visitor: Result<Session<Visitor>, SessionRejection>) -> Reply {
    app::own_rejection(visitor.map_err(SessionRejection::into_error)).await
}

async fn end_unread(
    Extension(sessions): Extension<RequestSessions>,
    headers: HeaderMap,
) -> Result<Reply, Error> {
    sessions.destroy::<Visitor>(&headers).await?;
    Ok(Reply::text("ended"))
}

async fn before(visitor: Session<Visitor>, request: Request, next: Next) -> Response {
    app::before(visitor);
    next.run(request).await
}

async fn around(mut visitor: Session<Visitor>, request: Request, next: Next) -> Response {
    app::around(&mut visitor);
    let response = next.run(request).await;
    app::around(&mut visitor);
    response
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::new(self.body)).expect("a valid response")
    }
}
