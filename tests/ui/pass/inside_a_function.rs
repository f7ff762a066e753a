//! A struct inside a function, and one that a macro makes.

use sessions::{Session, SessionData};

macro_rules! session {
    ($name:ident { $($field:ident: $ty:ty = $default:expr),* }) => {
        #[derive(Session)]
        #[session(name = "made", version = 1)]
        struct $name {
            $(#[session(default = $default)] $field: $ty,)*
        }
    };
}

session!(Made { user: Option<u64> = Some(7), name: String = "made".to_owned() });

fn visits() -> u64 {
    #[derive(Session)]
    #[session(name = "inner", version = 1)]
    struct Inner {
        #[session(default = Self::FIRST)]
        visits: u64,
    }

    impl Inner {
        const FIRST: u64 = 4;
    }

    Inner::fresh().visits
}

fn main() {
    assert_eq!(visits(), 4);
    assert_eq!((Made::fresh().user, Made::fresh().name.as_str()), (Some(7), "made"));
}
