use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, name = "hits"), was(before = 2, name = "views"))]
    visits: u64,
}

fn main() {}
