//! What a request costs beyond the bare router, beside `tower-sessions`.

use std::time::Duration;

use sessions::MemoryProvider;
use sessions_bench::apps::axum::Axum;
use sessions_bench::apps::{App, KINDS, actix};
use sessions_bench::rounds::{Rounds, thread_time};

fn main() {
    let mut apps: [(&str, Box<dyn App>); 5] = [
        ("axum/bare", Box::new(Axum::bare())),
        ("axum/ours", Box::new(Axum::ours(MemoryProvider::new()))),
        ("axum/theirs", Box::new(Axum::tower_sessions())),
        ("actix/bare", actix::bare()),
        ("actix/theirs", actix::actix_session()),
    ];
    let rounds = Rounds::measure(|round| {
        for kind in KINDS {
            for (name, app) in &mut apps {
                round.bench_with(&format!("{name}/{}", kind.name), |count| {
                    let mut time = Duration::ZERO;
                    let count = usize::try_from(count).unwrap();
                    app.make(kind, count, &mut |requests| time = thread_time(requests));
                    time
                });
            }
        }
    });
    for framework in ["axum", "actix"] {
        for kind in KINDS {
            let name = |app: &str| format!("{framework}/{app}/{}", kind.name);
            let time = |app: &str| rounds.time(&name(app)).unwrap_or(f64::NAN);
            let over = rounds.median(|times| {
                let bare = times(&name("bare"))?;
                Some((times(&name("ours"))? - bare) / (times(&name("theirs"))? - bare))
            });
            println!(
                "{framework} {}: bare {:.0} ours {:.0} theirs {:.0} ratio {over:.3?}",
                kind.name,
                time("bare"),
                time("ours"),
                time("theirs")
            );
        }
    }
}
