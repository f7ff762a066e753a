//! Sessions in a plain `tower` service on hyper, without a web framework:
//! `cargo run --example tower`, then reload the page.

use std::convert::Infallible;
use std::io;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sessions::tower::{SessionLayer, error_response};
use sessions::{Error, MemoryProvider, Session, Store, request::RequestSessions};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

#[derive(Session)]
#[session(name = "tower", version = 1)]
struct Visitor {
    #[session(merge = add)]
    visits: u32,
}

type Answer = Response<Full<Bytes>>;

/// The layer has put the request's sessions into its extensions.
async fn home(request: &Request<Incoming>) -> Result<Answer, Error> {
    let sessions = RequestSessions::of(request.extensions())?;
    let mut visitor: Session<Visitor> = sessions.load(request.headers()).await?;
    visitor.visits += 1;
    Ok(Response::new(Full::from(format!("visit number {}", visitor.visits))))
}

async fn route(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match request.uri().path() {
        "/" => home(&request).await.unwrap_or_else(error_response),
        _ => {
            let mut answer = Response::new(Full::from("there is no such page"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

pub(crate) async fn serve(listener: TcpListener, store: Store) -> io::Result<()> {
    let service = ServiceBuilder::new().layer(SessionLayer::new(store)).service_fn(route);
    let service = TowerToHyperService::new(service);
    loop {
        let (stream, _) = listener.accept().await?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:{}", listener.local_addr()?.port());
    serve(listener, Store::new(MemoryProvider::new())).await
}
