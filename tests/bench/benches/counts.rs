//! What needs no clock: allocations and bytes of each kind of request, beside its peers.

#![allow(clippy::unwrap_used)] // A bench fails loudly, as a test does.

use allocation_counter::measure;
use sessions::MemoryProvider;
use sessions_bench::apps::axum::Axum;
use sessions_bench::apps::{App, KINDS, Kind, actix};
use sessions_bench::report::{Part, Plot};

/// Without sessions, with ours, with the other library.
type Apps = [Box<dyn App>; 3];

fn main() {
    let mut part = Part::new("1-counts", "Allocations and bytes of a request");
    part.say(
        "The allocations of a request, minus those of the bare router or framework. Every test \
         run asserts ours on axum, minus those of a layer that does nothing, which allocates \
         twice.",
    );
    let frameworks: [(&str, &str, Apps); 2] = [
        (
            "axum",
            "tower-sessions",
            [
                Box::new(Axum::bare()),
                Box::new(Axum::ours(MemoryProvider::new())),
                Box::new(Axum::tower_sessions()),
            ],
        ),
        (
            "actix-web",
            "actix-session",
            [actix::bare(), actix::ours(MemoryProvider::new()), actix::actix_session()],
        ),
    ];
    let mut cookies = Vec::new();
    for (framework, library, mut apps) in frameworks {
        let mut plot = Plot::new(&format!("Allocations on {framework}"), "", &["ours", library]);
        let mut rows = Vec::new();
        for kind in KINDS {
            let [bare, ours, theirs] =
                [0, 1, 2].map(|app| allocations(&mut *apps[app], kind) as f64);
            let (ours, theirs) = (ours - bare, theirs - bare);
            plot.group(kind.name, &[Some(ours), Some(theirs)]);
            rows.push(vec![
                kind.name.to_owned(),
                format!("{ours:.0}"),
                format!("{theirs:.0}"),
                format!("{:.2}", ours / theirs),
            ]);
        }
        part.table(&[framework, "ours", library, "ratio"], rows);
        part.plot(&plot);
        let [_, ours, theirs] = &mut apps;
        let length = |app: &mut Box<dyn App>| {
            let set_cookie = app.set_cookie().unwrap();
            let pair = set_cookie.split(';').next().unwrap();
            (pair.len(), set_cookie.len())
        };
        cookies.push((framework, "sessionful", length(ours)));
        cookies.push((framework, library, length(theirs)));
    }
    part.say(
        "The bytes of a session's cookie, as the browser sends it and as the response sets it.",
    );
    part.table(
        &["cookie", "library", "sent", "set"],
        cookies.into_iter().map(|(framework, library, (sent, set))| {
            vec![framework.to_owned(), library.to_owned(), sent.to_string(), set.to_string()]
        }),
    );
    part.write();
}

/// The least that a request costs, warmed up.
fn allocations(app: &mut dyn App, kind: Kind) -> u64 {
    let once = || {
        let mut counted = 0;
        app.make(kind, 1, &mut |request| counted = measure(request).count_total);
        counted
    };
    std::iter::repeat_with(once).take(8).min().unwrap()
}
