use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(default("en"))]
    locale: String,
}

fn main() {}
