use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
#[session(merge = add)]
struct Visitor {
    visits: u64,
}

fn main() {}
