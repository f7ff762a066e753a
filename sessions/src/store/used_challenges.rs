//! Remembers the challenges that were answered on this host, so that none is answered twice.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// The last challenges that were answered. Another host does not know them: it would accept the same
/// proof once too, for as long as the challenge is good.
#[derive(Default)]
pub(crate) struct UsedChallenges(Mutex<Used>);

#[derive(Default)]
struct Used {
    known: HashSet<Hash>,
    oldest_first: VecDeque<Hash>,
}

type Hash = [u8; 16];

impl UsedChallenges {
    /// Returns whether this challenge was not answered yet, and remembers it.
    pub(crate) fn is_first(&self, challenge: &str) -> bool {
        let digest = Sha256::digest(challenge);
        let hash: Hash = digest.first_chunk().copied().unwrap_or_default();
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.known.insert(hash) {
            return false;
        }
        if used.oldest_first.len() >= MOST
            && let Some(oldest) = used.oldest_first.pop_front()
        {
            used.known.remove(&oldest);
        }
        used.oldest_first.push_back(hash);
        true
    }
}

/// How many challenges it remembers: those of 15 minutes at 36 a second, in about 2 MB.
const MOST: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_once_while_it_is_remembered() {
        let used = UsedChallenges::default();
        assert!(used.is_first("0"));
        assert!(!used.is_first("0"));
        assert!((1..MOST).all(|at| used.is_first(&at.to_string())));
        assert!(!used.is_first("0"), "still remembered");
        assert!(used.is_first("one more"));
        assert!(used.is_first("0"), "forgotten");
        let inner = used.0.lock().unwrap();
        assert_eq!((inner.known.len(), inner.oldest_first.len()), (MOST, MOST));
    }
}
