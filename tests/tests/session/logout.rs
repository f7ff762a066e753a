//! Logging out and in while other requests of the same browser are under way.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use sessions::axum::SessionLayer;
use sessions::provider::{Page, Provider, ProviderError, async_trait};
use sessions::{Error, MemoryProvider, Session, Store, commit::Outcome};
use sessions_sqlite::SqliteProvider;
use sessions_tests::browser::Browser;
use sessions_tests::hooked::{Call, Hook, Hooked};
use sessions_tests::jar::Jar;
use sessions_tests::server::Server;
use tokio::sync::Barrier;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
    marks: Vec<u32>,
}

const WRITERS: u32 = 100;

/// How the session is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Logout,
    Revoke,
    RevokeAll,
}

/// 100 requests have loaded the session; then it ends, while one half of them commits and before
/// the other half does.
async fn the_session_stays_dead(provider: Arc<dyn Provider>) {
    for end in [End::Logout, End::Revoke, End::RevokeAll] {
        let store = Store::new(provider.clone());
        let mut jar = Jar::new();
        let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
        session.user = Some("ada".to_owned());
        jar.keep(&session.commit().await.unwrap());
        let key = session.key().unwrap().clone();

        let loaded = Arc::new(Barrier::new(WRITERS as usize + 1));
        let ended = Arc::new(Barrier::new(WRITERS as usize / 2 + 1));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (store, jar) = (store.clone(), jar.clone());
            let (loaded, ended) = (loaded.clone(), ended.clone());
            writers.push(tokio::spawn(async move {
                let mut session = store.load::<Visitor>(jar.headers()).await.unwrap();
                assert_eq!(session.user.as_deref(), Some("ada"));
                session.visits += 1;
                session.marks.push(writer);
                // Some would take another secret, some begin a session of somebody else's.
                match writer % 10 {
                    1 => session.renew(),
                    3 => session.user = Some("bob".to_owned()),
                    _ => {}
                }
                loaded.wait().await;
                let late = writer % 2 == 0;
                if late {
                    ended.wait().await;
                }
                let is_bobs = writer % 10 == 3;
                let mut jar = jar;
                match session.commit().await {
                    Ok(commit) => {
                        assert!(!late, "{end:?}");
                        assert_eq!(commit.outcome(), Outcome::Saved);
                        // What the response of a renewal brings, if it still came before the end.
                        jar.keep(&commit);
                    }
                    Err(refused) => {
                        assert_eq!(refused.set_cookie(), None);
                        let undone = matches!(end, End::RevokeAll) && is_bobs;
                        match refused.error() {
                            Error::LoginUndone => assert!(undone, "{end:?}"),
                            // Bob brings his own proof, whether Ada's session goes on or not.
                            Error::Gone => assert!(!is_bobs, "{end:?}"),
                            error => panic!("{end:?}: {error}"),
                        }
                    }
                }
                (is_bobs, jar)
            }));
        }
        let mut last = store.load::<Visitor>(jar.headers()).await.unwrap();
        loaded.wait().await;
        match end {
            End::Logout => {
                last.destroy();
                let outcome = last.commit().await.unwrap().outcome();
                assert_eq!(outcome, Outcome::Destroyed);
            }
            End::Revoke => {
                store.revoke_any(&key).await.unwrap();
            }
            End::RevokeAll => {
                store.revoke_all::<Visitor>("ada").await.unwrap();
                store.revoke_all::<Visitor>("bob").await.unwrap();
            }
        }
        ended.wait().await;
        let mut bobs = 0;
        for writer in writers {
            let (is_bobs, jar) = writer.await.unwrap();
            let session = store.load::<Visitor>(jar.headers()).await.unwrap();
            if is_bobs && !matches!(end, End::RevokeAll) {
                assert_eq!(session.owner(), Some("bob"), "{end:?}");
                assert_ne!(session.key(), Some(&key), "{end:?}");
                bobs += 1;
            } else {
                assert!(session.is_new() && session.marks.is_empty(), "{end:?}");
            }
        }
        for (owner, sessions) in [("ada", 0), ("bob", bobs)] {
            let page = store.list::<Visitor>(owner, Page::first(99)).await.unwrap();
            assert_eq!(page.items.len(), sessions, "{end:?}");
            store.revoke_all::<Visitor>(owner).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    the_session_stays_dead(Arc::new(MemoryProvider::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let provider = SqliteProvider::open(folder.path().join("sessions.db")).await.unwrap();
    the_session_stays_dead(Arc::new(provider)).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres() {
    let database = sessions_tests::postgres::Database::create();
    let provider = sessions_postgres::PostgresProvider::connect(database.url()).await.unwrap();
    provider.create_table().await.unwrap();
    the_session_stays_dead(Arc::new(provider)).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn redis() {
    let space = sessions_tests::redis::Space::new();
    the_session_stays_dead(Arc::new(space.provider().await)).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dynamodb() {
    let table = sessions_tests::dynamodb::Table::create().await;
    the_session_stays_dead(Arc::new(table.provider().await)).await;
}

/// Lets others go on before and after each call, as a network does.
struct Yields;

#[async_trait]
impl Hook for Yields {
    async fn before(&self, _: Call, id: &str) -> Result<(), ProviderError> {
        for _ in 0..id.as_bytes().first().map_or(0, |byte| byte % 4) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn after(&self, call: Call, _: &str, _: bool) -> Result<(), ProviderError> {
        if call != Call::Touch {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Renews sessions once the first page of a list was read.
#[derive(Clone, Default)]
struct RenewsMeanwhile {
    late: Arc<Mutex<Vec<Session<Visitor>>>>,
}

#[async_trait]
impl Hook for RenewsMeanwhile {
    async fn after(&self, call: Call, _: &str, _: bool) -> Result<(), ProviderError> {
        if call == Call::List {
            let late = std::mem::take(&mut *self.late.lock().unwrap());
            for mut session in late {
                let _ = session.commit().await.unwrap();
            }
        }
        Ok(())
    }
}

/// A logout whose page was loaded before its session's role changed says goodbye to that session.
#[tokio::test]
async fn a_logout_beside_a_renewal_of_the_same_owner_ends_the_session() {
    for owner in [Some("ada".to_owned()), None] {
        for loaded_before in [true, false] {
            let store = Store::new(MemoryProvider::new());
            let mut jar = Jar::new();
            let mut first = store.load::<Visitor>(jar.headers()).await.unwrap();
            (first.user, first.visits) = (owner.clone(), 1);
            jar.keep(&first.commit().await.unwrap());
            let mut loaded = store.load::<Visitor>(jar.headers()).await.unwrap();
            first.renew();
            let renewed = first.commit().await.unwrap();
            if !loaded_before {
                loaded = store.load::<Visitor>(jar.headers()).await.unwrap();
                assert!(loaded.is_new(), "it reads as empty");
            }
            loaded.destroy();
            let commit = loaded.commit().await.unwrap();
            assert_eq!(commit.outcome(), Outcome::Destroyed);
            assert!(commit.set_cookie().unwrap().to_str().unwrap().contains("Max-Age=0"));
            jar.keep(&renewed);
            assert!(store.load::<Visitor>(jar.headers()).await.unwrap().is_new());
        }
    }
}

/// A session that takes a new secret is not the one that was listed.
#[tokio::test]
async fn a_renewal_does_not_slip_through_the_pages_of_revoke_all() {
    let hook = RenewsMeanwhile::default();
    let store = Store::new(Hooked::new(MemoryProvider::new(), hook.clone()));
    let mut loaded = Vec::new();
    for _ in 0..150 {
        let mut session = store.load::<Visitor>(Jar::new().headers()).await.unwrap();
        session.user = Some("ada".to_owned());
        let _ = session.commit().await.unwrap();
        session.renew();
        loaded.push((session.key().unwrap().clone(), session));
    }
    // Those of the second page.
    loaded.sort_by(|one, other| one.0.cmp(&other.0));
    let late = loaded.into_iter().skip(120).map(|(_, session)| session);
    hook.late.lock().unwrap().extend(late);
    store.revoke_all::<Visitor>("ada").await.unwrap();
    assert_eq!(store.list::<Visitor>("ada", Page::first(9)).await.unwrap().items, []);
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    visitor.visits.to_string()
}

async fn login(mut visitor: Session<Visitor>, user: String) -> &'static str {
    visitor.user = Some(user);
    visitor.visits += 1;
    "welcome"
}

async fn logout(mut visitor: Session<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

async fn show(visitor: Session<Visitor>) -> String {
    format!("{} {}", visitor.user.as_deref().unwrap_or("-"), visitor.visits)
}

async fn site() -> (Server, Browser) {
    let store = Store::new(Hooked::new(MemoryProvider::new(), Yields));
    let app = Router::new()
        .route("/visit", get(visit))
        .route("/show", get(show))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(store));
    let server = Server::start(app).await;
    let browser = Browser::new(server.address);
    (server, browser)
}

const ROUNDS: u32 = 20;

/// A page whose ten requests go out at the same time, one of them a login, and whose answers are
/// taken in the order in which they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_beside_a_login_leave_the_browser_logged_in() {
    let (_server, first) = site().await;
    let mut dropped = 0;
    for round in 0..ROUNDS {
        let mut browser = first.clone();
        assert_eq!(browser.get("/visit").await.body, "1");
        let mut requests = tokio::task::JoinSet::new();
        for request in 0..10 {
            let mut tab = browser.clone();
            requests.spawn(async move {
                if request == round % 10 {
                    tab.post("/login", "ada").await
                } else {
                    tab.get("/visit").await
                }
            });
        }
        let mut cookies = 0;
        while let Some(answer) = requests.join_next().await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            cookies += answer.set_cookies().len();
            browser.jar.keep_all(&answer.headers);
        }
        assert_eq!(cookies, 1, "only the login sets a cookie");
        let shown = browser.get("/show").await.body;
        let visits: u32 = shown.strip_prefix("ada ").unwrap().parse().unwrap();
        // Its own, the login's, and those that came before the login.
        assert!((2..=11).contains(&visits), "{shown}");
        dropped += 11 - visits;
    }
    println!("{dropped} of {} visits came too late", ROUNDS * 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_beside_a_logout_leave_the_browser_logged_out() {
    let (_server, first) = site().await;
    for round in 0..ROUNDS {
        let mut browser = first.clone();
        browser.post("/login", "ada").await;
        let copy = browser.clone();
        let mut requests = tokio::task::JoinSet::new();
        for request in 0..10 {
            let mut tab = browser.clone();
            requests.spawn(async move {
                if request == round % 10 {
                    tab.post("/logout", "").await
                } else {
                    tab.get("/show").await
                }
            });
        }
        while let Some(answer) = requests.join_next().await {
            browser.jar.keep_all(&answer.unwrap().headers);
        }
        assert!(browser.jar.is_empty());
        assert_eq!(copy.clone().get("/show").await.body, "- 0");
    }
}
