use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = u32, with = "u64::from"))]
    total: u64,
}

fn main() {}
