use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    locale: Option<Option<String>>,
    tags: Vec<Option<Option<u8>>>,
}

fn main() {}
