#![allow(missing_docs)]
use axum::handler::Handler;
use sessions::{MemoryProvider, Session, Store, axum::SessionLayer};
use sessions_bench::visitor::Visitor;
async fn read(visitor: Session<Visitor>) -> &'static str {
    assert_eq!(visitor.seen.len(), 8);
    "hello"
}
async fn nothing() -> &'static str {
    "hello"
}
fn main() {
    use axum::body::Body;
    use axum::http::Request;
    let f = Handler::call(read, Request::new(Body::empty()), ());
    println!("handler future {}", size_of_val(&*f));
    let f = Handler::call(nothing, Request::new(Body::empty()), ());
    println!("bare handler future {}", size_of_val(&*f));
    let store = Store::new(MemoryProvider::new());
    let h = axum::http::HeaderMap::new();
    println!("store.load {}", size_of_val(&store.load::<Visitor>(&h)));
    let mut p = Request::new(Body::empty()).into_parts().0;
    println!(
        "from_request_parts {}",
        size_of_val(
            &<Session<Visitor> as axum::extract::FromRequestParts<()>>::from_request_parts(
                &mut p,
                &()
            )
        )
    );
    println!(
        "Request {} Parts {} Response {}",
        size_of::<Request<Body>>(),
        size_of::<axum::http::request::Parts>(),
        size_of::<axum::response::Response>()
    );
    println!("Error {}", size_of::<sessions::Error>());
    println!("Visitor {}", size_of::<Visitor>());
    let _ = SessionLayer::new(store);
}
