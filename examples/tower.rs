//! Sessions in a plain `tower` service on hyper, without a web framework: `cargo run --example
//! tower`, then reload the page. `PORT` chooses another port than 3000.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sessions::axum::{SessionLayer, error_response};
use sessions::{Error, MemoryProvider, RequestSessions, Session, Store};
use tower::ServiceBuilder;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    visits: u32,
}

type Answer = Response<Full<Bytes>>;

/// The layer has put the request's sessions into its extensions.
async fn home(request: &Request<Incoming>) -> Result<Answer, Error> {
    let sessions = request.extensions().get::<RequestSessions>().expect("the layer is there");
    let mut visitor: Session<Visitor> = sessions.load(request.headers()).await?;
    visitor.visits += 1;
    Ok(Response::new(Full::from(format!("visit number {}", visitor.visits))))
}

async fn route(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match request.uri().path() {
        "/" => home(&request).await.unwrap_or_else(error_response),
        path => {
            let mut answer = Response::new(Full::from(format!("there is no {path} here")));
            *answer.status_mut() = http::StatusCode::NOT_FOUND;
            answer
        }
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::new(MemoryProvider::new());
    let service = ServiceBuilder::new().layer(SessionLayer::new(store)).service_fn(route);
    let service = TowerToHyperService::new(service);
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://localhost:{}", listener.local_addr()?.port());
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
