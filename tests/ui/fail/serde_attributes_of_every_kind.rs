use serde::{Deserialize, Serialize};
use sessions::Session;

#[derive(Serialize, Deserialize, Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[serde(rename = "login", default)]
    name: String,
    #[serde(alias = "hits")]
    visits: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    cart: Vec<String>,
    #[serde(flatten)]
    rest: Rest,
    #[serde(with = "text")]
    total: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Rest {
    theme: String,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        u64::deserialize(deserializer)
    }
}

fn main() {}
