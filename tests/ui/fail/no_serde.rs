use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(default = Money(0))]
    money: Money,
    #[session(default = vec![])]
    more: Vec<Money>,
}

struct Money(u64);

fn main() {}
