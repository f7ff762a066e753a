use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
struct Visitor {
    visits: u64,
    #[session(since = 2)]
    pages: u64,
}

fn main() {}
