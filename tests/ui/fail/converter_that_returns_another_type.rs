use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = String, with = String::into_bytes))]
    total: u64,
}

fn main() {}
