//! The app on axum.

use std::convert::Infallible;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use sessions::axum::SessionLayer;
use sessions::{Error, Session};

use super::app::{self, App, Line, Page, Visitor};

pub(super) fn router(app: App) -> Router {
    let layer = SessionLayer::new(app.store.clone());
    Router::new()
        .route("/socket", get(socket))
        .route("/events", get(events))
        .route("/renewed_events", get(renewed_events))
        .route("/login", post(app::login))
        .route("/visit", post(app::visit))
        .route("/look", get(app::look))
        .route("/renew", post(app::renew))
        .route("/logout", post(app::logout))
        .route("/end_others", post(async |State(app), it| app::end_others(it, &app).await))
        .route("/say", post(async |State(app), text| app::say(text, &app).await))
        .with_state(app)
        .layer(layer)
}

async fn socket(
    upgrade: WebSocketUpgrade,
    State(app): State<App>,
    visitor: Session<Visitor>,
) -> Result<Response, Error> {
    let page = app.page(visitor).await?;
    Ok(upgrade.on_upgrade(|socket| talk(socket, page)))
}

async fn talk(mut socket: WebSocket, mut page: Page) {
    loop {
        let line = tokio::select! {
            line = page.next() => line,
            message = socket.recv() => match message {
                Some(Ok(Message::Text(_))) => Line::Said(page.used().await),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let (message, is_last) = match line {
            Line::Said(text) => (Message::text(text), false),
            Line::Ended(end) => {
                let reason = format!("{end:?}").into();
                let frame = CloseFrame { code: close_code::POLICY, reason };
                (Message::Close(Some(frame)), true)
            }
        };
        if socket.send(message).await.is_err() || is_last {
            return;
        }
    }
}

async fn events(State(app): State<App>, visitor: Session<Visitor>) -> Result<Response, Error> {
    let page = app.page(visitor).await?;
    let events = stream::unfold(Some(page), async |page| {
        let mut page = page?;
        Some(match page.next().await {
            Line::Said(text) => (event("said", text), Some(page)),
            Line::Ended(end) => (event("ended", format!("{end:?}")), None),
        })
    });
    Ok(Sse::new(events).into_response())
}

fn event(name: &str, text: String) -> Result<Event, Infallible> {
    Ok(Event::default().event(name).data(text))
}

/// A handler whose own change the layer commits after `ended` was called.
async fn renewed_events(app: State<App>, mut visitor: Session<Visitor>) -> Result<Response, Error> {
    visitor.renew();
    events(app, visitor).await
}
