//! Commits that finish after the client has left, and their number, for a graceful shutdown.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The running commits.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Count>);

#[derive(Default)]
struct Count {
    running: AtomicUsize,
    none: Notify,
}

impl Commits {
    /// Runs a commit that finishes once it has begun, even if its future is dropped. It is polled
    /// in place, and moves to a task only when it is dropped, so the usual case needs no task.
    pub(crate) fn track<F>(&self, commit: F) -> Finish<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Finish { begun: false, commit: Some((Box::pin(commit), self.guard())) }
    }

    /// A place in the number of commits, until it is dropped.
    pub(super) fn guard(&self) -> Guard {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    /// Waits until no commit is running.
    pub(crate) async fn wait(&self) {
        loop {
            let none = self.0.none.notified();
            if self.0.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            none.await;
        }
    }
}

pub(super) struct Guard(Commits);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.0.none.notify_waiters();
        }
    }
}

/// See [`Commits::track`].
pub(crate) struct Finish<T: Send + 'static> {
    begun: bool,
    // The commit and its place in the number, until it has ended.
    commit: Option<(Commit<T>, Guard)>,
}

type Commit<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send + 'static> Future for Finish<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        let Some((commit, _)) = &mut self.commit else { return Poll::Pending };
        let polled = commit.as_mut().poll(context);
        if polled.is_ready() {
            self.commit = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        // Outside a runtime, which is shutting down, the commit cannot continue.
        if let (true, Some((commit, guard)), Ok(runtime)) =
            (self.begun, self.commit.take(), Handle::try_current())
        {
            runtime.spawn(async move {
                let _guard = guard;
                commit.await
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_commit_that_was_dropped_half_way_is_finished_and_waited_for() {
        let commits = Commits::default();
        let (go, gate) = oneshot::channel::<()>();
        let (done, mut finished) = oneshot::channel();
        let mut commit = commits.track(async move {
            let _ = gate.await;
            let _ = done.send(());
        });
        assert!(Pin::new(&mut commit).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(commit);
        assert!(finished.try_recv().is_err());
        go.send(()).unwrap();
        commits.wait().await;
        assert!(finished.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_commit_that_never_began_is_dropped() {
        let commits = Commits::default();
        let (done, mut finished) = oneshot::channel::<()>();
        drop(commits.track(async move { done.send(()) }));
        commits.wait().await;
        assert!(finished.try_recv().is_err());
    }
}
