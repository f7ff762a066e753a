//! Messages that are shown once, beside other requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use sessions::{Flash, MemoryProvider, Session, Store, commit::Outcome};
use sessions_tests::jar::Jar;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Notice {
    Saved,
    Failed { code: u16 },
}

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    notices: Flash<Notice>,
    words: Flash<String>,
}

async fn visitor(store: &Store) -> HeaderMap {
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.words.push("start".to_owned());
    let commit = visitor.commit().await.unwrap();
    Jar::of(&commit).into_headers()
}

#[tokio::test]
async fn pushed_in_one_request_and_read_once_in_the_next() {
    let store = Store::new(MemoryProvider::new());
    let cookies = visitor(&store).await;

    let mut first = store.load::<Visitor>(&cookies).await.unwrap();
    first.notices.push(Notice::Saved);
    first.notices.push(Notice::Failed { code: 3 });
    let _ = first.commit().await.unwrap();

    let mut second = store.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!(second.notices.peek().count(), 2);
    assert_eq!(second.notices.take(), [Notice::Saved, Notice::Failed { code: 3 }]);
    let _ = second.commit().await.unwrap();

    let mut third = store.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!(third.notices.take(), []);
    assert_eq!(third.commit().await.unwrap().outcome(), Outcome::Unchanged);
}

#[tokio::test]
async fn a_message_pushed_beside_a_reader_stays_for_the_next() {
    let store = Store::new(MemoryProvider::new());
    let cookies = visitor(&store).await;
    let mut reader = store.load::<Visitor>(&cookies).await.unwrap();
    let mut writer = store.load::<Visitor>(&cookies).await.unwrap();
    writer.words.push("start".to_owned());
    assert_eq!(reader.words.take(), ["start"]);
    writer.save().await.unwrap();
    reader.save().await.unwrap();
    let mut next = store.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!(next.words.take(), ["start"], "the same words, another message");
}

#[tokio::test]
async fn two_readers_at_once_never_leave_a_message_to_be_shown_again() {
    let store = Store::new(MemoryProvider::new());
    let cookies = visitor(&store).await;
    let mut one = store.load::<Visitor>(&cookies).await.unwrap();
    let mut other = store.load::<Visitor>(&cookies).await.unwrap();
    assert_eq!(one.words.take(), ["start"]);
    assert_eq!(other.words.take(), ["start"]);
    one.save().await.unwrap();
    other.save().await.unwrap();
    assert!(store.load::<Visitor>(&cookies).await.unwrap().words.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn none_of_many_is_lost_whoever_reads() {
    let store = Store::new(MemoryProvider::new());
    let cookies = visitor(&store).await;
    let shown = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let tasks: Vec<_> = (0..40)
        .map(|task| {
            let (store, cookies, shown) = (store.clone(), cookies.clone(), shown.clone());
            tokio::spawn(async move {
                let mut visitor = store.load::<Visitor>(&cookies).await.unwrap();
                if task % 4 == 0 {
                    for word in visitor.words.take() {
                        *shown.lock().unwrap().entry(word).or_default() += 1;
                    }
                } else {
                    visitor.words.push(format!("message {task}"));
                }
                visitor.save().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut last = store.load::<Visitor>(&cookies).await.unwrap();
    let mut shown = shown.lock().unwrap().clone();
    for word in last.words.take() {
        assert!(!shown.contains_key(&word), "{word} was taken and is there again");
        shown.insert(word, 1);
    }
    assert_eq!(shown.len(), 31, "{shown:?}");
}
