use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = String, with = count, try_with = str::parse))]
    visits: usize,
}

fn count(old: String) -> usize {
    old.len()
}

fn main() {}
