use sessions::Session;

#[derive(Session)]
#[session(name = "Shop Visitor", version = 1)]
struct Visitor {
    visits: u64,
}

fn main() {}
