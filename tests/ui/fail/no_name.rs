use sessions::Session;

#[derive(Session)]
#[session(version = 1)]
struct Visitor {
    visits: u64,
}

fn main() {}
