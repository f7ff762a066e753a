//! Remembers the sessions of a report, so that each is reported once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::id::StoreKey;

/// The last sessions that were reported.
#[derive(Default)]
pub(super) struct Reported(Mutex<VecDeque<StoreKey>>);

impl Reported {
    /// Returns whether this is the first report of a session, as far as it remembers.
    pub(super) fn is_first(&self, key: &StoreKey) -> bool {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(key) {
            return false;
        }
        if keys.len() >= MOST {
            keys.pop_front();
        }
        keys.push_back(key.clone());
        true
    }
}

/// How many sessions it remembers: as many as fit into 10 kB.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::KeyHasher;

    #[test]
    fn each_session_is_reported_once_while_it_is_remembered() {
        let reported = Reported::default();
        let hasher = KeyHasher::new("session", "app", "visitor");
        let key = |at: usize| hasher.key(&at.to_be_bytes());
        assert!(reported.is_first(&key(0)));
        assert!(!reported.is_first(&key(0)));
        assert!((1..=MOST).all(|at| reported.is_first(&key(at))));
        assert!(reported.is_first(&key(0)), "forgotten");
    }
}
