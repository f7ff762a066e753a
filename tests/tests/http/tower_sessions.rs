//! tower-sessions and axum-login over our providers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use sessions::provider::Provider;
use sessions::tower_sessions::ProviderStore;
use sessions::{MemoryProvider, clock::ManualClock};
use sessions_sqlite::SqliteProvider;
use sessions_tests::browser::Browser;
use sessions_tests::events::Events;
use sessions_tests::hooked::{Calls, watched};
use sessions_tests::server::Server;
use tower_sessions::cookie::time;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error as StoreError, ExpiredDeletion as _};
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};
use tracing::Level;

async fn visit(session: Session) -> String {
    let visits = session.get::<u32>("visits").await.unwrap().unwrap_or(0) + 1;
    session.insert("visits", visits).await.unwrap();
    visits.to_string()
}

async fn renew(session: Session) -> &'static str {
    session.cycle_id().await.unwrap();
    "renewed"
}

async fn flush(session: Session) -> &'static str {
    session.flush().await.unwrap();
    "bye"
}

fn app(store: impl SessionStore + Clone) -> Router {
    let expiry = Expiry::OnInactivity(time::Duration::hours(1));
    Router::new()
        .route("/visit", get(visit))
        .route("/renew", post(renew))
        .route("/flush", post(flush))
        .layer(SessionManagerLayer::new(store).with_expiry(expiry))
}

/// What a session goes through, on any provider.
async fn lives_its_life(provider: impl Provider) {
    let clock = ManualClock::new(SystemTime::now());
    let store = ProviderStore::new(provider).clock(clock.clone());
    let server = Server::start(app(store)).await;
    let mut browser = Browser::new(server.address);
    assert_eq!(browser.get("/visit").await.body, "1");
    assert_eq!(browser.get("/visit").await.body, "2");
    let mut other = Browser::new(server.address);
    assert_eq!(other.get("/visit").await.body, "1");

    let before = browser.jar.clone();
    assert_eq!(browser.post("/renew", "").await.body, "renewed");
    assert_ne!(browser.jar, before);
    let mut thief = Browser::new(server.address);
    thief.jar = before;
    assert_eq!(thief.get("/visit").await.body, "1", "the old id is nobody's");
    assert_eq!(browser.get("/visit").await.body, "3");

    let mut copy = browser.clone();
    assert_eq!(browser.post("/flush", "").await.body, "bye");
    assert!(browser.jar.is_empty());
    assert_eq!(copy.get("/visit").await.body, "1");

    clock.advance(Duration::from_secs(59 * 60));
    assert_eq!(other.get("/visit").await.body, "2");
    clock.advance(Duration::from_secs(2 * 60 * 60));
    assert_eq!(other.get("/visit").await.body, "1", "it has expired");
}

#[tokio::test]
async fn a_session_in_memory_lives_its_life() {
    lives_its_life(MemoryProvider::new()).await;
}

#[tokio::test]
async fn a_session_in_sqlite_lives_its_life() {
    let folder = tempfile::tempdir().unwrap();
    lives_its_life(sqlite(&folder.path().join("sessions.db")).await).await;
}

async fn sqlite(path: &Path) -> SqliteProvider {
    let provider = SqliteProvider::open(path).await.unwrap();
    provider.create_table().await.unwrap();
    provider
}

#[tokio::test]
async fn a_session_survives_a_restart_and_its_id_is_nowhere_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let server = Server::start(app(ProviderStore::new(sqlite(&path).await))).await;
    let mut browser = Browser::new(server.address);
    assert_eq!(browser.get("/visit").await.body, "1");
    drop(server);
    let server = Server::start(app(ProviderStore::new(sqlite(&path).await))).await;
    let mut browser = browser.at(server.address);
    assert_eq!(browser.get("/visit").await.body, "2");

    let id = browser.jar.value("id").to_owned();
    let raw = id.parse::<Id>().unwrap().0;
    let mut stored = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |part: &[u8]| stored.windows(part.len()).any(|window| window == part);
    assert!(holds(b"tower-sessions/1") && holds(br#"{"visits":2}"#), "these are its records");
    for part in [id.as_bytes(), &raw.to_le_bytes(), &raw.to_be_bytes(), raw.to_string().as_bytes()]
    {
        assert!(!holds(part), "the file holds the id");
    }
}

fn record(id: i128, visits: u32) -> Record {
    let data = HashMap::from([("visits".to_owned(), visits.into())]);
    let expiry_date = time::OffsetDateTime::now_utc() + time::Duration::hours(1);
    Record { id: Id(id), data, expiry_date }
}

#[tokio::test]
async fn an_id_that_is_taken_is_given_to_nobody_else() {
    let store = ProviderStore::new(MemoryProvider::new());
    let (mut first, mut second) = (record(7, 1), record(7, 2));
    store.create(&mut first).await.unwrap();
    store.create(&mut second).await.unwrap();
    assert_eq!(first.id, Id(7));
    assert_ne!(second.id, Id(7));
    for stored in [first, second] {
        let loaded = store.load(&stored.id).await.unwrap().expect("it was created");
        assert_eq!((loaded.id, loaded.data), (stored.id, stored.data));
        assert!((loaded.expiry_date - stored.expiry_date).abs() < time::Duration::milliseconds(1));
    }
}

#[tokio::test]
async fn apps_do_not_see_each_others_sessions() {
    let provider = Arc::new(MemoryProvider::new());
    let [shop, blog] = ["shop", "blog"].map(|app| ProviderStore::new(provider.clone()).app(app));
    shop.create(&mut record(7, 1)).await.unwrap();
    assert_eq!(blog.load(&Id(7)).await.unwrap(), None);
    assert!(shop.clone().load(&Id(7)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_session_that_was_deleted_is_not_revived_by_a_late_save() {
    let events = Events::capture(Level::WARN);
    let store = ProviderStore::new(MemoryProvider::new());
    let mut session = record(7, 1);
    store.create(&mut session).await.unwrap();
    store.delete(&session.id).await.unwrap();
    store.save(&session).await.unwrap();
    assert_eq!(store.load(&session.id).await.unwrap(), None);
    let lines = events.take();
    assert!(lines.len() == 1 && lines[0].contains("changes dropped"), "{lines:?}");
    // Nor is there anything to be deleted twice.
    store.delete(&session.id).await.unwrap();
}

/// The trait carries no version: the lock does not come with it.
#[tokio::test]
async fn of_two_saves_the_later_one_overwrites_the_earlier() {
    let store = ProviderStore::new(MemoryProvider::new());
    let mut session = record(7, 0);
    store.create(&mut session).await.unwrap();
    let mut one = store.load(&session.id).await.unwrap().unwrap();
    let mut two = store.load(&session.id).await.unwrap().unwrap();
    one.data.insert("one".to_owned(), 1.into());
    two.data.insert("two".to_owned(), 2.into());
    store.save(&one).await.unwrap();
    store.save(&two).await.unwrap();
    assert_eq!(store.load(&session.id).await.unwrap().unwrap().data, two.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn saves_at_the_same_time_all_end_and_one_of_them_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = ProviderStore::new(sqlite(&folder.path().join("sessions.db")).await);
    let mut session = record(7, 0);
    store.create(&mut session).await.unwrap();
    let saves = (1..=32).map(|visits| {
        let store = store.clone();
        tokio::spawn(async move { store.save(&record(7, visits)).await })
    });
    for save in saves.collect::<Vec<_>>() {
        save.await.unwrap().unwrap();
    }
    let stored = store.load(&session.id).await.unwrap().unwrap();
    assert!((1..=32).any(|visits| stored.data == record(7, visits).data), "{stored:?}");
}

#[tokio::test]
async fn each_call_costs_what_the_documentation_says() {
    let (provider, watch) = watched(MemoryProvider::new());
    let store = ProviderStore::new(provider);
    let mut session = record(7, 1);
    store.create(&mut session).await.unwrap();
    assert_eq!(watch.take(), Calls { save: 1, ..Calls::default() });
    store.load(&session.id).await.unwrap();
    assert_eq!(watch.take(), Calls { fetch: 1, ..Calls::default() });
    store.save(&session).await.unwrap();
    assert_eq!(watch.take(), Calls { fetch: 1, save: 1, ..Calls::default() });
    store.delete(&session.id).await.unwrap();
    assert_eq!(watch.take(), Calls { delete: 1, ..Calls::default() });

    watch.set_down(true);
    let error = store.load(&session.id).await.unwrap_err();
    assert!(matches!(&error, StoreError::Backend(text) if text.contains("switched off")));
    assert!(matches!(store.create(&mut session).await, Err(StoreError::Backend(_))));
    assert!(matches!(store.save(&session).await, Err(StoreError::Backend(_))));
    assert!(matches!(store.delete(&session.id).await, Err(StoreError::Backend(_))));
    assert!(matches!(store.delete_expired().await, Err(StoreError::Backend(_))));
}

#[tokio::test]
async fn expired_sessions_are_deleted_and_live_ones_stay() {
    let provider = Arc::new(MemoryProvider::new());
    let clock = ManualClock::new(SystemTime::now());
    let store = ProviderStore::new(provider.clone()).clock(clock.clone());
    // More than one batch.
    for id in 0..1_500 {
        store.create(&mut record(id, 1)).await.unwrap();
    }
    store.delete_expired().await.unwrap();
    assert_eq!(provider.len(), 1_500);
    clock.advance(Duration::from_secs(2 * 60 * 60));
    let mut late = record(-1, 1);
    late.expiry_date += time::Duration::hours(9);
    store.create(&mut late).await.unwrap();
    store.delete_expired().await.unwrap();
    assert!(store.load(&late.id).await.unwrap().is_some());
    assert_eq!(provider.len(), 1);
}

#[tokio::test]
async fn a_record_that_is_no_json_is_an_error_and_stays() {
    // The provider is seen through a store of its own, so that the test need not know the id.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = ProviderStore::new(sqlite(&path).await);
    let mut session = record(7, 1);
    store.create(&mut session).await.unwrap();
    let pool = sessions_sqlite::sqlx::SqlitePool::connect_with(SqliteProvider::options(&path));
    let pool = pool.await.unwrap();
    let spoil = "UPDATE sessions SET data = x'00'";
    sessions_sqlite::sqlx::query(spoil).execute(&pool).await.unwrap();
    let error = store.load(&session.id).await.unwrap_err();
    assert!(matches!(error, StoreError::Decode(_)), "{error:?}");
}

#[derive(Clone, Debug)]
struct User {
    id: u64,
    password: Vec<u8>,
}

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        &self.password
    }
}

#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = std::convert::Infallible;

    async fn authenticate(&self, password: String) -> Result<Option<User>, Self::Error> {
        let user = User { id: 7, password: b"secret".to_vec() };
        Ok(Some(user).filter(|user| user.password == password.as_bytes()))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Self::Error> {
        Ok(Some(User { id: *id, password: b"secret".to_vec() }))
    }
}

async fn login(mut auth: AuthSession<Users>, password: String) -> StatusCode {
    match auth.authenticate(password).await.unwrap() {
        Some(user) => {
            auth.login(&user).await.unwrap();
            StatusCode::NO_CONTENT
        }
        None => StatusCode::UNAUTHORIZED,
    }
}

async fn logout(mut auth: AuthSession<Users>) -> StatusCode {
    auth.logout().await.unwrap();
    StatusCode::NO_CONTENT
}

async fn account(auth: AuthSession<Users>) -> String {
    format!("user {}", auth.user.expect("the route requires a login").id)
}

/// axum-login 0.18 is built on tower-sessions 0.14.
#[tokio::test]
async fn axum_login_logs_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = ProviderStore::new(sqlite(&folder.path().join("sessions.db")).await);
    let sessions = axum_login::tower_sessions::SessionManagerLayer::new(store);
    let app = Router::new()
        .route("/account", get(account))
        .route_layer(axum_login::login_required!(Users))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(AuthManagerLayerBuilder::new(Users, sessions).build());
    let server = Server::start(app).await;
    let mut browser = Browser::new(server.address);
    assert_eq!(browser.get("/account").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.post("/login", "guess").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.post("/login", "secret").await.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get("/account").await.body, "user 7");
    let mut copy = browser.clone();
    assert_eq!(browser.post("/logout", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get("/account").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(copy.get("/account").await.status, StatusCode::UNAUTHORIZED);
}
