//! One browser at one site, from the login to the logout.

use serde_json::Value;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_bound_and_all_requests_wait_for_one_proof() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&site.pin, 1).await;
    browser.log_in(&site).await;
    assert_eq!(site.log.of("POST /login"), ["POST /login same-origin -> 303 offer"]);
    let registered = format!("{REGISTER} same-origin session -> 200 proven");
    assert_eq!(site.log.of(REGISTER), [registered]);
    assert_eq!(browser.text_of("#bound").await.as_deref(), Some("true"));

    site.clock.advance(AFTER_GRACE);
    site.log.take();
    let proof = format!("{PROOF} same-origin session -> 200 proven");
    browser.forget_proof().await;
    browser.reload().await;
    assert_eq!(browser.user().await, "ada");
    assert_eq!(site.log.take(), [&*proof, "GET / same-origin session bound -> 200"]);

    browser.forget_proof().await;
    assert_eq!(browser.fetch(&["/part"; 8]).await, Value::from(vec!["ada"; 8]));
    let mut lines = site.log.take();
    assert_eq!(lines.remove(0), proof);
    assert_eq!(lines, ["GET /part same-origin session bound -> 200"; 8]);

    // What is excluded does not wait.
    browser.forget_proof().await;
    browser.fetch(&["/static/part"]).await;
    assert_eq!(site.log.take(), ["GET /static/part same-origin session -> 200"]);
    browser.fetch(&["/statics"]).await;
    assert_eq!(site.log.take(), [&*proof, "GET /statics same-origin session bound -> 200"]);

    let unproven = ["device.unproven missing"];
    assert_eq!(site.events.of("device.unproven"), unproven, "only the excluded one");
    assert_eq!(site.events.of("device.refused"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_it_in_the_browser_too() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&site.pin, 1).await;
    browser.log_in(&site).await;
    browser.click("#logout").await;
    assert_eq!(browser.user().await, "nobody");
    site.log.take();
    let end = format!("{PROOF} same-origin -> 200 end");
    for expected in [&[end][..], &[], &[]] {
        browser.forget_proof().await;
        browser.reload().await;
        assert_eq!(browser.user().await, "nobody");
        assert_eq!(site.log.of(PROOF), *expected);
        site.log.take();
    }

    // Several logins before the browser asks about the first: each has an identifier of its own.
    for _ in 0..3 {
        browser.log_in(&site).await;
        browser.click("#logout").await;
    }
    browser.log_in(&site).await;
    site.clock.advance(AFTER_GRACE);
    for _ in 0..2 {
        browser.forget_proof().await;
        site.log.take();
        browser.reload().await;
        assert_eq!(browser.user().await, "ada");
        let mut proofs = site.log.of(PROOF);
        assert!(proofs.pop().unwrap().ends_with("proven"));
        assert!(proofs.len() <= 3 && proofs.iter().all(|it| it.ends_with("end")), "{proofs:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_browser_keeps_it() {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&site.pin, 1).await;
    browser.log_in(&site).await;
    browser.close().await;

    let browser = driver.open_binding(&site.pin, 1).await;
    browser.goto(&site.url("/")).await;
    browser.forget_proof().await;
    site.clock.advance(AFTER_GRACE);
    site.log.take();
    browser.reload().await;
    assert_eq!(browser.user().await, "ada");
    // Chromium does not keep its challenge, so it asks for another first.
    let answers = [" -> 403", " -> 200 proven"];
    assert_eq!(site.log.of(PROOF), answers.map(|it| format!("{PROOF} same-origin session{it}")));
    assert_eq!(site.events.of("device.registered").len(), 1);
}
