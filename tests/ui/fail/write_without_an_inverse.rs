use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(was(before = 2, ty = String, with = length))]
    visits: usize,
}

fn length(old: String) -> usize {
    old.len()
}

fn main() {}
