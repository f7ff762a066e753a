use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Serialize, Deserialize, Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    name: String,
    #[serde(skip)]
    secret: String,
}

fn main() {}
