use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, changed(user, 2))]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
}

fn main() {}
