//! `crate = path` says where the crate is found; nothing names `::sessions` then.

mod framework {
    pub mod web {
        pub use sessions as state;
    }
}

mod app {
    use crate::framework::web::state::{Session, SessionData};

    #[derive(Session)]
    #[session(crate = crate::framework::web::state, name = "visitor", version = 1)]
    struct Visitor {
        #[session(owner)]
        user: Option<String>,
        #[session(merge = union)]
        cart: Vec<String>,
    }

    pub fn fresh() -> (Option<String>, Vec<String>) {
        let Visitor { user, cart } = Visitor::fresh();
        (user, cart)
    }
}

fn main() {
    assert_eq!(app::fresh(), (None, vec![]));
}
