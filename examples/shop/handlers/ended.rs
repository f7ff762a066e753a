//! Telling an open page that its session has ended.

use std::convert::Infallible;
use std::future::ready;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use sessions::{Session, SessionEnd};

use super::Shop;
use crate::visitor::Shopper;

/// A stream of one event, for a page of somebody who is logged in.
pub(super) async fn tell<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // The page asks, and not its visitor.
    visitor.skip_touch();
    let ended = visitor.user().is_some().then(|| visitor.ended());
    let mut closing = shop.closing;
    let event = async move {
        let is_over = match ended {
            // They have logged out since the page was loaded.
            None => true,
            Some(ended) => tokio::select! {
                // After a renewal the browser asks again, with its new cookie.
                end = ended => end != SessionEnd::Superseded,
                // The shop closes. The browser asks again until it is open.
                _ = closing.changed() => false,
            },
        };
        // Without data, browsers drop an event.
        is_over.then(|| Ok(Event::default().event("ended").data("log in again")))
    };
    Sse::new(stream::once(event).filter_map(ready)).keep_alive(KeepAlive::default())
}
