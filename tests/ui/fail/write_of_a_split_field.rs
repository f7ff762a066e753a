use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
#[session(removed(name: String, before = 2, default = String::from("?")))]
struct Visitor {
    #[session(since = 2, from(name), with = first_word)]
    first_name: String,
    #[session(since = 2, from(name), with = last_word)]
    last_name: String,
}

fn first_word(name: String) -> String {
    name.split(' ').next().unwrap_or_default().to_owned()
}

fn last_word(name: String) -> String {
    name.rsplit(' ').next().unwrap_or_default().to_owned()
}

fn main() {}
