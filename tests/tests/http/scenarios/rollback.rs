//! A deploy that was rolled back: records that the build which serves now cannot read.

use std::sync::Arc;

use http::HeaderMap;
use sessions::provider::{Page, Provider as _, Record};
use sessions::{
    MemoryProvider, SessionData, Store,
    clock::{Clock as _, ManualClock},
};
use sessions_tests::browser::Browser;

use crate::app::Visitor;
use crate::site::{Framework, Site};

/// A build whose version 2 shuts older ones out.
#[derive(sessions::Session)]
#[session(name = "visitor", version = 2, changed(cart, 2))]
struct Newer {
    #[session(owner)]
    user: Option<String>,
    cart: Vec<String>,
}

/// A build whose change nobody has declared.
#[derive(sessions::Session)]
#[session(name = "visitor", version = 1)]
struct Careless {
    #[session(owner)]
    user: Option<String>,
    visits: String,
}

/// What the other build has left: its visitor's cookie, and its record.
struct Left {
    cookie: (String, String),
    record: Record,
    /// What a page answers.
    status: u16,
}

async fn left(build: &str, records: &Arc<MemoryProvider>, clock: &ManualClock) -> Left {
    match build {
        "newer" => {
            let user = Some("ada".to_owned());
            leave(records, clock, Newer { user, cart: Vec::new() }, 503).await
        }
        _ => {
            let user = Some("ada".to_owned());
            leave(records, clock, Careless { user, visits: "many".to_owned() }, 500).await
        }
    }
}

async fn leave<T: SessionData>(
    records: &Arc<MemoryProvider>,
    clock: &ManualClock,
    value: T,
    status: u16,
) -> Left {
    let store = Store::builder(records.clone()).clock(clock.clone()).build().unwrap();
    let mut session = store.load::<T>(&HeaderMap::new()).await.unwrap();
    *session = value;
    let commit = session.commit().await.unwrap();
    let cookie = commit.set_cookie().expect("a login sets one").to_str().unwrap();
    let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
    let id = session.key().expect("it is stored").as_str();
    let record = records.fetch(id, clock.now()).await.unwrap().expect("a live record");
    Left { cookie: (name.to_owned(), value.to_owned()), record, status }
}

impl Left {
    fn give(&self, browser: &mut Browser) {
        browser.jar.insert(&self.cookie.0, &self.cookie.1);
    }

    async fn now(&self, site: &Site) -> Option<Record> {
        site.records.fetch(&self.record.id, site.clock.now()).await.unwrap()
    }
}

pub(crate) async fn a_login_replaces_a_session_that_cannot_be_read(framework: Framework) {
    for build in ["newer", "careless"] {
        let mut site = Site::new(framework).await;
        let left = left(build, &site.records, &site.clock).await;
        left.give(&mut site.browser);
        let jar = site.browser.jar.clone();
        // A page cannot be shown, and nothing is lost.
        for path in ["/show", "/visit", "/known"] {
            assert_eq!(site.browser.get(path).await.status, left.status, "{build} {path}");
        }
        assert_eq!(site.browser.post("/login", "ada").await.status, left.status);
        // The log says what to do.
        let error = site.browser.get("/own_rejection").await.body;
        assert!(error.contains("`reset_unreadable`") && error.contains("`OrNew`"), "{error}");
        // Nor by a login whose password was wrong.
        let wrong = site.browser.post("/login_or_new", "").await;
        assert_eq!((wrong.body.as_str(), wrong.set_cookies().len()), ("wrong password", 0));
        assert_eq!((&site.browser.jar, left.now(&site).await.as_ref()), (&jar, Some(&left.record)));

        let login = site.browser.post("/login_or_new", "ada").await;
        assert_eq!((login.body.as_str(), login.set_cookies().len()), ("welcome", 1));
        assert_eq!(site.browser.get("/show").await.body, "ada 0 - ");
        // The other session has ended: it is in no list, and its cookie opens nothing.
        assert_eq!(left.now(&site).await, None, "{build}");
        let listed = site.store.list::<Visitor>("ada", Page::first(10)).await.unwrap();
        assert_eq!(listed.items.len(), 1);
        let mut copy = Browser::new(site.address);
        left.give(&mut copy);
        assert_eq!(copy.get("/show").await.body, "- 0 - ");
        // From here on all is as ever.
        assert_eq!(site.browser.post("/login_or_new", "bob").await.body, "welcome");
        assert_eq!(site.browser.post("/logout_or_new", "").await.body, "bye");
        assert!(site.browser.jar.is_empty());
        // Nobody has anything to replace.
        let mut new = Browser::new(site.address);
        assert_eq!(new.post("/login_or_new", "eve").await.set_cookies().len(), 1);
        assert_eq!(new.get("/show").await.body, "eve 0 - ");
        // A store that is down is no reason to take anybody for a stranger.
        site.watch.set_down(true);
        assert_eq!(new.post("/login_or_new", "eve").await.status, 503);
    }
}

pub(crate) async fn a_logout_ends_a_session_that_cannot_be_read(framework: Framework) {
    for build in ["newer", "careless"] {
        for path in ["/logout_or_new", "/end_unread"] {
            let mut site = Site::new(framework).await;
            let left = left(build, &site.records, &site.clock).await;
            left.give(&mut site.browser);
            assert_eq!(site.browser.post("/logout", "").await.status, left.status);
            assert_eq!(site.browser.post(path, "").await.status, 200, "{build} {path}");
            assert!(site.browser.jar.is_empty());
            assert_eq!(left.now(&site).await, None, "{build} {path}");
        }
    }
}

pub(crate) async fn a_store_may_give_every_such_visitor_a_new_session(framework: Framework) {
    for build in ["newer", "careless"] {
        let mut site = Site::built(framework, |it| it.reset_unreadable(true)).await;
        let left = left(build, &site.records, &site.clock).await;
        left.give(&mut site.browser);
        // Only to look at a page takes nothing from anybody.
        assert_eq!(site.browser.get("/show").await.body, "- 0 - ");
        assert_eq!(left.now(&site).await.as_ref(), Some(&left.record));
        assert_eq!(site.browser.get("/visit").await.body, "1");
        assert_eq!(left.now(&site).await, None, "{build}");
        assert_eq!(site.browser.get("/visit").await.body, "2");
    }
}
