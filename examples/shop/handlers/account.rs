//! Logging in and out, here and elsewhere.

use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::Redirect;
use maud::Markup;
use serde::Deserialize;
use sessions::axum::OrNew;
use sessions::provider::Page;
use sessions::{Error, Session, StoreKey};

use super::Shop;
use crate::catalogue::check;
use crate::pages::{self, Frame};
use crate::visitor::Shopper;

// Whoever has a session that this build cannot read, as after a rollback, can log in and out.
pub(super) async fn login_form<V: Shopper>(OrNew(mut visitor): OrNew<V>) -> Markup {
    let frame = Frame::new("Log in", &mut visitor);
    pages::login(&frame)
}

#[derive(Deserialize)]
pub(super) struct Login {
    user: String,
    password: String,
    remember: Option<String>,
}

pub(super) async fn login<V: Shopper>(
    State(shop): State<Shop>,
    OrNew(mut visitor): OrNew<V>,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Result<Redirect, Error> {
    // Before the password is checked: "log out everywhere" undoes what began before it.
    let attempt = shop.store.begin_login::<V>(&form.user).await?;
    let Some(account) = check(&form.user, &form.password) else {
        visitor.warn("Wrong name or password");
        return Ok(Redirect::to("/login"));
    };
    if visitor.user().is_some_and(|user| user != account.name) {
        // Nobody finds another's cart.
        *visitor = V::fresh();
    }
    visitor.set_account(account);
    visitor.log_in(attempt);
    visitor.tell(format!("Welcome, {}", account.name));
    visitor.set_label(device(&headers));
    if form.remember.is_some() {
        visitor.remember(Duration::from_secs(90 * 24 * 60 * 60));
    }
    Ok(Redirect::to("/account"))
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

/// Where one is logged in.
pub(super) async fn devices<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
) -> Result<Result<Markup, Redirect>, Error> {
    let Some(user) = visitor.user().map(str::to_owned) else {
        return Ok(Err(Redirect::to("/login")));
    };
    let devices = shop.store.list::<V>(&user, Page::first(50)).await?.items;
    let frame = Frame::new("Your account", &mut visitor);
    Ok(Ok(pages::devices(&frame, visitor.key(), &devices)))
}

#[derive(Deserialize)]
pub(super) struct Device {
    key: String,
}

pub(super) async fn end_one<V: Shopper>(
    State(shop): State<Shop>,
    mut visitor: Session<V>,
    Form(device): Form<Device>,
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

/// A name for the browser, as far as it tells.
fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let first = |names: &[(&str, &'static str)], other: &'static str| {
        names.iter().find(|(part, _)| agent.contains(part)).map_or(other, |(_, name)| name)
    };
    let browser = first(
        &[
            ("Firefox", "Firefox"),
            ("Edg", "Edge"),
            ("OPR", "Opera"),
            ("Chrome", "Chrome"),
            ("Safari", "Safari"),
            ("curl", "curl"),
        ],
        "A browser",
    );
    let system = first(
        &[
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ],
        "an unknown system",
    );
    format!("{browser} on {system}")
}
