use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3, compat = 1)]
struct Visitor {
    #[session(was(before = 3, name = "hits"))]
    visits: u64,
    #[session(since = 2)]
    pages: u64,
}

fn main() {}
