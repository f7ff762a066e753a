use sessions::Session;

#[derive(Session)]
#[session(name = "visitor", version = 2)]
struct Visitor {
    #[session(was(before = 2, ty = String, with = Cents::parse))]
    total: Cents,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Cents(u64);

impl Cents {
    fn parse(text: String) -> Result<Self, std::num::ParseIntError> {
        text.parse().map(Self)
    }

    fn print(self) -> String {
        self.0.to_string()
    }
}

fn main() {}
