//! Visitors who come from another site: their requests have no cookies, or only `Lax` ones.

use super::*;

/// A browser whose login came from another site, and is bound. The driver lives as long as it.
async fn bound_by_another_site() -> (Site, Driver, Browser) {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&site.pin, 1).await;
    browser.goto(&site.provider_url("/")).await;
    browser.click("#authorize").await;
    browser.until_cookie(BOUND, None).await;
    (site, driver, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_comes_from_another_site_is_bound() {
    let (site, _driver, browser) = bound_by_another_site().await;
    assert_eq!(site.log.of("GET /callback"), ["GET /callback cross-site -> 303 offer"]);
    let without_cookie = format!("{REGISTER} same-origin -> 200 proven");
    assert_eq!(site.log.of(REGISTER), [without_cookie]);

    site.clock.advance(AFTER_GRACE);
    browser.goto(&site.shop_url("/")).await;
    assert_eq!(browser.text_of("#bound").await.as_deref(), Some("true"));
    browser.forget_proof().await;
    browser.reload().await;
    assert_eq!(browser.user().await, "ada");
    assert_eq!(site.log.of(PROOF).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_another_site_works_after_the_proof_is_out() {
    let (site, _driver, browser) = bound_by_another_site().await;
    browser.goto(&site.shop_url("/")).await;
    browser.forget_proof().await;
    site.clock.advance(AFTER_PROOF);
    browser.goto(&site.provider_url("/")).await;
    site.log.take();

    browser.click("#link").await;
    browser.until("return document.querySelector('#user') != null").await;
    assert_eq!(browser.user().await, "ada");
    let first = "GET / cross-site session -> 200 again".to_owned();
    let proof = format!("{PROOF} same-origin session -> 200 proven");
    let second = "GET / same-origin session bound -> 200".to_owned();
    assert_eq!(site.log.take_pages(), [first, proof, second]);
    browser.back().await;
    let url = browser.run("return location.href", &[]).await;
    assert_eq!(url, json!(site.provider_url("/")), "one step back");

    browser.click("#link").await;
    assert_eq!(browser.user().await, "ada");
    let straight = ["GET / cross-site session bound -> 200"];
    assert_eq!(site.log.take_pages(), straight, "while there is a proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csrf_layer_inside_refuses_what_it_should_and_sees_no_endpoint() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&site.pin, 1).await;
    browser.log_in(&site).await;
    browser.forget_proof().await;
    browser.reload().await;
    assert_eq!((site.log.of(REGISTER).len(), site.log.of(PROOF).len()), (1, 1));
    assert_eq!(site.inside.of("/.sessions"), [""; 0]);

    site.log.take();
    site.inside.take();
    browser.goto(&site.provider_url("/")).await;
    browser.click("#attack").await;
    assert_eq!(site.log.of("POST"), ["POST /login cross-site -> 403"]);
    assert_eq!(site.inside.of("/login"), ["/login"]);
}
