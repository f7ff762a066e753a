//! Logging in and out.

use http::StatusCode;
use sessions::provider::{Expect, Page, Provider as _};

use crate::app::Visitor;
use crate::site::{Framework, Site};

pub(crate) async fn login_gives_a_new_secret_and_the_old_cookie_is_dead(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    browser.post("/add", "tea").await;
    let mut thief = browser.clone();

    assert_eq!(browser.post("/login", "ada").await.body, "welcome");
    assert_ne!(browser.jar, thief.jar);
    assert_eq!(browser.get("/show").await.body, "ada 1 - tea");

    let stolen = thief.get("/show").await;
    assert_eq!((stolen.status, stolen.body.as_str()), (StatusCode::OK, "- 0 - "));
    // Whoever brings the old cookie can neither save nor touch the browser's cookie.
    let before = thief.jar.clone();
    let written = thief.post("/add", "poison").await;
    assert_eq!(written.status, StatusCode::NO_CONTENT);
    assert_eq!(written.set_cookies(), [""; 0]);
    assert_eq!(thief.jar, before);
    assert_eq!(browser.get("/show").await.body, "ada 1 - tea");
}

pub(crate) async fn a_login_that_was_sent_twice_logs_each_browser_in(framework: Framework) {
    let Site { mut browser, store, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    browser.post("/add", "tea").await;
    // A double click, whose first answer is lost.
    let mut again = browser.clone();
    browser.post("/login", "ada").await;
    assert_eq!(again.post("/login", "ada").await.set_cookies().len(), 1);
    assert_eq!(browser.get("/show").await.body, "ada 1 - tea");
    assert_eq!(again.get("/show").await.body, "ada 0 - ", "nothing is there twice");
    let listed = store.list::<Visitor>("ada", Page::first(10)).await.unwrap().items;
    assert_eq!(listed.len(), 2);
}

pub(crate) async fn a_logout_with_a_cookie_from_before_a_login_clears_it_and_is_409(
    framework: Framework,
) {
    let Site { mut browser, clock, _server, .. } = Site::new(framework).await;
    for path in ["/logout", "/fail_logout", "/end_unread"] {
        browser.get("/visit").await;
        let mut planted = browser.clone();
        browser.post("/login", "ada").await;
        let mut late = planted.clone();
        let refused = planted.post(path, "").await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{path}");
        let [cookie] = &refused.set_cookies()[..] else { panic!("one cookie: {refused:?}") };
        assert!(cookie.contains("Max-Age=0"), "{cookie}");
        assert!(planted.jar.is_empty());
        assert_eq!(browser.get("/show").await.body, "ada 1 - ", "{path} ended nothing");
        // However late it comes.
        clock.advance(std::time::Duration::from_secs(60 * 60));
        assert_eq!(late.post(path, "").await.status, StatusCode::CONFLICT, "{path}");
        assert!(late.jar.is_empty());
        assert_eq!(browser.get("/show").await.body, "ada 1 - ", "{path} ended nothing");
        browser.post("/logout", "").await;
        assert!(browser.jar.is_empty());
    }
}

pub(crate) async fn logout_ends_the_session_and_clears_the_cookie(framework: Framework) {
    let Site { mut browser, store, _server, .. } = Site::new(framework).await;
    let sessions = async || store.list::<Visitor>("ada", Page::first(10)).await.unwrap().items;
    browser.post("/login", "ada").await;
    assert_eq!(sessions().await.len(), 1);
    let mut copy = browser.clone();
    let bye = browser.post("/logout", "").await;
    assert!(bye.set_cookies()[0].contains("Max-Age=0"), "{bye:?}");
    assert!(browser.jar.is_empty());
    assert_eq!(sessions().await.len(), 0);
    // A copy of the cookie opens nothing, and its id is not adopted by what is saved next.
    assert_eq!(copy.get("/show").await.body, "- 0 - ");
    let before = copy.jar.clone();
    assert_eq!(copy.get("/visit").await.body, "1");
    assert_ne!(copy.jar, before);
}

pub(crate) async fn a_session_that_cannot_be_read_can_be_ended(framework: Framework) {
    let Site { mut browser, store, records, clock, _server, .. } = Site::new(framework).await;
    use sessions::clock::Clock as _;
    browser.post("/login", "ada").await;
    let listed = store.list::<Visitor>("ada", Page::first(10)).await.unwrap().items;
    let id = listed[0].key.as_str();
    let mut record = records.fetch(id, clock.now()).await.unwrap().expect("a live record");
    record.data = sessions::provider::Bytes::from_static(b"no envelope");
    record.version += 1;
    let expect = Expect::Version(record.version - 1);
    records.save(&record, expect, clock.now()).await.unwrap();

    let jar = browser.jar.clone();
    assert_eq!(browser.get("/show").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(browser.jar, jar);
    assert_eq!(browser.post("/end_unread", "").await.body, "ended");
    assert!(browser.jar.is_empty());
    assert_eq!(records.fetch(id, clock.now()).await.unwrap(), None);
}

pub(crate) async fn everybodys_sessions_end_at_once(framework: Framework) {
    let Site { mut browser, store, watch, clock, _server, .. } = Site::new(framework).await;
    let mut other = browser.clone();
    browser.post("/login", "ada").await;
    other.post("/login", "bob").await;
    other.post("/add", "tea").await;
    store.end_all().await.unwrap();
    let _ = watch.take();

    assert_eq!(browser.get("/show").await.body, "- 0 - ");
    let calls = watch.take();
    assert_eq!((calls.fetch, calls.save, calls.touch), (1, 0, 0));
    // What they do next is in a session of their own.
    clock.advance(std::time::Duration::from_secs(1));
    other.post("/add", "cup").await;
    assert_eq!(other.get("/show").await.body, "- 0 - cup");
    assert_eq!(browser.post("/login", "ada").await.body, "welcome");
    assert_eq!(browser.get("/show").await.body, "ada 0 - ");
    assert_eq!(store.list::<Visitor>("bob", Page::first(10)).await.unwrap().items, []);
}
