//! The shop of the examples in real browsers: one list of scenarios, run in Chromium and in Firefox, and
//! what only Chromium has.

use std::path::Path;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;
use sessions_tests::server::Server;
use sessions_tests::shop::Shop;

use driver::{Browser, Driver, Kind};

mod account;
mod bound;
mod driver;
mod looks;
mod visits;

/// Each scenario as a test in each browser.
macro_rules! suite {
    ($($file:ident::$scenario:ident,)*) => {
        suite!(@on chromium, Chromium, $($file::$scenario,)*);
        suite!(@on firefox, Firefox, $($file::$scenario,)*);
    };
    (@on $module:ident, $kind:ident, $($file:ident::$scenario:ident,)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() {
                    super::$file::$scenario(super::Kind::$kind).await;
                }
            )*
        }
    };
}

suite! {
    visits::a_login_survives_a_reload_and_a_restart_of_the_server,
    visits::the_browser_itself_reports_what_cookies_carry,
    visits::two_tabs_that_add_to_the_cart_at_once_lose_nothing,
    visits::the_back_button_shows_nothing_private_after_a_logout,
    visits::logging_out_everywhere_ends_the_session_of_another_browser,
    visits::a_visitor_of_version_1_goes_on_in_version_2_and_in_both_at_once,
    visits::a_flash_message_is_shown_once,
    visits::a_form_of_another_origin_is_refused,
    visits::browsers_end_with_their_driver,
    account::a_change_of_the_password_asks_again_and_leads_back,
    account::a_link_to_the_form_leads_to_no_other_site,
    account::the_login_says_that_a_session_has_ended,
    account::a_page_says_that_its_session_has_ended_without_a_reload,
    account::a_page_that_was_hidden_says_so_when_it_is_shown,
    account::the_list_of_devices_names_browsers_and_networks,
    account::an_operator_sees_the_shop_as_a_customer_and_comes_back,
    looks::every_page_can_be_looked_at,
    visits::a_counter_counts_to_three_without_https,
    bound::a_browser_that_binds_nothing_stays_logged_in,
}

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
