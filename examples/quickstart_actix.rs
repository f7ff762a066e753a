//! On actix-web: `cargo run -p sessions-examples --features actix --example quickstart_actix`.

use actix_web::{App, HttpServer, web};
use sessions::{MemoryProvider, Session, Store, actix::SessionMiddleware};

#[derive(Session)]
#[session(name = "quickstart_actix", version = 1)]
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

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let store = Store::new(MemoryProvider::new());
    let app = move || {
        App::new().wrap(SessionMiddleware::new(store.clone())).route("/", web::get().to(home))
    };
    let server = HttpServer::new(app).bind(("127.0.0.1", 3000))?;
    println!("http://localhost:{}", server.addrs()[0].port());
    server.run().await
}
