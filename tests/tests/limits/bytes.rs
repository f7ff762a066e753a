//! How many bytes a session takes in its cookie and in its record: a guard that no machine's noise
//! reaches.

use sessions::provider::Provider as _;
use sessions::{MemoryProvider, Session, Store};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    user: u64,
    name: String,
    mail: String,
    seen: Vec<u64>,
}

/// What the fields' values take in CBOR: 1 byte, 13, 16, and 1 + 8.
const VALUES: usize = 39;

/// Their keys, each with a byte in front, the number of fields, and the envelope's version.
const KEYS: usize = 22;

#[tokio::test]
async fn a_session_takes_few_bytes() {
    let provider = MemoryProvider::new();
    let store = Store::new(provider.clone());
    let mut jar = Jar::new();
    let mut lengths = Vec::new();
    for user in 1..=12 {
        let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
        if user == 1 {
            visitor.name = "Ada Lovelace".to_owned();
            visitor.mail = "ada@example.com".to_owned();
            visitor.seen = (0..8).collect();
        }
        visitor.user = user;
        let commit = visitor.commit().await.unwrap();
        if let Some(set_cookie) = commit.set_cookie() {
            let set_cookie = set_cookie.to_str().unwrap();
            let (cookie, attributes) = set_cookie.split_once(';').unwrap();
            let token = cookie.strip_prefix("__Host-visitor=").unwrap();
            assert_eq!(token.len(), 110, "{cookie}");
            assert!(attributes.len() <= 60, "{attributes}");
        }
        jar.keep(&commit);
        let key = visitor.key().unwrap();
        let record = provider.fetch(key.as_str(), std::time::SystemTime::now()).await.unwrap();
        lengths.push(record.unwrap().data.len());
    }
    // Two versions, the time of creation, the saves' ids, the secret's hash and time, no secret
    // before it, no ticket and no mark, and what later builds may add.
    let saves = |saves: usize| (if saves > 2 { 2 } else { 1 }) + 8 * saves;
    let header = |count: usize| 2 + 9 + saves(count) + 17 + 9 + 3 + 1;
    for (at, length) in lengths.iter().enumerate() {
        let most = VALUES + KEYS + header((at + 1).min(8));
        assert!(*length <= most, "{length} bytes after {} saves, at most {most}", at + 1);
    }
}
