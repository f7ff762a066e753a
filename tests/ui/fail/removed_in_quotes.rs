use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed("theme", before = 2))]
struct Visitor {
    visits: u64,
}

fn main() {}
