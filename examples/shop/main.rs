//! A small web shop: browse, fill a cart, log in, see where one is logged in, log out.
//!
//! `cargo run --example shop` needs no server. It stores its sessions in the file `shop.db`, so
//! that a visitor is still logged in after a restart.
//!
//! Options: `--port N` (3000), `--db FILE` (shop.db), and `--plain-http` for browsers that refuse
//! secure cookies on localhost.

mod catalogue;
mod handlers;
mod pages;
mod visitor;

use std::error::Error;

use sessions::{CookieConfig, Store};
use sessions_sqlite::SqliteProvider;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let provider = SqliteProvider::open(&options.db).await?;
    let mut cookie = CookieConfig::new();
    if options.plain_http {
        cookie = cookie.danger_plain_http();
    }
    let store = Store::builder(provider).app("shop").cookie(cookie).build()?;

    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(|error| {
        format!("port {} cannot be used ({error}); choose another with --port", options.port)
    })?;
    println!("the shop is open: http://localhost:{}", listener.local_addr()?.port());
    println!("sessions are stored in {}, press Ctrl-C to stop", options.db);
    axum::serve(listener, handlers::router(store.clone()))
        .with_graceful_shutdown(async {
            // Without signals the shop stops when its process is ended.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await?;
    store.shutdown().await;
    Ok(())
}

struct Options {
    port: u16,
    db: String,
    plain_http: bool,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { port: 3000, db: "shop.db".to_owned(), plain_http: false };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--port" => {
                    let value = value()?;
                    let port = value.parse();
                    options.port = port.map_err(|_| format!("{value} is not a port"))?;
                }
                "--db" => options.db = value()?,
                "--plain-http" => options.plain_http = true,
                _ => return Err(format!("{word}? known are --port N, --db FILE, --plain-http")),
            }
        }
        Ok(options)
    }
}
