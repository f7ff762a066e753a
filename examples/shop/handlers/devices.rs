//! Where one is logged in, and ending it there.

use axum::Form;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{Redirect, Response};
use maud::Markup;
use serde::Deserialize;
use sessions::axum::SessionRejection;
use sessions::provider::Page;
use sessions::{Device, Error, Session, StoreKey};

use super::{Peer, Shop};
use crate::pages::{self, Devices, Frame};
use crate::visitor::{Shopper, whose};

/// Notes from where each request comes.
pub(super) async fn note<V: Shopper>(
    State(shop): State<Shop>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    visitor: Result<Session<V>, SessionRejection>,
    request: Request,
    next: Next,
) -> Response {
    // A session that cannot be had is for the handler to answer: it may be the one that logs in.
    if let Ok(mut visitor) = visitor {
        let client = shop.proxies.client(peer.ip(), request.headers());
        visitor.seen_from(Device::of(request.headers()).address(client));
    }
    next.run(request).await
}

/// The account's page.
pub(super) async fn list<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Result<Result<Markup, Redirect>, Error> {
    let Some(user) = whose(&visitor) else {
        return Ok(Err(Redirect::to("/login")));
    };
    let sessions = shop.store.list::<V>(&user, Page::first(50)).await?.items;
    let frame = Frame::new("Your account", &mut visitor);
    let devices = Devices { sessions, here: visitor.key(), now: shop.store.now() };
    Ok(Ok(pages::devices(&frame, &devices)))
}

#[derive(Deserialize)]
pub(super) struct One {
    key: String,
}

pub(super) async fn end_one<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
    Form(device): Form<One>,
) -> Result<Redirect, Error> {
    let Some(user) = visitor.user().map(str::to_owned) else {
        return Ok(Redirect::to("/login"));
    };
    match device.key.parse::<StoreKey>() {
        // Only one's own: another user's key is nobody's business.
        Ok(key) if shop.store.revoke::<V>(&user, &key).await? => {
            visitor.tell("That device is logged out");
        }
        _ => visitor.warn("That device was logged out already"),
    }
    Ok(Redirect::to("/account"))
}

pub(super) async fn end_others<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Result<Redirect, Error> {
    if visitor.user().is_none() {
        return Ok(Redirect::to("/login"));
    }
    let ended = shop.store.revoke_others(&visitor).await?;
    visitor.tell(match ended {
        1 => "One other device is logged out".to_owned(),
        ended => format!("{ended} other devices are logged out"),
    });
    Ok(Redirect::to("/account"))
}
