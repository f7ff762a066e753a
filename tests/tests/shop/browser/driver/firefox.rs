//! What only Firefox has: scripts that run with the rights of the browser itself, through geckodriver.

use std::path::Path;

use serde_json::{Value, json};

use super::{Browser, required};

/// What geckodriver is asked to open.
pub(super) fn capabilities(profile: &Path) -> Value {
    std::fs::create_dir(profile).unwrap();
    json!({
        // The certificates of the tests are their own, and Firefox has no flag that names one.
        "acceptInsecureCerts": true,
        "moz:firefoxOptions": {
            "binary": required("firefox-esr"),
            "args": ["-headless", "-profile", profile],
            // A process for the next page would start beside each page.
            "prefs": { "dom.ipc.processPrelaunch.enabled": false },
        },
    })
}

/// Runs a script with the rights of the browser itself.
async fn privileged(browser: &Browser, script: &str, arguments: &[Value]) -> Value {
    browser.post("moz/context", &json!({ "context": "chrome" })).await;
    let value = browser.run(script, arguments).await;
    browser.post("moz/context", &json!({ "context": "content" })).await;
    value
}

/// In the words of the Chrome DevTools Protocol.
pub(super) async fn stored_cookies(browser: &Browser) -> Value {
    let script = "
        const sites = { [Ci.nsICookie.SAMESITE_LAX]: 'Lax', [Ci.nsICookie.SAMESITE_STRICT]: 'Strict' };
        return Services.cookies.cookies.map(it => ({
            name: it.name, domain: it.host, path: it.path, secure: it.isSecure,
            httpOnly: it.isHttpOnly, sameSite: sites[it.sameSite], session: it.isSession,
        }));";
    privileged(browser, script, &[]).await
}

pub(super) async fn console(browser: &Browser) -> Vec<String> {
    // The browser's own scripts write there too.
    let script = "
        const all = Services.console.getMessageArray();
        Services.console.reset();
        return all.filter(it => it instanceof Ci.nsIScriptError && it.sourceName.startsWith('http'))
            .map(it => it.toString());";
    let messages = privileged(browser, script, &[]).await;
    messages.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

pub(super) async fn pretend(browser: &Browser, agent: &str) {
    let script = "Services.prefs.setStringPref('general.useragent.override', arguments[0])";
    privileged(browser, script, &[json!(agent)]).await;
}

pub(super) async fn prefer(browser: &Browser, scheme: &str) {
    let script =
        "gBrowser.selectedBrowser.browsingContext.prefersColorSchemeOverride = arguments[0]";
    privileged(browser, script, &[json!(scheme)]).await;
}

pub(super) async fn resize(browser: &Browser, width: u64, height: u64) {
    // A window is never as narrow as a phone, but the part of it that shows the page can be.
    let script = "
        const [width, height] = arguments;
        const { style } = gBrowser.selectedBrowser;
        for (const [name, value] of Object.entries({ width, height })) {
            for (const bound of ['min-', 'max-', '']) {
                style.setProperty(bound + name, `${value}px`);
            }
        }";
    privileged(browser, script, &[json!(width), json!(height)]).await;
    let size = json!(format!("{width} {height}"));
    browser.until_with("return `${innerWidth} ${innerHeight}` == arguments[0]", &[size]).await;
}
