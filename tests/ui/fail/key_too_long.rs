use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    visits: u64,
}

fn main() {}
