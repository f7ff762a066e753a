use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(since = "2")]
    locale: String,
}

fn main() {}
