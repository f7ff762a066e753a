//! The account in a real browser: asking again, sessions that have ended, devices, acting as a
//! customer.

use super::looks::look;
use super::*;

async fn send_password(browser: &Browser, password: &str) {
    browser.type_into("#password", password).await;
    browser.click("form.narrow button").await;
}

pub(super) async fn a_change_of_the_password_asks_again_and_leads_back(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store]);
    let mut driver = Driver::start(kind);
    let (here, there) = (driver.open().await, driver.open().await);
    login(&here, &shop, "ada", "lovelace").await;
    login(&there, &shop, "ada", "lovelace").await;
    there.goto(&shop.url("/cart")).await;

    let shop = shop.redeploy(&["--store", &store, "--minutes-ahead", "6"]);
    here.goto(&shop.url("/account")).await;
    here.click("a[href='/password']").await;
    assert_eq!(here.path().await, "/confirm");
    look(&here, "confirm").await;
    send_password(&here, "wrong").await;
    assert_eq!(here.path().await, "/confirm");
    assert_eq!(here.text_of("[role=status]").await.as_deref(), Some("Wrong password"));
    send_password(&here, "lovelace").await;
    assert_eq!(here.path().await, "/password", "where they wanted to go");
    look(&here, "password").await;
    send_password(&here, "analytical").await;
    assert_eq!(here.path().await, "/account");
    assert!(here.text().await.contains("Your password is changed"));
    assert_eq!(here.count(".devices li").await, 1);

    there.goto(&shop.url("/password")).await;
    assert_eq!(there.path().await, "/confirm");
    let notice = there.text_of("[role=status]").await;
    assert_eq!(notice.as_deref(), Some("Your session has ended, please log in again"));
    there.type_into("#user", "ada").await;
    send_password(&there, "analytical").await;
    assert_eq!(there.path().await, "/password");
}

pub(super) async fn a_link_to_the_form_leads_to_no_other_site(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let elsewhere = attacker(&shop).await;
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    login(&browser, &shop, "ada", "lovelace").await;
    browser.goto(&shop.url(&format!("/confirm?next=http://{}/", elsewhere.address))).await;
    send_password(&browser, "lovelace").await;
    let url = browser.run("return location.href", &[]).await;
    assert_eq!(url, json!(shop.url("/account")));
}

pub(super) async fn the_login_says_that_a_session_has_ended(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let (here, there) = (driver.open().await, driver.open().await);
    there.goto(&shop.url("/login")).await;
    assert_eq!(there.text_of("[role=status]").await, None, "somebody new");
    login(&here, &shop, "ada", "lovelace").await;
    login(&there, &shop, "ada", "lovelace").await;
    here.reload().await;
    here.click("form[action='/account/end-others'] button").await;
    there.reload().await;
    assert_eq!(there.path().await, "/login");
    let notice = there.text_of("[role=status]").await;
    assert_eq!(notice.as_deref(), Some("Your session has ended, please log in again"));
    login(&there, &shop, "ada", "lovelace").await;
    there.click("form[action='/logout'] button").await;
    there.goto(&shop.url("/login")).await;
    assert_eq!(there.text_of("[role=status]").await, None, "who logged out knows it");
}

pub(super) async fn a_page_says_that_its_session_has_ended_without_a_reload(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let (here, there) = (driver.open().await, driver.open().await);
    login(&here, &shop, "ada", "lovelace").await;
    login(&there, &shop, "ada", "lovelace").await;
    there.goto(&shop.url("/cart")).await;
    let shown = "return !document.getElementById('ended').hidden";
    assert_eq!(there.run(shown, &[]).await, false);
    there.run("window.same = true", &[]).await;

    here.reload().await;
    here.click("form[action='/account/end'] button").await;
    there.until(shown).await;
    assert_eq!(there.run("return window.same", &[]).await, true, "the page was not reloaded");
    assert_eq!(there.path().await, "/cart");
    let notice = there.text_of("#ended").await;
    assert_eq!(notice.as_deref(), Some("Your session has ended. Log in again"));
    look(&there, "ended").await;
    assert_eq!(there.console().await, [""; 0], "nothing was refused or failed");
    assert_eq!(here.run(shown, &[]).await, false, "the other goes on");

    there.click("#ended a").await;
    assert_eq!(there.path().await, "/login");
}

pub(super) async fn a_page_that_was_hidden_says_so_when_it_is_shown(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let browser = driver.open().await;
    login(&browser, &shop, "ada", "lovelace").await;
    // Headless Chromium hides no window.
    let hide = "
        const [hidden] = arguments;
        const { prototype } = EventSource;
        const { close } = prototype;
        prototype.close = function () {
            window.connection = this;
            close.call(this);
        };
        Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
        document.dispatchEvent(new Event('visibilitychange'));
        prototype.close = close;
        return window.connection?.readyState == EventSource.CLOSED;";
    assert_eq!(browser.run(hide, &[json!(true)]).await, true, "it holds no connection");
    let first = browser.client.window().await.unwrap();
    let second = browser.client.new_window(true).await.unwrap().handle;
    browser.client.switch_to_window(second).await.unwrap();
    browser.goto(&shop.url("/account")).await;
    browser.click("form[action='/logout'] button").await;
    browser.client.switch_to_window(first).await.unwrap();
    let shown = "return !document.getElementById('ended').hidden";
    assert_eq!(browser.run(shown, &[]).await, false);
    browser.run(hide, &[json!(false)]).await;
    browser.until(shown).await;
}

pub(super) async fn the_list_of_devices_names_browsers_and_networks(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let (browser, phone) = (driver.open().await, driver.open().await);
    let agent = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile";
    phone.pretend(agent).await;
    login(&phone, &shop, "ada", "lovelace").await;
    login(&browser, &shop, "ada", "lovelace").await;
    assert_eq!(browser.count(".devices li").await, 2);
    let list = browser.text_of(".devices").await.unwrap();
    for part in [browser.shown(), "Chrome on Android", "from 127.0.0.0/24", "This device"] {
        assert!(list.contains(part), "{part}: {list}");
    }
    // The phone sends the site as a computer does: the same session, now from another browser.
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0";
    phone.pretend(agent).await;
    phone.goto(&shop.url("/")).await;
    add(&phone, "Sencha").await;
    browser.reload().await;
    let list = browser.text_of(".devices").await.unwrap();
    assert!(list.contains("with Chrome on Android"), "{list}");
}

pub(super) async fn an_operator_sees_the_shop_as_a_customer_and_comes_back(kind: Kind) {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut driver = Driver::start(kind);
    let (ada, grace) = (driver.open().await, driver.open().await);
    login(&ada, &shop, "ada", "lovelace").await;
    login(&grace, &shop, "grace", "hopper").await;
    grace.click("a[href='/operators']").await;
    grace.click("form[action='/operators/act-as'] button").await;
    for page in ["/", "/cart", "/account", "/nowhere"] {
        grace.goto(&shop.url(page)).await;
        let banner = grace.text_of(".banner").await.unwrap();
        assert!(banner.contains("You see the shop as ada."), "{page}: {banner}");
    }
    grace.goto(&shop.url("/account")).await;
    look(&grace, "acting").await;
    assert_eq!(grace.count(".devices li").await, 1);
    assert_eq!(grace.count(".devices .tag").await, 0);
    ada.reload().await;
    assert_eq!(ada.count(".devices li").await, 1, "the customer's list does not show it");
    assert_eq!(ada.count(".banner").await, 0);

    grace.click(".banner button").await;
    assert_eq!(grace.path().await, "/operators", "without a login");
    assert_eq!(grace.count(".banner").await, 0);
    grace.goto(&shop.url("/account")).await;
    assert_eq!(grace.count(".devices .tag").await, 1);
}
