//! The session of every benchmark, as the session libraries of others keep it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The key that the session is kept under.
pub const KEY: &str = "visitor";

/// The same fields as those of ours.
#[derive(Serialize, Deserialize)]
pub struct Visitor {
    pub user: Option<u64>,
    pub name: String,
    pub mail: String,
    pub seen: Vec<u64>,
}

impl Visitor {
    /// The same values as those of ours.
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
pub fn somebody() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
