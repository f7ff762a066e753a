//! Which of a store's background tasks run.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::sync::watch;

/// Which of a store's tasks run.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) follows: Arc<AtomicBool>,
    pub(super) polls: Arc<AtomicBool>,
}

/// A task that runs, until this is dropped: its runtime may end before its store.
pub(super) struct Running(Arc<AtomicBool>);

impl Running {
    /// Begins it, unless it runs already.
    pub(super) fn begin(flag: &Arc<AtomicBool>) -> Option<(Self, Handle)> {
        if flag.load(Ordering::Relaxed) {
            return None;
        }
        // Outside a runtime no task can run.
        let runtime = Handle::try_current().ok()?;
        let begun = !flag.swap(true, Ordering::AcqRel);
        begun.then(|| (Self(flag.clone()), runtime))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Runs `work` to its end, or returns `None` once the store closes or is gone.
pub(super) async fn unless_closed<T>(
    closing: &mut watch::Receiver<bool>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut closed = pin!(closing.wait_for(|closed| *closed));
    let mut work = pin!(work);
    poll_fn(|context| {
        if closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}
