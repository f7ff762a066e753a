//! The app on axum.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use sessions::axum::{SessionLayer, SessionRejection};
use sessions::{Error, RequestSessions, Session};

use crate::app::{self, App, Reply, Visitor};

pub(crate) fn router(app: &App) -> Router {
    let layer = SessionLayer::new(app.store.clone());
    let [saved, seat, both_changed] = [app.clone(), app.clone(), app.clone()];
    let router = Router::new()
        .route("/plain", get(app::plain))
        .route("/visit", get(app::visit))
        .route("/show", get(app::show))
        .route("/dark", get(app::dark))
        .route("/both", get(app::both))
        .route("/login", post(app::login))
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
        .route("/end_unread", post(end_unread))
        .route("/beside", get(app::beside).layer(from_fn(around)).layer(from_fn(before)));
    if app.hook {
        router.layer(layer.on_error(|error| {
            let (status, text) = app::on_error(error);
            (StatusCode::from_u16(status).expect("a status"), text).into_response()
        }))
    } else {
        router.layer(layer)
    }
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
