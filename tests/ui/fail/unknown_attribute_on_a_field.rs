use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(rename = "hits")]
    visits: u64,
    #[session(defualt = 1)]
    pages: u64,
}

fn main() {}
