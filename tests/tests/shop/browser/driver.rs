//! Browsers without a screen, driven through WebDriver: Chromium and Firefox.

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

mod chromium;
mod firefox;

/// How long anything may take that a browser does: a busy machine starts one in ten seconds.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Which browser a scenario runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chromium,
    Firefox,
}

/// Opens browsers of one kind. They end with it, and when the test process ends; their profiles go
/// then too.
pub(crate) struct Driver {
    kind: Kind,
    servers: Vec<Server>,
    opened: u32,
}

impl Driver {
    pub(crate) fn start(kind: Kind) -> Self {
        Self { kind, servers: vec![Server::start(kind)], opened: 0 }
    }

    /// What the environments or the command lines of its browsers and servers hold.
    pub(crate) fn marks(&self) -> Vec<String> {
        let marks = |it: &Server| [format!("--port={}", it.port), it.folder.display().to_string()];
        self.servers.iter().flat_map(marks).collect()
    }

    /// Opens a browser with a profile of its own.
    pub(crate) async fn open(&mut self) -> Browser {
        self.opened += 1;
        // A geckodriver drives one browser.
        if self.kind == Kind::Firefox && self.opened > 1 {
            self.servers.push(Server::start(self.kind));
        }
        self.open_profile(self.opened, &[]).await
    }

    /// Opens a browser with the profile of this number, which no open browser uses, and with more
    /// flags for Chromium.
    pub(crate) async fn open_profile(&self, number: u32, more: &[String]) -> Browser {
        let server = self.servers.last().unwrap();
        let profile = server.folder.join(format!("profile {number}"));
        let mut capabilities = match self.kind {
            Kind::Chromium => chromium::capabilities(&profile, more),
            Kind::Firefox => firefox::capabilities(&profile),
        };
        let milliseconds = u64::try_from(LIMIT.as_millis()).unwrap();
        capabilities["timeouts"] = json!({ "pageLoad": milliseconds, "script": milliseconds });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let url = format!("http://127.0.0.1:{}", server.port);
        let client = within(builder.capabilities(capabilities).connect(&url)).await.unwrap();
        let session = within(client.session_id()).await.unwrap().unwrap();
        Browser { kind: self.kind, client, commands: format!("{url}/session/{session}") }
    }
}

/// A running chromedriver or geckodriver.
struct Server {
    _process: Process,
    port: u16,
    folder: PathBuf,
}

impl Server {
    fn start(kind: Kind) -> Self {
        let (browser, driver, options, ready) = match kind {
            Kind::Chromium => ("chromium", "chromedriver", &[][..], "started successfully"),
            Kind::Firefox => {
                let options = &["--allow-system-access", "--websocket-port=0"][..];
                ("firefox-esr", "geckodriver", options, "Listening on")
            }
        };
        let driver = required(driver);
        required(browser);
        let folder = tempfile::tempdir().unwrap().keep();
        let (port, log) = (free_port(), folder.join("log"));
        // A browser keeps things there too, beside its profile.
        let home = format!("HOME={}", folder.display());
        let temporary = format!("TMPDIR={}", folder.display());
        let argument = format!("--port={port}");
        let driver = driver.to_str().unwrap();
        let mut command =
            vec!["env", &home, &temporary, "sh", "-c", WITH_ITS_BROWSERS, driver, &argument];
        command.extend(options);
        let process = Process::start(&command, &log, "TERM", Some(folder.clone()));
        let deadline = Instant::now() + LIMIT;
        loop {
            let printed = std::fs::read_to_string(&log).unwrap_or_default();
            if printed.contains(ready) {
                break;
            }
            assert!(Instant::now() < deadline, "{driver} does not start: {printed}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { _process: process, port, folder }
    }
}

/// What must be there.
fn required(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/geckodriver/bin");
    find_program(name, &[tools]).unwrap_or_else(|| {
        panic!(
            "{name} is missing: install chromium, chromium-driver and firefox-esr (Debian's names), \
             or run tests/run.sh, which does, and installs geckodriver"
        )
    })
}

/// Runs a driver in a process group of its own, which its browsers are in too, and ends the whole
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

/// A browser.
pub(crate) struct Browser {
    pub(crate) kind: Kind,
    pub(crate) client: Client,
    /// The URL of its commands, for those that are not WebDriver's.
    commands: String,
}

impl Browser {
    /// What the shop's list of devices calls it.
    pub(crate) fn shown(&self) -> &'static str {
        match self.kind {
            Kind::Chromium => "Chrome on Linux",
            Kind::Firefox => "Firefox on Linux",
        }
    }

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
        self.until_with(script, &[]).await;
    }

    async fn until_with(&self, script: &str, arguments: &[Value]) {
        let deadline = Instant::now() + LIMIT;
        let run = async || within(self.client.execute(script, arguments.to_vec())).await;
        // While a page is replaced by another, there is none to run it in.
        while run().await.ok() != Some(json!(true)) {
            assert!(Instant::now() < deadline, "never true: {script}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The cookies of the page that is shown, as WebDriver tells of them.
    pub(crate) async fn cookies(&self) -> Vec<Cookie<'static>> {
        within(self.client.get_all_cookies()).await.unwrap()
    }

    /// Its own list of all cookies, in the words of the Chrome DevTools Protocol.
    pub(crate) async fn stored_cookies(&self) -> Value {
        match self.kind {
            Kind::Chromium => chromium::stored_cookies(self).await,
            Kind::Firefox => firefox::stored_cookies(self).await,
        }
    }

    /// What was written to the console since the last time, faults of the page included.
    pub(crate) async fn console(&self) -> Vec<String> {
        match self.kind {
            Kind::Chromium => chromium::console(self).await,
            Kind::Firefox => firefox::console(self).await,
        }
    }

    /// Waits until something is written to the console.
    pub(crate) async fn until_console(&self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let lines = self.console().await;
            if !lines.is_empty() {
                return lines.join("\n");
            }
            assert!(Instant::now() < deadline, "nothing on the console");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends this `User-Agent` from now on.
    pub(crate) async fn pretend(&self, agent: &str) {
        match self.kind {
            Kind::Chromium => chromium::pretend(self, agent).await,
            Kind::Firefox => firefox::pretend(self, agent).await,
        }
    }

    /// Prefers this colour scheme, `light` or `dark`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        match self.kind {
            Kind::Chromium => chromium::prefer(self, scheme).await,
            Kind::Firefox => firefox::prefer(self, scheme).await,
        }
    }

    /// Shows the page in a window of this width, as high as the page.
    pub(crate) async fn resize(&self, width: u64) {
        self.resize_to(width, 600).await;
        let height = self.run("return document.documentElement.scrollHeight", &[]).await;
        self.resize_to(width, height.as_u64().unwrap()).await;
    }

    async fn resize_to(&self, width: u64, height: u64) {
        match self.kind {
            Kind::Chromium => chromium::resize(self, width, height).await,
            Kind::Firefox => firefox::resize(self, width, height).await,
        }
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

    /// Keeps what is shown as `target/screenshots/<name>.png`, or in the folder `firefox` there.
    pub(crate) async fn screenshot(&self, name: &str) {
        let picture = within(self.client.screenshot()).await.unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target");
        let folder = target.join(match self.kind {
            Kind::Chromium => "screenshots",
            Kind::Firefox => "screenshots/firefox",
        });
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("the browser answers in time")
}
