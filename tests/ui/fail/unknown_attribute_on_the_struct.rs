use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
#[session(writes = 1)]
#[session(colour = "red")]
struct Visitor {
    visits: u64,
}

fn main() {}
