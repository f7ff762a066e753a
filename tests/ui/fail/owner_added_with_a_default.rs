use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(owner, since = 2, default = Some(1))]
    user: Option<u64>,
}

fn main() {}
