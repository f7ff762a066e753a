//! Sessions in the server functions of Leptos: `cargo run -p sessions-example-leptos`. The forms work
//! without a script, so nothing here is compiled to wasm.

use axum::Router;
use axum::response::{Html, IntoResponse as _};
use axum::routing::{get, post};
use leptos::prelude::*;
use leptos_axum::{ResponseOptions, extract, handle_server_fns};
use sessions::axum::{SessionLayer, SessionRejection};
use sessions::{MemoryProvider, Session, Store};

#[derive(Session)]
#[session(name = "leptos", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
}

/// The request's session. `extract` alone answers each error with a 500, and this with the status
/// that the error has: 503 while the database is down.
async fn visitor() -> Result<Session<Visitor>, ServerFnError> {
    let loaded: Result<Session<Visitor>, SessionRejection> = extract().await?;
    loaded.map_err(|rejection| {
        let error = ServerFnError::new(rejection.error());
        expect_context::<ResponseOptions>().set_status(rejection.into_response().status());
        error
    })
}

#[server(endpoint = "greet")]
async fn greet() -> Result<String, ServerFnError> {
    let mut visitor = visitor().await?;
    visitor.visits += 1;
    let user = visitor.user.as_deref().unwrap_or("stranger");
    Ok(format!("hello {user}, visit number {}", visitor.visits))
}

/// The owner changes, so the session gets a new secret.
#[server(endpoint = "login")]
async fn login(user: String, password: String) -> Result<(), ServerFnError> {
    // Stands for an app's own check of a password against its hash. It comes before any change: to
    // a form, Leptos answers an error with a redirect, and the session is saved.
    if (user.as_str(), password.as_str()) != ("ada", "lovelace") {
        return Err(ServerFnError::new("wrong user or password"));
    }
    visitor().await?.user = Some(user);
    leptos_axum::redirect("/");
    Ok(())
}

#[server(endpoint = "logout")]
async fn logout() -> Result<(), ServerFnError> {
    visitor().await?.destroy();
    leptos_axum::redirect("/");
    Ok(())
}

/// The layer is around the server functions, and around the pages that Leptos renders.
pub(crate) fn app(store: Store) -> Router {
    Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/api/{*function}", post(handle_server_fns))
        .layer(SessionLayer::new(store))
}

const PAGE: &str = r#"<form method="post" action="/api/login">
<input name="user"> <input name="password" type="password"> <button>Log in</button></form>
<form method="post" action="/api/greet"><button>Greet me</button></form>
<form method="post" action="/api/logout"><button>Log out</button></form>"#;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = app(Store::new(MemoryProvider::new()));
    println!("http://localhost:3000");
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}
