//! The user's own `Result`, `Option`, `Default`, `Ok`, `Some` and `Vec` do not get in the way.

use serde::{Deserialize, Serialize};
use sessions::{Session, SessionData};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Result {
    Won,
    Lost,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Option {
    Chosen,
    Open,
}

#[derive(Serialize, Deserialize, std::default::Default)]
struct Vec(u8);

#[allow(dead_code)]
struct Default;

#[allow(dead_code)]
struct Ok;

#[allow(dead_code)]
struct Some;

#[allow(dead_code)]
struct None;

#[derive(Session)]
#[session(name = "game", version = 2)]
#[session(removed(old: u8, before = 2))]
struct Game {
    #[session(owner)]
    player: std::option::Option<u64>,
    #[session(default = Result::Lost)]
    result: Result,
    #[session(default = Option::Open)]
    option: Option,
    #[session(since = 2, from(old), with = Vec)]
    vec: Vec,
}

fn main() {
    let fresh = Game::fresh();
    assert_eq!((fresh.result, fresh.option), (Result::Lost, Option::Open));
    assert_eq!((fresh.player, fresh.vec.0), (std::option::Option::None, 0));
    let _ = (Result::Won, Option::Chosen);
    assert_eq!(Game::TABLE.owner.as_ref().unwrap().field, 0);
}
