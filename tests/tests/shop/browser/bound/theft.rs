//! Cookies that were copied to another browser, and browsers that prove nothing or too often.

use super::*;

/// Puts every cookie of one browser into another.
async fn copy_cookies(site: &Site, from: &Browser, to: &Browser) {
    let all = from.devtools("Network.getAllCookies", json!({})).await;
    let mut cookies = all["cookies"].as_array().unwrap().clone();
    assert_eq!(cookies.len(), 2, "{all}");
    for cookie in &mut cookies {
        let cookie = cookie.as_object_mut().unwrap();
        // With a domain, it would be a cookie of the subdomains too.
        cookie.remove("domain");
        cookie.insert("url".to_owned(), json!(site.url("/")));
    }
    to.devtools("Network.setCookies", json!({ "cookies": cookies })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stolen_cookies_work_until_their_proof_is_out_and_not_after() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let owner = driver.open_binding(&site.pin, 1).await;
    let thief = driver.open_binding(&site.pin, 2).await;
    owner.log_in(&site).await;
    thief.goto(&site.url("/")).await;
    assert_eq!(thief.user().await, "nobody");
    copy_cookies(&site, &owner, &thief).await;
    thief.reload().await;
    assert_eq!(thief.user().await, "ada");
    assert_eq!(site.events.of("device.unproven"), [""; 0]);

    site.clock.advance(AFTER_PROOF);
    site.log.take();
    thief.reload().await;
    assert_eq!(thief.user().await, "nobody");
    assert_eq!(site.events.of("device.unproven"), ["device.unproven expired"]);
    // The browsers' clocks have not advanced: the cookie ends by hand.
    thief.forget_proof().await;
    thief.reload().await;
    assert_eq!(thief.user().await, "nobody");
    assert_eq!(site.log.of(PROOF), [""; 0], "the thief's browser knows of no binding");
    let ended = ["device.unproven expired", "device.unproven missing"];
    assert_eq!(site.events.of("device.unproven"), ended);

    owner.forget_proof().await;
    owner.reload().await;
    assert_eq!(owner.user().await, "ada");
    let proof = format!("{PROOF} same-origin session -> 200 proven");
    assert_eq!(site.log.of(PROOF), [proof]);
    thief.reload().await;
    assert_eq!(thief.user().await, "nobody", "the owner's proof is not the thief's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_a_device_leads_to_the_page_without_a_session() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let owner = driver.open_binding(&site.pin, 1).await;
    let thief = driver.open_binding(&site.pin, 2).await;
    owner.goto(&site.provider_url("/")).await;
    owner.click("#authorize").await;
    owner.until_cookie(BOUND, None).await;
    let all = owner.devtools("Network.getAllCookies", json!({})).await;
    let cookies = all["cookies"].as_array().unwrap();
    let own = cookies.iter().find(|cookie| cookie["name"] == "__Host-site").unwrap();
    let cookie = json!({
        "name": "__Host-site", "value": own["value"], "url": site.shop_url("/"), "secure": true,
    });
    thief.devtools("Network.setCookie", cookie).await;
    site.clock.advance(AFTER_PROOF);
    thief.goto(&site.provider_url("/")).await;
    site.log.take();
    thief.click("#link").await;
    thief.until("return document.querySelector('#user') != null").await;
    assert_eq!(thief.user().await, "nobody");
    let lines = ["GET / cross-site session -> 200 again", "GET / same-origin session -> 200"];
    assert_eq!(site.log.take_pages(), lines, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browsers_limit_of_proofs_is_not_met_by_default() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_profile(1, &flags(&site.pin, true)).await;
    browser.log_in(&site).await;
    for _ in 0..30 {
        browser.reload().await;
    }
    let lines = site.log.take();
    assert!(!lines.iter().any(|line| line.contains("skipped")), "{lines:#?}");
    let proofs = lines.iter().filter(|line| line.ends_with("proven")).count();
    assert_eq!(proofs, 1, "that of the registration: {lines:#?}");

    // The limit is on: six proofs in nine minutes.
    site.clock.advance(AFTER_GRACE);
    for _ in 0..5 {
        browser.forget_proof().await;
        browser.reload().await;
        assert_eq!(browser.user().await, "ada");
    }
    browser.forget_proof().await;
    site.log.take();
    browser.reload().await;
    assert_eq!(site.log.take(), ["GET / same-origin session skipped=quota_exceeded -> 200"]);
    assert_eq!(browser.user().await, "nobody");
    let unproven = ["device.unproven skipped_quota_exceeded"];
    assert_eq!(site.events.of("device.unproven"), unproven);
}
