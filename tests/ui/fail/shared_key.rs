use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    visits: u64,
    #[session(key = "visits")]
    pages: u64,
}

fn main() {}
