use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = u32, with = |old, _| u64::from(old)))]
    total: u64,
    #[session(merge(with = |_, mine, _| Ok(*mine)))]
    best: u64,
}

fn main() {}
