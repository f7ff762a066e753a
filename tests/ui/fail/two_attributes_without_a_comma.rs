use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(since = 2 default = 1)]
    visits: u64,
}

fn main() {}
