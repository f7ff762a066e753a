use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(owner, was(before = 2, ty = Option<u64>, with = to_account))]
    user: Option<String>,
}

fn to_account(id: Option<u64>) -> Option<String> {
    id.map(|id| format!("acct-{id}"))
}

fn main() {}
