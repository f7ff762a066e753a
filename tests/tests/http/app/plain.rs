//! The app as a plain `tower` service on hyper, without a web framework.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sessions::axum::{ErrorResponse, SessionLayer, error_response};
use sessions::{Error, RequestSessions, Session};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::app::{self, App, Reply, ReplyBody, Visitor};

/// Serves it until the task ends.
pub(crate) async fn serve<E>(listener: TcpListener, app: App, layer: SessionLayer<E>)
where
    E: ErrorResponse<ReplyBody> + Send + 'static,
{
    let service = ServiceBuilder::new().layer(layer).service_fn(move |request| {
        let app = app.clone();
        async move {
            let reply = handle(request, &app).await;
            Ok::<_, Infallible>(reply.map_or_else(error_response, respond))
        }
    });
    let service = TowerToHyperService::new(service);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // A client that leaves, or a handler that panics, ends its connection only.
        tokio::spawn(async move { drop(connection.await) });
    }
}

pub(crate) fn on_error(error: &Error) -> Response<ReplyBody> {
    let (status, text) = app::on_error(error);
    respond(Reply { status, ..Reply::text(text) })
}

async fn handle(request: Request<Incoming>, app: &App) -> Result<Reply, Error> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let sessions = parts.extensions.get::<RequestSessions>().expect("the layer was there");
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

fn respond(reply: Reply) -> Response<ReplyBody> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(reply.body).expect("a valid response")
}
