//! The limit on an owner's sessions where a login above it is refused.

use http::HeaderMap;
use sessions::{
    AtLimit, Error, MemoryProvider, Page, Session, SessionInfo, Store, StoreKey, clock::ManualClock,
};
use sessions_tests::hooked::{Calls, Faults, Hooked, Watch, watched};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    cart: Vec<String>,
}

const ADA: u64 = 1;
const BOB: u64 = 2;

fn store(most: usize) -> (Store, Watch) {
    let (provider, watch) = watched(Hooked::new(MemoryProvider::new(), Faults::default()));
    let store = Store::builder(provider).clock(ManualClock::default());
    let store = store.max_sessions_per_owner(most).at_limit(AtLimit::RefuseLogin);
    (store.build().unwrap(), watch)
}

async fn log_in(visitor: &mut Session<Visitor>, user: u64) -> Result<Jar, Error> {
    visitor.user = Some(user);
    Ok(Jar::of(&visitor.commit().await?))
}

async fn new(store: &Store) -> Session<Visitor> {
    store.load(&HeaderMap::new()).await.unwrap()
}

async fn keys(store: &Store) -> Vec<StoreKey> {
    let items = store.list::<Visitor>(ADA, Page::first(100)).await.unwrap().items;
    items.into_iter().map(|info| info.key).collect()
}

#[tokio::test]
async fn a_login_above_the_limit_is_refused_and_costs_nothing() {
    let (store, watch) = store(2);
    let one = log_in(&mut new(&store).await, ADA).await.unwrap();
    let two = log_in(&mut new(&store).await, ADA).await.unwrap();
    let mut visitor = new(&store).await;
    visitor.cart.push("tea".to_owned());
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let _ = watch.take();
    let error = log_in(&mut visitor, ADA).await.unwrap_err();
    assert!(matches!(error, Error::TooManySessions { most: 2 }), "{error}");
    assert!(error.to_string().contains("2 sessions"), "{error}");
    assert_eq!(watch.take(), Calls { list: 1, ..Calls::default() }, "nothing was saved or ended");
    for live in [&one, &two, &jar] {
        assert!(!store.load::<Visitor>(live.headers()).await.unwrap().is_new());
    }
    // The owner chooses, and the same handle saves again.
    assert!(store.revoke::<Visitor>(ADA, &keys(&store).await[0]).await.unwrap());
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!((visitor.owner(), visitor.cart.len()), (Some("1"), 1));
}

#[tokio::test]
async fn who_is_logged_in_already_proves_again_who_they_are() {
    let (store, _) = store(1);
    let mut visitor = new(&store).await;
    log_in(&mut visitor, ADA).await.unwrap();
    let attempt = store.begin_login::<Visitor>(ADA).await.unwrap();
    visitor.log_in(attempt);
    let _ = visitor.commit().await.unwrap();
    visitor.authenticated(sessions::Proof::new("pwd"));
    let _ = visitor.commit().await.unwrap();
    assert_eq!(keys(&store).await.len(), 1);
}

/// The limit was lowered, or others log in at the same moment: a session that is there stays.
#[tokio::test]
async fn who_is_above_the_limit_already_proves_again_who_they_are() {
    let memory = MemoryProvider::new();
    let build = |most| {
        let store = Store::builder(memory.clone()).clock(ManualClock::default());
        store.max_sessions_per_owner(most).at_limit(AtLimit::RefuseLogin).build().unwrap()
    };
    let (wide, narrow) = (build(3), build(1));
    let mut jar = Jar::new();
    for _ in 0..3 {
        jar = log_in(&mut new(&wide).await, ADA).await.unwrap();
    }
    let mut visitor = narrow.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.authenticated(sessions::Proof::new("pwd").credential("key"));
    let _ = visitor.commit().await.unwrap();
    let attempt = narrow.begin_login::<Visitor>(ADA).await.unwrap();
    visitor.log_in(attempt);
    let _ = visitor.commit().await.unwrap();
    assert_eq!(keys(&narrow).await.len(), 3);
    assert!(log_in(&mut new(&narrow).await, ADA).await.is_err());
}

#[tokio::test]
async fn another_owner_who_is_refused_ends_nobodys_session() {
    let (store, _) = store(1);
    log_in(&mut new(&store).await, ADA).await.unwrap();
    let mut bob = new(&store).await;
    let jar = log_in(&mut bob, BOB).await.unwrap();
    bob.user = Some(ADA);
    let error = bob.commit().await.unwrap_err();
    assert!(matches!(error.error(), Error::TooManySessions { .. }), "{error}");
    let bob = store.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(bob.owner(), Some("2"));
}

#[tokio::test]
async fn of_many_at_once_the_limit_is_never_exceeded() {
    for _ in 0..20 {
        let (store, _) = store(3);
        let logins = (0..12).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { log_in(&mut new(&store).await, ADA).await.is_ok() })
        });
        let logins: Vec<_> = logins.collect();
        let mut answered = 0;
        for login in logins {
            answered += usize::from(login.await.unwrap());
        }
        assert_eq!(keys(&store).await.len(), answered, "who was told so is logged in");
        assert!(answered <= 3, "{answered}");
    }
}

#[tokio::test]
async fn the_list_shows_what_the_app_wants_of_the_data() {
    let (store, _) = store(5);
    let mut visitor = new(&store).await;
    visitor.cart.push("tea".to_owned());
    log_in(&mut visitor, ADA).await.unwrap();
    let show = |info: SessionInfo, visitor: Option<Visitor>| (info.key, visitor.unwrap().cart);
    let (items, next) = store.list_with(ADA, Page::first(9), show).await.unwrap();
    assert_eq!(items, [(visitor.key().unwrap().clone(), vec!["tea".to_owned()])]);
    assert!(next.is_none());
}
