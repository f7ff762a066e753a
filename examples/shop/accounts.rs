//! Who may log in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Somebody who may log in.
pub(crate) struct Account {
    pub(crate) name: &'static str,
    /// Their first password.
    pub(crate) password: &'static str,
    /// May see the page for operators.
    pub(crate) operator: bool,
}

/// The demo's accounts. A real shop keeps password hashes in its database.
pub(crate) const ACCOUNTS: [Account; 2] = [
    Account { name: "ada", password: "lovelace", operator: false },
    Account { name: "grace", password: "hopper", operator: true },
];

/// The account of this name.
pub(crate) fn account(name: &str) -> Option<&'static Account> {
    ACCOUNTS.iter().find(|account| account.name == name)
}

/// The passwords that were changed, which this demo forgets when it stops.
#[derive(Default)]
pub(crate) struct Passwords(Mutex<HashMap<&'static str, String>>);

impl Passwords {
    /// The account of this name, if this is its password.
    pub(crate) fn check(&self, name: &str, password: &str) -> Option<&'static Account> {
        let account = account(name)?;
        let changed = self.changed();
        let right = changed.get(account.name).map_or(account.password, String::as_str);
        (password == right).then_some(account)
    }

    /// Gives this account another password.
    pub(crate) fn change(&self, name: &str, password: String) {
        if let Some(account) = account(name) {
            self.changed().insert(account.name, password);
        }
    }

    fn changed(&self) -> MutexGuard<'_, HashMap<&'static str, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_password_takes_the_place_of_the_first() {
        let passwords = Passwords::default();
        let is = |name, password| passwords.check(name, password).is_some();
        assert!(is("ada", "lovelace") && !is("ada", "hopper") && !is("eve", ""));
        passwords.change("ada", "analytical".to_owned());
        assert!(is("ada", "analytical") && !is("ada", "lovelace") && is("grace", "hopper"));
    }
}
