use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(removed(before = 2))]
    theme: String,
}

fn main() {}
