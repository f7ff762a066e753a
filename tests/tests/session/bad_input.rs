//! Damaged and alien records: a clear error, never a panic, and the record stays as it was.

use http::header::HeaderMap;
use sessions::provider::{Bytes, Expect, Provider as _, Record};
use sessions::{Error, MemoryProvider, Session, Store};
use sessions_tests::jar::Jar;

#[derive(Debug, Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    name: String,
    visits: u64,
    cart: Vec<String>,
}

struct Saved {
    provider: MemoryProvider,
    store: Store,
    jar: Jar,
    record: Record,
}

async fn saved() -> Saved {
    let provider = MemoryProvider::new();
    let store = Store::new(provider.clone());
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.name = "Ada".to_owned();
    visitor.visits = 300;
    visitor.cart = vec!["tea".to_owned(); 3];
    let commit = visitor.commit().await.unwrap();
    let id = visitor.key().unwrap().to_string();
    let record = provider.fetch(&id, std::time::SystemTime::now()).await.unwrap().unwrap();
    Saved { provider, store, jar: Jar::of(&commit), record }
}

impl Saved {
    /// Loads the session from a record that holds `data` instead; the record must stay.
    async fn load(&self, data: impl Into<Bytes>) -> Result<Session<Visitor>, Error> {
        let record = Record { data: data.into(), ..self.record.clone() };
        let now = std::time::SystemTime::now();
        self.provider.save(&record, Expect::Any, now).await.unwrap();
        let loaded = self.store.load::<Visitor>(self.jar.headers()).await;
        let after = self.provider.fetch(&record.id, now).await.unwrap();
        assert_eq!(after, Some(record), "the record must stay as it was");
        loaded
    }
}

#[tokio::test]
async fn every_truncation_is_an_error_that_names_the_session() {
    let saved = saved().await;
    let whole = saved.record.data.clone();
    for end in 0..whole.len() {
        let error = saved.load(whole.slice(..end)).await.expect_err("half a record");
        assert!(matches!(error, Error::Decode { .. }), "{end}: {error:?}");
        assert!(error.to_string().contains("visitor"), "{end}: {error}");
    }
    assert_eq!(saved.load(whole).await.unwrap().visits, 300);
}

#[tokio::test]
async fn every_flipped_bit_is_an_error_or_another_value_never_a_panic() {
    let saved = saved().await;
    let whole = saved.record.data.to_vec();
    for at in 0..whole.len() * 8 {
        let mut data = whole.clone();
        data[at / 8] ^= 1 << (at % 8);
        match saved.load(data).await {
            Ok(_) | Err(Error::Decode { .. } | Error::NewerSchema { .. }) => {}
            Err(error) => panic!("bit {at}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn alien_records_are_errors() {
    let saved = saved().await;
    for alien in [&b"{\"json\": true}"[..], b"\0", b"\0\0\0\0", &[0xff; 64], &[0x9f; 10_000]] {
        let error = saved.load(alien).await.expect_err("an alien record");
        assert!(matches!(error, Error::Decode { .. }), "{error:?}");
        assert!(!error.is_unavailable());
    }
}

#[tokio::test]
async fn logging_out_works_whatever_the_record_holds() {
    let saved = saved().await;
    assert!(saved.load(&b"\xff"[..]).await.is_err());
    let commit = saved.store.destroy::<Visitor>(saved.jar.headers()).await.unwrap();
    assert!(commit.set_cookie().unwrap().to_str().unwrap().contains("Max-Age=0"));
    let now = std::time::SystemTime::now();
    assert_eq!(saved.provider.fetch(&saved.record.id, now).await.unwrap(), None);
}

#[tokio::test]
async fn logging_out_in_a_router_works_whatever_the_record_holds() {
    use axum::extract::Extension;
    use axum::routing::{get, post};
    use sessions::request::RequestSessions;
    use sessions_tests::browser::Browser;
    use sessions_tests::server::Server;

    async fn logout(
        Extension(sessions): Extension<RequestSessions>,
        headers: HeaderMap,
    ) -> Result<(), Error> {
        sessions.destroy::<Visitor>(&headers).await
    }

    let saved = saved().await;
    assert!(saved.load(&b"\xff"[..]).await.is_err());
    let app = axum::Router::new()
        .route("/", get(async |visitor: Session<Visitor>| visitor.name.clone()))
        .route("/logout", post(logout))
        .layer(sessions::axum::SessionLayer::new(saved.store.clone()));
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    browser.jar = saved.jar;
    assert_eq!(browser.get("/").await.status, 500);
    assert_eq!(browser.post("/logout", "").await.status, 200);
    assert!(browser.jar.is_empty());
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test]
async fn an_unreadable_record_is_a_fresh_session_where_the_app_opts_in() {
    let saved = saved().await;
    assert!(saved.load(&b"\x01\xff"[..]).await.is_err());
    let store = Store::builder(saved.provider.clone()).reset_unreadable(true).build().unwrap();
    let mut visitor = store.load::<Visitor>(saved.jar.headers()).await.unwrap();
    assert!(visitor.is_new());
    visitor.visits = 1;
    visitor.save().await.unwrap();
    let now = std::time::SystemTime::now();
    let record = saved.provider.fetch(&saved.record.id, now).await.unwrap().unwrap();
    assert_eq!(&record.data[..], b"\x01\xff", "the record stays as it was");
    assert_ne!(visitor.key().unwrap().as_str(), &*record.id);
}

#[tokio::test]
async fn two_types_of_one_name_are_told_apart_before_they_read_each_other() {
    mod other {
        #[derive(sessions::Session)]
        #[session(name = "visitor", version = 1)]
        pub(super) struct Visitor {
            pub(super) name: u64,
        }
    }

    let saved = saved().await;
    let error = match saved.store.load::<other::Visitor>(saved.jar.headers()).await {
        Ok(visitor) => panic!("read {}", visitor.name),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Misuse(_)), "{error:?}");
    assert!(error.to_string().contains("two session types are named \"visitor\""), "{error}");
    assert_eq!(saved.store.load::<Visitor>(saved.jar.headers()).await.unwrap().visits, 300);
}
