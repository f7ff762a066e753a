use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
enum Visitor {
    Guest,
    Member { user: u64 },
}

fn main() {}
