//! The function of the example, as a process that asks a runtime API for its events, as on Lambda,
//! over DynamoDB Local.

#![allow(clippy::unwrap_used)] // Whatever fails here fails the test.

use std::sync::Arc;

use axum::extract::{Json, State};
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use serde_json::{Value, json};
use sessions_tests::dynamodb::{Table, endpoint};
use sessions_tests::process::Process;
use sessions_tests::server::Server;
use tokio::sync::{Mutex, mpsc};

/// What Lambda's runtime API hands out and takes back.
#[derive(Clone)]
struct Runtime {
    events: Arc<Mutex<mpsc::Receiver<Value>>>,
    responses: mpsc::Sender<Value>,
}

async fn next(State(runtime): State<Runtime>) -> ([(&'static str, &'static str); 3], Json<Value>) {
    let event = runtime.events.lock().await.recv().await;
    let headers = [
        ("lambda-runtime-aws-request-id", "1"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:local:1:function:shop"),
    ];
    (headers, Json(event.unwrap()))
}

async fn respond(State(runtime): State<Runtime>, response: String) -> StatusCode {
    runtime.responses.send(serde_json::from_str(&response).unwrap()).await.unwrap();
    StatusCode::ACCEPTED
}

/// The function, and the way to its events and responses.
struct Function {
    _server: Server,
    _process: Process,
    events: mpsc::Sender<Value>,
    responses: mpsc::Receiver<Value>,
    log: tempfile::TempDir,
}

impl Function {
    async fn start(table: &str) -> Self {
        let (events, received) = mpsc::channel(1);
        let (sent, responses) = mpsc::channel(1);
        let runtime = Runtime { events: Arc::new(Mutex::new(received)), responses: sent };
        let invocation = "/2018-06-01/runtime/invocation";
        let app = Router::new()
            .route(&format!("{invocation}/next"), get(next))
            .route(&format!("{invocation}/{{id}}/response"), post(respond))
            .with_state(runtime);
        let server = Server::start(app).await;
        let log = tempfile::tempdir().unwrap();
        let variables = [
            format!("AWS_LAMBDA_RUNTIME_API={}", server.address),
            "AWS_LAMBDA_FUNCTION_NAME=shop".to_owned(),
            "AWS_LAMBDA_FUNCTION_VERSION=1".to_owned(),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128".to_owned(),
            format!("AWS_ENDPOINT_URL_DYNAMODB={}", endpoint()),
            "AWS_REGION=eu-central-1".to_owned(),
            "AWS_ACCESS_KEY_ID=sessions".to_owned(),
            "AWS_SECRET_ACCESS_KEY=secret".to_owned(),
            format!("SESSIONS_TABLE={table}"),
        ];
        let mut command = vec!["env"];
        command.extend(variables.iter().map(String::as_str));
        command.push(env!("CARGO_BIN_EXE_example-lambda"));
        let process = Process::start(&command, &log.path().join("log"), "KILL", None);
        Self { _server: server, _process: process, events, responses, log }
    }

    /// Sends a request as API Gateway does, and keeps the cookies of its response.
    async fn send(&mut self, method: &str, path: &str, cookies: &mut Vec<String>) -> String {
        let http = json!({ "method": method, "path": path, "sourceIp": "192.0.2.1" });
        self.events
            .send(json!({
                "version": "2.0",
                "rawPath": path,
                "rawQueryString": "",
                "headers": { "host": "shop.example" },
                "cookies": cookies,
                "requestContext": { "http": http, "stage": "$default" },
                "isBase64Encoded": false,
            }))
            .await
            .unwrap();
        let minute = std::time::Duration::from_secs(60);
        let response = tokio::time::timeout(minute, self.responses.recv()).await;
        let response = response.ok().flatten().unwrap_or_else(|| {
            panic!("{}", std::fs::read_to_string(self.log.path().join("log")).unwrap_or_default())
        });
        assert_eq!(response["statusCode"], 200, "{response}");
        for cookie in response["cookies"].as_array().unwrap() {
            let cookie = cookie.as_str().unwrap();
            cookies.clear();
            if !cookie.contains("Max-Age=0") {
                cookies.push(cookie.split(';').next().unwrap().to_owned());
            }
        }
        response["body"].as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_on_when_lambda_starts_another_process() {
    let table = Table::create().await;
    let mut function = Function::start(&table.name).await;
    let mut ada = Vec::new();
    assert_eq!(function.send("GET", "/", &mut ada).await, "hello stranger, visit number 1");
    assert!(ada[0].starts_with("__Host-lambda="));
    let stranger = ada.clone();
    function.send("POST", "/login/ada", &mut ada).await;
    assert_ne!(ada, stranger, "a login renews the secret");
    assert_eq!(function.send("GET", "/", &mut ada).await, "hello ada, visit number 2");

    drop(function);
    let mut function = Function::start(&table.name).await;
    assert_eq!(function.send("GET", "/", &mut ada).await, "hello ada, visit number 3");
    let mut copy = ada.clone();
    function.send("POST", "/logout", &mut ada).await;
    assert!(ada.is_empty());
    assert_eq!(function.send("GET", "/", &mut copy).await, "hello stranger, visit number 1");
}
