use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2, write = 1)]
#[session(changed(order, 2))]
struct Visitor {
    order: Order,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
enum Order {
    #[default]
    Open,
    Paid,
}

fn main() {}
