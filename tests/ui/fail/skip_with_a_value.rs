use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(skip = true)]
    cache: Option<u64>,
}

fn main() {}
