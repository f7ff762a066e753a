use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    visits: u64,
    #[session(since = 2)]
    locale: Locale,
}

#[derive(Serialize, Deserialize)]
enum Locale {
    En,
    De,
}

fn main() {}
