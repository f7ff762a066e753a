use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(key = "last-visit")]
    last_visit: u64,
    #[allow(non_snake_case)]
    lastPage: String,
}

fn main() {}
