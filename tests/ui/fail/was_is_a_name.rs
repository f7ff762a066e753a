use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was = "hits")]
    visits: u64,
}

fn main() {}
