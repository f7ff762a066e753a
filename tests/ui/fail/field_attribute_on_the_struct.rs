use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
#[session(owner)]
struct Visitor {
    user: u64,
}

fn main() {}
