use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge(with = newer))]
    name: String,
}

fn newer(mine: &String, _theirs: &String) -> String {
    mine.clone()
}

fn main() {}
