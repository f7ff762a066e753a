use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    name: String,
    #[session(merge = union)]
    visits: u64,
    #[session(merge = append)]
    tags: std::collections::HashSet<String>,
    #[session(merge = or)]
    score: i32,
    #[session(merge = clear_wins)]
    token: String,
    #[session(merge = max)]
    rate: f64,
}

fn main() {}
