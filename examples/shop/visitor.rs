//! What the shop remembers of a visitor.

use serde::{Deserialize, Serialize};
use sessions::{Flash, Session};

/// One browser's session.
#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    /// Who is logged in. A change gives the session a new id.
    #[session(owner)]
    pub(crate) user: Option<String>,
    /// What is in the cart, an entry for each piece: two tabs that add at the same time merge.
    pub(crate) cart: Vec<String>,
    /// Messages for the next page.
    pub(crate) notices: Flash<Notice>,
}

/// A message that is shown once.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) good: bool,
}

impl Visitor {
    /// Leaves a message for the next page.
    pub(crate) fn tell(&mut self, text: impl Into<String>) {
        self.notices.push(Notice { text: text.into(), good: true });
    }

    /// Leaves a message of something that did not work.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.notices.push(Notice { text: text.into(), good: false });
    }
}
