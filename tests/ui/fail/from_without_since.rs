use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(from(theme), with = look)]
    look: String,
}

fn look(theme: String) -> String {
    theme
}

fn main() {}
