//! A small web shop: browse, fill a cart, log in, see where one is logged in, change the password,
//! log out; and a page for operators, who can see the shop as a customer does.
//!
//! `cargo run --example shop` needs no server. It stores its sessions in the file `shop.db`, so
//! that a visitor is still logged in after a restart. `README.md` beside this file says what to try.

mod accounts;
mod catalogue;
mod handlers;
mod https;
mod options;
mod pages;
mod storage;
mod visitor;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use sessions::admin::Admin;
use sessions::clock::{Clock, SystemClock};
use sessions::{CookieConfig, DeviceBinding, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Level;

use crate::handlers::{Peer, STATIC, Shop};
use crate::https::Certificate;
use crate::options::{HELP, Options};
use crate::storage::Storage;
use crate::visitor::{v1, v2};

#[tokio::main]
async fn main() -> ExitCode {
    // What the store has to say: a new key, a database that is down.
    tracing_subscriber::fmt().with_max_level(Level::INFO).with_writer(std::io::stderr).init();
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("  because: {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let database_url = std::env::var("DATABASE_URL").ok();
    let Some(options) = Options::parse(std::env::args().skip(1), database_url)? else {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    };
    let storage = Storage::open(&options.store).await?;
    let mut cookie = CookieConfig::new();
    if options.plain_http {
        cookie = cookie.danger_plain_http();
    }
    let store = Store::builder(storage.provider.clone())
        .app("shop")
        .cookie(cookie)
        .device_binding(binding(options.https))
        .clock(Ahead(options.ahead))
        .build()?;
    if let Some(command) = options.command {
        let admin = Admin::new(&store);
        let admin = match options.schema {
            1 => admin.session::<v1::Visitor>(),
            _ => admin.session::<v2::Visitor>(),
        };
        return Ok(admin.run(command).await);
    }
    // Now rather than with the first visitor: a key ring that cannot be had is told at once.
    store.codec().refresh().await?;
    let purge = tokio::spawn(store.purge_task(Duration::from_secs(10 * 60)));

    let listener = TcpListener::bind(("127.0.0.1", options.port)).await.map_err(|error| {
        format!("port {} cannot be used ({error}); choose another with --port", options.port)
    })?;
    let port = listener.local_addr()?.port();
    let certificate = options.https.then(|| Certificate::new(&["localhost"])).transpose()?;
    match &certificate {
        Some(Certificate { pin, .. }) => {
            println!("the pin of its certificate: {pin}");
            println!("the shop is open: https://localhost:{port}");
        }
        None => println!("the shop is open: http://localhost:{port}"),
    }
    println!("visitors have schema version {}", options.schema);
    println!("sessions are stored in {}, press Ctrl-C to stop", storage.url);
    let (open, closing) = watch::channel(());
    let shop = Shop::new(store.clone(), storage, options.proxies, closing);
    let router = match options.schema {
        1 => handlers::router::<v1::Visitor>(shop),
        _ => handlers::router_of_2(shop),
    };
    // With the address of each client, for the list of devices.
    let router = router.into_make_service_with_connect_info::<Peer>();
    let stopped = async move {
        stop().await;
        // The server waits for its connections: this ends those that stay open.
        drop(open);
    };
    match certificate {
        Some(certificate) => {
            let listener = certificate.listen(listener);
            axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
        }
        None => axum::serve(listener, router).with_graceful_shutdown(stopped).await?,
    }
    store.shutdown().await;
    purge.await?;
    Ok(ExitCode::SUCCESS)
}

/// Browsers bind sessions to devices only over HTTPS.
fn binding(https: bool) -> DeviceBinding {
    if !https {
        return DeviceBinding::off();
    }
    // A file that is the same for everybody need not wait for a proof.
    STATIC.into_iter().fold(DeviceBinding::enforce(), DeviceBinding::exclude_path)
}

/// The machine's clock and some time more, so that a visitor need not wait to see what time does.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> SystemTime {
        SystemClock.now() + self.0
    }
}

/// Waits for Ctrl-C, or for what a service manager sends.
async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                Ok(()) = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without signals the shop stops when its process is ended.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
