//! The visitor as it is today.

use sessions::{Flash, Session};

use super::{Notice, Shopper};
use crate::accounts::Account;

/// One browser's session.
///
/// `compat = 1`: while it is deployed, builds of version 1 read what this one writes, and carry
/// the fields that they do not know. The compiler checks that they can.
#[derive(Session)]
#[session(name = "shop", version = 2, compat = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(group = "owner")]
    operator: bool,
    cart: Vec<String>,
    notices: Flash<Notice>,
    /// What is put aside for later: nothing, in records of version 1.
    #[session(since = 2)]
    pub(crate) later: Vec<String>,
    /// What was put into the cart lately, each once, the last one first: made of the cart, in
    /// records of version 1.
    #[session(since = 2, from(cart), with = lately)]
    recent: Vec<String>,
}

/// The products of a cart, each once, the last one first.
fn lately(cart: Vec<String>) -> Vec<String> {
    let mut recent = Vec::new();
    for id in cart.into_iter().rev() {
        if recent.len() < MOST_RECENT && !recent.contains(&id) {
            recent.push(id);
        }
    }
    recent
}

const MOST_RECENT: usize = 3;

impl Shopper for Visitor {
    fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn is_operator(&self) -> bool {
        self.operator
    }

    fn set_account(&mut self, account: &Account) {
        self.user = Some(account.name.to_owned());
        self.operator = account.operator;
    }

    fn cart(&self) -> &Vec<String> {
        &self.cart
    }

    fn cart_mut(&mut self) -> &mut Vec<String> {
        &mut self.cart
    }

    fn notices(&mut self) -> &mut Flash<Notice> {
        &mut self.notices
    }

    fn later(&self) -> Option<&[String]> {
        Some(&self.later)
    }

    fn recent(&self) -> &[String] {
        &self.recent
    }

    fn added(&mut self, id: &str) {
        self.recent.retain(|recent| recent != id);
        self.recent.insert(0, id.to_owned());
        self.recent.truncate(MOST_RECENT);
    }
}
