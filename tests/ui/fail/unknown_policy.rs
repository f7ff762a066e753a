use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = unoin)]
    cart: Vec<String>,
    #[session(merge = theirs)]
    visits: u64,
}

fn main() {}
