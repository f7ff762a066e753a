//! Logging in and out on actix-web:
//!
//! ```sh
//! cargo run -p sessions-examples --features actix --example login_actix
//! alias ask='curl --cookie jar --cookie-jar jar'
//! ask --data 'name=ada&password=lovelace' http://localhost:3000/login
//! ask http://localhost:3000/
//! ask --request POST http://localhost:3000/logout
//! ```

use actix_web::dev::Server;
use actix_web::error::ErrorForbidden;
use actix_web::web::{self, Form, Redirect};
use actix_web::{App, HttpServer};
use serde::Deserialize;
use sessions::{MemoryProvider, Session, Store, actix::SessionMiddleware};

#[derive(Session)]
#[session(name = "login_actix", version = 1)]
struct Visitor {
    #[session(owner)]
    account: Option<u64>,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// Stands for an app's own check of a password against its hash.
fn account_of(given: &Credentials) -> Option<u64> {
    (given.name == "ada" && given.password == "lovelace").then_some(7)
}

async fn home(visitor: Session<Visitor>) -> String {
    match visitor.account {
        Some(account) => format!("you are number {account}\n"),
        None => "you are logged out\n".to_owned(),
    }
}

/// The owner changes, so the session gets a new secret.
async fn login(
    mut visitor: Session<Visitor>,
    Form(given): Form<Credentials>,
) -> actix_web::Result<Redirect> {
    let account = account_of(&given).ok_or_else(|| ErrorForbidden("wrong name or password"))?;
    visitor.account = Some(account);
    Ok(Redirect::to("/").see_other())
}

async fn logout(mut visitor: Session<Visitor>) -> Redirect {
    visitor.destroy();
    Redirect::to("/").see_other()
}

pub(crate) fn serve(listener: std::net::TcpListener, store: Store) -> std::io::Result<Server> {
    let app = move || {
        App::new()
            .wrap(SessionMiddleware::new(store.clone()))
            .route("/", web::get().to(home))
            .route("/login", web::post().to(login))
            .route("/logout", web::post().to(logout))
    };
    Ok(HttpServer::new(app).listen(listener)?.run())
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
    println!("http://localhost:3000");
    serve(listener, Store::new(MemoryProvider::new()))?.await
}
