use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 0)]
struct Visitor {
    visits: u64,
}

fn main() {}
