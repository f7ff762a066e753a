//! The visitor as the first build had it.

use sessions::{Flash, Session};

use super::{Notice, Shopper};
use crate::accounts::Account;

/// One browser's session.
#[derive(Session)]
#[session(name = "shop", version = 1)]
pub(crate) struct Visitor {
    /// Who is logged in. A change gives the session a new secret.
    #[session(owner)]
    user: Option<String>,
    /// Belongs to the owner: it never mixes with another login's.
    #[session(group = "owner")]
    operator: bool,
    /// An entry for each piece: two tabs that add at the same time merge.
    cart: Vec<String>,
    notices: Flash<Notice>,
}

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
}
