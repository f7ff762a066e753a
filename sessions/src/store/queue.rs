//! A queue for this host's commits on one session: they take turns instead of conflicting.

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

/// The queues, each for a share of the sessions. A commit without a conflict does not use them.
pub(super) struct Queues([Mutex<()>; QUEUES]);

/// A commit's turn. Dropping it starts the next.
pub(super) struct Turn<'q> {
    _guard: MutexGuard<'q, ()>,
}

impl Queues {
    /// Returns a turn at once, if nobody else has it.
    pub(super) fn try_turn(&self, id: &str) -> Option<Turn<'_>> {
        let _guard = self.queue(id).try_lock().ok()?;
        Some(Turn { _guard })
    }

    /// Returns a turn, in order of arrival, or `None` if it did not come in time.
    pub(super) async fn turn(&self, id: &str, deadline: Instant) -> Option<Turn<'_>> {
        let _guard = timeout_at(deadline, self.queue(id).lock()).await.ok()?;
        Some(Turn { _guard })
    }

    fn queue(&self, id: &str) -> &Mutex<()> {
        // Ids are hashes, so any two characters distinguish them well enough.
        let [one, two] = *id.as_bytes().first_chunk().unwrap_or(&[0; 2]);
        &self.0[(usize::from(one) * 64 + usize::from(two)) % QUEUES]
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self([const { Mutex::const_new(()) }; QUEUES])
    }
}

/// A prime, so that both characters count.
const QUEUES: usize = 61;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_taken_one_at_a_time_and_not_waited_for_beyond_the_deadline() {
        let queues = Queues::default();
        let soon = || Instant::now() + Duration::from_secs(1);
        let first = queues.turn("ab", soon()).await;
        assert!(first.is_some());
        assert!(queues.try_turn("ab").is_none());
        assert!(queues.try_turn("cd").is_some(), "another session's queue");
        assert!(queues.turn("ab", soon()).await.is_none());
        drop(first);
        assert!(queues.turn("ab", soon()).await.is_some());
    }
}
