use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
struct Visitor {
    #[session(was(before = 2, name = "hits"))]
    visits: u64,
    #[session(since = 3)]
    hits: u64,
}

fn main() {}
