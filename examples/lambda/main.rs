//! A Lambda function behind API Gateway or a function URL, with its sessions in DynamoDB. Build it
//! with cargo-lambda, create the table with your infrastructure's tools, and set `SESSIONS_TABLE`:
//! `cargo lambda build --release -p sessions-example-lambda`.
//!
//! Lambda freezes the process between requests, so nothing here needs to run between them: the layer
//! saves before it answers, and DynamoDB removes expired sessions. A provider that needs
//! `purge_task` does not suit Lambda, unless a schedule calls `purge_expired`.

use aws_config::BehaviorVersion;
use axum::{Router, extract::Path, routing::get, routing::post};
use sessions::{Session, Store, axum::SessionLayer};
use sessions_dynamodb::{DynamoDbProvider, aws_sdk_dynamodb::Client};

#[derive(Session)]
#[session(name = "lambda", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
}

async fn home(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    let user = visitor.user.as_deref().unwrap_or("stranger");
    format!("hello {user}, visit number {}", visitor.visits)
}

/// Stands for an app's own login, which checks a password.
async fn login(mut visitor: Session<Visitor>, Path(user): Path<String>) {
    visitor.user = Some(user);
}

async fn logout(mut visitor: Session<Visitor>) {
    visitor.destroy();
}

/// The routes of the app, as on any host.
fn app(store: Store) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login/{user}", post(login))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(store))
}

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let table = std::env::var("SESSIONS_TABLE")?;
    let provider = DynamoDbProvider::new(Client::new(&config)).table(&table)?;
    let store = Store::builder(provider).app("shop").build()?;
    // In the time that Lambda gives to the start, and not in that of the first request.
    store.codec().refresh().await?;
    lambda_http::run(app(store)).await
}
