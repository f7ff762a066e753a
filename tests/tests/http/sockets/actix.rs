//! The app on actix-web.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::{Bytes, Data, Payload, ServiceConfig, get, post};
use actix_web::{HttpRequest, HttpResponse, rt};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream};
use futures_util::stream;
use sessions::{Error, Session};
use tokio::time::timeout;

use super::app::{self, App, Line, Page, Visitor};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/socket", get().to(socket))
        .route("/events", get().to(events))
        .route("/renewed_events", get().to(renewed_events))
        .route("/login", post().to(app::login))
        .route("/visit", post().to(app::visit))
        .route("/look", get().to(app::look))
        .route("/renew", post().to(app::renew))
        .route("/logout", post().to(app::logout))
        .route("/end_others", post().to(end_others))
        .route("/say", post().to(say));
}

async fn end_others(visitor: Session<Visitor>, app: Data<App>) -> Result<String, Error> {
    app::end_others(visitor, &app).await
}

async fn say(text: String, app: Data<App>) -> &'static str {
    app::say(text, &app).await
}

async fn socket(
    request: HttpRequest,
    body: Payload,
    app: Data<App>,
    visitor: Session<Visitor>,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, socket, messages) = actix_ws::handle(&request, body)?;
    let page = app.page(visitor).await?;
    rt::spawn(talk(socket, messages, page));
    Ok(response)
}

async fn talk(mut socket: actix_ws::Session, mut messages: MessageStream, mut page: Page) {
    loop {
        let line = tokio::select! {
            line = page.next() => line,
            message = messages.recv() => match message {
                Some(Ok(Message::Text(_))) => Line::Said(page.used().await),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        match line {
            Line::Said(text) => {
                if socket.text(text).await.is_err() {
                    return;
                }
            }
            Line::Ended(end) => {
                let description = Some(format!("{end:?}"));
                let reason = CloseReason { code: CloseCode::Policy, description };
                let _ = socket.close(Some(reason)).await;
                return;
            }
        }
    }
}

/// actix-web notices that a client has gone when it writes, so something is written all the time.
async fn events(app: Data<App>, visitor: Session<Visitor>) -> Result<HttpResponse, Error> {
    let page = app.page(visitor).await?;
    let events = stream::unfold(Some(page), async |page| {
        let mut page = page?;
        Some(match timeout(QUIET, page.next()).await {
            Ok(Line::Said(text)) => (event("said", &text), Some(page)),
            Ok(Line::Ended(end)) => (event("ended", &format!("{end:?}")), None),
            Err(_) => (Ok(Bytes::from_static(b":\n\n")), Some(page)),
        })
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(Box::pin(events)))
}

/// Short, so that the tests need not wait.
const QUIET: Duration = Duration::from_millis(20);

fn event(name: &str, text: &str) -> Result<Bytes, Infallible> {
    Ok(Bytes::from(format!("event: {name}\ndata: {text}\n\n")))
}

/// A handler whose own change the middleware commits after `ended` was called.
async fn renewed_events(
    app: Data<App>,
    mut visitor: Session<Visitor>,
) -> Result<HttpResponse, Error> {
    visitor.renew();
    events(app, visitor).await
}
