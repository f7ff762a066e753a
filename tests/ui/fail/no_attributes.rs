use sessions::Session;

#[derive(Session)]
struct ShopVisitor {
    visits: u64,
}

fn main() {}
