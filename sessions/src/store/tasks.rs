//! Which of a store's background tasks run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

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
