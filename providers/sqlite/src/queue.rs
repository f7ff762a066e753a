//! Calls that wait for a connection go on together: as one statement, or as one transaction.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

/// What runs the calls that waited.
pub(crate) trait Batch: Send + Sync + 'static {
    /// A call that waits, with the channel for its answer.
    type Call: Send + 'static;

    /// Runs some calls and answers each.
    fn run(&self, calls: Vec<Self::Call>) -> impl Future<Output = ()> + Send;
}

/// The calls for a number of connections: those that run, and those that wait.
pub(crate) struct Queue<B: Batch> {
    batch: B,
    /// How many run at once.
    most: usize,
    // A std Mutex, held only to move values in and out, never across an await.
    calls: Mutex<Calls<B::Call>>,
}

struct Calls<C> {
    running: usize,
    waiting: Vec<C>,
}

impl<B: Batch> Queue<B> {
    pub(crate) fn new(batch: B, most: usize) -> Arc<Self> {
        let calls = Mutex::new(Calls { running: 0, waiting: Vec::new() });
        Arc::new(Self { batch, most, calls })
    }

    pub(crate) fn batch(&self) -> &B {
        &self.batch
    }

    /// Lets the caller run its call itself if a connection is free. Otherwise `wait` makes it one
    /// that waits, and another task runs it.
    pub(crate) fn enter<T, A>(
        self: &Arc<Self>,
        call: T,
        wait: impl FnOnce(T) -> (B::Call, A),
    ) -> Turn<B, T, A> {
        let mut calls = self.calls();
        if calls.running < self.most {
            calls.running += 1;
            return Turn::Now(Place { queue: self.clone(), drains: false, held: true }, call);
        }
        let (call, answer) = wait(call);
        calls.waiting.push(call);
        Turn::Later(answer)
    }

    fn calls(&self) -> MutexGuard<'_, Calls<B::Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a call runs.
pub(crate) enum Turn<B: Batch, T, A> {
    /// The caller runs it, while it holds the place.
    Now(Place<B>, T),
    /// Another task runs it, and the answer comes from there.
    Later(A),
}

/// A place among the running calls. Once it is dropped, the calls that wait go on.
pub(crate) struct Place<B: Batch> {
    queue: Arc<Queue<B>>,
    /// Whether it belongs to the task that runs the waiting calls.
    drains: bool,
    held: bool,
}

impl<B: Batch> Place<B> {
    /// Runs the waiting calls until there are none.
    async fn drain(mut self) {
        while let Some(calls) = self.take() {
            self.queue.batch.run(calls).await;
        }
    }

    /// Takes some of the waiting calls. If there are none, gives the place up under the same lock,
    /// so that no call waits for nobody.
    fn take(&mut self) -> Option<Vec<B::Call>> {
        let mut calls = self.queue.calls();
        let count = calls.waiting.len().min(MOST);
        if count == 0 {
            calls.running -= 1;
            self.held = false;
            return None;
        }
        Some(calls.waiting.drain(..count).collect())
    }
}

impl<B: Batch> Drop for Place<B> {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let mut calls = self.queue.calls();
        let left = match Handle::try_current() {
            Ok(runtime) if !self.drains && !calls.waiting.is_empty() => {
                drop(calls);
                let place = Self { queue: self.queue.clone(), drains: true, held: true };
                runtime.spawn(place.drain());
                return;
            }
            // There is no runtime, or it dropped the task that ran them. Their callers find their
            // channels closed.
            _ => {
                calls.running -= 1;
                std::mem::take(&mut calls.waiting)
            }
        };
        drop(calls);
        // Outside the lock, because it wakes their callers.
        drop(left);
    }
}

/// The most calls that go together. They all wait for the last one.
pub(crate) const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::sync::{oneshot, watch};

    use super::*;

    /// Answers each call with the number of calls that went together.
    struct Counting {
        gate: watch::Receiver<bool>,
    }

    impl Batch for Counting {
        type Call = oneshot::Sender<usize>;

        async fn run(&self, calls: Vec<Self::Call>) {
            let mut gate = self.gate.clone();
            gate.wait_for(|open| *open).await.unwrap();
            let count = calls.len();
            for call in calls {
                let _ = call.send(count);
            }
        }
    }

    fn place(queue: &Arc<Queue<Counting>>) -> Place<Counting> {
        match queue.enter((), |()| oneshot::channel()) {
            Turn::Now(place, ()) => place,
            Turn::Later(_) => panic!("all places are taken"),
        }
    }

    fn wait(queue: &Arc<Queue<Counting>>) -> oneshot::Receiver<usize> {
        match queue.enter((), |()| oneshot::channel()) {
            Turn::Now(..) => panic!("a place is free"),
            Turn::Later(answer) => answer,
        }
    }

    #[tokio::test]
    async fn calls_that_wait_go_together_when_a_place_is_free() {
        let queue = Queue::new(Counting { gate: watch::channel(true).1 }, 2);
        let places = [(); 2].map(|()| place(&queue));
        let waiting: Vec<_> = (0..70).map(|_| wait(&queue)).collect();
        drop(places);
        let mut together = Vec::new();
        for one in waiting {
            together.push(one.await.unwrap());
        }
        assert_eq!(together[..64], [64; 64]);
        assert_eq!(together[64..], [6; 6]);
        // Both places are free again.
        let places = [(); 2].map(|()| place(&queue));
        drop(places);
    }

    #[test]
    fn a_runtime_that_shuts_down_leaves_no_caller_waiting() {
        let (open, gate) = watch::channel(false);
        let queue = Queue::new(Counting { gate }, 1);
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let first = runtime();
        let taken = place(&queue);
        let running = wait(&queue);
        first.block_on(async {
            drop(taken);
            tokio::task::yield_now().await;
        });
        let waiting = wait(&queue);
        drop(first);
        let second = runtime();
        assert!(second.block_on(running).is_err());
        assert!(second.block_on(waiting).is_err());
        // The place is free again, also without a runtime.
        drop(place(&queue));
        open.send(true).unwrap();
        let taken = place(&queue);
        let waiting = wait(&queue);
        second.block_on(async {
            drop(taken);
            assert_eq!(waiting.await, Ok(1));
        });
    }
}
