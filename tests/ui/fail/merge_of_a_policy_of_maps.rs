use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    cart: std::collections::BTreeMap<u64, String>,
}

fn main() {}
