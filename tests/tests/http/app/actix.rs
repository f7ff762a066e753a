//! The app on actix-web.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, ServiceConfig, get, head, post, resource};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Responder};
use hyper::body::Bytes;
use sessions::actix::{Authenticated, Existing, OrNew, SessionMiddleware, SessionRejection};
use sessions::{Error, Session, Store, request::RequestSessions};

use crate::app::{self, App, Reply, ReplyBody, Theme, Types, Visitor};

pub(crate) fn middleware((store, types): (Store, Types), hook: bool) -> SessionMiddleware {
    let middleware = SessionMiddleware::new(store);
    let middleware = match types {
        Types::All => middleware,
        Types::Visitor => middleware.only::<Visitor>(),
        Types::Theme => middleware.only::<Theme>(),
    };
    if !hook {
        return middleware;
    }
    middleware.on_error(|error, request| {
        let accept = request.headers().get("accept").map(HeaderValue::as_bytes);
        let (method, path) = (request.method.as_str(), request.uri.path());
        let (status, text) = app::on_error(error, method, path, accept);
        HttpResponse::build(StatusCode::from_u16(status).expect("a status")).body(text)
    })
}

pub(crate) async fn headers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    for (name, value) in app::HEADERS {
        let name = HeaderName::from_static(name);
        response.headers_mut().append(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

pub(crate) async fn between(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let named = request.headers().get("between").map(HeaderValue::as_bytes);
    match named {
        Some(b"visitor") => app::between_visitor(request.extract::<Session<Visitor>>().await?),
        Some(b"theme") => app::between_theme(request.extract::<Session<Theme>>().await?),
        _ => {}
    }
    next.call(request).await
}

async fn login_or_new(OrNew(visitor): OrNew<Visitor>, user: String) -> Reply {
    app::login_or_new(visitor, user).await
}

async fn logout_or_new(OrNew(visitor): OrNew<Visitor>) -> Reply {
    app::logout(visitor).await
}

async fn late(request: HttpRequest, form: String) -> Result<Reply, Error> {
    let sessions = request.extensions().get::<RequestSessions>().cloned();
    let mut headers = http::HeaderMap::new();
    if let Some(cookie) = request.headers().get("cookie") {
        let cookie = http::HeaderValue::from_bytes(cookie.as_bytes());
        headers.insert("cookie", cookie.expect("a header's value"));
    }
    app::late(sessions.expect("the middleware was there"), headers, form).await
}

/// Whoever proved in the last minute who they are.
type Minute = Authenticated<Visitor, 60>;

async fn keys(visitor: Result<Minute, SessionRejection>) -> Reply {
    app::keys(visitor.map(|it| it.0).map_err(SessionRejection::into_error)).await
}

async fn strict_keys(Authenticated(visitor): Minute) -> Reply {
    app::keys(Ok(visitor)).await
}

async fn act(visitor: Session<Visitor>, request: HttpRequest, what: String) -> Reply {
    let mut headers = http::HeaderMap::new();
    for name in ["user-agent", "x-forwarded-for"] {
        if let Some(value) = request.headers().get(name) {
            let value = http::HeaderValue::from_bytes(value.as_bytes());
            headers.insert(name, value.expect("a header's value"));
        }
    }
    app::act(visitor, what, headers).await
}

async fn back(sealed: String, app: Data<App>) -> Reply {
    app::back(sealed, &app).await
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/plain", get().to(app::plain))
        .service(resource("/visit").route(get().to(app::visit)).route(head().to(app::visit)))
        .route("/show", get().to(app::show))
        .route("/dark", get().to(app::dark))
        .route("/both", get().to(app::both))
        .route("/login", post().to(app::login))
        .route("/token", post().to(app::token))
        .route("/move", post().to(app::move_to_header))
        .route("/act", post().to(act))
        .route("/keys", get().to(keys))
        .route("/strict_keys", get().to(strict_keys))
        .route("/back", post().to(back))
        .route("/logout", post().to(app::logout))
        .route("/fail_logout", post().to(app::fail_logout))
        .route("/add", post().to(app::add))
        .route("/answer", post().to(app::answer))
        .route("/remember", post().to(app::remember))
        .route("/known", get().to(known))
        .route("/own_rejection", get().to(own_rejection))
        .route("/saved", get().to(saved))
        .route("/seat", post().to(seat))
        .route("/seat_and_theme", post().to(seat_and_theme))
        .route("/panic", get().to(app::panic))
        .route("/stream", get().to(app::stream))
        .route("/outlive", get().to(app::outlive))
        .route("/with_headers", get().to(app::with_headers))
        .service(
            resource("/end_unread")
                .route(get().to(end_unread))
                .route(head().to(end_unread))
                .route(post().to(end_unread)),
        )
        .service(resource("/take").route(get().to(app::take)).route(head().to(app::take)))
        .service(
            resource("/take_and_save")
                .route(get().to(app::take_and_save))
                .route(head().to(app::take_and_save)),
        )
        .route("/borrow", get().to(app::borrow))
        .service(resource("/bye").route(get().to(app::logout)).route(head().to(app::logout)))
        .route("/say", post().to(app::say))
        .route("/late", post().to(late))
        .route("/login_or_new", post().to(login_or_new))
        .route("/logout_or_new", post().to(logout_or_new))
        .service(
            resource("/beside")
                .wrap(from_fn(around))
                .wrap(from_fn(before))
                .route(get().to(app::beside)),
        );
}

async fn known(Existing(visitor): Existing<Visitor>) -> Reply {
    app::known(visitor).await
}

async fn own_rejection(visitor: Result<Session<Visitor>, SessionRejection>) -> Reply {
    app::own_rejection(visitor.map_err(SessionRejection::into_error)).await
}

async fn saved(visitor: Session<Visitor>, app: Data<App>) -> Result<Reply, Error> {
    app::saved(visitor, &app).await
}

async fn seat(visitor: Session<Visitor>, name: String, app: Data<App>) -> Reply {
    app::seat(visitor, name, &app).await
}

async fn seat_and_theme(visitor: Session<Visitor>, theme: Session<Theme>, app: Data<App>) -> Reply {
    app::seat_and_theme(visitor, theme, &app).await
}

async fn end_unread(request: HttpRequest) -> Result<Reply, Error> {
    let sessions = request.extensions().get::<RequestSessions>().cloned();
    let sessions = sessions.expect("the middleware was there");
    sessions.destroy::<Visitor>(request.headers()).await?;
    Ok(Reply::text("ended"))
}

async fn before(
    visitor: Session<Visitor>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    app::before(visitor);
    next.call(request).await
}

async fn around(
    mut visitor: Session<Visitor>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    app::around(&mut visitor);
    let response = next.call(request).await;
    app::around(&mut visitor);
    response
}

impl Responder for Reply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).expect("a status");
        let mut response = HttpResponse::build(status);
        for header in self.headers {
            response.append_header(header);
        }
        response.body(self.body)
    }
}

impl MessageBody for ReplyBody {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.poll_chunk(context).map(|chunk| chunk.map(Ok))
    }
}
