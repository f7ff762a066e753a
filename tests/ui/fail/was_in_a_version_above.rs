use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 3, name = "hits"))]
    visits: u64,
    #[session(since = 2)]
    pages: u64,
}

fn main() {}
