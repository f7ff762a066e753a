use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = Money, with = cents))]
    money: u64,
}

struct Money(u64);

fn cents(money: Money) -> u64 {
    money.0
}

fn main() {}
