use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(group("plan"))]
    plan: String,
    #[session(group("plan"))]
    limit: u64,
}

fn main() {}
