use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner, merge = mine)]
    user: Option<u64>,
    #[session(group = "plan", merge = add)]
    limit: u64,
    #[session(group = "plan")]
    plan: String,
}

fn main() {}
