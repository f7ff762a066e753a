//! Requests of one kind and nothing else, for a profiler.
//!
//! `profile axum/ours read 10000`

use sessions::MemoryProvider;
use sessions_bench::apps::axum::Axum;
use sessions_bench::apps::{App, KINDS, actix};

fn main() {
    let [app, kind, count] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        panic!("usage: profile APP KIND COUNT");
    };
    let mut app: Box<dyn App> = match app.as_str() {
        "axum/bare" => Box::new(Axum::bare()),
        "axum/ours" => Box::new(Axum::ours(MemoryProvider::new())),
        "axum/theirs" => Box::new(Axum::tower_sessions()),
        "actix/bare" => actix::bare(),
        "actix/ours" => actix::ours(MemoryProvider::new()),
        "actix/theirs" => actix::actix_session(),
        _ => panic!("no application is called {app}"),
    };
    let kind = KINDS.into_iter().find(|known| known.name == kind);
    let kind = kind.unwrap_or_else(|| panic!("the kinds are {:?}", KINDS.map(|kind| kind.name)));
    app.make(kind, count.parse().expect("COUNT is a number"), &mut |requests| requests());
}
