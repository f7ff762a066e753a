//! A server of the bench `load` with a session library of others.
//!
//! `load_peer axum/tower-sessions/redis redis://127.0.0.1:6379`

#![forbid(unsafe_code)]

mod actix_sessions;
mod axum_sessions;
#[path = "../../src/serve.rs"]
mod serve;
mod tower;
mod visitor;

use std::error::Error;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let app = args.next().ok_or("usage: load_peer FRAMEWORK/LIBRARY/PROVIDER [URL]")?;
    let url = args.next().unwrap_or_default();
    if app == "actix-web/actix-session/redis" {
        return actix_web::rt::System::new().block_on(actix_sessions::redis(&url));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let router = match app.as_str() {
            "axum/tower-sessions/memory" => tower::memory(),
            "axum/tower-sessions/sqlite" => tower::sqlite(&url).await?,
            "axum/tower-sessions/postgres" => tower::postgres(&url).await?,
            "axum/tower-sessions/redis" => tower::redis(&url).await?,
            "axum/axum_session/postgres" => axum_sessions::postgres(&url).await?,
            _ => return Err(format!("no app is called {app}").into()),
        };
        let listener = tokio::net::TcpListener::from_std(serve::listen()?)?;
        Ok(axum::serve(listener, router).await?)
    })
}
