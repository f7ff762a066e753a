//! What an app that listens is told.

use std::sync::{Arc, Mutex};

use sessions::{MemoryProvider, Page, Session, Store};
use sessions_tests::jar::Jar;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<u64>,
    #[session(merge = add)]
    count: u64,
}

/// A store that notes its events: name, session type, whether it names a session, reason, error.
struct App {
    store: Store,
    told: Arc<Mutex<Vec<String>>>,
}

impl App {
    fn new() -> Self {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let noted = told.clone();
        let builder = Store::builder(MemoryProvider::new()).max_sessions_per_owner(2).on_event(
            move |event| {
                let key = if event.key().is_some() { " of a session" } else { "" };
                let reason =
                    event.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
                let error = if event.error().is_some() { " with an error" } else { "" };
                assert!(event.session_type().is_none_or(|name| name == "visitor"));
                noted.lock().unwrap().push(format!("{}{key}{reason}{error}", event.name()));
            },
        );
        Self { store: builder.build().unwrap(), told }
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    async fn request(&self, jar: &mut Jar, change: impl FnOnce(&mut Session<Visitor>)) {
        let mut visitor = self.store.load::<Visitor>(jar.headers()).await.unwrap();
        change(&mut visitor);
        match visitor.commit().await {
            Ok(commit) => jar.keep(&commit),
            Err(error) => jar.keep_error(&error),
        };
    }
}

#[tokio::test]
async fn each_act_is_told_once_with_its_words() {
    let app = App::new();
    let mut jar = Jar::new();
    app.request(&mut jar, |visitor| visitor.count = 1).await;
    assert_eq!(app.told(), ["session.created of a session"]);
    app.request(&mut jar, |visitor| visitor.user = Some(7)).await;
    assert_eq!(app.told(), ["session.renewed of a session"]);
    app.request(&mut jar, |_| {}).await;
    assert!(app.told().is_empty());

    // Two requests at once.
    let mut one = app.store.load::<Visitor>(jar.headers()).await.unwrap();
    app.request(&mut jar, |visitor| visitor.count += 1).await;
    one.count += 1;
    let _ = one.commit().await.unwrap();
    assert_eq!(app.told(), ["session.conflicted of a session", "session.merged of a session"]);

    let old = Jar::clone(&jar);
    app.request(&mut jar, Session::renew).await;
    assert_eq!(app.told(), ["session.renewed of a session"]);
    app.request(&mut Jar::clone(&old), |_| {}).await;
    assert_eq!(app.told(), ["session.refused (superseded)"]);

    app.request(&mut jar, Session::destroy).await;
    assert_eq!(app.told(), ["session.ended of a session (destroyed)"]);
    app.request(&mut Jar::clone(&old), |_| {}).await;
    assert_eq!(app.told(), ["session.refused (gone)"]);
}

#[tokio::test]
async fn ends_by_others_and_failures_are_told() {
    let app = App::new();
    for _ in 0..3 {
        app.request(&mut Jar::new(), |visitor| visitor.user = Some(7)).await;
    }
    let created = "session.created of a session";
    assert_eq!(app.told(), [created, created, "session.ended of a session (cap)", created]);
    let sessions = app.store.list::<Visitor>(7, Page::first(10)).await.unwrap().items;
    app.store.revoke::<Visitor>(7, &sessions[0].key).await.unwrap();
    assert_eq!(app.told(), ["session.ended of a session (revoked)"]);
    app.store.revoke_all::<Visitor>(7).await.unwrap();
    let ended = "session.ended of a session (revoked_all)";
    assert_eq!(app.told(), [ended, "session.revoked_all"]);

    let mut visitor = app.store.load::<Visitor>(Jar::new().headers()).await.unwrap();
    visitor.count = 5;
    drop(visitor);
    assert_eq!(app.told(), ["session.dropped (uncommitted)"]);
    assert_eq!(app.store.purge_expired(10).await.unwrap(), 0);
    assert_eq!(app.told(), ["session.purged"]);

    let mut jar = Jar::new();
    app.request(&mut jar, |visitor| visitor.user = Some(8)).await;
    let began = app.store.begin_login::<Visitor>(8).await.unwrap();
    app.store.revoke_all::<Visitor>(8).await.unwrap();
    app.told();
    app.request(&mut Jar::new(), |visitor| {
        visitor.user = Some(8);
        visitor.log_in(began);
    })
    .await;
    // The handle keeps what it could not save.
    let undone = "session.login_undone of a session (revoke_all)";
    assert_eq!(app.told(), [undone, "session.dropped (uncommitted)"]);
}

#[tokio::test]
async fn stores_tell_only_their_own() {
    let (one, other) = (App::new(), App::new());
    one.request(&mut Jar::new(), |visitor| visitor.count = 1).await;
    assert_eq!((one.told().len(), other.told().len()), (1, 0));
}
