//! The account in the shop: asking again, sessions that have ended, devices, acting as a customer.

use axum::http::StatusCode;
use sessions_tests::browser::{Answer, Browser};
use sessions_tests::shop::Shop;

use crate::shop::{login, sqlite};

/// Where an answer sends the browser.
fn to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    answer.headers["location"].to_str().unwrap()
}

/// The sealed path in an answer that asks who is there.
fn next(answer: &Answer) -> String {
    to(answer).strip_prefix("/confirm?next=").unwrap().to_owned()
}

/// A shop on this database, whose clock is ahead.
fn later<'a>(store: &'a str, minutes: &'a str) -> [&'a str; 4] {
    ["--store", store, "--minutes-ahead", minutes]
}

#[tokio::test]
async fn what_matters_asks_again_after_five_minutes_and_leads_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let mut ada = Browser::new(shop.address);
    login(&mut ada, "ada", "lovelace").await;
    let shop = shop.redeploy(&later(&store, "3"));
    assert_eq!(ada.get("/password").await.status, StatusCode::OK);

    let _shop = shop.redeploy(&later(&store, "6"));
    assert_eq!(ada.get("/account").await.status, StatusCode::OK, "most pages do not ask");
    let sealed = next(&ada.get("/password").await);
    let form = ada.get(&format!("/confirm?next={sealed}")).await.body;
    assert!(form.contains(&sealed) && form.contains("Is it you?"), "{form}");

    let wrong = ada.post("/confirm", &format!("password=hopper&next={sealed}")).await;
    assert_eq!(to(&wrong), "/password", "which asks again");
    let sealed = next(&ada.get("/password").await);
    let form = ada.get(&format!("/confirm?next={sealed}")).await.body;
    assert!(form.contains("Wrong password"), "{form}");

    let mut copy = ada.clone();
    let right = ada.post("/confirm", &format!("password=lovelace&next={sealed}")).await;
    assert_eq!(to(&right), "/password");
    assert_eq!(ada.get("/password").await.status, StatusCode::OK);
    assert_ne!(ada.jar, copy.jar);
    assert_eq!(to(&copy.get("/account").await), "/login", "the cookie of before is dead");
}

#[tokio::test]
async fn whoever_is_not_logged_in_comes_back_after_the_login() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut ada = Browser::new(shop.address);
    let sealed = next(&ada.get("/password").await);
    let form = ada.get(&format!("/confirm?next={sealed}")).await.body;
    assert!(form.contains("Log in") && form.contains(&sealed), "{form}");
    let wrong = ada.post("/login", &format!("user=ada&password=no&next={sealed}")).await;
    assert_eq!(to(&wrong), "/password");
    let right = ada.post("/login", &format!("user=ada&password=lovelace&next={sealed}")).await;
    assert_eq!(to(&right), "/password");
    assert_eq!(ada.get("/password").await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_form_leads_to_another_site() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut ada = Browser::new(shop.address);
    let sealed = next(&ada.get("/password").await);
    for next in ["https://example.org/", "//example.org", "/password", "", &format!("{sealed}A")] {
        let form = format!("user=ada&password=lovelace&next={next}");
        for path in ["/login", "/confirm"] {
            assert_eq!(to(&ada.post(path, &form).await), "/account", "{path} {next}");
        }
    }
}

#[tokio::test]
async fn a_changed_password_logs_out_every_other_device() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let (mut here, mut there) = (Browser::new(shop.address), Browser::new(shop.address));
    for browser in [&mut here, &mut there] {
        login(browser, "ada", "lovelace").await;
    }
    let _shop = shop.redeploy(&later(&store, "6"));
    // The form was open for too long.
    let sealed = next(&here.post("/password", "password=analytical").await);
    here.post("/confirm", &format!("password=lovelace&next={sealed}")).await;
    assert_eq!(to(&here.post("/password", "password=short").await), "/password");
    assert_eq!(to(&here.post("/password", "password=analytical").await), "/account");
    let page = here.get("/account").await.body;
    assert!(page.contains("Your password is changed"), "{page}");

    assert_eq!(to(&there.get("/account").await), "/login");
    assert_eq!(to(&login(&mut there, "ada", "lovelace").await), "/login");
    assert_eq!(to(&login(&mut there, "ada", "analytical").await), "/account");
}

#[tokio::test]
async fn the_login_says_that_a_session_has_ended_and_nothing_to_somebody_new() {
    const ENDED: &str = "Your session has ended, please log in again";
    let shop = Shop::open(&["--store", "memory:"]);
    let mut fresh = Browser::new(shop.address);
    assert!(!fresh.get("/login").await.body.contains(ENDED));

    let (mut here, mut there) = (Browser::new(shop.address), Browser::new(shop.address));
    for browser in [&mut here, &mut there] {
        login(browser, "ada", "lovelace").await;
    }
    assert!(!here.get("/login").await.body.contains(ENDED));
    let mut before = here.clone();
    here.post("/account/end-others", "").await;
    // As a browser does it: it asks for a page, and is sent to the login.
    assert_eq!(to(&there.get("/account").await), "/login");
    assert!(there.get("/login").await.body.contains(ENDED));
    login(&mut there, "ada", "lovelace").await;
    assert!(!there.get("/login").await.body.contains(ENDED));

    // A cookie that another one took the place of.
    here.post("/confirm", "password=lovelace").await;
    assert!(before.get("/login").await.body.contains(ENDED));

    // Who logged out knows it.
    here.post("/logout", "").await;
    assert!(!here.get("/login").await.body.contains(ENDED));
}

const FIREFOX: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0");
const IPHONE: (&str, &str) = ("user-agent", "Mozilla/5.0 (iPhone) Safari/604.1");

#[tokio::test]
async fn the_account_shows_the_first_and_the_last_device_of_each_session() {
    let shop = Shop::open(&["--store", "memory:", "--proxies", "10.0.0.0/8,127.0.0.1"]);
    let mut ada = Browser::new(shop.address);
    let form = "user=ada&password=lovelace";
    // What the client itself said stands before what the proxies added.
    let home = ("x-forwarded-for", "8.8.8.8, 203.0.113.7, 10.0.0.2");
    ada.post_with("/login", form, &[FIREFOX, home]).await;
    let page = ada.get_saying("/account", &[FIREFOX, home]).await.body;
    assert!(page.contains("<strong>Firefox on Linux</strong>"), "{page}");
    assert!(page.contains("Logged in just now from 203.0.113.0/24<"), "{page}");
    assert!(page.contains("Gave the password just now"), "{page}");

    let away = ("x-forwarded-for", "198.51.100.9");
    ada.post_with("/cart/add", "id=cup", &[IPHONE, away]).await;
    let page = ada.get_saying("/account", &[IPHONE, away]).await.body;
    assert!(page.contains("<strong>Safari on iPhone</strong>"), "{page}");
    let first = "Logged in just now from 203.0.113.0/24, with Firefox on Linux";
    assert!(page.contains(first), "{page}");
    assert!(page.contains("Last seen just now from 198.51.100.0/24"), "{page}");
    assert!(!page.contains("203.0.113.7"), "no more than the network");
}

#[tokio::test]
async fn no_proxy_is_believed_by_default() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut ada = Browser::new(shop.address);
    let lie = ("x-forwarded-for", "203.0.113.7");
    ada.post_with("/login", "user=ada&password=lovelace", &[FIREFOX, lie]).await;
    let page = ada.get("/account").await.body;
    assert!(page.contains("from 127.0.0.0/24") && !page.contains("203.0.113"), "{page}");
}

#[tokio::test]
async fn an_operator_sees_the_shop_as_a_customer_and_changes_nothing_of_theirs() {
    const BANNER: &str = "You see the shop as <strong>ada</strong>";
    let shop = Shop::open(&["--store", "memory:"]);
    let (mut ada, mut grace) = (Browser::new(shop.address), Browser::new(shop.address));
    login(&mut ada, "ada", "lovelace").await;
    login(&mut grace, "grace", "hopper").await;
    let mut elsewhere = Browser::new(shop.address);
    login(&mut elsewhere, "grace", "hopper").await;

    let before = grace.jar.clone();
    assert_eq!(to(&grace.post("/operators/act-as", "user=ada").await), "/");
    assert_ne!(grace.jar, before, "the session is renewed");
    for page in ["/", "/cart", "/account", "/login", "/nowhere"] {
        assert!(grace.get(page).await.body.contains(BANNER), "{page}");
    }
    let page = grace.get("/account").await.body;
    assert_eq!(page.matches("Logged in ").count(), 1, "ada's one session: {page}");
    assert!(!page.contains("This device") && !page.contains("/account/end"), "{page}");
    assert_eq!(grace.get("/operators").await.status, StatusCode::NOT_FOUND);

    for path in ["/account/end-others", "/logout-everywhere", "/password"] {
        assert_eq!(to(&grace.post(path, "password=analytical").await), "/account", "{path}");
        assert!(grace.get("/account").await.body.contains("Only ada can do that"), "{path}");
    }
    let page = ada.get("/account").await.body;
    assert_eq!(page.matches("Logged in").count(), 1, "ada does not see it: {page}");
    assert!(!page.contains(BANNER), "{page}");
    assert_eq!(elsewhere.get("/account").await.body.matches("Acts as ada").count(), 1);

    let before = grace.jar.clone();
    assert_eq!(to(&grace.post("/operators/back", "").await), "/operators");
    assert_ne!(grace.jar, before);
    let page = grace.get("/operators").await;
    assert!(page.status == StatusCode::OK && !page.body.contains(BANNER), "{}", page.body);
    assert!(!elsewhere.get("/account").await.body.contains("Acts as"));
}

#[tokio::test]
async fn only_operators_who_proved_it_lately_act_as_customers() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let (mut ada, mut grace) = (Browser::new(shop.address), Browser::new(shop.address));
    login(&mut ada, "ada", "lovelace").await;
    login(&mut grace, "grace", "hopper").await;
    for (browser, whom) in [(&mut ada, "grace"), (&mut grace, "nobody")] {
        let answer = browser.post("/operators/act-as", &format!("user={whom}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let mut fresh = Browser::new(shop.address);
    assert_eq!(to(&fresh.post("/operators/back", "").await), "/operators");

    let _shop = shop.redeploy(&later(&store, "6"));
    let sealed = next(&grace.post("/operators/act-as", "user=ada").await);
    let back = grace.post("/confirm", &format!("password=hopper&next={sealed}")).await;
    assert_eq!(to(&back), "/operators");
    assert_eq!(to(&grace.post("/operators/act-as", "user=ada").await), "/");
}
