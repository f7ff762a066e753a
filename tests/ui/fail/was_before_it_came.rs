use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
struct Visitor {
    #[session(since = 3, was(before = 2, name = "hits"))]
    visits: u64,
    #[session(since = 2)]
    pages: u64,
}

fn main() {}
