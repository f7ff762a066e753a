use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(theme: String))]
struct Visitor {
    #[session(since = 2)]
    visits: u64,
}

fn main() {}
