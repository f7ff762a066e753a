use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    name: &'static str,
    tags: Vec<&'static str>,
}

fn main() {}
