//! An app on axum-login and tower-sessions moves to typed sessions, and nobody is logged out:
//! `cargo run -p sessions-examples --features moving --example moving_from_tower_sessions`. Log in at
//! /before/login, then open /cart: the new app knows the user and the cart.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_login::tower_sessions::{SessionManagerLayer, SessionStore};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId};
use sessions::tower_sessions::ProviderStore;
use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};

/// As before the move: axum-login asks this for its users.
#[derive(Clone)]
pub(crate) struct Users;

#[derive(Clone, Debug)]
pub(crate) struct User {
    id: u64,
    password_hash: Vec<u8>,
}

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        &self.password_hash
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = std::convert::Infallible;

    /// Stands for an app's own check of a password.
    async fn authenticate(&self, password: String) -> Result<Option<User>, Self::Error> {
        Ok((password == "lovelace").then(|| user(7)))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Self::Error> {
        Ok(Some(user(*id)))
    }
}

fn user(id: u64) -> User {
    User { id, password_hash: b"a hash".to_vec() }
}

type AuthSession = axum_login::AuthSession<Users>;

/// The app as it was.
pub(crate) mod before {
    use super::*;

    async fn login(mut auth: AuthSession, password: String) -> Result<(), StatusCode> {
        let user = auth.authenticate(password).await.map_err(down)?;
        auth.login(&user.ok_or(StatusCode::UNAUTHORIZED)?).await.map_err(down)
    }

    async fn cart(auth: AuthSession) -> Result<Json<(Option<u64>, Vec<String>)>, StatusCode> {
        let cart = auth.session.get("cart").await.map_err(down)?.unwrap_or_default();
        Ok(Json((auth.user.map(|user| user.id), cart)))
    }

    async fn add(auth: AuthSession, item: String) -> Result<(), StatusCode> {
        let mut cart: Vec<String> =
            auth.session.get("cart").await.map_err(down)?.unwrap_or_default();
        cart.push(item);
        auth.session.insert("cart", cart).await.map_err(down)
    }

    pub(crate) fn app(old: impl SessionStore + Clone) -> Router {
        Router::new()
            .route("/login", post(login))
            .route("/cart", get(cart).post(add))
            .layer(AuthManagerLayerBuilder::new(Users, SessionManagerLayer::new(old)).build())
    }
}

/// What each key of the old session becomes. The user was under axum-login's own key.
#[derive(Session)]
#[session(name = "moving", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = append)]
    cart: Vec<String>,
}

/// Takes over what the old session holds, when its visitor comes for the first time. axum-login has
/// compared the hash of the user's password by then: `auth.user` is who is really logged in.
async fn take_over(
    mut auth: AuthSession,
    mut visitor: Session<Visitor>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    if visitor.is_new() && !auth.session.is_empty().await {
        visitor.user = auth.user.as_ref().map(AuthUser::id);
        visitor.cart = auth.session.get("cart").await.map_err(down)?.unwrap_or_default();
        visitor.save().await.map_err(down)?;
        if let Err(error) = auth.logout().await {
            // If the old session stayed, it would be taken over again after a logout.
            visitor.destroy();
            return Err(down(error));
        }
    }
    drop(visitor); // Puts the session back, and the handler gets it.
    Ok(next.run(request).await)
}

/// If a store is down, fail. Do not treat the visitor as new.
fn down<E>(_: E) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

async fn login(mut visitor: Session<Visitor>, password: String) -> Result<(), StatusCode> {
    let user = Users.authenticate(password).await.map_err(down)?;
    visitor.user = Some(user.ok_or(StatusCode::UNAUTHORIZED)?.id);
    Ok(())
}

async fn logout(mut visitor: Session<Visitor>) {
    visitor.destroy();
}

async fn cart(visitor: Session<Visitor>) -> Json<(Option<u64>, Vec<String>)> {
    Json((visitor.user, visitor.cart.clone()))
}

async fn add(mut visitor: Session<Visitor>, item: String) {
    visitor.cart.push(item);
}

/// The app during the move. When no old session lives, delete `take_over`, the layer of axum-login,
/// and the crates.
pub(crate) fn app(old: impl SessionStore + Clone, store: Store) -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/cart", get(cart).post(add))
        .layer(from_fn(take_over))
        .layer(AuthManagerLayerBuilder::new(Users, SessionManagerLayer::new(old)).build())
        .layer(SessionLayer::new(store))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    // Stands for the store that the app has, of whatever crate.
    let old = ProviderStore::new(MemoryProvider::new());
    let store = Store::new(MemoryProvider::new());
    let app = Router::new().nest("/before", before::app(old.clone())).merge(app(old, store));
    println!("http://localhost:3000");
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}
