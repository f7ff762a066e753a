use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = String, with = length))]
    visits: u64,
}

fn length(old: &str) -> u64 {
    old.len() as u64
}

fn main() {}
