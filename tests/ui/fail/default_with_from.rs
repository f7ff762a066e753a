use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(since = 2, from(theme), with = Into::into, default = Box::from("dark"))]
    look: Box<str>,
}

fn main() {}
