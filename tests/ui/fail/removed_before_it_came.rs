use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
#[session(removed(theme: String, since = 3, before = 2))]
struct Visitor {
    #[session(since = 3)]
    visits: u64,
}

fn main() {}
