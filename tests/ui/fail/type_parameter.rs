use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor<T> {
    cart: Vec<T>,
}

fn main() {}
