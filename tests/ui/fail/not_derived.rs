use sessions::Session;

struct Visitor {
    visits: u64,
}

async fn home(_visitor: Session<Visitor>) -> &'static str {
    "hello"
}

fn main() {}
