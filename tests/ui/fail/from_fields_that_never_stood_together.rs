use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3)]
#[session(removed(theme: String, before = 2), removed(size: u8, before = 3))]
struct Visitor {
    #[session(since = 3, from(theme, size), with = look)]
    look: String,
}

fn look(theme: String, size: u8) -> String {
    format!("{theme}, {size}")
}

fn main() {}
