//! A server of the bench `load`: a framework without sessions, or with ours.
//!
//! `load_server axum/ours/redis redis://127.0.0.1:6379`, and `axum/cached/redis` with a cache.

use std::error::Error;

use sessions::provider::Provider;
use sessions::{Cache, MemoryProvider, Store};
use sessions_bench::apps::{actix, axum};
use sessions_bench::serve::listen;
use sessions_postgres::PostgresProvider;
use sessions_postgres::sqlx::PgPool;
use sessions_redis::RedisProvider;
use sessions_sqlite::SqliteProvider;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let app = args.next().ok_or("usage: load_server FRAMEWORK/LIBRARY/PROVIDER [URL]")?;
    let url = args.next().unwrap_or_default();
    let (framework, rest) = app.split_once('/').ok_or("the first argument has no '/'")?;
    match framework {
        "axum" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(provided(rest, &url, Framework::Axum))
        }
        // Its workers have runtimes of their own; the provider's connections live in the first.
        "actix-web" => {
            actix_web::rt::System::new().block_on(provided(rest, &url, Framework::Actix))
        }
        _ => Err(format!("no framework is called {framework}").into()),
    }
}

#[derive(Clone, Copy)]
enum Framework {
    Axum,
    Actix,
}

async fn provided(rest: &str, url: &str, framework: Framework) -> Outcome {
    let store = match rest {
        "bare" => return bare(framework).await,
        "ours/memory" => plain(MemoryProvider::new()),
        "ours/sqlite" => plain(SqliteProvider::open(url).await?),
        "cached/sqlite" => cached(SqliteProvider::open(url).await?)?,
        "ours/postgres" => plain(postgres(PostgresProvider::connect(url).await?).await?),
        "cached/postgres" => cached(postgres(PostgresProvider::connect(url).await?).await?)?,
        "ours/postgres-pool" => {
            plain(postgres(PostgresProvider::new(PgPool::connect(url).await?)).await?)
        }
        "ours/redis" => plain(RedisProvider::connect(url).await?),
        "cached/redis" => cached(RedisProvider::connect(url).await?)?,
        _ => return Err(format!("no library and provider are called {rest}").into()),
    };
    ours(framework, store).await
}

fn plain(provider: impl Provider) -> Store {
    Store::new(provider)
}

fn cached(provider: impl Provider) -> Result<Store, sessions::Error> {
    Store::builder(provider).cache(Cache::new()).build()
}

async fn postgres(provider: PostgresProvider) -> Result<PostgresProvider, Box<dyn Error>> {
    provider.create_table().await?;
    Ok(provider)
}

async fn bare(framework: Framework) -> Outcome {
    match framework {
        Framework::Axum => serve(axum::bare()).await,
        Framework::Actix => {
            let app = || actix_web::App::new().configure(actix::bare_routes);
            Ok(actix_web::HttpServer::new(app).listen(listen()?)?.run().await?)
        }
    }
}

async fn ours(framework: Framework, store: Store) -> Outcome {
    match framework {
        Framework::Axum => serve(axum::ours(store)).await,
        Framework::Actix => {
            let app = move || {
                let sessions = sessions::actix::SessionMiddleware::new(store.clone());
                actix_web::App::new().configure(actix::our_routes).wrap(sessions)
            };
            Ok(actix_web::HttpServer::new(app).listen(listen()?)?.run().await?)
        }
    }
}

async fn serve(router: ::axum::Router) -> Outcome {
    let listener = tokio::net::TcpListener::from_std(listen()?)?;
    Ok(::axum::serve(listener, router).await?)
}
