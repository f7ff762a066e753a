use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 65_536)]
struct Visitor {
    visits: u64,
}

fn main() {}
