//! What the shop remembers of a visitor.
//!
//! An app has one struct, and changes it. This one has its struct as it was and as it is, so that
//! both builds of a deploy can be tried from one program; [`Shopper`] is what the pages need of
//! either.

pub(crate) mod v1;
pub(crate) mod v2;

use serde::{Deserialize, Serialize};
use sessions::{Flash, Session, SessionData};

use crate::accounts::Account;

/// A visitor's session, of whichever version.
pub(crate) trait Shopper: SessionData<Owner = String> {
    /// Who is logged in.
    fn user(&self) -> Option<&str>;
    /// Whether they may see the page for operators.
    fn is_operator(&self) -> bool;
    /// Logs somebody in. That is all: the session gets a new secret, and the cart comes along.
    fn set_account(&mut self, account: &Account);
    /// What is in the cart, an entry for each piece.
    fn cart(&self) -> &Vec<String>;
    fn cart_mut(&mut self) -> &mut Vec<String>;
    /// Messages for the next page.
    fn notices(&mut self) -> &mut Flash<Notice>;

    /// What is put aside; `None` before version 2.
    fn later(&self) -> Option<&[String]> {
        None
    }

    /// What was put into the cart lately; nothing before version 2.
    fn recent(&self) -> &[String] {
        &[]
    }

    /// A product was put into the cart.
    fn added(&mut self, _id: &str) {}

    /// Leaves a message for the next page.
    fn tell(&mut self, text: impl Into<String>) {
        self.notices().push(Notice { text: text.into(), good: true });
    }

    /// Leaves a message of something that did not work.
    fn warn(&mut self, text: impl Into<String>) {
        self.notices().push(Notice { text: text.into(), good: false });
    }
}

/// Whose shop a page shows: the visitor's, or that of the customer as whom they act.
pub(crate) fn whose<V: Shopper>(visitor: &Session<V>) -> Option<String> {
    visitor.acting_as().as_deref().or(visitor.user()).map(str::to_owned)
}

/// Whether the visitor is an operator who acts for themselves.
pub(crate) fn operates<V: Shopper>(visitor: &Session<V>) -> bool {
    visitor.is_operator() && visitor.acting_as().is_none()
}

/// A message that is shown once.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) good: bool,
}
