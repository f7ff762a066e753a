//! No loss is silent: what a save overwrote of another's is told in an event.

use http::header::HeaderMap;
use sessions::{MemoryProvider, Session, Store};
use sessions_tests::events::Events;
use sessions_tests::jar::Jar;
use tracing::Level;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    theme: String,
    language: String,
    #[session(merge = add)]
    visits: u32,
}

async fn two() -> (Session<Visitor>, Session<Visitor>) {
    let store = Store::new(MemoryProvider::new());
    let mut first = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    first.theme = "light".to_owned();
    let commit = first.commit().await.unwrap();
    let cookies = Jar::of(&commit).into_headers();
    (store.load(&cookies).await.unwrap(), store.load(&cookies).await.unwrap())
}

#[tokio::test]
async fn an_overwritten_field_is_named_and_counted() {
    let events = Events::capture(Level::WARN);
    let (mut one, mut other) = two().await;
    one.theme = "SECRET one".to_owned();
    one.visits += 1;
    other.theme = "SECRET other".to_owned();
    other.language = "de".to_owned();
    other.visits += 1;
    one.save().await.unwrap();
    assert_eq!(events.take(), [""; 0], "nothing was overwritten yet");
    other.save().await.unwrap();
    let [line] = &events.take()[..] else { panic!("one event") };
    assert!(line.contains("overwriting fields"), "{line}");
    assert!(line.contains(r#"overwritten=["theme"]"#) && line.contains("count=1"), "{line}");
    assert!(!line.contains("SECRET"), "{line}");
}

#[tokio::test]
async fn a_merge_that_keeps_everything_is_no_warning() {
    let events = Events::capture(Level::WARN);
    let (mut one, mut other) = two().await;
    one.theme = "dark".to_owned();
    one.visits += 1;
    other.language = "de".to_owned();
    other.visits += 1;
    one.save().await.unwrap();
    other.save().await.unwrap();
    assert_eq!(events.take(), [""; 0]);
    assert_eq!((other.theme.as_str(), other.visits), ("dark", 2));
}
