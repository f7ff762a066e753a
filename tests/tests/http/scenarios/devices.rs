//! Sessions bound to a device: the layer answers browsers itself, and asks for proofs.

use std::time::{Duration, Instant};

use http::StatusCode;
use sessions::{DeviceBinding, Page};
use sessions_tests::browser::Browser;
use sessions_tests::device::{Device, REFRESH, REGISTER, offered};
use sessions_tests::hooked::Calls;

use crate::app::Visitor;
use crate::site::{Framework, Site};

const MINUTE: Duration = Duration::from_secs(60);
const BOUND: &str = "__Host-visitor-bound";
/// What a browser says when a visitor follows a link of another site.
const LINK: [(&str, &str); 2] = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];

async fn site(framework: Framework) -> Site {
    Site::built(framework, |builder| builder.device_binding(DeviceBinding::enforce())).await
}

/// A browser whose session is bound, and whose proof is out.
async fn unproven(site: &Site) -> (Browser, Device) {
    let mut browser = Browser::new(site.address);
    let login = browser.post("/login", "ada").await;
    let mut device = Device::new(7);
    assert!(device.register_over(&mut browser, &login.headers).await.is_proof());
    site.clock.advance(13 * MINUTE);
    (browser, device)
}

pub(crate) async fn a_device_is_registered_and_proven(framework: Framework) {
    let site = site(framework).await;
    let mut browser = Browser::new(site.address);
    let login = browser.post("/login", "ada").await;
    assert_eq!(offered(&login.headers).unwrap().0, REGISTER);
    let _ = site.watch.take();
    let mut device = Device::new(7);
    let answer = device.register_over(&mut browser, &login.headers).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.json["credentials"][0]["name"], BOUND);
    assert_eq!(site.watch.take(), Calls { fetch: 1, save: 1, ..Calls::default() });
    assert!(offered(&browser.get("/show").await.headers).is_none());

    site.clock.advance(13 * MINUTE);
    let before = browser.get("/show").await;
    assert!(before.body.starts_with("- "), "{}", before.body);
    let _ = site.watch.take();
    assert!(device.refresh_over(&mut browser).await.is_proof());
    assert_eq!(site.watch.take(), Calls { fetch: 1, ..Calls::default() });
    assert!(browser.get("/show").await.body.starts_with("ada "));

    // Neither path reaches the app, whatever the method.
    for path in [REGISTER, REFRESH] {
        assert_eq!(browser.get(path).await.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(browser.post(path, "").await.status, StatusCode::BAD_REQUEST);
    }
}

pub(crate) async fn an_unproven_request_changes_nothing_and_keeps_its_cookie(framework: Framework) {
    let site = site(framework).await;
    let (mut browser, mut device) = unproven(&site).await;
    let jar = browser.jar.clone();
    let _ = site.watch.take();
    let answer = browser.get("/visit").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(site.watch.take(), Calls { fetch: 1, ..Calls::default() });
    assert_eq!(browser.get("/show").await.status, StatusCode::OK);
    assert_eq!(browser.jar, jar, "no cookie is set or cleared");
    // Another visitor logs in on it, and the first goes on.
    let mut other = browser.clone();
    assert_eq!(other.post("/login", "bob").await.status, StatusCode::OK);
    assert!(other.get("/show").await.body.starts_with("bob "));
    assert!(device.refresh_over(&mut browser).await.is_proof());
    assert!(browser.get("/show").await.body.starts_with("ada "));
}

pub(crate) async fn a_link_of_another_site_is_followed_again(framework: Framework) {
    let site = site(framework).await;
    let (mut browser, mut device) = unproven(&site).await;
    for path in ["/show", "/visit", "/saved"] {
        let jar = browser.jar.clone();
        let answer = browser.get_saying(path, &LINK).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["refresh"], "0");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.body.contains("<title>"), "{}", answer.body);
        assert_eq!(browser.jar, jar);
    }
    // What comes from the site's own page is answered as it is.
    let own = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")];
    assert!(!browser.get_saying("/show", &own).await.headers.contains_key("refresh"));
    // A page that takes no session needs no proof.
    assert!(!browser.get_saying("/plain", &LINK).await.headers.contains_key("refresh"));
    assert!(device.refresh_over(&mut browser).await.is_proof());
    let answer = browser.get_saying("/show", &LINK).await;
    assert!(answer.body.starts_with("ada 0"), "nothing was saved: {}", answer.body);

    // A link that logs out does, and a visitor without a session is no matter.
    let (mut browser, _) = unproven(&site).await;
    assert!(!browser.get_saying("/bye", &LINK).await.headers.contains_key("refresh"));
    assert!(browser.jar.pairs().all(|(name, _)| name != "__Host-visitor"));
    let mut stranger = Browser::new(site.address);
    assert_eq!(stranger.get_saying("/visit", &LINK).await.body, "1");
}

pub(crate) async fn the_answer_of_an_endpoint_is_completed_when_the_client_leaves(
    framework: Framework,
) {
    let site = site(framework).await;
    let mut browser = Browser::new(site.address);
    let login = browser.post("/login", "ada").await;
    let mut device = Device::new(7);
    let mut leaves = browser.clone();
    site.saves.close();
    let offer = login.headers.clone();
    let registering = tokio::spawn(async move { device.register_over(&mut leaves, &offer).await });
    site.saves.arrived(1).await;
    registering.abort();
    site.saves.open();
    site.store.shutdown().await;
    let deadline = Instant::now() + MINUTE;
    loop {
        let page = site.store.list::<Visitor>("ada", Page::first(9)).await.unwrap();
        if page.items[0].device_bound {
            break;
        }
        assert!(Instant::now() < deadline, "the registration was not finished");
        tokio::task::yield_now().await;
    }
}
