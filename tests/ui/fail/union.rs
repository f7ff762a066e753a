use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
union Visitor {
    user: u64,
    guest: u32,
}

fn main() {}
