use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
#[session(removed(user: Option<u64>, before = 2))]
struct Visitor {
    #[session(owner, since = 2, from(user), with = to_account)]
    account: Option<String>,
}

fn to_account(id: Option<u64>) -> Option<String> {
    id.map(|id| format!("acct-{id}"))
}

fn main() {}
