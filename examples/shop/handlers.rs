//! What the shop answers.

mod account;
mod later;
mod operators;
mod shelf;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;
use sessions::axum::SessionLayer;
use sessions::{Error, Session, Store};
use tower_http::csrf::CsrfLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::pages::{self, Frame};
use crate::storage::Storage;
use crate::visitor::{Shopper, v2};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shop {
    store: Store,
    storage: Arc<Storage>,
}

impl Shop {
    pub(crate) fn new(store: Store, storage: Storage) -> Self {
        Self { store, storage: Arc::new(storage) }
    }
}

/// The shop of version 2: with things put aside for later.
pub(crate) fn router_of_2(shop: Shop) -> Router {
    let later = Router::new()
        .route("/cart/put-aside", post(later::put_aside))
        .route("/cart/take-back", post(later::take_back));
    finish::<v2::Visitor>(later, shop)
}

/// The shop, for visitors of either version.
pub(crate) fn router<V: Shopper>(shop: Shop) -> Router {
    finish::<V>(Router::new(), shop)
}

fn finish<V: Shopper>(more: Router<Shop>, shop: Shop) -> Router {
    let store = shop.store.clone();
    more.route("/", get(shelf::browse::<V>))
        .route("/cart", get(shelf::cart::<V>))
        .route("/cart/add", post(shelf::add::<V>))
        .route("/cart/remove", post(shelf::remove::<V>))
        .route("/login", get(account::login_form::<V>).post(account::login::<V>))
        .route("/logout", post(account::logout::<V>))
        .route("/logout-everywhere", post(account::logout_everywhere::<V>))
        .route("/account", get(account::devices::<V>))
        .route("/account/end", post(account::end_one::<V>))
        .route("/account/end-others", post(account::end_others::<V>))
        .route("/operators", get(operators::overview::<V>))
        .route("/operators/refresh", post(operators::refresh::<V>))
        .fallback(not_found::<V>)
        .layer(SessionLayer::new(store).on_error(failed))
        // Every page shows whose it is: the back button must not, once they have logged out.
        .layer(header(CACHE_CONTROL, "private, no-store"))
        // Below it are the files that are the same for everybody.
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        // A form of another site can be sent here by whoever is logged in. The cookie is
        // `SameSite=Lax`, so that it does not come along; but a subdomain is the same site, so
        // requests that change something are also refused unless they come from this very origin.
        .layer(CsrfLayer::new())
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "same-origin"))
        .with_state(shop)
}

/// The pages need their style, their pictures, and forms that come back here; nobody may frame them.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// A session that cannot be had, or not be kept. The log says why.
fn failed(error: &Error, _: &Parts) -> Response {
    let status = if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else if error.is_conflict() || matches!(error, Error::Gone | Error::LoginUndone) {
        StatusCode::CONFLICT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    (status, pages::failed(status)).into_response()
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css"), (CACHE_CONTROL, "no-cache")], include_str!("style.css"))
}

async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-cache")], include_str!("icon.svg"))
}

async fn not_found<V: Shopper>(mut visitor: Session<V>) -> (StatusCode, Markup) {
    let frame = Frame::new("Not here", &mut visitor);
    (StatusCode::NOT_FOUND, pages::not_found(&frame))
}
