//! What the shop answers.

use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::map_response;
use axum::response::{Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::Markup;
use serde::Deserialize;
use sessions::axum::SessionLayer;
use sessions::provider::Page;
use sessions::{Error, Session, Store, StoreKey};

use crate::catalogue::{may_log_in, product};
use crate::pages;
use crate::visitor::{Notice, Visitor};

/// The shop.
pub(crate) fn router(store: Store) -> Router {
    Router::new()
        .route("/", get(browse))
        .route("/cart", get(cart))
        .route("/cart/add", post(add))
        .route("/cart/remove", post(remove))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .route("/account", get(account))
        .route("/account/end", post(end_session))
        .route("/account/end-others", post(end_others))
        .layer(map_response(private))
        .layer(SessionLayer::new(store.clone()))
        .with_state(store)
}

/// Every page shows whose it is: the back button must not, once they have logged out.
async fn private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

async fn browse(mut visitor: Session<Visitor>) -> Markup {
    let notices = take_notices(&mut visitor);
    pages::browse(&visitor, &notices)
}

async fn cart(mut visitor: Session<Visitor>) -> Markup {
    let notices = take_notices(&mut visitor);
    pages::cart(&visitor, &notices)
}

#[derive(Deserialize)]
struct Item {
    id: String,
}

async fn add(mut visitor: Session<Visitor>, Form(item): Form<Item>) -> Redirect {
    match product(&item.id) {
        Some(product) => {
            visitor.cart.push(product.id.to_owned());
            visitor.tell(format!("{} is in your cart", product.name));
        }
        None => visitor.warn("We have no such thing"),
    }
    Redirect::to("/")
}

async fn remove(mut visitor: Session<Visitor>, Form(item): Form<Item>) -> Redirect {
    let data = &mut *visitor;
    if let Some(at) = data.cart.iter().position(|id| *id == item.id) {
        data.cart.remove(at);
    }
    Redirect::to("/cart")
}

async fn login_form(mut visitor: Session<Visitor>) -> Markup {
    let notices = take_notices(&mut visitor);
    pages::login(&visitor, &notices)
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
    remember: Option<String>,
}

async fn login(
    mut visitor: Session<Visitor>,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Redirect {
    if !may_log_in(&form.user, &form.password) {
        visitor.warn("Wrong name or password");
        return Redirect::to("/login");
    }
    visitor.tell(format!("Welcome, {}", form.user));
    // That is all: the session gets a new id, and the cart comes along.
    visitor.user = Some(form.user);
    visitor.set_label(device(&headers));
    if form.remember.is_some() {
        visitor.remember(Duration::from_secs(90 * 24 * 60 * 60));
    }
    Redirect::to("/account")
}

async fn logout(mut visitor: Session<Visitor>) -> Redirect {
    visitor.destroy();
    Redirect::to("/")
}

async fn account(
    State(store): State<Store>,
    mut visitor: Session<Visitor>,
) -> Result<Result<Markup, Redirect>, Error> {
    let Some(user) = visitor.user.clone() else {
        return Ok(Err(Redirect::to("/login")));
    };
    let notices = take_notices(&mut visitor);
    let devices = store.list::<Visitor>(&user, Page::first(50)).await?.sessions;
    Ok(Ok(pages::account(&visitor, &notices, &devices)))
}

#[derive(Deserialize)]
struct Device {
    key: String,
}

async fn end_session(
    State(store): State<Store>,
    mut visitor: Session<Visitor>,
    Form(device): Form<Device>,
) -> Result<Redirect, Error> {
    let Some(user) = visitor.user.clone() else { return Ok(Redirect::to("/login")) };
    // Only one's own: a key that is not in the list is nobody's business.
    let own = store.list::<Visitor>(&user, Page::first(50)).await?.sessions;
    let key = device.key.parse::<StoreKey>().ok();
    match own.iter().find(|session| Some(&session.key) == key.as_ref()) {
        Some(session) => {
            store.revoke(&session.key).await?;
            visitor.tell("That device is logged out");
        }
        None => visitor.warn("That device was logged out already"),
    }
    Ok(Redirect::to("/account"))
}

async fn end_others(
    State(store): State<Store>,
    mut visitor: Session<Visitor>,
) -> Result<Redirect, Error> {
    let Some(user) = visitor.user.clone() else { return Ok(Redirect::to("/login")) };
    let ended = store.revoke_all::<Visitor>(&user, visitor.key()).await?;
    visitor.tell(match ended {
        1 => "One other device is logged out".to_owned(),
        ended => format!("{ended} other devices are logged out"),
    });
    Ok(Redirect::to("/account"))
}

fn take_notices(visitor: &mut Session<Visitor>) -> Vec<Notice> {
    visitor.notices.take()
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
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ],
        "an unknown system",
    );
    format!("{browser} on {system}")
}
