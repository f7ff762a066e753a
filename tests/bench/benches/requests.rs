//! What a request costs beyond the bare router or framework, beside `tower-sessions` on axum and
//! `actix-session` on actix-web.

use std::time::Duration;

use sessions::MemoryProvider;
use sessions_bench::apps::axum::Axum;
use sessions_bench::apps::{App, Cookie, KINDS, actix};
use sessions_bench::report::{Part, Plot, goal, nanos, ratio};
use sessions_bench::rounds::{Rounds, thread_time};

fn main() {
    let mut apps: [(&str, Box<dyn App>); 6] = [
        ("axum/bare", Box::new(Axum::bare())),
        ("axum/ours", Box::new(Axum::ours(MemoryProvider::new()))),
        ("axum/theirs", Box::new(Axum::tower_sessions())),
        ("actix-web/bare", actix::bare()),
        ("actix-web/ours", actix::ours(MemoryProvider::new())),
        ("actix-web/theirs", actix::actix_session()),
    ];
    let rounds = Rounds::measure(|round| {
        for kind in KINDS {
            for (name, app) in &mut apps {
                round.bench_with(&format!("{name}/{}", kind.name), |count| {
                    let mut time = Duration::ZERO;
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    app.make(kind, count, &mut |requests| time = thread_time(requests));
                    time
                });
            }
        }
    });
    report(&rounds);
}

fn report(rounds: &Rounds) {
    let mut part = Part::new("0-requests", "Requests");
    part.say(
        "The time of a request within the process, minus the time of the bare router or \
         framework. The session holds a number, two strings and a list of eight numbers. It is \
         kept in memory, and its cookie is encrypted. Each library has its default settings. \
         `actix-session` keeps its sessions in a map written for this benchmark.",
    );
    for (framework, library, most) in
        [("axum", "tower-sessions", 0.5), ("actix-web", "actix-session", 0.8)]
    {
        let mut plot =
            Plot::new(&format!("Time of a request beyond {framework}'s"), "ns", &["ours", library]);
        let mut rows = Vec::new();
        for kind in KINDS {
            let name = |app: &str| format!("{framework}/{app}/{}", kind.name);
            let over =
                |app: &str| rounds.median(|times| Some(times(&name(app))? - times(&name("bare"))?));
            let [ours, theirs] = [over("ours"), over("theirs")];
            let of_both = rounds.median(|times| {
                let bare = times(&name("bare"))?;
                Some((times(&name("ours"))? - bare) / (times(&name("theirs"))? - bare))
            });
            plot.group(kind.name, &[ours, theirs]);
            rows.push(vec![
                kind.name.to_owned(),
                nanos(rounds.time(&name("bare"))),
                nanos(ours),
                nanos(theirs),
                ratio(of_both),
                // A login of ours does more: nobody else undoes it when its owner is logged out.
                goal((kind.cookie != Cookie::Anonymous).then_some(most)),
            ]);
        }
        part.table(&[framework, "bare", "ours", library, "ratio", "goal"], rows);
        part.plot(&plot);
    }
    part.write();
}
