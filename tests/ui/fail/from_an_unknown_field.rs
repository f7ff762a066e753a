use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(theme: String, before = 2))]
struct Visitor {
    #[session(since = 2, from(them, colour), with = look)]
    look: String,
}

fn look(theme: String, colour: String) -> String {
    theme + &colour
}

fn main() {}
