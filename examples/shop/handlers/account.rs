//! Logging in and out.

use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use maud::Markup;
use serde::Deserialize;
use sessions::axum::OrNew;
use sessions::{Arrival, Error, Session};

use super::{Shop, way_back};
use crate::pages::{self, Frame};
use crate::visitor::Shopper;

// Whoever has a session that this build cannot read, as after a rollback, can log in and out.
pub(super) async fn login_form<V: Shopper>(OrNew(mut visitor): OrNew<V>) -> Markup {
    login_page(&mut visitor, "")
}

/// The form to log in, and where it leads, sealed.
pub(super) fn login_page<V: Shopper>(visitor: &mut Session<V>, next: &str) -> Markup {
    let mut frame = Frame::new("Log in", visitor);
    // Not said to somebody new.
    if matches!(visitor.arrival(), Arrival::Ended | Arrival::Superseded) {
        frame.warn("Your session has ended, please log in again");
    }
    pages::login(&frame, next)
}

#[derive(Deserialize)]
pub(super) struct Login {
    user: String,
    password: String,
    remember: Option<String>,
    #[serde(default)]
    next: String,
}

pub(super) async fn login<V: Shopper>(
    State(shop): State<Shop>,
    OrNew(mut visitor): OrNew<V>,
    Form(form): Form<Login>,
) -> Result<Redirect, Error> {
    let back = way_back(&shop, &form.next).await?;
    // Before the password is checked: "log out everywhere" undoes what began before it.
    let attempt = shop.store.begin_login::<V>(&form.user).await?;
    let Some(account) = shop.passwords.check(&form.user, &form.password) else {
        visitor.warn("Wrong name or password");
        return Ok(Redirect::to(back.as_deref().unwrap_or("/login")));
    };
    if visitor.user().is_some_and(|user| user != account.name) {
        // Nobody finds another's cart.
        *visitor = V::fresh();
    }
    visitor.set_account(account);
    visitor.log_in(attempt);
    visitor.tell(format!("Welcome, {}", account.name));
    if form.remember.is_some() {
        visitor.remember(Duration::from_secs(90 * 24 * 60 * 60));
    }
    Ok(Redirect::to(back.as_deref().unwrap_or("/account")))
}

pub(super) async fn logout<V: Shopper>(OrNew(mut visitor): OrNew<V>) -> Redirect {
    visitor.destroy();
    Redirect::to("/")
}

pub(super) async fn logout_everywhere<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Result<Redirect, Error> {
    if let Some(user) = visitor.user().map(str::to_owned) {
        shop.store.revoke_all::<V>(&user).await?;
    }
    visitor.destroy();
    Ok(Redirect::to("/"))
}
