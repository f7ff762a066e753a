use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3, oldest = 2, write = 1)]
struct Visitor {
    visits: u64,
    #[session(since = 3)]
    pages: u64,
}

fn main() {}
