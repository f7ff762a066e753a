//! A raw identifier is stored under its plain name.

use sessions::{Session, SessionData};

#[derive(Session)]
#[session(name = "type", version = 2)]
#[session(removed(r#fn: u8, before = 2))]
struct r#Type {
    r#type: String,
    #[session(since = 2, from(r#fn), with = r#match)]
    r#loop: u64,
    #[session(default = 3)]
    r#if: u64,
}

fn r#match(old: u8) -> u64 {
    old.into()
}

fn main() {
    let fresh = r#Type::fresh();
    assert_eq!((fresh.r#type.as_str(), fresh.r#loop, fresh.r#if), ("", 0, 3));
    let keys: Vec<_> = r#Type::SCHEMA.versions[1].fields.iter().map(|field| field.key).collect();
    assert_eq!(keys, ["type", "loop", "if"]);
    assert_eq!(r#Type::SCHEMA.versions[0].fields[2].key, "fn");
}
