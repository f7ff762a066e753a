//! A typed session in a handler: `cargo run --example quickstart`, then reload the page.

use axum::{Router, routing::get};
use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};

#[derive(Session)]
#[session(name = "quickstart", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    visits: u32,
    cart: Vec<String>,
}

async fn home(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    format!("visit number {}", visitor.visits)
}

pub(crate) fn app(store: Store) -> Router {
    Router::new().route("/", get(home)).layer(SessionLayer::new(store))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:{}", listener.local_addr()?.port());
    axum::serve(listener, app(Store::new(MemoryProvider::new()))).await
}
