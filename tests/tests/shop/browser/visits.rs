//! Visits of the shop: what the browser keeps, sends and shows.

use std::net::SocketAddr;

use sessions::{MemoryProvider, Store};

use super::*;
use crate::quickstart;

pub(super) async fn a_login_survives_a_reload_and_a_restart_of_the_server(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    browser.goto(&shop.url("/")).await;
    add(&browser, "Sencha").await;
    login(&browser, &shop, "ada", "lovelace").await;

    browser.reload().await;
    assert_eq!(browser.path().await, "/account");
    assert!(browser.text().await.contains(browser.shown()), "{}", browser.text().await);

    let shop = shop.restart();
    browser.reload().await;
    assert_eq!(browser.path().await, "/account");
    assert_eq!(browser.text_of(".tag").await.as_deref(), Some("This device"));
    browser.goto(&shop.url("/cart")).await;
    assert!(browser.text().await.contains("Sencha"), "the cart of before the login");
}

pub(super) async fn the_browser_itself_reports_what_cookies_carry(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    browser.goto(&shop.url("/")).await;
    assert!(browser.cookies().await.is_empty(), "looking around sets none");
    login(&browser, &shop, "ada", "lovelace").await;

    let cookies = browser.cookies().await;
    let [cookie] = &cookies[..] else { panic!("one cookie: {cookies:?}") };
    assert_eq!(cookie.name(), "__Host-shop");
    assert_eq!(cookie.secure(), Some(true));
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.same_site(), Some(cookie::SameSite::Lax));
    assert_eq!(cookie.path(), Some("/"));

    // The browser's own list: a cookie with a `Domain` would have a dot before it.
    let all = browser.stored_cookies().await;
    let [cookie] = &all.as_array().unwrap()[..] else { panic!("one cookie: {all}") };
    for (part, value) in [
        ("name", json!("__Host-shop")),
        ("domain", json!("localhost")),
        ("path", json!("/")),
        ("secure", json!(true)),
        ("httpOnly", json!(true)),
        ("sameSite", json!("Lax")),
        ("session", json!(false)),
    ] {
        assert_eq!(cookie[part], value, "{part}");
    }
    assert_eq!(browser.run("return document.cookie", &[]).await, "", "no script reads it");
}

pub(super) async fn two_tabs_that_add_to_the_cart_at_once_lose_nothing(kind: Kind) {
    const BURST: u32 = 15;
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap().handle;
    let tabs = [(first, "sencha"), (second, "assam")];

    for (at, (tab, _)) in (0..).zip(&tabs) {
        browser.client.switch_to_window(tab.clone()).await.unwrap();
        browser.goto(&shop.url("/")).await;
        assert_eq!(pieces(&browser).await, at);
        if at == 0 {
            // A session for both, or each would begin one.
            add(&browser, "Sencha").await;
        }
    }
    // Each adds to a page that the other has made old.
    browser.client.switch_to_window(tabs[0].0.clone()).await.unwrap();
    add(&browser, "Assam").await;
    browser.client.switch_to_window(tabs[1].0.clone()).await.unwrap();
    add(&browser, "Rooibos").await;
    assert_eq!(pieces(&browser).await, 3, "this tab had seen one");

    // Then both at once, as fast as the browser can.
    for (tab, id) in &tabs {
        browser.client.switch_to_window(tab.clone()).await.unwrap();
        let script = "
            window.refused = null;
            const [id, count] = arguments;
            const add = () => fetch('/cart/add', {
                method: 'POST', body: new URLSearchParams({ id }), redirect: 'manual',
            });
            Promise.all(Array.from({ length: count }, add)).then(answers => {
                window.refused = answers.filter(it => it.type != 'opaqueredirect').length;
            });";
        browser.run(script, &[json!(id), json!(BURST)]).await;
    }
    for (tab, _) in &tabs {
        browser.client.switch_to_window(tab.clone()).await.unwrap();
        browser.until("return window.refused !== null").await;
        assert_eq!(browser.run("return window.refused", &[]).await, 0);
    }
    browser.goto(&shop.url("/cart")).await;
    assert_eq!(pieces(&browser).await, 3 + 2 * BURST);
}

pub(super) async fn the_back_button_shows_nothing_private_after_a_logout(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    browser.goto(&shop.url("/")).await;
    add(&browser, "Sencha").await;
    login(&browser, &shop, "ada", "lovelace").await;
    browser.goto(&shop.url("/cart")).await;
    assert!(browser.text().await.contains("Sencha"));
    browser.goto(&shop.url("/account")).await;
    browser.click("form[action='/logout'] button").await;
    assert_eq!(browser.path().await, "/");

    browser.back().await;
    browser.until("return document.readyState == 'complete'").await;
    assert_eq!(browser.path().await, "/login", "the account is asked for again");
    assert!(!browser.text().await.contains("logged in"), "{}", browser.text().await);
    browser.back().await;
    browser.until("return document.readyState == 'complete'").await;
    assert_eq!(browser.path().await, "/cart");
    assert!(!browser.text().await.contains("Sencha"), "{}", browser.text().await);
}

pub(super) async fn logging_out_everywhere_ends_the_session_of_another_browser(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let (here, there) = (driver.open().await, driver.open().await);
    login(&here, &shop, "ada", "lovelace").await;
    login(&there, &shop, "ada", "lovelace").await;
    here.reload().await;
    assert_eq!(here.count(".devices li").await, 2);
    assert_eq!(here.count(".devices .tag").await, 1, "one of them is this one");

    here.click("form[action='/account/end-others'] button").await;
    assert!(here.text().await.contains("One other device is logged out"));
    there.reload().await;
    assert_eq!(there.path().await, "/login");
    here.reload().await;
    assert_eq!(here.path().await, "/account");

    // One by one.
    login(&there, &shop, "ada", "lovelace").await;
    here.reload().await;
    here.click("form[action='/account/end'] button").await;
    assert!(here.text().await.contains("That device is logged out"));
    there.reload().await;
    assert_eq!(there.path().await, "/login");

    // And this one with the others.
    login(&there, &shop, "ada", "lovelace").await;
    here.click("form[action='/logout-everywhere'] button").await;
    assert!(here.cookies().await.is_empty());
    for browser in [&here, &there] {
        browser.goto(&shop.url("/account")).await;
        assert_eq!(browser.path().await, "/login");
    }
}

pub(super) async fn a_visitor_of_version_1_goes_on_in_version_2_and_in_both_at_once(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store, "--schema", "1"]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    login(&browser, &shop, "ada", "lovelace").await;
    browser.goto(&shop.url("/")).await;
    add(&browser, "Sencha").await;
    add(&browser, "Iron kettle").await;
    browser.goto(&shop.url("/cart")).await;
    assert!(!browser.text().await.contains("Save for later"));

    let shop = shop.redeploy(&["--store", &store, "--schema", "2"]);
    browser.goto(&shop.url("/")).await;
    assert_eq!(browser.text_of(".recent").await.unwrap().lines().count(), 3);
    browser.goto(&shop.url("/cart")).await;
    browser.click("button[aria-label='Save Sencha for later']").await;
    assert!(browser.text_of(".aside").await.unwrap().contains("Sencha"));
    assert_eq!(pieces(&browser).await, 1);

    // The old build still runs beside it, and shares the cookie: it is for the host, not the port.
    let old = Shop::open(&["--store", &store, "--schema", "1"]);
    browser.goto(&old.url("/")).await;
    add(&browser, "Assam").await;
    assert_eq!(pieces(&browser).await, 2);
    browser.goto(&shop.url("/cart")).await;
    assert_eq!(pieces(&browser).await, 2);
    assert!(browser.text_of(".aside").await.unwrap().contains("Sencha"));
    browser.goto(&shop.url("/account")).await;
    assert_eq!(browser.path().await, "/account", "still logged in");
}

pub(super) async fn a_flash_message_is_shown_once(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    browser.goto(&shop.url("/")).await;
    add(&browser, "Bamboo whisk").await;
    let notice = browser.text_of("[role=status]").await;
    assert_eq!(notice.as_deref(), Some("Bamboo whisk is in your cart"));
    browser.reload().await;
    assert_eq!(browser.text_of("[role=status]").await, None);
    browser.goto(&shop.url("/cart")).await;
    assert_eq!(browser.text_of("[role=status]").await, None);
}

pub(super) async fn a_form_of_another_origin_is_refused(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let attacker = attacker(&shop).await;
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    login(&browser, &shop, "ada", "lovelace").await;
    let SocketAddr::V4(address) = attacker.address else { unreachable!() };
    // Another site, whose request comes without the cookie; and one of the same site, which is any
    // port of localhost, and any subdomain elsewhere: its request comes with it.
    for host in ["127.0.0.1", "localhost"] {
        browser.goto(&format!("http://{host}:{}/", address.port())).await;
        browser.click("button").await;
        assert_eq!(browser.path().await, "/cart/add", "{host}: the form was sent");
        browser.goto(&shop.url("/")).await;
        assert_eq!(pieces(&browser).await, 0, "{host}");
    }
    add(&browser, "Stoneware cup").await;
    assert_eq!(pieces(&browser).await, 1);
}

pub(super) async fn browsers_end_with_their_driver(kind: Kind) {
    let mut driver = Driver::start(kind);
    let _browsers = (driver.open().await, driver.open().await);
    let marks = driver.marks();
    let running = |mark: &String| {
        let processes = std::fs::read_dir("/proc").unwrap();
        let folders = processes.map(|it| it.unwrap().path());
        let files = folders.flat_map(|it| [it.join("cmdline"), it.join("environ")]);
        let texts = files.filter_map(|file| std::fs::read(file).ok());
        texts.filter(|text| String::from_utf8_lossy(text).contains(mark)).count()
    };
    for mark in &marks {
        assert!(running(mark) > 0, "{mark}");
    }
    drop(driver);
    for mark in &marks {
        assert_eq!(running(mark), 0, "{mark}");
    }
}

/// What the README says of browsers and plain HTTP.
pub(super) async fn a_counter_counts_to_three_without_https(kind: Kind) {
    let server = Server::start(quickstart::app(Store::new(MemoryProvider::new()))).await;
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    for host in ["localhost", "127.0.0.1"] {
        for number in 1..=3 {
            browser.goto(&format!("http://{host}:{}/", server.address.port())).await;
            assert_eq!(browser.text().await, format!("visit number {number}"), "{host}");
        }
        let cookies = browser.cookies().await;
        let [cookie] = &cookies[..] else { panic!("one cookie: {cookies:?}") };
        assert_eq!((cookie.name(), cookie.secure()), ("__Host-quickstart", Some(true)), "{host}");
    }
}
