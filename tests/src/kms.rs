//! A KMS server (moto), clients for it, keys on it, and a stand-in that answers as AWS KMS does when it
//! denies, throttles or fails, which the server cannot be made to do.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_kms::{Client, Config};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use http_body_util::Full;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::process::{Process, free_port};
use crate::server::Server;

/// A server that keeps its keys in memory, stopped when this is dropped and when the test process
/// ends.
#[derive(Debug)]
pub struct Moto {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
}

impl Moto {
    /// Starts one.
    ///
    /// # Panics
    /// When moto is missing, or does not answer within two minutes.
    #[must_use]
    pub fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/moto/bin/moto_server");
        assert!(program.is_file(), "{} is missing: run tests/run.sh", program.display());
        let folder = tempfile::tempdir().expect("a folder").keep();
        let (port, log) = (free_port(), folder.join("log"));
        let (program, port_text) = (program.to_string_lossy(), port.to_string());
        let command = [&*program, "-H", "127.0.0.1", "-p", &port_text];
        let process = Process::start(&command, &log, "TERM", Some(folder));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = !Path::new(&format!("/proc/{}/exe", process.pid())).exists();
            if ended || start.elapsed() > Duration::from_secs(120) {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                panic!("moto does not answer on port {port}: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { address, _process: process }
    }
}

/// The server that the tests of one program share.
pub async fn endpoint() -> &'static str {
    static SERVER: OnceLock<(Moto, String)> = OnceLock::new();
    // It is waited for where that holds up no other task.
    let start = || {
        let moto = Moto::start();
        let url = format!("http://{}", moto.address);
        (moto, url)
    };
    let started = tokio::task::spawn_blocking(move || &SERVER.get_or_init(start).1);
    started.await.expect("moto")
}

/// A client's configuration, with the keys and the region that all tests use. It tries again as often
/// as the SDK does by default, with shorter pauses.
#[must_use]
pub fn config(endpoint: &str) -> Builder {
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("sessions", "secret", None, None, "tests"))
        .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
        .endpoint_url(endpoint)
}

/// A client with connections of its own.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).build())
}

/// A client of another region of the same account.
#[must_use]
pub fn client_in(endpoint: &str, region: &'static str) -> Client {
    Client::from_conf(config(endpoint).region(Region::new(region)).build())
}

/// Creates a key on the shared server, and returns its ARN.
///
/// # Panics
/// When that fails.
pub async fn create_key() -> String {
    let created = client(endpoint().await).create_key().send().await.expect("a new key");
    created.key_metadata.and_then(|key| key.arn).expect("its ARN")
}

/// Stands before the shared server. It passes requests on until it is told to do something else.
#[derive(Debug)]
pub struct Front {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// The operation and the body of each request.
    asked: Vec<(String, String)>,
}

/// What a [`Front`] does with a request.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mode {
    /// Passes it on.
    #[default]
    Passes,
    /// Answers with a status, and with an error's code and message.
    Answers(u16, &'static str, &'static str),
    /// Answers with a body.
    Says(u16, &'static str),
    /// Refuses to decrypt, as a key policy does that allows only to encrypt.
    EncryptsOnly,
    /// Never answers.
    Hangs,
}

/// As AWS says it.
pub const DENIED: Mode = Mode::Answers(
    400,
    "AccessDeniedException",
    "User: arn:aws:sts::111122223333:assumed-role/shop/i-1 is not authorized to perform: \
     kms:Decrypt on this resource because no identity-based policy allows the action",
);
/// As AWS says it.
pub const DISABLED: Mode =
    Mode::Answers(400, "DisabledException", "arn:aws:kms:eu-central-1:1:key/2 is disabled.");
/// As AWS says it of a key that waits for its deletion.
pub const DELETED: Mode = Mode::Answers(
    400,
    "KMSInvalidStateException",
    "arn:aws:kms:eu-central-1:1:key/2 is pending deletion.",
);
/// As AWS says it.
pub const THROTTLED: Mode = Mode::Answers(
    400,
    "ThrottlingException",
    "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
);
/// As AWS says it.
pub const FAILED: Mode = Mode::Answers(500, "KMSInternalException", "Internal error");

impl Front {
    /// Starts one.
    pub async fn start() -> Self {
        let upstream = endpoint().await;
        let state = Arc::new(Mutex::new(State::default()));
        let http = Http::builder(TokioExecutor::new()).build_http();
        let shared = state.clone();
        let app = Router::new().fallback(async move |request: Request| {
            answer(&shared, &http, upstream, request).await
        });
        Self { server: Server::start(app).await, state }
    }

    /// Does this from now on.
    pub fn set(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The operations that it was asked for since this was called last.
    pub fn asked(&self) -> Vec<String> {
        self.requests().into_iter().map(|(operation, _)| operation).collect()
    }

    /// The operations that it was asked for since this was called last, and their bodies.
    pub fn requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut lock(&self.state).asked)
    }
}

async fn answer(
    state: &Mutex<State>,
    http: &Http<HttpConnector, Full<Bytes>>,
    upstream: &str,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole request");
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned();
    let mode = {
        let mut state = lock(state);
        state.asked.push((operation.clone(), String::from_utf8_lossy(&body).into_owned()));
        state.mode
    };
    let denied =
        |code: &str, message: &str| format!(r#"{{"__type":"{code}","message":"{message}"}}"#);
    let (status, text) = match mode {
        Mode::Answers(status, code, message) => (status, denied(code, message)),
        Mode::Says(status, body) => (status, body.to_owned()),
        Mode::EncryptsOnly if operation == "Decrypt" => {
            (400, denied("AccessDeniedException", "not authorized to perform: kms:Decrypt"))
        }
        Mode::Hangs => std::future::pending().await,
        Mode::Passes | Mode::EncryptsOnly => {
            parts.uri = format!("{upstream}/").parse().expect("a URL");
            let request = http::Request::from_parts(parts, Full::new(body));
            let answer = http.request(request).await.expect("an answer of moto");
            return answer.map(Body::new);
        }
    };
    let answer = Response::builder().status(status).body(Body::from(text));
    answer.expect("a valid answer")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
