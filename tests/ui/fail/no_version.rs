use sessions::Session;

#[derive(Session)]
#[session(name = "visitor")]
struct Visitor {
    visits: u64,
}

fn main() {}
