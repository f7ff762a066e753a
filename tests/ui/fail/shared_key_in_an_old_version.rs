use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    visits: u64,
    #[session(was(before = 2, name = "visits"))]
    pages: u64,
}

fn main() {}
