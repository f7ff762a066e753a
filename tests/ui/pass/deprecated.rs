//! A field that is deprecated, as a step to its removal, under `deny(warnings)`.

#![deny(warnings)]

use sessions::{Session, SessionData};

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
#[session(removed(oldest: Old, before = 2, default = Old))]
struct Visitor {
    #[deprecated = "use `name`"]
    #[session(was(before = 2, ty = Old, with = from_old, back = to_old))]
    login: String,
    #[deprecated]
    #[session(owner)]
    user: Option<u64>,
    #[deprecated]
    #[session(skip)]
    cache: Option<u64>,
    name: String,
}

#[deprecated]
#[derive(serde::Serialize, serde::Deserialize)]
struct Old;

#[allow(deprecated)]
fn from_old(_: Old) -> String {
    String::new()
}

#[allow(deprecated)]
fn to_old(_: String) -> Old {
    Old
}

/// A whole session type that is on its way out.
#[deprecated]
#[derive(Session)]
#[session(name = "last", version = 1)]
struct Last {
    visits: u64,
}

fn main() {
    let fresh = Visitor::fresh();
    assert!(fresh.name.is_empty());
    #[allow(deprecated)]
    let _ = (fresh.login, fresh.user, fresh.cache, Last::fresh().visits);
}
