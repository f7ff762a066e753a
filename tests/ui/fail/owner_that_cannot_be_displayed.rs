use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<User>,
}

#[derive(Serialize, Deserialize)]
struct User(u64);

fn main() {}
