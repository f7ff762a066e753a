//! The owner's own type: what the calls that take an owner take.

use std::any::TypeId;
use std::fmt;

use serde::{Deserialize, Serialize};
use sessions::{Session, SessionData, data::NoOwner};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account(String);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acct-{}", self.0)
    }
}

#[derive(Session)]
#[session(name = "number", version = 1)]
struct Number {
    #[session(owner)]
    user: Option<u64>,
}

#[derive(Session)]
#[session(name = "newtype", version = 1)]
struct Newtype {
    visits: u64,
    #[session(owner)]
    account: std::option::Option<Account>,
}

#[derive(Session)]
#[session(name = "always", version = 1)]
struct Always {
    #[session(owner)]
    device: String,
}

#[derive(Session)]
#[session(name = "nobody", version = 1)]
struct Nobody {
    visits: u64,
}

fn owner_is<T: SessionData<Owner = O>, O: 'static>() -> bool {
    TypeId::of::<T::Owner>() == TypeId::of::<O>()
}

#[test]
fn the_owner_is_what_the_field_holds() {
    assert!(owner_is::<Number, u64>());
    assert!(owner_is::<Newtype, Account>());
    assert!(owner_is::<Always, String>());
    assert!(owner_is::<Nobody, NoOwner>());
}

/// As a call that takes an owner: it takes the type and no other.
fn filed_under<T: SessionData>(owner: &T::Owner) -> String {
    owner.to_string()
}

#[test]
fn an_owner_is_filed_under_its_text() {
    let number = Number { user: Some(7) }.fields().unwrap();
    assert_eq!(number.owner(Number::TABLE).unwrap(), Some(filed_under::<Number>(&7)));
    let account = Account("7".to_owned());
    let newtype = Newtype { visits: 0, account: Some(account.clone()) }.fields().unwrap();
    assert_eq!(newtype.owner(Newtype::TABLE).unwrap(), Some(filed_under::<Newtype>(&account)));
    assert_eq!(filed_under::<Newtype>(&account), "acct-7");
    let always = Always { device: "kiosk".to_owned() }.fields().unwrap();
    assert_eq!(always.owner(Always::TABLE).unwrap().as_deref(), Some("kiosk"));
    assert_eq!(Nobody { visits: 1 }.fields().unwrap().owner(Nobody::TABLE).unwrap(), None);
    assert_eq!(size_of::<NoOwner>(), 0);
}
