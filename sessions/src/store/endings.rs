//! Remembers how sessions ended on this host, for the visitors who come back with them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::ended_by::EndedBy;
use crate::id::StoreKey;

/// The sessions that ended on this host last.
pub(super) struct Endings(Mutex<VecDeque<(StoreKey, EndedBy)>>);

impl Default for Endings {
    /// With all the memory that it takes, so that no revocation of many sessions takes more.
    fn default() -> Self {
        Self(Mutex::new(VecDeque::with_capacity(MOST)))
    }
}

impl Endings {
    pub(super) fn note(&self, key: &StoreKey, by: EndedBy) {
        let mut endings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if endings.len() >= MOST {
            endings.pop_front();
        }
        endings.push_back((key.clone(), by));
    }

    /// Returns how a session ended, as far as this host remembers. Read only where a record is gone.
    pub(super) fn of(&self, key: &StoreKey) -> Option<EndedBy> {
        let endings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        endings.iter().rev().find(|(ended, _)| ended == key).map(|(_, by)| *by)
    }
}

/// How many sessions it remembers: as many as fit into 12 kB.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::KeyHasher;

    #[test]
    fn the_last_endings_are_remembered() {
        let endings = Endings::default();
        let hasher = KeyHasher::new("session", "app", "visitor");
        let key = |at: usize| hasher.key(&at.to_be_bytes());
        assert_eq!(endings.of(&key(0)), None);
        endings.note(&key(0), EndedBy::Logout);
        (1..MOST).for_each(|at| endings.note(&key(at), EndedBy::Revoke));
        assert_eq!(endings.of(&key(0)), Some(EndedBy::Logout));
        endings.note(&key(MOST), EndedBy::Limit);
        assert_eq!(endings.of(&key(0)), None, "forgotten");
        assert_eq!(endings.of(&key(MOST)), Some(EndedBy::Limit));
    }
}
