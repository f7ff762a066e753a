use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor<'a> {
    name: &'a str,
}

fn main() {}
