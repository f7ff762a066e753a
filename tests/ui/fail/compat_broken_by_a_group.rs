use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, compat = 1)]
struct Visitor {
    #[session(group = "owner")]
    roles: Vec<String>,
    #[session(since = 2, group = "owner")]
    rights: Vec<String>,
}

fn main() {}
