use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 3, write = 1)]
#[session(removed(name: String, before = 3, default = String::new()))]
struct Visitor {
    #[session(since = 2, from(name), with = first_word, back = String::from)]
    nickname: String,
}

fn first_word(name: String) -> String {
    name.split(' ').next().unwrap_or_default().to_owned()
}

fn main() {}
