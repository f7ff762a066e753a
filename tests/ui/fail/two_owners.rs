use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(owner)]
    account: Option<u64>,
}

fn main() {}
