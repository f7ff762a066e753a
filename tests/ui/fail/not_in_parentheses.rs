use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session = "owner"]
    user: Option<u64>,
    #[session]
    visits: u64,
    #[session(owner = true)]
    account: u64,
    #[session(since)]
    pages: u64,
}

fn main() {}
