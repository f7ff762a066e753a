//! An HTTP server that gives the answers of a script, for what a real server cannot be made to
//! answer: throttling, failures of its own, refused credentials.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderMap, StatusCode};

use crate::server::Server;

/// It stops when this is dropped.
#[derive(Debug)]
pub struct Scripted {
    server: Server,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    answers: Vec<(u16, String)>,
    given: usize,
    /// The operations that were asked for.
    asked: Vec<String>,
}

impl Scripted {
    /// Gives these answers, a status and a body, one after the other; the last one again and
    /// again.
    pub async fn start(answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let script = Arc::new(Mutex::new(Script { answers, ..Script::default() }));
        let shared = script.clone();
        let app = Router::new().fallback(async move |headers: HeaderMap, _: Bytes| {
            let mut script = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            let name = target.unwrap_or_default().rsplit('.').next().unwrap_or_default();
            script.asked.push(name.to_owned());
            let (status, body) = script.answers[script.given.min(script.answers.len() - 1)].clone();
            script.given += 1;
            (StatusCode::from_u16(status).unwrap_or_default(), body)
        });
        Self { server: Server::start(app).await, script }
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// The operations that it was asked for since this was called last.
    pub fn asked(&self) -> Vec<String> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut script.asked)
    }
}
