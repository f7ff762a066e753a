use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(since = 2, from(theme))]
    look: String,
}

fn main() {}
