//! Chromium without a screen, driven through chromedriver.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::cookies::Cookie;
use fantoccini::{Client, ClientBuilder, Locator};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sessions_tests::process::{Process, find_program, free_port};

/// How long anything may take that a browser does: a busy machine starts one in ten seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running chromedriver. It ends, and every browser with it, when it is dropped, and when the test
/// process ends; their profiles go then too.
pub(crate) struct Driver {
    _process: Process,
    port: u16,
    profiles: PathBuf,
    opened: u32,
}

impl Driver {
    pub(crate) fn start() -> Self {
        let chromedriver = required("chromedriver");
        required("chromium");
        let folder = tempfile::tempdir().unwrap().keep();
        let (port, log) = (free_port(), folder.join("log"));
        let argument = format!("--port={port}");
        let chromedriver = chromedriver.to_str().unwrap();
        let command = ["sh", "-c", WITH_ITS_BROWSERS, chromedriver, &argument];
        let process = Process::start(&command, &log, "TERM", Some(folder.clone()));
        let deadline = Instant::now() + LIMIT;
        loop {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            if printed.contains("started successfully") {
                break;
            }
            assert!(Instant::now() < deadline, "chromedriver does not start: {printed}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { _process: process, port, profiles: folder, opened: 0 }
    }

    /// What the command lines of its browsers hold, and its own.
    pub(crate) fn marks(&self) -> (String, String) {
        (self.profiles.display().to_string(), format!("--port={}", self.port))
    }

    /// Opens a browser with a profile of its own.
    pub(crate) async fn open(&mut self) -> Browser {
        self.opened += 1;
        self.open_profile(self.opened, &[]).await
    }

    /// Opens a browser with the profile of this number, which no open browser uses, and with more
    /// flags.
    pub(crate) async fn open_profile(&self, number: u32, more: &[String]) -> Browser {
        let profile = self.profiles.join(format!("profile {number}"));
        let flags = FLAGS.iter().map(ToString::to_string);
        let mut arguments: Vec<_> = flags.chain(more.iter().cloned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let options = json!({ "binary": required("chromium"), "args": arguments });
        let milliseconds = u64::try_from(LIMIT.as_millis()).unwrap();
        let capabilities = json!({
            // A browser that accepts every certificate binds no session.
            "acceptInsecureCerts": false,
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": milliseconds, "script": milliseconds },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let driver = format!("http://127.0.0.1:{}", self.port);
        let client = within(builder.capabilities(capabilities).connect(&driver)).await.unwrap();
        let session = within(client.session_id()).await.unwrap().unwrap();
        Browser { client, commands: format!("{driver}/session/{session}") }
    }
}

/// What must be there.
fn required(name: &str) -> PathBuf {
    find_program(name, &[]).unwrap_or_else(|| {
        panic!(
            "{name} is missing: install chromium and chromium-driver (Debian's names), or run \
             tests/run.sh, which does"
        )
    })
}

/// Runs chromedriver in a process group of its own, which its browsers are in too, and ends the whole
/// group: by itself it would leave them.
const WITH_ITS_BROWSERS: &str = r#"
setsid "$0" "$@" &
group=$!
stop() {
    kill -s TERM -- -"$group" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -s 0 -- -"$group" 2>/dev/null || exit 0
        sleep 0.1
    done
    kill -s KILL -- -"$group" 2>/dev/null
    exit 0
}
trap stop TERM
wait
"#;

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

/// A browser.
pub(crate) struct Browser {
    pub(crate) client: Client,
    /// The URL of its commands that only chromedriver has.
    commands: String,
}

impl Browser {
    pub(crate) async fn goto(&self, url: &str) {
        within(self.client.goto(url)).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        within(self.client.refresh()).await.unwrap();
    }

    pub(crate) async fn back(&self) {
        within(self.client.back()).await.unwrap();
    }

    /// The path of the page that is shown.
    pub(crate) async fn path(&self) -> String {
        within(self.client.current_url()).await.unwrap().path().to_owned()
    }

    /// Clicks what this CSS selector finds first, and waits for the page that comes: each button
    /// of the shop sends a form, and each answer is another page.
    pub(crate) async fn click(&self, selector: &str) {
        self.run("window.before = true", &[]).await;
        let element = within(self.client.find(Locator::Css(selector))).await;
        within(element.unwrap_or_else(|error| panic!("{selector}: {error}")).click())
            .await
            .unwrap();
        self.until("return !window.before && document.readyState == 'complete'").await;
    }

    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = within(self.client.find(Locator::Css(selector))).await.unwrap();
        within(element.send_keys(text)).await.unwrap();
    }

    /// The text that can be seen.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText", &[]).await.as_str().unwrap().to_owned()
    }

    /// How many elements this CSS selector finds.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        let script = "return document.querySelectorAll(arguments[0]).length";
        self.run(script, &[json!(selector)]).await.as_u64().unwrap()
    }

    /// The text of the first element that this CSS selector finds, if any.
    pub(crate) async fn text_of(&self, selector: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.innerText";
        self.run(script, &[json!(selector)]).await.as_str().map(str::to_owned)
    }

    pub(crate) async fn run(&self, script: &str, arguments: &[Value]) -> Value {
        within(self.client.execute(script, arguments.to_vec())).await.unwrap()
    }

    /// Waits until this script returns true.
    pub(crate) async fn until(&self, script: &str) {
        let deadline = Instant::now() + LIMIT;
        // While a page is replaced by another, there is none to run it in.
        while within(self.client.execute(script, vec![])).await.ok() != Some(json!(true)) {
            assert!(Instant::now() < deadline, "never true: {script}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The cookies of the page that is shown, as WebDriver tells of them.
    pub(crate) async fn cookies(&self) -> Vec<Cookie<'static>> {
        within(self.client.get_all_cookies()).await.unwrap()
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// What was written to the console since the last time, faults of the page included.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    async fn post(&self, command: &str, body: &Value) -> Value {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/{command}", self.commands))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(body.to_string()))
            .unwrap();
        let http = Http::builder(TokioExecutor::new()).build_http();
        let response = within(http.request(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(parts.status.is_success(), "{command}: {answer}");
        answer["value"].take()
    }

    /// Shows the page in a window of this width, as high as the page.
    pub(crate) async fn resize(&self, width: u32) {
        let size = |height: u64| json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size(600)).await;
        let height = self.run("return document.documentElement.scrollHeight", &[]).await;
        let height = height.as_u64().unwrap();
        self.devtools("Emulation.setDeviceMetricsOverride", size(height)).await;
    }

    /// Keeps what is shown as `target/screenshots/<name>.png`.
    pub(crate) async fn screenshot(&self, name: &str) {
        let picture = within(self.client.screenshot()).await.unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target");
        let folder = target.join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("the browser answers in time")
}
