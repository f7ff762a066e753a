use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    locale: Locale,
}

#[derive(Serialize, Deserialize)]
enum Locale {
    En,
    De,
}

fn main() {}
