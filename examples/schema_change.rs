//! A schema change that can be rolled back: three builds of one app over one file of sessions. Start
//! them one after the other, in any order, and reload the page:
//! `cargo run --example schema_change -- 1`, then 2, 3, and 1 again.

use axum::Router;
use sessions::Store;
use sessions_sqlite::SqliteProvider;

/// The build that runs today.
pub(crate) mod v1 {
    use axum::{Router, extract::Path, routing::get};
    use sessions::{Session, Store, axum::OrNew, axum::SessionLayer};

    #[derive(Session)]
    #[session(name = "schema_change", version = 1)]
    struct Visitor {
        #[session(owner)]
        user: Option<String>,
        #[session(merge = add)]
        hits: u32,
    }

    async fn home(mut visitor: Session<Visitor>) -> String {
        visitor.hits += 1;
        format!("version 1: {} hits", visitor.hits)
    }

    /// Takes `OrNew` from the first deploy on: who has a session that this build cannot read can log
    /// in. A real app checks a password and takes a POST.
    async fn login(OrNew(mut visitor): OrNew<Visitor>, Path(user): Path<String>) -> &'static str {
        visitor.user = Some(user);
        "welcome"
    }

    pub(crate) fn app(store: Store) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/login/{user}", get(login))
            .layer(SessionLayer::new(store))
    }
}

/// Renames `hits` to `visits`, widens it, and adds a field. It still writes what version 1 reads
/// (`write`), and the compiler checks that (`compat`): builds of both versions serve at once, and a
/// rollback loses nothing.
pub(crate) mod v2 {
    use axum::{Router, routing::get};
    use sessions::{Session, Store, axum::SessionLayer};

    #[derive(Session)]
    #[session(name = "schema_change", version = 2, write = 1, compat = 1)]
    struct Visitor {
        #[session(owner)]
        user: Option<String>,
        #[session(merge = add)]
        #[session(was(before = 2, name = "hits", ty = u32, with = u64::from, back = narrow))]
        visits: u64,
        #[session(since = 2, default = String::from("en"))]
        locale: String,
    }

    fn narrow(visits: u64) -> u32 {
        u32::try_from(visits).unwrap_or(u32::MAX)
    }

    async fn home(mut visitor: Session<Visitor>) -> String {
        visitor.visits += 1;
        visitor.locale = "de".to_owned();
        format!("version 2: {} visits, {}", visitor.visits, visitor.locale)
    }

    pub(crate) fn app(store: Store) -> Router {
        Router::new().route("/", get(home)).layer(SessionLayer::new(store))
    }
}

/// The next deploy, when version 2 runs everywhere and stays: without `write` and `compat`. From now
/// on builds of version 1 answer 503 to the visitors that this one has served.
pub(crate) mod v3 {
    use axum::{Router, routing::get};
    use sessions::{Session, Store, axum::SessionLayer};

    #[derive(Session)]
    #[session(name = "schema_change", version = 2)]
    struct Visitor {
        #[session(owner)]
        user: Option<String>,
        #[session(merge = add)]
        #[session(was(before = 2, name = "hits", ty = u32, with = u64::from))]
        visits: u64,
        #[session(since = 2, default = String::from("en"))]
        locale: String,
    }

    async fn home(mut visitor: Session<Visitor>) -> String {
        visitor.visits += 1;
        format!("version 2, finished: {} visits, {}", visitor.visits, visitor.locale)
    }

    pub(crate) fn app(store: Store) -> Router {
        Router::new().route("/", get(home)).layer(SessionLayer::new(store))
    }
}

/// The builds, in the order of their deploys.
pub(crate) const BUILDS: [fn(Store) -> Router; 3] = [v1::app, v2::app, v3::app];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let build = std::env::args().nth(1).and_then(|build| build.parse::<usize>().ok());
    let build = build.and_then(|build| BUILDS.get(build.checked_sub(1)?)).ok_or("say 1, 2 or 3")?;
    let provider = SqliteProvider::open("schema_change.db").await?;
    let store = Store::builder(provider).app("schema_change").build()?;
    println!("http://localhost:3000");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, build(store)).await?)
}
