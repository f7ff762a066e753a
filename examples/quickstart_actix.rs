//! On actix-web: `cargo run -p sessions-examples --features actix --example quickstart_actix`.

use std::net::TcpListener;

use actix_web::{App, HttpServer, dev::Server, web};
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

pub(crate) fn serve(listener: TcpListener, store: Store) -> std::io::Result<Server> {
    let app = move || {
        App::new().wrap(SessionMiddleware::new(store.clone())).route("/", web::get().to(home))
    };
    Ok(HttpServer::new(app).listen(listener)?.run())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000")?;
    println!("http://localhost:{}", listener.local_addr()?.port());
    serve(listener, Store::new(MemoryProvider::new()))?.await
}
