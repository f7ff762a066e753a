//! Logging in and out: `cargo run --example login`, then open the page and log in as ada, with the
//! password lovelace.

use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router, http::StatusCode};
use serde::Deserialize;
use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};

#[derive(Session)]
#[session(name = "login", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn home(visitor: Session<Visitor>) -> Html<&'static str> {
    Html(if visitor.user.is_some() { LOGGED_IN } else { LOGGED_OUT })
}

/// The owner changes, so the session gets a new secret.
async fn login(
    mut visitor: Session<Visitor>,
    Form(form): Form<Login>,
) -> Result<Redirect, StatusCode> {
    if !may_log_in(&form) {
        return Err(StatusCode::FORBIDDEN);
    }
    visitor.user = Some(form.user);
    Ok(Redirect::to("/"))
}

async fn logout(mut visitor: Session<Visitor>) -> Redirect {
    visitor.destroy();
    Redirect::to("/")
}

/// Stands for an app's own check of a password against its hash.
fn may_log_in(form: &Login) -> bool {
    form.user == "ada" && form.password == "lovelace"
}

pub(crate) fn app(store: Store) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(store))
}

const LOGGED_OUT: &str = r#"you are logged out. <form method="post" action="/login">
<input name="user"> <input name="password" type="password"> <button>Log in</button></form>"#;

const LOGGED_IN: &str =
    r#"you are logged in. <form method="post" action="/logout"><button>Log out</button></form>"#;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = app(Store::new(MemoryProvider::new()));
    println!("http://localhost:3000");
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}
