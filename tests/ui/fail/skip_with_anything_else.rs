use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(skip, key = "views", merge = mine, default = 1)]
    visits: u64,
}

fn main() {}
