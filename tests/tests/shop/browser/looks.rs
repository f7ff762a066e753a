//! How the pages look.

use super::*;

pub(super) async fn every_page_can_be_looked_at(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut driver = Driver::start(kind);
    let (browser, phone) = (driver.open().await, driver.open().await);
    let agent = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/150.0.0.0 Mobile";
    phone.pretend(agent).await;
    login(&phone, &shop, "grace", "hopper").await;
    browser.goto(&shop.url("/login")).await;
    look(&browser, "login").await;
    login(&browser, &shop, "grace", "hopper").await;
    look(&browser, "account").await;
    let devices = browser.text_of(".devices").await.unwrap();
    assert!(devices.contains(browser.shown()) && devices.contains("Chrome on Android"));
    browser.goto(&shop.url("/")).await;
    for product in ["Iron kettle", "Stoneware cup", "Sencha", "Sencha"] {
        add(&browser, product).await;
    }
    look(&browser, "shop").await;
    browser.goto(&shop.url("/cart")).await;
    browser.click("button[aria-label='Save Stoneware cup for later']").await;
    look(&browser, "cart").await;
    browser.goto(&shop.url("/operators")).await;
    look(&browser, "operators").await;
    assert!(browser.text().await.contains("generation 1"));
    assert_eq!(browser.console().await, [""; 0], "nothing was refused or failed");
    let script = "
        const script = document.createElement('script');
        script.text = 'document.title = \"Won\"';
        document.body.append(script);";
    browser.run(script, &[]).await;
    let refused = browser.until_console().await;
    assert!(refused.contains("script-src 'self'"), "{refused}");
    browser.goto(&shop.url("/nowhere")).await;
    look(&browser, "not-found").await;
}

/// Keeps pictures of a page, on paper, in the dark and on a phone, and checks what can be checked
/// of its looks.
pub(super) async fn look(browser: &Browser, name: &str) {
    assert_eq!(browser.count("h1").await, 1, "{name}: one heading");
    let unnamed = "return [...document.querySelectorAll('input:not([type=hidden]), button')]
        .filter(it => !it.labels?.length && !it.ariaLabel && !it.innerText.trim()).length";
    assert_eq!(browser.run(unnamed, &[]).await, 0, "{name}: every control has a name");
    let wider =
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    browser.prefer("light").await;
    browser.resize(390).await;
    assert_eq!(browser.run(wider, &[]).await, 0, "{name}: nothing is cut off on a phone");
    browser.screenshot(&format!("{name}-phone")).await;
    browser.resize(1200).await;
    browser.screenshot(name).await;
    browser.prefer("dark").await;
    let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
    browser.until(dark).await;
    browser.screenshot(&format!("{name}-dark")).await;
    browser.prefer("light").await;
}
