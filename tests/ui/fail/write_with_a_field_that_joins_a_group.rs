use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "owner", since = 2)]
    roles: Vec<String>,
}

fn main() {}
