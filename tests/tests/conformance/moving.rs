//! A provider that moves records between two databases keeps the contract, before the move, during it
//! and after it, and does as the model.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sessions::MemoryProvider;
use sessions::clock::ManualClock;
use sessions::moving::Moving;
use sessions::provider::Provider;
use sessions::provider::conformance::{PROPERTIES, Subject, run, suite};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::model::{Call, Model, call, config};

/// Two hosts, and the two databases.
struct Hosts {
    one: Moving,
    two: Moving,
    old: MemoryProvider,
    new: MemoryProvider,
}

impl Hosts {
    fn new() -> Self {
        let (old, new) = (MemoryProvider::new(), MemoryProvider::new());
        let host = || Moving::new(old.clone(), new.clone());
        Self { one: host(), two: host(), old, new }
    }

    fn subject(&self) -> Subject {
        Subject::new(self.one.clone()).with_twin(self.two.clone()).without_changes()
    }
}

mod before {
    use super::*;

    suite!(async || Hosts::new().subject());
}

mod begun {
    use super::*;

    suite!(async || {
        let hosts = Hosts::new();
        // It begins, and is stopped while it waits for the hosts to know.
        timeout(Duration::from_millis(50), hosts.one.mover().run()).await.unwrap_err();
        hosts.subject()
    });
}

/// A mover that is killed and started all the time.
#[test]
fn the_contract_holds_while_records_move() {
    for property in PROPERTIES {
        // A record that moves between two pages may be on both, and a purge counts stubs too.
        if property.name.starts_with("list_pages") || property.name.starts_with("purge") {
            continue;
        }
        run(
            async |subject| property.check(subject).await,
            async || {
                let hosts = Hosts::new();
                let mover = hosts.two.clone();
                let task = tokio::spawn(async move {
                    for micros in (1..).map(|turn| 50 + turn * 37 % 3_000) {
                        let turn = timeout(Duration::from_micros(micros), mover.mover().run());
                        assert!(!matches!(turn.await, Ok(Err(_))), "the mover failed");
                        tokio::task::yield_now().await;
                    }
                });
                hosts.subject().keep(Stopped(task.abort_handle()))
            },
        );
    }
}

struct Stopped(tokio::task::AbortHandle);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Call(Call),
    /// Moves everything: to the new database, or back.
    Move(bool),
}

#[test]
fn it_does_as_the_model_whenever_records_move() {
    let step = prop_oneof![
        12 => call().prop_map(Step::Call),
        1 => any::<bool>().prop_map(Step::Move),
    ];
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    proptest!(config(1_000), |(steps in vec(step, 1..80))| {
        runtime.block_on(play(steps));
    });
}

async fn play(steps: Vec<Step>) {
    let Hosts { one: there, old, new, .. } = Hosts::new();
    let back = Moving::new(new.clone(), old.clone());
    let mut model = Model::new(false);
    model.moves = true;
    let (mut forward, mut begun) = (true, false);
    let last = (0..4).map(|id| Step::Call(Call::Fetch { id }));
    for step in steps.into_iter().chain(last) {
        match step {
            Step::Call(call) => model.check(if forward { &there } else { &back }, call).await,
            Step::Move(to_new) => {
                if !begun && !to_new {
                    continue;
                }
                let (mover, source) = if to_new { (&there, &old) } else { (&back, &new) };
                if forward != to_new {
                    // A mover of the other direction counts as running for a minute.
                    model.now += 61_000;
                }
                let clock = ManualClock::new(model.now());
                let done = mover.mover().clock(clock).run().await.unwrap();
                assert_eq!(done.left, 0);
                let left = source.scan(sessions::Page::first(100), model.now()).await.unwrap();
                let is_live =
                    |format: &str| !format.starts_with("moving:") || format.contains("frozen");
                assert!(!left.records.iter().any(|it| is_live(&it.format)), "{left:?}");
                // Every host has the same order as the mover.
                (forward, begun) = (to_new, true);
            }
        }
    }
}
