//! The session of every benchmark, for all libraries the same struct.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sessions::Session;

/// A number, two strings and a list of eight numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Session)]
#[session(name = "visitor", version = 1)]
pub struct Visitor {
    /// Who is logged in.
    #[session(owner)]
    pub user: Option<u64>,
    /// What to call them.
    pub name: String,
    /// Where to write to.
    pub mail: String,
    /// What they have looked at.
    pub seen: Vec<u64>,
}

impl Visitor {
    /// Somebody who has filled in everything, and is logged in as `user`.
    #[must_use]
    pub fn filled(user: Option<u64>) -> Self {
        Self {
            user,
            name: "Ada Lovelace".to_owned(),
            mail: "ada@example.com".to_owned(),
            seen: (0..8).map(|n| 100_000 + n).collect(),
        }
    }
}

/// The id of somebody who has not been here before.
#[must_use]
pub fn somebody() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
