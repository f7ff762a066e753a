use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(skip)]
    locale: Locale,
}

enum Locale {
    En,
    De,
}

fn main() {}
