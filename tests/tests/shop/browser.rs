//! The shop of the examples in a real browser.

use std::path::Path;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use sessions_tests::server::Server;
use sessions_tests::shop::Shop;

use driver::{Browser, Driver};

mod account;
mod bound;
mod driver;
mod looks;
mod visits;

/// The option that names a database file in this folder.
fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("shop.db").display())
}

async fn login(browser: &Browser, shop: &Shop, user: &str, password: &str) {
    browser.goto(&shop.url("/login")).await;
    browser.type_into("#user", user).await;
    browser.type_into("#password", password).await;
    browser.click("form[action='/login'] button").await;
    assert_eq!(browser.path().await, "/account");
}

/// Puts a piece into the cart.
async fn add(browser: &Browser, product: &str) {
    browser.click(&format!("button[aria-label='Add {product} to cart']")).await;
}

/// How many pieces the page says are in the cart.
async fn pieces(browser: &Browser) -> u32 {
    let count = browser.text_of(".count").await.unwrap_or("0".to_owned());
    count.split_whitespace().next().unwrap().parse().unwrap()
}

/// A page with a form that is sent to the shop.
async fn attacker(shop: &Shop) -> Server {
    let page = format!(
        "<form method=post action='{}'><input name=id value=cup><button>Win</button></form>",
        shop.url("/cart/add")
    );
    Server::start(Router::new().route("/", get(async || Html(page)))).await
}
