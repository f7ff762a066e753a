//! The app, served by a framework on a real socket.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::App as ActixApp;
use actix_web::dev::ServerHandle;
use actix_web::middleware::{Condition, from_fn};
use actix_web::web::Data;
use sessions::{MemoryProvider, Store, StoreBuilder, clock::ManualClock};
use sessions_tests::browser::Browser;
use sessions_tests::hooked::{Call, Gate, Hooked, Watch, watched};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::{App, Layers, Signals, Types, actix, axum, plain};

/// What serves the app.
#[derive(Clone, Copy)]
pub(crate) enum Framework {
    Axum,
    Actix,
    Plain,
}

/// A running app, and what a scenario does to it.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) browser: Browser,
    pub(crate) store: Store,
    /// What the store keeps.
    pub(crate) records: Arc<MemoryProvider>,
    pub(crate) watch: Watch,
    /// Saves wait at it when it is closed.
    pub(crate) saves: Gate,
    pub(crate) clock: ManualClock,
    pub(crate) signals: Signals,
    pub(crate) _server: Server,
}

/// Stops when it is dropped.
pub(crate) enum Server {
    Task(JoinHandle<()>),
    Actix(ServerHandle),
}

impl Site {
    pub(crate) async fn new(framework: Framework) -> Self {
        Self::built(framework, |builder| builder).await
    }

    /// With the hook that answers errors.
    pub(crate) async fn with_hook(framework: Framework) -> Self {
        Self::arranged(framework, |app| app.hook = true).await
    }

    /// With an app that is put together otherwise.
    pub(crate) async fn arranged(framework: Framework, arrange: impl FnOnce(&mut App)) -> Self {
        Self::start(framework, arrange, |builder| builder).await
    }

    pub(crate) async fn built(
        framework: Framework,
        build: impl FnOnce(StoreBuilder) -> StoreBuilder,
    ) -> Self {
        Self::start(framework, |_| (), build).await
    }

    async fn start(
        framework: Framework,
        arrange: impl FnOnce(&mut App),
        build: impl FnOnce(StoreBuilder) -> StoreBuilder,
    ) -> Self {
        let clock = ManualClock::default();
        let records = Arc::new(MemoryProvider::new());
        let saves = Gate::new(Call::Save);
        let (provider, watch) = watched(Hooked::new(records.clone(), saves.clone()));
        let store = build(Store::builder(provider).clock(clock.clone())).build().unwrap();
        let signals = Signals::default();
        let mut app = App {
            store: store.clone(),
            layers: Layers { outer: Some((store.clone(), Types::All)), inner: None },
            hook: false,
            headers: false,
            signals: signals.clone(),
        };
        arrange(&mut app);
        let (address, _server) = serve(framework, app).await;
        let browser = Browser::new(address);
        Self { address, browser, store, records, watch, saves, clock, signals, _server }
    }
}

async fn serve(framework: Framework, app: App) -> (SocketAddr, Server) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let server = match framework {
        Framework::Axum => Server::Task(tokio::spawn(async move {
            ::axum::serve(listener, axum::router(&app)).await.expect("it runs until it is dropped");
        })),
        Framework::Actix => {
            let server = actix_web::HttpServer::new(move || {
                let (Layers { outer, inner }, hook) = (app.layers.clone(), app.hook);
                let (is_inside, is_outside) = (inner.is_some(), outer.is_some());
                // A condition needs a middleware also where it is not met.
                let spare = || (app.store.clone(), Types::All);
                let inner = actix::middleware(inner.unwrap_or_else(spare), hook);
                let outer = actix::middleware(outer.unwrap_or_else(spare), hook);
                ActixApp::new()
                    .wrap(Condition::new(app.headers, from_fn(actix::headers)))
                    .wrap(Condition::new(is_inside, inner))
                    .wrap(Condition::new(is_inside, from_fn(actix::between)))
                    .wrap(Condition::new(is_outside, outer))
                    .app_data(Data::new(app.clone()))
                    .configure(actix::routes)
            });
            let listener = listener.into_std().expect("a listener");
            let server = server.workers(1).disable_signals().listen(listener);
            let server = server.expect("a listening server").run();
            let handle = server.handle();
            tokio::spawn(server);
            Server::Actix(handle)
        }
        Framework::Plain => Server::Task(tokio::spawn(plain::serve(listener, app))),
    };
    (address, server)
}

impl Drop for Server {
    fn drop(&mut self) {
        match self {
            Self::Task(task) => task.abort(),
            // It is told at once; nobody waits for it.
            Self::Actix(handle) => drop(handle.stop(false)),
        }
    }
}
