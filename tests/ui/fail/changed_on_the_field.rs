use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(changed(2))]
    order: Order,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
enum Order {
    #[default]
    Open,
    Paid,
}

fn main() {}
