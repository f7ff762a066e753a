use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
#[session(group("plans", merge = mine))]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(group = "onwer")]
    roles: Vec<String>,
    #[session(group = "plan")]
    plan: String,
    #[session(group = "plan")]
    limit: u64,
}

fn main() {}
