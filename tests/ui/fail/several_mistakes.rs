use sessions::Session;

#[derive(Session)]
#[session(nam = "visitor", version = 2)]
struct Visitor {
    #[session(since = "2")]
    locale: String,
    #[session(owner)]
    user: Option<u64>,
    #[session(owner, group = 3)]
    account: Option<Option<u64>>,
    #[session(was(ty = String, befor = 2))]
    visits: u64,
    name: &'static str,
}

async fn home(visitor: Session<Visitor>) -> String {
    visitor.visits.to_string()
}

fn fresh() -> Visitor {
    <Visitor as sessions::SessionData>::fresh()
}

fn main() {}
