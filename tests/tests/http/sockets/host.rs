//! A host: a store and a server of the app.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{App as ActixApp, HttpServer};
use sessions::StoreBuilder;
use sessions::actix::SessionMiddleware;
use sessions_tests::browser::Browser;
use tokio::net::TcpListener;

use super::app::App;
use super::{actix, axum};
use crate::site::Server;

/// How a page stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AxumSocket,
    AxumEvents,
    ActixSocket,
    ActixEvents,
}

impl Kind {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::AxumSocket | Self::ActixSocket => "/socket",
            Self::AxumEvents | Self::ActixEvents => "/events",
        }
    }
}

pub(super) struct Host {
    pub(super) kind: Kind,
    pub(super) app: App,
    pub(super) address: SocketAddr,
    _server: Server,
}

impl Host {
    pub(super) async fn new(kind: Kind, store: StoreBuilder) -> Self {
        let app = App::new(store.build().unwrap());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _server = match kind {
            Kind::AxumSocket | Kind::AxumEvents => {
                let router = axum::router(app.clone());
                Server::Task(tokio::spawn(async move {
                    ::axum::serve(listener, router).await.unwrap();
                }))
            }
            Kind::ActixSocket | Kind::ActixEvents => {
                let app = app.clone();
                let server = HttpServer::new(move || {
                    ActixApp::new()
                        .wrap(SessionMiddleware::new(app.store.clone()))
                        .app_data(Data::new(app.clone()))
                        .configure(actix::routes)
                });
                let listener = listener.into_std().unwrap();
                // After a close frame it waits for the client to close the connection.
                let server = server.client_disconnect_timeout(Duration::from_millis(20));
                let server = server.workers(1).disable_signals().listen(listener).unwrap().run();
                let handle = server.handle();
                tokio::spawn(server);
                Server::Actix(handle)
            }
        };
        Self { kind, app, address, _server }
    }

    /// A browser in which this user has logged in.
    pub(super) async fn logged_in(&self, user: &str) -> Browser {
        let mut browser = Browser::new(self.address);
        assert_eq!(browser.post("/login", user).await.body, "welcome");
        browser
    }

    /// Waits until so many pages are open.
    pub(super) async fn open(&self, pages: u32) {
        self.app.open.subscribe().wait_for(|open| *open == pages).await.unwrap();
    }
}
