//! What happens to sessions: everything that a store and a layer can tell of.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use sessions::axum::SessionLayer;
use sessions::provider::{
    Deleted, Expect, Page, Provider, ProviderError, Record, Saved, Touched, async_trait,
};
use sessions::testing::{Call, TestStore};
use sessions::{
    Flash, MemoryProvider, Session, SessionData, Store,
    commit::{Commit, Outcome},
    keys::LocalKey,
    request::RequestSessions,
};
use tower::ServiceExt as _;

use crate::world::World;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
pub(crate) struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
    pub(crate) theme: String,
    #[session(merge = conflict)]
    seat: String,
    notices: Flash<String>,
}

/// A session of another kind, whose keys are no visitor's.
#[derive(Session)]
#[session(name = "basket", version = 1)]
struct Basket {
    items: Vec<String>,
}

const OWNER: &str = "SECRET-OWNER-ada@example.com";
const THEME: &str = "SECRET-THEME";
const OTHER_THEME: &str = "SECRET-OTHER-THEME";
const SEAT: &str = "SECRET-SEAT";
const FLASH: &str = "SECRET-FLASH";
const LABEL: &str = "SECRET-LABEL";

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A visitor who has stored something, and is not logged in.
pub(crate) fn visitor(theme: &str) -> Visitor {
    let (theme, seat) = (theme.to_owned(), SEAT.to_owned());
    Visitor { user: None, visits: 1, theme, seat, notices: Flash::new() }
}

pub(crate) fn member() -> Visitor {
    Visitor { user: Some(OWNER.to_owned()), ..visitor(THEME) }
}

fn words(world: &mut World) {
    for word in [OWNER, THEME, OTHER_THEME, SEAT, FLASH, LABEL] {
        world.secrets.word(word);
    }
}

fn headers(world: &mut World, cookie: &str) -> HeaderMap {
    world.secrets.token(cookie);
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
}

/// The cookie that a commit sets, as the browser brings it.
fn of_commit(world: &mut World, commit: &Commit) -> HeaderMap {
    world.debug(commit);
    let cookie = commit.set_cookie().unwrap().to_str().unwrap();
    let pair = cookie.split(';').next().unwrap().to_owned();
    headers(world, &pair)
}

pub(crate) async fn load(store: &Store, headers: &HeaderMap) -> Session<Visitor> {
    store.load(headers).await.unwrap()
}

/// A session's life: saved, merged, renewed, touched, ended in every way.
pub(crate) async fn visitors(world: &mut World) {
    words(world);
    let test = TestStore::with(|builder| builder.max_sessions_per_owner(2));
    let store = test.store();
    world.debug(&(&test, &store, &store.codec(), Store::builder(MemoryProvider::new())));

    let mut session = load(&store, &HeaderMap::new()).await;
    session.theme = THEME.to_owned();
    session.notices.push(FLASH.to_owned());
    session.set_label(LABEL);
    session.remember(1_000 * DAY);
    let commit = session.commit().await.unwrap();
    let anonymous = of_commit(world, &commit);

    // Others come first: one merges, one overwrites, one is refused.
    test.conflict::<Visitor>(|other| other.visits += 1);
    session.visits += 1;
    let _ = session.commit().await.unwrap();
    test.conflict::<Visitor>(|other| other.theme = THEME.to_owned() + "!");
    session.theme = OTHER_THEME.to_owned();
    let _ = session.commit().await.unwrap();
    test.conflict::<Visitor>(|other| other.seat = SEAT.to_owned() + "!");
    session.seat = SEAT.to_owned();
    world.error(&session.commit().await.unwrap_err());

    // Logged in, while another request still has the old cookie.
    let mut late = load(&store, &anonymous).await;
    let mut session = load(&store, &anonymous).await;
    assert_eq!(session.notices.take(), [FLASH]);
    session.user = Some(OWNER.to_owned());
    let commit = session.commit().await.unwrap();
    let cookie = of_commit(world, &commit);
    late.visits += 1;
    world.error(&late.commit().await.unwrap_err());
    world.error(&late.reload().await.unwrap_err());
    assert!(load(&store, &anonymous).await.is_new());
    world.debug(&(session.key(), session.log_id(), session.expires_at()));
    world.secrets.bytes(&session.binding().unwrap());

    // Used again and again; one that is remembered needs no touch.
    let used = test.cookie(&visitor(THEME)).await;
    let used = headers(world, &used);
    for fails in [false, true] {
        test.advance(2 * HOUR);
        if fails {
            test.fail_next(Call::Touch, ProviderError::unavailable("connection refused"));
        }
        let mut session = load(&store, &used).await;
        assert_eq!(session.commit().await.unwrap().outcome(), Outcome::Unchanged);
    }

    // Two that were loaded before a renewal; the old cookie comes right after it, and too late.
    test.advance(2 * HOUR);
    let mut slow = load(&store, &used).await;
    let mut quick = load(&store, &used).await;
    quick.renew();
    let commit = quick.commit().await.unwrap();
    of_commit(world, &commit);
    let _ = slow.commit().await.unwrap();
    assert!(load(&store, &used).await.is_new());
    test.advance(Duration::from_secs(13 * 60));
    assert!(load(&store, &used).await.is_new());

    // In the background.
    let key = session.key().unwrap().clone();
    let update =
        async |visits| store.update_any(&key, |it: &mut Visitor| it.visits += visits).await;
    assert!(update(1).await.unwrap().is_some());
    assert!(update(0).await.unwrap().is_some());
    let owner = store.update_any(&key, |it: &mut Visitor| it.user = Some(THEME.to_owned())).await;
    world.error(&owner.unwrap_err());
    let other = store.update_any(&key, |it: &mut Basket| it.items.clear()).await;
    world.error(&other.unwrap_err());

    // Three sessions, where an owner may have two.
    for _ in 0..3 {
        let cookie = test.cookie(&member()).await;
        headers(world, &cookie);
    }
    let listed = store.list::<Visitor>(OWNER, Page::first(10)).await.unwrap();
    assert_eq!(listed.items.len(), 2);
    assert!(store.revoke_any(&listed.items[0].key).await.unwrap());
    assert!(!store.revoke_any(&listed.items[0].key).await.unwrap());
    assert!(store.update_any(&listed.items[0].key, |_: &mut Visitor| {}).await.unwrap().is_none());

    // A login that was under way when its owner was logged out everywhere.
    let mut login = load(&store, &HeaderMap::new()).await;
    let attempt = store.begin_login::<Visitor>(OWNER).await.unwrap();
    test.advance(Duration::from_secs(1));
    assert_eq!(store.revoke_all::<Visitor>(OWNER).await.unwrap(), 1);
    login.user = Some(OWNER.to_owned());
    world.error(&login.commit().await.unwrap_err());
    // One that took too long, and one of somebody else.
    for (owner, hours) in [(OWNER, 1), (THEME, 0)] {
        let mut login = load(&store, &HeaderMap::new()).await;
        let attempt = match owner {
            OWNER => attempt.clone(),
            owner => store.begin_login::<Visitor>(owner).await.unwrap(),
        };
        test.advance(hours * HOUR);
        login.user = Some(OWNER.to_owned());
        login.log_in(attempt);
        world.debug(&login.owner());
        world.error(&login.commit().await.unwrap_err());
    }
    assert!(load(&store, &cookie).await.is_new());

    // Two cookies at once, a logout, and one without reading.
    let two = [test.cookie(&visitor(THEME)).await, test.cookie(&visitor(THEME)).await];
    let both = headers(world, &two.join("; "));
    headers(world, &two[0]);
    let mut session = load(&store, &both).await;
    session.destroy();
    let commit = session.commit().await.unwrap();
    assert_eq!(commit.outcome(), Outcome::Destroyed);
    let second = headers(world, &two[1]);
    world.debug(&store.destroy::<Visitor>(&second).await.unwrap());
    assert!(load(&store, &second).await.is_new());
    world.learn(&test);
}

/// A provider that fails in every call.
pub(crate) async fn failures(world: &mut World) {
    let test = TestStore::new();
    let store = test.store();
    let cookie = test.cookie(&member()).await;
    let cookies = headers(world, &cookie);
    let mut session = load(&store, &cookies).await;
    let key = session.key().unwrap().clone();
    for down in [true, false] {
        test.set_down(down);
        let fail = |call| {
            if !down {
                let error = ProviderError::permanent("no such table")
                    .with_source(std::io::Error::other("relation does not exist"));
                test.fail_next(call, error);
            }
        };
        fail(Call::Fetch);
        world.error(&store.load::<Visitor>(&cookies).await.err().unwrap());
        fail(Call::Save);
        session.theme.push('!');
        world.error(&session.commit().await.unwrap_err());
        fail(Call::Fetch);
        world.error(&store.update_any(&key, |it: &mut Visitor| it.visits += 1).await.unwrap_err());
        fail(Call::Delete);
        world.error(&store.revoke_any(&key).await.unwrap_err());
        fail(Call::Save);
        world.error(&store.revoke_all::<Visitor>(OWNER).await.unwrap_err());
        fail(Call::List);
        world.error(&store.list::<Visitor>(OWNER, Page::first(10)).await.unwrap_err());
        fail(Call::Delete);
        world.error(&store.destroy::<Visitor>(&cookies).await.unwrap_err());
        fail(Call::Purge);
        world.error(&store.purge_expired(10).await.unwrap_err());
    }
    // A login whose record cannot be taken back.
    // It asks the fence, and then whether there is anything to take back.
    test.fail_next(Call::Fetch, ProviderError::permanent("no such table"));
    test.fail_next(Call::Delete, ProviderError::permanent("no such table"));
    let mut login = load(&store, &HeaderMap::new()).await;
    login.user = Some(OWNER.to_owned());
    world.error(&login.commit().await.unwrap_err());
    drop(login);
    // Until it can: the time of tokio is paused.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.error(&"SECRET-THEME".parse::<sessions::StoreKey>().unwrap_err());
    let same_name = store.load::<Choosy>(&cookies).await;
    world.error(&same_name.err().unwrap());
    world.learn(&test);
}

#[derive(Serialize, Deserialize, Default)]
enum Choice {
    #[default]
    Dark,
}

#[derive(Serialize, Deserialize, Default)]
struct Strict {
    number: u8,
}

macro_rules! visitors_of_another_build {
    ($($name:ident { $field:ident: $type:ty } $version:literal $error:literal;)*) => {
        $(
            #[derive(Session)]
            #[session(name = "visitor", version = $version)]
            struct $name {
                #[allow(dead_code)]
                $field: $type,
            }
        )*

        async fn read_by_other_builds(
            world: &mut World,
            provider: &MemoryProvider,
            cookies: &HeaderMap,
        ) {
            $(read_by::<$name>(world, provider, cookies, $error).await;)*
        }
    };
}

// What the record has is not what the field takes: serde's words for it would quote the value.
visitors_of_another_build! {
    Choosy { theme: Choice } 1 "unknown variant";
    Short { theme: char } 1 "a string";
    Address { theme: Option<std::net::IpAddr> } 1 "invalid IP address";
    Yes { visits: bool } 1 "expected bool";
    Small { theme: Option<std::num::NonZeroU8> } 1 "a string";
    Narrow { theme: Strict } 1 "a string";
    Bytes { theme: serde_bytes::ByteBuf } 1 "a string";
}

async fn read_by<T: SessionData>(
    world: &mut World,
    provider: &MemoryProvider,
    cookies: &HeaderMap,
    expected: &str,
) {
    let store = Store::new(provider.clone());
    let error = store.load::<T>(cookies).await.err().unwrap();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(expected), "{source}");
    world.error(&error);
    let store = Store::builder(provider.clone()).reset_unreadable(true).build().unwrap();
    assert!(store.load::<T>(cookies).await.unwrap().is_new());
}

/// Records that this build cannot read.
pub(crate) async fn unreadable(world: &mut World) {
    words(world);
    let provider = MemoryProvider::new();
    let store = Store::new(provider.clone());
    let mut session = load(&store, &HeaderMap::new()).await;
    session.theme = THEME.to_owned();
    session.visits = 1;
    let commit = session.commit().await.unwrap();
    let cookies = of_commit(world, &commit);
    read_by_other_builds(world, &provider, &cookies).await;

    let mut record = stored(&provider, session.key().unwrap().as_str()).await;
    world.debug(&record);
    record.version += 1;
    record.owner = Some("app/visitor/somebody else".into());
    let expect = Expect::Version(record.version - 1);
    provider.save(&record, expect, SystemTime::now()).await.unwrap();
    assert!(load(&store, &cookies).await.is_new(), "it is filed under another owner");
    record.version += 1;
    record.data = THEME.as_bytes().to_vec().into();
    let expect = Expect::Version(record.version - 1);
    provider.save(&record, expect, SystemTime::now()).await.unwrap();
    world.error(&store.load::<Visitor>(&cookies).await.err().unwrap());
}

async fn stored(provider: &MemoryProvider, id: &str) -> Record {
    provider.fetch(id, SystemTime::now()).await.unwrap().unwrap()
}

/// Sessions that live in their cookies.
pub(crate) async fn client_side(world: &mut World) {
    let key = [0xA7; 32];
    world.secrets.bytes(&key);
    let local = LocalKey::from_bytes(key);
    world.debug(&local);
    let test = TestStore::with(|builder| builder.client_side().key_encryption(local));
    let store = test.store();
    let cookie = test.cookie(&member()).await;
    let cookies = headers(world, &cookie);
    let mut session = load(&store, &cookies).await;
    assert_eq!(session.user.as_deref(), Some(OWNER));
    world.debug(&(session.log_id(), session.owner().is_some()));
    session.visits += 1;
    let commit = session.commit().await.unwrap();
    of_commit(world, &commit);
    session.theme = THEME.repeat(1_000);
    world.error(&session.commit().await.unwrap_err());
    world.error(&store.revoke_all::<Visitor>(OWNER).await.unwrap_err());
    let changed = headers(world, &format!("{}AAAA", &cookie[..cookie.len() - 4]));
    assert!(load(&store, &changed).await.is_new());
    test.advance(8 * DAY);
    assert!(load(&store, &cookies).await.is_new(), "idle for too long");
    world.learn(&test);
}

/// Records that are encrypted on their way to the provider.
pub(crate) async fn at_rest(world: &mut World) {
    let key = [0xB9; 32];
    world.secrets.bytes(&key);
    let test = TestStore::with(|builder| {
        builder.encrypt_records().key_encryption(LocalKey::from_bytes(key))
    });
    let cookie = test.cookie(&member()).await;
    let cookies = headers(world, &cookie);
    let mut session = load(&test.store(), &cookies).await;
    test.conflict::<Visitor>(|other| other.theme = OTHER_THEME.to_owned());
    session.theme = THEME.to_owned() + "!";
    let _ = session.commit().await.unwrap();
    test.store().codec().rotate_now().await.unwrap();
    let listed = test.store().list::<Visitor>(OWNER, Page::first(10)).await;
    assert!(listed.unwrap().items.is_empty(), "its key was erased");
    let key = session.key().expect("it is stored").clone();
    let updated = test.store().update_any::<Visitor, _>(&key, |_| {}).await;
    world.error(&updated.unwrap_err());
    world.learn(&test);
}

/// A provider whose database removes expired records by itself.
struct NoPurge(MemoryProvider);

#[async_trait]
impl Provider for NoPurge {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        self.0.fetch(id, now).await
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.0.save(record, expect, now).await
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.0.delete(id, expect, now).await
    }

    async fn touch(
        &self,
        id: &str,
        expires_at: SystemTime,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Touched, ProviderError> {
        self.0.touch(id, expires_at, expect, now).await
    }
}

/// The purge task: with something to do, failing, and not needed.
pub(crate) async fn purges(world: &mut World) {
    let test = TestStore::new();
    let cookie = test.cookie(&visitor(THEME)).await;
    headers(world, &cookie);
    test.advance(100 * DAY);
    let task = tokio::spawn(test.store().purge_task(Duration::from_secs(10)));
    // The time of tokio is paused: this waits for nothing.
    tokio::time::sleep(Duration::from_secs(15)).await;
    test.set_down(true);
    tokio::time::sleep(Duration::from_secs(15)).await;
    test.store().shutdown().await;
    task.await.unwrap();
    world.learn(&test);

    let store = Store::new(NoPurge(MemoryProvider::new()));
    store.purge_task(Duration::from_secs(10)).await;
}

#[derive(Clone)]
struct App {
    store: Store,
    /// Where a handler leaves what outlives it.
    kept: Arc<Mutex<Vec<Session<Visitor>>>>,
}

async fn home(visitor: Session<Visitor>) -> String {
    visitor.visits.to_string()
}

async fn count(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

async fn sit(mut visitor: Session<Visitor>) {
    visitor.seat = SEAT.to_owned();
}

async fn fail(mut visitor: Session<Visitor>) -> StatusCode {
    visitor.visits += 1;
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn keep(State(app): State<App>, mut visitor: Session<Visitor>) {
    visitor.visits += 1;
    app.kept.lock().unwrap().push(visitor);
}

async fn public(mut visitor: Session<Visitor>) -> impl IntoResponse {
    visitor.renew();
    [(CACHE_CONTROL, "public")]
}

async fn swap(mut visitor: Session<Visitor>) {
    visitor.user = Some(THEME.to_owned());
}

/// One handle destroys what another has changed.
async fn torn(request: Request<Body>) -> Result<(), sessions::Error> {
    let sessions = request.extensions().get::<RequestSessions>().unwrap();
    let mut one = sessions.load::<Visitor>(request.headers()).await?;
    let mut other = sessions.load::<Visitor>(request.headers()).await?;
    one.destroy();
    other.visits += 1;
    one.save().await
}

/// Two handles of one request overwrite each other.
async fn twice(request: Request<Body>) -> Result<(), sessions::Error> {
    let sessions = request.extensions().get::<RequestSessions>().unwrap();
    let mut one = sessions.load::<Visitor>(request.headers()).await?;
    let mut other = sessions.load::<Visitor>(request.headers()).await?;
    one.theme = THEME.to_owned() + "?";
    other.theme = OTHER_THEME.to_owned() + "?";
    Ok(())
}

/// Handlers and the layer, and what browsers get to see.
pub(crate) async fn requests(world: &mut World) {
    let test = TestStore::new();
    let app = App { store: test.store(), kept: Arc::default() };
    let layer = SessionLayer::new(app.store.clone());
    world.debug(&layer);
    let router = Router::new()
        .route("/", get(home))
        .route("/count", get(count))
        .route("/sit", get(sit))
        .route("/fail", get(fail))
        .route("/keep", get(keep))
        .route("/public", get(public))
        .route("/torn", get(torn))
        .route("/twice", get(twice))
        .route("/swap", get(swap))
        .with_state(app.clone());
    let with_layer = router.clone().layer(layer);
    let cookie = test.cookie(&member()).await;
    headers(world, &cookie);
    let mut ask = async |router: &Router, path: &str, cookie: &str| {
        let request = Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let (mut parts, body) = answer.into_parts();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            world.secrets.token(cookie.to_str().unwrap());
        }
        world.debug(&parts);
        parts.headers.remove(SET_COOKIE);
        world.shown(format!("{:?}", parts.headers));
        let body = to_bytes(body, 10_000).await.unwrap();
        world.shown(String::from_utf8(body.to_vec()).unwrap());
        status
    };
    for path in ["/", "/count", "/fail", "/keep", "/twice"] {
        ask(&with_layer, path, &cookie).await;
    }
    // What a HEAD request and a prefetch change is not committed.
    for (method, purpose) in [("HEAD", "navigate"), ("GET", "prefetch")] {
        let request = Request::builder().method(method).uri("/count").header(COOKIE, &cookie);
        let request = request.header("sec-purpose", purpose).body(Body::empty()).unwrap();
        with_layer.clone().oneshot(request).await.unwrap();
    }
    app.kept.lock().unwrap().clear();
    test.conflict::<Visitor>(|other| other.seat = SEAT.to_owned() + "!");
    let two = test.cookie(&Visitor { seat: String::new(), ..member() }).await;
    assert_eq!(ask(&with_layer, "/sit", &two).await, StatusCode::CONFLICT);
    ask(&with_layer, "/torn", &two).await;
    assert_eq!(ask(&with_layer, "/", "__Host-visitor=forged").await, StatusCode::OK);
    // The session ends, or is renewed, while its request is on its way.
    let ends = test.cookie(&member()).await;
    test.before_save(|store, key| async move { assert!(store.revoke_any(&key).await.unwrap()) });
    assert_eq!(ask(&with_layer, "/count", &ends).await, StatusCode::OK);
    let renewed = test.cookie(&member()).await;
    ask(&with_layer, "/public", &renewed).await;
    assert_eq!(ask(&with_layer, "/count", &renewed).await, StatusCode::OK);
    // Its owner is somebody else from here on.
    assert_eq!(ask(&with_layer, "/swap", &two).await, StatusCode::OK);
    test.set_down(true);
    assert_eq!(ask(&with_layer, "/", &cookie).await, StatusCode::SERVICE_UNAVAILABLE);
    test.set_down(false);
    let broken = || ProviderError::permanent("no such table");
    test.fail_next(Call::Save, broken());
    assert_eq!(ask(&with_layer, "/count", &cookie).await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(ask(&router, "/", &cookie).await, StatusCode::INTERNAL_SERVER_ERROR, "no layer");
    ask(&with_layer, "/public", &cookie).await;
    headers(world, &two);
    world.learn(&test);
}

/// The same in actix-web, as far as it is told otherwise there.
pub(crate) async fn requests_of_actix(world: &mut World) {
    use actix_web::{App, test, web};
    use sessions::actix::{SessionMiddleware, SessionRejection};

    async fn told(visitor: Result<Session<Visitor>, SessionRejection>) -> String {
        match visitor {
            Ok(visitor) => visitor.visits.to_string(),
            // For the test: what a handler might write into its log.
            Err(rejection) => format!("{rejection} {rejection:?}"),
        }
    }

    let kit = TestStore::new();
    let middleware = SessionMiddleware::new(kit.store());
    world.debug(&middleware);
    let routes = App::new()
        .wrap(middleware)
        .route("/", web::get().to(home))
        .route("/count", web::get().to(count))
        .route("/told", web::get().to(told));
    let app = test::init_service(routes).await;
    let bare = test::init_service(App::new().route("/", web::get().to(home))).await;
    let cookie = kit.cookie(&member()).await;
    headers(world, &cookie);
    for (path, down) in [("/", false), ("/count", false), ("/", true), ("/told", true)] {
        kit.set_down(down);
        let request = test::TestRequest::get().uri(path).insert_header(("cookie", &*cookie));
        let answer = test::call_service(&app, request.to_request()).await;
        world.shown(format!("{:?}", answer.headers()));
        let body = test::read_body(answer).await;
        world.shown(String::from_utf8(body.to_vec()).unwrap());
    }
    let answer = test::call_service(&bare, test::TestRequest::get().uri("/").to_request()).await;
    assert_eq!(answer.status().as_u16(), 500, "no middleware");
    world.learn(&kit);
}
