#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    visits: u32,
    #[session(default = vec!["welcome".to_owned()])]
    cart: Vec<String>,
    #[session(skip)]
    cache: Option<Rendered>,
}
