//! Asking for the password again, and changing it.

use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use maud::Markup;
use serde::Deserialize;
use sessions::axum::Authenticated;
use sessions::{Error, Proof, Session};

use super::account::login_page;
use super::{Shop, way_back};
use crate::pages::{self, Frame};
use crate::visitor::Shopper;

/// For how long a proof of who somebody is counts, for what matters.
pub(super) const RECENT: Duration = Duration::from_secs(SECONDS);
const SECONDS: u64 = 5 * 60;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// Where the layer sends whoever is rejected: see `failed`.
pub(super) async fn confirm_form<V: Shopper>(
    mut visitor: Session<V>,
    Query(Next { next }): Query<Next>,
) -> Markup {
    let Some(user) = visitor.user().map(str::to_owned) else {
        return login_page(&mut visitor, &next);
    };
    let frame = Frame::new("Is it you?", &mut visitor);
    pages::confirm(&frame, &user, &next)
}

#[derive(Deserialize)]
pub(super) struct Confirmation {
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn confirm<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
    Form(form): Form<Confirmation>,
) -> Result<Redirect, Error> {
    let back = way_back(&shop, &form.next).await?;
    if visitor.user().is_some_and(|user| shop.passwords.check(user, &form.password).is_some()) {
        visitor.authenticated(Proof::new("pwd"));
    } else {
        // The page that they come back to asks again.
        visitor.warn("Wrong password");
    }
    Ok(Redirect::to(back.as_deref().unwrap_or("/account")))
}

pub(super) async fn form<V: Shopper>(
    Authenticated(mut visitor): Authenticated<V, SECONDS>,
) -> Markup {
    let frame = Frame::new("Your password", &mut visitor);
    pages::password(&frame)
}

#[derive(Deserialize)]
pub(super) struct Change {
    password: String,
}

pub(super) async fn change<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
    Form(change): Form<Change>,
) -> Result<Redirect, Error> {
    // The form may have been open for an hour. They come back to it: a form cannot be sent again.
    visitor.require_authentication(RECENT, Some("/password")).await?;
    if change.password.chars().count() < 8 {
        visitor.warn("A password has at least eight characters");
        return Ok(Redirect::to("/password"));
    }
    if let Some(user) = visitor.user() {
        shop.passwords.change(user, change.password);
    }
    // In this order: now nobody can log in with the old one, and who did so before is logged out.
    visitor.renew();
    visitor.save().await?;
    shop.store.revoke_others(&visitor).await?;
    visitor.tell("Your password is changed, and every other device is logged out");
    Ok(Redirect::to("/account"))
}
