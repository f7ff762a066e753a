use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner = "user_id")]
    user: Option<u64>,
}

fn main() {}
