use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(since = 2, with = count)]
    visits: usize,
}

fn count(old: String) -> usize {
    old.len()
}

fn main() {}
