//! The app as a plain `tower` service on hyper, without a web framework.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sessions::tower::error_response;
use sessions::{Error, Session, Store, request::RequestSessions};
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::timeout::ResponseBodyTimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::app::{self, App, Layers, Reply, ReplyBody, Types, Visitor};

/// Serves it until the task ends.
pub(crate) async fn serve(listener: TcpListener, app: App) {
    let (Layers { outer, inner }, hook) = (app.layers.clone(), app.hook);
    let handler = service_fn(move |request| {
        let app = app.clone();
        async move {
            let reply = handle(request, &app).await;
            let mut response = reply.map_or_else(error_response, respond);
            if app.headers {
                for (name, value) in app::HEADERS {
                    response.headers_mut().append(name, HeaderValue::from_static(value));
                }
            }
            Ok::<_, Infallible>(response)
        }
    });
    let inner = within(inner, hook, handler);
    let between = service_fn(move |request: Request<Incoming>| {
        let mut inner = inner.clone();
        async move {
            match between(&request).await {
                Ok(()) => inner.call(request).await,
                Err(error) => Ok(error_response(error)),
            }
        }
    });
    let service = TowerToHyperService::new(within(outer, hook, between));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // A client that leaves, or a handler that panics, ends its connection only.
        tokio::spawn(async move { drop(connection.await) });
    }
}

type Stack = BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>;

/// The service within a layer, if there is one.
fn within<S, B>(layer: Option<(Store, Types)>, hook: bool, service: S) -> Stack
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    match layer {
        Some(layer) => {
            let layer = super::axum::layer(layer, hook);
            // Around layers whose bodies nobody can make: the session layer wants no `Default`.
            let stack = ServiceBuilder::new()
                .layer(layer)
                .layer(TraceLayer::new_for_http())
                .layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(60)));
            BoxCloneSyncService::new(stack.service(service))
        }
        None => BoxCloneSyncService::new(service.map_response(|it: Response<B>| it.map(Body::new))),
    }
}

async fn between(request: &Request<Incoming>) -> Result<(), Error> {
    let headers = request.headers();
    let sessions = || RequestSessions::of(request.extensions());
    match headers.get("between").map(HeaderValue::as_bytes) {
        Some(b"visitor") => app::between_visitor(sessions()?.load(headers).await?),
        Some(b"theme") => app::between_theme(sessions()?.load(headers).await?),
        _ => {}
    }
    Ok(())
}

async fn handle(request: Request<Incoming>, app: &App) -> Result<Reply, Error> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let sessions = RequestSessions::of(&parts.extensions)?;
    let text = async || {
        let bytes = body.collect().await.expect("the request's body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("a body of text")
    };
    Ok(match parts.uri.path() {
        "/plain" => app::plain().await,
        "/visit" => app::visit(sessions.load(headers).await?).await,
        "/show" => app::show(sessions.load(headers).await?).await,
        "/dark" => app::dark(sessions.load(headers).await?).await,
        "/both" => app::both(sessions.load(headers).await?, sessions.load(headers).await?).await,
        "/login" => app::login(sessions.load(headers).await?, text().await).await,
        "/token" => app::token(sessions.load(headers).await?, text().await).await?,
        "/move" => app::move_to_header(sessions.load(headers).await?, text().await).await?,
        "/act" => app::act(sessions.load(headers).await?, text().await, headers.clone()).await,
        "/keys" => app::keys(fresh(sessions, &parts).await).await,
        "/strict_keys" => app::keys(Ok(fresh(sessions, &parts).await?)).await,
        "/back" => app::back(text().await, app).await,
        "/logout" => app::logout(sessions.load(headers).await?).await,
        "/fail_logout" => app::fail_logout(sessions.load(headers).await?).await,
        "/add" => app::add(sessions.load(headers).await?, text().await).await,
        "/answer" => app::answer(sessions.load(headers).await?, text().await).await,
        "/remember" => app::remember(sessions.load(headers).await?, text().await).await,
        "/known" => {
            let visitor: Session<Visitor> = sessions.load(headers).await?;
            app::known(Some(visitor).filter(|visitor| !visitor.is_new())).await
        }
        "/own_rejection" => app::own_rejection(sessions.load(headers).await).await,
        "/saved" => app::saved(sessions.load(headers).await?, app).await?,
        "/seat" => app::seat(sessions.load(headers).await?, text().await, app).await,
        "/seat_and_theme" => {
            let visitor = sessions.load(headers).await?;
            app::seat_and_theme(visitor, sessions.load(headers).await?, app).await
        }
        "/panic" => app::panic(sessions.load(headers).await?).await,
        "/stream" => app::stream(sessions.load(headers).await?).await,
        "/outlive" => app::outlive(sessions.load(headers).await?).await,
        "/with_headers" => app::with_headers(sessions.load(headers).await?).await,
        "/end_unread" => {
            sessions.destroy::<Visitor>(headers).await?;
            Reply::text("ended")
        }
        "/take" => app::take(sessions.load(headers).await?).await,
        "/take_and_save" => app::take_and_save(sessions.load(headers).await?).await?,
        "/borrow" => app::borrow(sessions.load(headers).await?).await,
        "/bye" => app::logout(sessions.load(headers).await?).await,
        "/say" => app::say(sessions.load(headers).await?, text().await).await,
        "/late" => app::late(sessions.clone(), headers.clone(), text().await).await?,
        "/login_or_new" => {
            app::login_or_new(sessions.load_or_new(headers).await?, text().await).await
        }
        "/logout_or_new" => app::logout(sessions.load_or_new(headers).await?).await,
        "/beside" => {
            app::before(sessions.load(headers).await?);
            let mut held = sessions.load(headers).await?;
            app::around(&mut held);
            let reply = app::beside(sessions.load(headers).await?).await;
            app::around(&mut held);
            reply
        }
        path => panic!("no route {path}"),
    })
}

/// The session of whoever proved in the last minute who they are.
async fn fresh(sessions: &RequestSessions, parts: &Parts) -> Result<Session<Visitor>, Error> {
    let visitor: Session<Visitor> = sessions.load(&parts.headers).await?;
    let path = parts.uri.path_and_query().map(PathAndQuery::as_str);
    visitor.require_authentication(Duration::from_secs(60), path).await?;
    Ok(visitor)
}

fn respond(reply: Reply) -> Response<ReplyBody> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body).expect("a valid response")
}
