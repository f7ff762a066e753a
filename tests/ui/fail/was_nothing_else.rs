use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2))]
    visits: u64,
    #[session(was(before = 2, name = "pages"))]
    pages: u64,
}

fn main() {}
