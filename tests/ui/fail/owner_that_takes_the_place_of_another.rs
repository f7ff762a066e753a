use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(user: u64, before = 2))]
struct Visitor {
    #[session(owner, since = 2)]
    account: Option<u64>,
}

fn main() {}
