use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = u32, try_with = u64::from))]
    visits: u64,
}

fn main() {}
