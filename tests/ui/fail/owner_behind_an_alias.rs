use sessions::Session;

type MaybeUser = Option<u64>;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: MaybeUser,
}

fn main() {}
