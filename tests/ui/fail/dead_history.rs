use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 4, oldest = 3)]
#[session(removed(theme: String, before = 3))]
struct Visitor {
    #[session(since = 2)]
    visits: u64,
    #[session(was(before = 3, name = "views"))]
    pages: u64,
    #[session(since = 4)]
    locale: String,
}

fn main() {}
