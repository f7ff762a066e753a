use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1.0)]
struct Visitor {
    visits: u64,
}

fn main() {}
