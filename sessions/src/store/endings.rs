//! Remembers how sessions ended on this host, for the visitors who come back with them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ended_by::EndedBy;
use crate::id::StoreKey;

/// The sessions that ended on this host last.
pub(super) struct Endings {
    last: Mutex<VecDeque<(StoreKey, EndedBy)>>,
    /// Those that are being ended: the provider's feed may tell of the end before its call returns.
    under_way: Mutex<Vec<(StoreKey, EndedBy)>>,
}

impl Default for Endings {
    /// With all the memory that it takes, so that no revocation of many sessions takes more.
    fn default() -> Self {
        let last = Mutex::new(VecDeque::with_capacity(MOST));
        Self { last, under_way: Mutex::default() }
    }
}

/// A session that is being ended, until this is dropped.
pub(super) struct UnderWay<'e> {
    endings: &'e Endings,
    key: StoreKey,
    by: EndedBy,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.endings.under_way);
        let at = under_way.iter().position(|(key, by)| *key == self.key && *by == self.by);
        at.map(|at| under_way.swap_remove(at));
    }
}

impl Endings {
    /// A session is about to be ended. If it turns out not to be, drop what this returns.
    pub(super) fn begin(&self, key: &StoreKey, by: EndedBy) -> UnderWay<'_> {
        lock(&self.under_way).push((key.clone(), by));
        UnderWay { endings: self, key: key.clone(), by }
    }

    pub(super) fn note(&self, key: &StoreKey, by: EndedBy) {
        let mut endings = lock(&self.last);
        if endings.len() >= MOST {
            endings.pop_front();
        }
        endings.push_back((key.clone(), by));
    }

    /// Returns how a session ended, as far as this host remembers. Read only where a record is gone.
    pub(super) fn of(&self, key: &StoreKey) -> Option<EndedBy> {
        let of = |(ended, by): &(StoreKey, EndedBy)| (ended == key).then_some(*by);
        let ended = lock(&self.last).iter().rev().find_map(of);
        ended.or_else(|| lock(&self.under_way).iter().find_map(of))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let under_way = endings.begin(&key(900), EndedBy::Revoke);
        assert_eq!(endings.of(&key(900)), Some(EndedBy::Revoke));
        drop(under_way);
        assert_eq!(endings.of(&key(900)), None, "it was not ended");
        endings.note(&key(MOST), EndedBy::Limit);
        assert_eq!(endings.of(&key(0)), None, "forgotten");
        assert_eq!(endings.of(&key(MOST)), Some(EndedBy::Limit));
    }
}
