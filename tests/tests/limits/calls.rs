//! What each kind of request costs in store calls, as the test kit counts them.

use std::time::Duration;

use sessions::testing::{Calls, TestStore};
use sessions::{Session, Store, commit::Outcome};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    visits: u64,
    cart: Vec<String>,
}

const NONE: Calls = Calls { fetch: 0, save: 0, touch: 0, delete: 0, list: 0, scan: 0, purge: 0 };

struct Shop {
    test: TestStore,
    store: Store,
    jar: Jar,
}

impl Shop {
    fn new() -> Self {
        let test = TestStore::new();
        Self { store: test.store(), test, jar: Jar::new() }
    }

    /// A visitor who has been here before.
    async fn returning() -> Self {
        let mut shop = Self::new();
        let (_, outcome) = shop.request(|visitor| visitor.visits = 1).await;
        assert_eq!(outcome, Outcome::Saved);
        shop
    }

    async fn request(&mut self, handler: impl FnOnce(&mut Session<Visitor>)) -> (Calls, Outcome) {
        let mut visitor = self.store.load::<Visitor>(self.jar.headers()).await.unwrap();
        handler(&mut visitor);
        let commit = visitor.commit().await.unwrap();
        self.jar.keep(&commit);
        (self.test.calls(), commit.outcome())
    }
}

#[tokio::test]
async fn no_cookie_and_nothing_stored() {
    let (calls, outcome) = Shop::new().request(|visitor| assert_eq!(visitor.visits, 0)).await;
    assert_eq!((calls, outcome), (NONE, Outcome::Unchanged));
    // Borrowed mutably, but nothing changed.
    let (calls, outcome) = Shop::new().request(|visitor| visitor.visits += 0).await;
    assert_eq!((calls, outcome), (NONE, Outcome::Unchanged));
}

#[tokio::test]
async fn forged_expired_or_foreign_cookie() {
    let mut shop = Shop::new();
    for (name, value) in [("__Host-visitor", "forged"), ("__Host-visitor", ""), ("visitor", "x")] {
        shop.jar = Jar::new();
        shop.jar.insert(name, value);
        assert_eq!(shop.request(|_| {}).await.0, NONE);
    }
    let mut shop = Shop::returning().await;
    shop.test.advance(Duration::from_secs(91 * 24 * 60 * 60));
    assert_eq!(shop.request(|_| {}).await.0, NONE, "an expired token is not looked up");
}

#[tokio::test]
async fn read() {
    let mut shop = Shop::returning().await;
    let one_fetch = Calls { fetch: 1, ..NONE };
    assert_eq!(shop.request(|_| {}).await.0, one_fetch);
    // The touch interval is an hour by default.
    shop.test.advance(Duration::from_secs(3_599));
    assert_eq!(shop.request(|_| {}).await.0, one_fetch);
    shop.test.advance(Duration::from_secs(1));
    assert_eq!(shop.request(|_| {}).await.0, Calls { touch: 1, ..one_fetch });
    assert_eq!(shop.request(|_| {}).await.0, one_fetch);
}

#[tokio::test]
async fn read_of_a_session_whose_record_is_gone() {
    let mut shop = Shop::returning().await;
    shop.test.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(
        shop.request(|visitor| assert!(visitor.is_new())).await.0,
        Calls { fetch: 1, ..NONE }
    );
}

#[tokio::test]
async fn first_write_of_a_new_visitor() {
    let (calls, outcome) = Shop::new().request(|visitor| visitor.visits += 1).await;
    assert_eq!((calls, outcome), (Calls { save: 1, ..NONE }, Outcome::Saved));
}

#[tokio::test]
async fn write() {
    let mut shop = Shop::returning().await;
    let (calls, outcome) = shop.request(|visitor| visitor.visits += 1).await;
    assert_eq!((calls, outcome), (Calls { fetch: 1, save: 1, ..NONE }, Outcome::Saved));
}

#[tokio::test]
async fn write_that_met_one_conflict_and_merged() {
    let shop = Shop::returning().await;
    let mut one = shop.store.load::<Visitor>(shop.jar.headers()).await.unwrap();
    let mut two = shop.store.load::<Visitor>(shop.jar.headers()).await.unwrap();
    one.visits += 1;
    two.visits += 1;
    let _ = one.commit().await.unwrap();
    let _ = shop.test.calls();
    let _ = two.commit().await.unwrap();
    // Its fetch came before.
    assert_eq!(shop.test.calls(), Calls { save: 2, ..NONE });
    assert_eq!((one.visits, two.visits), (2, 3), "the handle shows what is stored");
}

#[tokio::test]
async fn login() {
    let mut shop = Shop::returning().await;
    let (calls, outcome) = shop.request(|visitor| visitor.user = Some(7)).await;
    // One fetch is the session's, one its owner's fence.
    assert_eq!((calls, outcome), (Calls { fetch: 2, save: 1, ..NONE }, Outcome::Saved));
    let (calls, _) = Shop::new().request(|visitor| visitor.user = Some(7)).await;
    assert_eq!(calls, Calls { fetch: 1, save: 1, ..NONE }, "of a visitor without a session");
}

#[tokio::test]
async fn logout() {
    let mut shop = Shop::returning().await;
    let (calls, outcome) = shop.request(Session::destroy).await;
    assert_eq!((calls, outcome), (Calls { fetch: 1, delete: 1, ..NONE }, Outcome::Destroyed));
    let (calls, _) = Shop::new().request(Session::destroy).await;
    assert_eq!(calls, NONE, "nobody was logged in");
}

#[tokio::test]
async fn a_save_in_the_middle_costs_no_second_fetch() {
    let shop = Shop::returning().await;
    let mut visitor = shop.store.load::<Visitor>(shop.jar.headers()).await.unwrap();
    visitor.cart.push("tea".to_owned());
    visitor.save().await.unwrap();
    visitor.cart.push("milk".to_owned());
    visitor.save().await.unwrap();
    visitor.save().await.unwrap();
    assert_eq!(shop.test.calls(), Calls { fetch: 1, save: 2, ..NONE });
}

#[tokio::test]
async fn a_request_after_all_sessions_were_ended() {
    let mut shop = Shop::returning().await;
    shop.store.end_all().await.unwrap();
    let one_fetch = Calls { fetch: 1, ..NONE };
    assert_eq!(shop.request(|visitor| assert!(visitor.is_new())).await.0, one_fetch);
    shop.test.advance(Duration::from_millis(1));
    // The fence of the owner, as for any login.
    let login = Calls { fetch: 2, save: 1, ..NONE };
    assert_eq!(shop.request(|visitor| visitor.user = Some(7)).await.0, login);
    assert_eq!(shop.request(|_| {}).await.0, one_fetch);
    let write = Calls { fetch: 1, save: 1, ..NONE };
    assert_eq!(shop.request(|visitor| visitor.visits += 1).await.0, write);
}
