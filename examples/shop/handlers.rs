//! What the shop answers.

mod account;
mod devices;
mod ended;
mod later;
mod operators;
mod password;
mod shelf;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use maud::Markup;
use sessions::axum::SessionLayer;
use sessions::{Error, Session, Store, TrustedProxies};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::csrf::CsrfLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::accounts::Passwords;
use crate::https::TlsListener;
use crate::pages::{self, Frame};
use crate::storage::Storage;
use crate::visitor::{Shopper, v2};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shop {
    store: Store,
    storage: Arc<Storage>,
    passwords: Arc<Passwords>,
    proxies: Arc<TrustedProxies>,
    /// Its sender goes when the shop closes.
    closing: watch::Receiver<()>,
}

impl Shop {
    pub(crate) fn new(
        store: Store,
        storage: Storage,
        proxies: TrustedProxies,
        closing: watch::Receiver<()>,
    ) -> Self {
        let (storage, proxies) = (Arc::new(storage), Arc::new(proxies));
        Self { store, storage, passwords: Arc::default(), proxies, closing }
    }
}

/// The address of a client or of a proxy before it, over HTTP and over HTTPS.
#[derive(Clone, Copy)]
pub(crate) struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
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
    // What nobody does for another.
    let own = Router::new()
        .route("/logout-everywhere", post(account::logout_everywhere::<V>))
        .route("/account/end", post(devices::end_one::<V>))
        .route("/account/end-others", post(devices::end_others::<V>))
        .route("/password", get(password::form::<V>).post(password::change::<V>))
        .route_layer(from_fn(support::only_oneself::<V>));
    more.merge(own)
        .route("/", get(shelf::browse::<V>))
        .route("/cart", get(shelf::cart::<V>))
        .route("/cart/add", post(shelf::add::<V>))
        .route("/cart/remove", post(shelf::remove::<V>))
        .route("/login", get(account::login_form::<V>).post(account::login::<V>))
        .route("/logout", post(account::logout::<V>))
        .route("/confirm", get(password::confirm_form::<V>).post(password::confirm::<V>))
        .route("/account", get(devices::list::<V>))
        .route("/ended", get(ended::tell::<V>))
        .route("/operators", get(operators::overview::<V>))
        .route("/operators/refresh", post(operators::refresh::<V>))
        .route("/operators/act-as", post(support::act_as::<V>))
        .route("/operators/back", post(support::back::<V>))
        .fallback(not_found::<V>)
        .layer(from_fn_with_state(shop.clone(), devices::note::<V>))
        // A form of another site can be sent here by whoever is logged in. The cookie is
        // `SameSite=Lax`, so that it does not come along; but a subdomain is the same site, so
        // requests that change something are also refused unless they come from this very origin.
        // It is inside of the session layer, which answers browsers that prove their device.
        .layer(CsrfLayer::new())
        .layer(SessionLayer::new(store).on_error(failed))
        // Every page shows whose it is: the back button must not, once they have logged out.
        .layer(header(CACHE_CONTROL, "private, no-store"))
        // Below it are the files that are the same for everybody.
        .route(STYLE, get(style))
        .route(ICON, get(icon))
        .route(SCRIPT, get(script))
        .layer(header(CONTENT_SECURITY_POLICY, POLICY))
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(REFERRER_POLICY, "same-origin"))
        .with_state(shop)
}

/// The paths of the files that are the same for everybody.
pub(crate) const STATIC: [&str; 3] = [STYLE, ICON, SCRIPT];
const STYLE: &str = "/style.css";
const ICON: &str = "/icon.svg";
const SCRIPT: &str = "/ended.js";

/// The pages need their style, their pictures, their script with its event stream, and forms that come
/// back here; nobody may frame them.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// A session that cannot be had, or not be kept, of which the log says why; or a visitor who has to
/// prove who they are, and comes back then.
fn failed(error: &Error, _: &Parts) -> Response {
    if error.is_not_authenticated() {
        let next = error.return_path().unwrap_or_default();
        return Redirect::to(&format!("/confirm?next={next}")).into_response();
    }
    let status = error.status();
    (status, pages::failed(status)).into_response()
}

/// Where a form leads, if the shop sealed it: nobody else can send a visitor anywhere.
async fn way_back(shop: &Shop, next: &str) -> Result<Option<String>, Error> {
    match shop.store.open_return_path(next).await {
        Ok(path) => Ok(Some(path)),
        Err(Error::InvalidToken) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css"), (CACHE_CONTROL, "no-cache")], include_str!("style.css"))
}

async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-cache")], include_str!("icon.svg"))
}

async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript"), (CACHE_CONTROL, "no-cache")], include_str!("ended.js"))
}

async fn not_found<V: Shopper>(mut visitor: Session<V>) -> (StatusCode, Markup) {
    let frame = Frame::new("Not here", &mut visitor);
    (StatusCode::NOT_FOUND, pages::not_found(&frame))
}
