//! What only Chromium has: the Chrome DevTools Protocol, through chromedriver.

use std::path::Path;

use serde_json::{Value, json};

use super::{Browser, required};

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// What chromedriver is asked to open.
pub(super) fn capabilities(profile: &Path, more: &[String]) -> Value {
    let flags = FLAGS.iter().map(ToString::to_string);
    let mut arguments: Vec<_> = flags.chain(more.iter().cloned()).collect();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    json!({
        // A browser that accepts every certificate binds no session.
        "acceptInsecureCerts": false,
        "goog:chromeOptions": { "binary": required("chromium"), "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    })
}

impl Browser {
    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }
}

pub(super) async fn stored_cookies(browser: &Browser) -> Value {
    browser.devtools("Network.getAllCookies", json!({})).await["cookies"].take()
}

pub(super) async fn console(browser: &Browser) -> Vec<String> {
    let entries = browser.post("se/log", &json!({ "type": "browser" })).await;
    let entries = entries.as_array().unwrap().iter();
    entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
}

pub(super) async fn pretend(browser: &Browser, agent: &str) {
    browser.devtools("Emulation.setUserAgentOverride", json!({ "userAgent": agent })).await;
}

pub(super) async fn prefer(browser: &Browser, scheme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

pub(super) async fn resize(browser: &Browser, width: u64, height: u64) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
}
