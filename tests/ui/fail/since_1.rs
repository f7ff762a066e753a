use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(since = 1)]
    visits: u64,
}

fn main() {}
