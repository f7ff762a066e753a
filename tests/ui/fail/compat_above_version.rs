use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1, compat = 2)]
struct Visitor {
    visits: u64,
}

fn main() {}
