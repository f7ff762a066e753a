use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(rename = "login")]
    name: String,
    #[session(skip_serializing)]
    secret: String,
    #[session(flatten)]
    rest: Vec<u8>,
    #[session(alias = "hits")]
    visits: u64,
}

fn main() {}
