//! A router served over a real socket.

use std::net::SocketAddr;

use axum::Router;
use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server on a free port of 127.0.0.1; it stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(app: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        Self::start_on(listener, app)
    }

    /// Serves a router to those who connect to this listener.
    ///
    /// # Panics
    /// When the listener is not bound.
    pub fn start_on(listener: impl Listener<Addr = SocketAddr>, app: Router) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the server runs until it is dropped");
        });
        Self { address, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
