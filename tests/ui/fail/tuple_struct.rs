use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor(u64, String);

fn main() {}
