use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner, group = "plan")]
    user: Option<u64>,
    #[session(group = "plan")]
    plan: Option<String>,
}

fn main() {}
