//! Several calls at once, calls that are dropped, and several instances.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::task::JoinSet;

use super::subject::{Random, Subject, context, material};

pub(super) async fn calls_that_run_at_once_are_told_apart(subject: Subject) {
    let subject = Arc::new(subject);
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let subject = subject.clone();
        tasks.spawn(async move {
            for turn in 0..4 {
                let material = material((task * 100 + turn) as u64);
                let context = context(u8::try_from(task).unwrap_or(0));
                let wrapped = subject.handle(task + turn).wrap(&material, &context).await;
                let handle = subject.handle(turn);
                handle.must_open(&wrapped, &material, &context, "a key wrapped among others").await;
            }
        });
    }
    join(tasks).await;
}

pub(super) async fn cancelled_calls_leave_the_service_usable(subject: Subject) {
    let subject = Arc::new(subject);
    let wrapped = Arc::new(subject.one.wrap(&material(1), &context(1)).await);
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let (subject, wrapped) = (subject.clone(), wrapped.clone());
        tasks.spawn(async move {
            let mut random = Random(100 + task as u64);
            for turn in 0..60 {
                let service = &subject.handle(turn).0;
                let (material, context) = (material(1), context(1));
                cancelled(service.wrap(&material, &context), &mut random).await;
                let call = service.unwrap(&wrapped.kek_id, &wrapped.blob, &context);
                cancelled(call, &mut random).await;
            }
        });
    }
    join(tasks).await;
    for turn in 0..4 {
        let again = subject.handle(turn).wrap(&material(2), &context(1)).await;
        let what = "a key wrapped after cancelled calls";
        subject.handle(turn + 1).must_open(&again, &material(2), &context(1), what).await;
    }
}

pub(super) async fn two_instances_are_one_service(subject: Subject) {
    for turn in 0..4 {
        let wrapped = subject.handle(turn).wrap(&material(1), &context(1)).await;
        let other = subject.handle(turn + 1);
        other.must_open(&wrapped, &material(1), &context(1), "what the other wrapped").await;
    }
}

pub(super) async fn the_successor_opens_what_came_before(subject: Subject) {
    let Some(successor) = &subject.successor else { return };
    let before = subject.one.wrap(&material(1), &context(1)).await;
    let what = "what was wrapped before the key was changed";
    successor.must_open(&before, &material(1), &context(1), what).await;
    let again = successor.wrap(&material(1), &context(1)).await;
    successor.must_open(&again, &material(1), &context(1), "what the new key wrapped").await;
}

pub(super) async fn a_stranger_opens_nothing(subject: Subject) {
    let Some(stranger) = &subject.stranger else { return };
    let wrapped = subject.one.wrap(&material(1), &context(1)).await;
    let what = "what a stranger unwraps";
    stranger.must_refuse(&wrapped.kek_id, &wrapped.blob, &context(1), what).await;
    // Under the name that the stranger's own key has.
    let theirs = stranger.wrap(&material(2), &context(1)).await;
    stranger.must_refuse(&theirs.kek_id, &wrapped.blob, &context(1), what).await;
    subject.one.must_refuse(&theirs.kek_id, &theirs.blob, &context(1), what).await;
    subject.two.must_refuse(&wrapped.kek_id, &theirs.blob, &context(1), what).await;
}

/// Drops the call after a random number of polls, at once or when it would go on.
async fn cancelled<T>(call: impl Future<Output = T>, random: &mut Random) {
    let mut call = pin!(call);
    let mut polls = random.below(6);
    let at_once = random.below(2) == 0;
    poll_fn(move |context| {
        if polls == 0 {
            return Poll::Ready(());
        }
        polls -= 1;
        match call.as_mut().poll(context) {
            Poll::Pending if polls == 0 && at_once => Poll::Ready(()),
            polled => polled.map(drop),
        }
    })
    .await;
}

/// Waits for tasks, and panics as the first that fails does.
async fn join(mut tasks: JoinSet<()>) {
    while let Some(result) = tasks.join_next().await {
        if let Err(error) = result {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

const TASKS: usize = 24;
