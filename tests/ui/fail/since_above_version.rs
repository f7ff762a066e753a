use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    visits: u64,
    #[session(since = 3)]
    locale: String,
    #[session(since = 2)]
    pages: u64,
}

fn main() {}
