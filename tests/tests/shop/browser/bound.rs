//! Sessions bound to a device, in the browser that has them: Chromium with its keys in software. The
//! rest of its code for the protocol is the same as with keys in hardware. And a browser without them.

use std::time::Duration;

use serde_json::json;
use sessions::DeviceBinding;
use sessions_tests::shop::Shop;

use super::driver::{Browser, Driver, Kind};
use super::login;
use site::{BOUND, PROOF, REGISTER, Site};

mod life;
mod other_sites;
mod site;
mod theft;

/// The flags that make Chromium on Linux bind sessions. All features are in one switch, because
/// Chromium reads only the last one.
fn flags(pin: &str, quota: bool) -> Vec<String> {
    let quota = if quota { "" } else { "/RefreshQuota/false" };
    let features = format!(
        "DeviceBoundSessions:RequireOriginTrialTokens/false{quota}/CheckSubdomainRegistration/false,\
         EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
    );
    let mut flags = plain_flags(pin);
    flags.push(format!("--enable-features={features}"));
    flags
}

/// The flags of a browser that binds none.
fn plain_flags(pin: &str) -> Vec<String> {
    vec![
        format!("--ignore-certificate-errors-spki-list={pin}"),
        "--host-resolver-rules=MAP *.example 127.0.0.1".to_owned(),
    ]
}

impl Driver {
    /// Opens a browser that binds sessions, with the profile of this number, without the limit of six
    /// proofs in nine minutes.
    async fn open_binding(&self, pin: &str, profile: u32) -> Browser {
        self.open_profile(profile, &flags(pin, false)).await
    }
}

/// What the tests bind with: what a caller gets who asks for nothing else.
fn enforce() -> DeviceBinding {
    DeviceBinding::enforce().exclude_path("/static")
}

/// Longer than a session needs no proof after its registration.
const AFTER_GRACE: Duration = Duration::from_secs(61);
/// Longer than a proof counts, with what is allowed for the clocks of two hosts.
const AFTER_PROOF: Duration = Duration::from_secs(12 * 60 + 1);

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_over_https_binds_a_login_and_shows_it() {
    const NAME: &str = "__Host-shop-bound";
    let shop = Shop::open(&["--store", "memory:", "--https"]);
    let driver = Driver::start(Kind::Chromium);
    let browser = driver.open_binding(&shop.pin(), 1).await;
    login(&browser, &shop, "ada", "lovelace").await;
    let first = browser.until_cookie(NAME, None).await;
    browser.goto(&shop.url("/account")).await;
    let devices = browser.text_of(".devices").await.unwrap();
    assert!(devices.contains("Bound to the device"), "{devices}");

    browser.client.delete_cookie(NAME).await.unwrap();
    browser.reload().await;
    assert_eq!(browser.path().await, "/account");
    assert_ne!(browser.cookie(NAME).await, Some(first), "another proof");
    assert!(browser.cookie(NAME).await.is_some());
    assert_eq!(browser.console().await, [""; 0], "nothing was refused or failed");

    browser.click("form[action='/logout'] button").await;
    browser.goto(&shop.url("/account")).await;
    assert_eq!(browser.path().await, "/login");
}

/// Chromium without the flags, and Firefox, which does not implement them.
pub(super) async fn a_browser_that_binds_nothing_stays_logged_in(kind: Kind) {
    let site = Site::start(enforce()).await;
    let driver = Driver::start(kind);
    let browser = driver.open_profile(1, &plain_flags(&site.pin)).await;
    browser.goto(&site.url("/")).await;
    browser.click("#login").await;
    assert_eq!(site.log.of("POST /login"), ["POST /login same-origin -> 303 offer"]);
    for _ in 0..2 {
        site.clock.advance(AFTER_PROOF);
        browser.reload().await;
        assert_eq!(browser.user().await, "ada");
    }
    assert_eq!(site.log.of("POST /.sessions"), [""; 0]);
    assert_eq!(browser.text_of("#bound").await.as_deref(), Some("false"));
}
