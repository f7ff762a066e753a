//! The page for operators. For whoever is none, it does not exist.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use sessions::{Error, Session};

use super::{Shop, not_found};
use crate::pages::{self, Frame, Overview};
use crate::visitor::{Shopper, operates};

pub(super) async fn overview<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Result<Response, Error> {
    if !operates(&visitor) {
        return Ok(not_found(visitor).await.into_response());
    }
    // A count that fails is shown as one: the page is most needed when something is down.
    let stats = shop.store.stats().await.map_err(|error| error.to_string());
    let overview = Overview {
        database: shop.storage.kind,
        url: &shop.storage.url,
        stats,
        ring: shop.store.codec().key_ring(),
        schema: V::SCHEMA,
        now: shop.store.now(),
    };
    let frame = Frame::new("Operators", &mut visitor);
    Ok(pages::operators(&frame, &overview).into_response())
}

/// Reads the key ring now.
pub(super) async fn refresh<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Response {
    if !operates(&visitor) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match shop.store.codec().refresh().await {
        Ok(()) => visitor.tell("The key ring was read"),
        Err(error) => visitor.warn(format!("The key ring could not be read: {error}")),
    }
    Redirect::to("/operators").into_response()
}
