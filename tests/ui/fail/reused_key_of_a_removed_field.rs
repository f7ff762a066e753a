use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(since = 3)]
    theme: u8,
}

fn main() {}
