use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
#[session(removed(theme: String, before = 2, default = String::new()))]
#[session(removed(size: u8, before = 2, default = 9))]
struct Visitor {
    #[session(since = 2, from(theme, size), with = look)]
    look: (String, u8),
}

fn look(theme: String, size: u8) -> (String, u8) {
    (theme, size)
}

fn main() {}
