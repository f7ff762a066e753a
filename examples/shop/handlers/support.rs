//! An operator sees the shop as a customer does.

use axum::Form;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use sessions::{Error, Session};

use super::password::RECENT;
use crate::accounts::account;
use crate::visitor::{Shopper, operates};

#[derive(Deserialize)]
pub(super) struct Whom {
    user: String,
}

pub(super) async fn act_as<V: Shopper>(
    mut visitor: Session<V>,
    Form(whom): Form<Whom>,
) -> Result<Response, Error> {
    let Some(whom) = account(&whom.user).filter(|_| operates(&visitor)) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    // An operator who left their desk opens no customer's account to whoever comes by.
    visitor.require_authentication(RECENT, Some("/operators")).await?;
    tracing::info!(who = visitor.user(), whom = whom.name, "an operator acts as a customer");
    visitor.act_as(whom.name);
    Ok(Redirect::to("/").into_response())
}

/// Back to oneself. The session was the operator's all the time, so nobody logs in.
pub(super) async fn back<V: Shopper>(mut visitor: Session<V>) -> Redirect {
    if visitor.acting_as().is_some() {
        visitor.act_as_oneself();
    }
    Redirect::to("/operators")
}

/// Keeps an operator from what only the customer may do.
pub(super) async fn only_oneself<V: Shopper>(
    mut visitor: Session<V>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(whom) = visitor.acting_as() {
        visitor.warn(format!("Only {whom} can do that"));
        return Redirect::to("/account").into_response();
    }
    // The handler loads it itself.
    drop(visitor);
    next.run(request).await
}
