//! When owners proved who they are, for whom they act, and from where.

use std::time::Duration;

use http::StatusCode;
use sessions::{Page, SessionInfo};
use sessions_tests::browser::Browser;
use sessions_tests::hooked::Calls;

use crate::app::Visitor;
use crate::site::{Framework, Site};

const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

async fn logged_in(site: &Site, user: &str) -> Browser {
    let mut browser = Browser::new(site.address);
    browser.post("/login", user).await;
    browser
}

async fn list(site: &Site, user: &str) -> Vec<SessionInfo> {
    site.store.list::<Visitor>(user, Page::first(9)).await.unwrap().items
}

pub(crate) async fn a_page_asks_for_a_new_proof_and_the_visitor_comes_back(framework: Framework) {
    let site = Site::new(framework).await;
    let mut browser = logged_in(&site, "ada").await;
    site.clock.advance(MINUTE);
    assert_eq!(browser.get("/keys?tab=2").await.body, "keys of ada");
    site.clock.advance(MILLI);
    let refused = browser.get("/strict_keys").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["cache-control"], "no-store");
    let asked = browser.get("/keys?tab=2").await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    let location = asked.headers["location"].to_str().unwrap();
    let sealed = location.strip_prefix("/confirm?next=").unwrap().to_owned();

    assert_eq!(browser.post("/act", "prove").await.set_cookies().len(), 1, "it renews");
    assert_eq!(browser.post("/back", &sealed).await.body, "/keys?tab=2");
    assert_eq!(browser.get("/keys?tab=2").await.body, "keys of ada");
    assert_eq!(browser.get("/strict_keys").await.body, "keys of ada");
    // Nobody makes a path of their own.
    for forged in ["https://evil.example/", "/keys", "", &sealed[1..]] {
        assert_eq!(browser.post("/back", forged).await.status, StatusCode::BAD_REQUEST);
    }
    // Who is not logged in is asked as well; a proof of nobody is a mistake of the app's.
    let mut stranger = Browser::new(site.address);
    assert_eq!(stranger.get("/keys").await.status, StatusCode::SEE_OTHER);
    let mistake = stranger.post("/act", "prove").await;
    assert_eq!(mistake.status, StatusCode::INTERNAL_SERVER_ERROR);
}

pub(crate) async fn a_proof_renews_and_a_request_from_before_changes_nothing(framework: Framework) {
    let site = Site::new(framework).await;
    let mut browser = logged_in(&site, "ada").await;
    site.clock.advance(2 * MINUTE);
    let mut slow = browser.clone();
    let held = tokio::spawn(async move { slow.post("/seat", "slow").await });
    site.signals.reached.notified().await;
    browser.post("/act", "prove").await;
    site.signals.go.notify_one();
    let late = held.await.unwrap();
    assert_eq!((late.status, late.set_cookies().len()), (StatusCode::OK, 0));
    assert_eq!(browser.get("/show").await.body, "ada 0 - ", "what came late is dropped");
    assert_eq!(browser.get("/strict_keys").await.body, "keys of ada");
}

pub(crate) async fn whoever_acts_as_another_goes_back_without_a_login(framework: Framework) {
    let site = Site::built(framework, |store| store.max_sessions_per_owner(1)).await;
    let mut support = logged_in(&site, "ada").await;
    assert_eq!(support.post("/act", "act as bob").await.set_cookies().len(), 1);
    assert_eq!(support.get("/keys").await.body, "keys of bob");
    // Bob's own login, under a cap of one, ends nothing of it.
    let mut bob = logged_in(&site, "bob").await;
    assert_eq!(support.get("/keys").await.body, "keys of bob");
    assert_eq!(list(&site, "ada").await[0].acting_as.as_deref(), Some("bob"));
    assert_eq!(list(&site, "bob").await.len(), 1);
    assert_eq!(support.post("/act", "act as oneself").await.set_cookies().len(), 1);
    assert_eq!(support.get("/keys").await.body, "keys of ada");
    support.post("/act", "act as bob").await;
    assert_eq!(site.store.revoke_all::<Visitor>("ada").await.unwrap(), 1);
    assert_eq!(support.get("/show").await.body, "- 0 - ");
    assert_eq!(bob.get("/keys").await.body, "keys of bob");
}

pub(crate) async fn a_locked_session_asks_again(framework: Framework) {
    let site = Site::built(framework, |store| {
        store.session::<Visitor>(|it| it.idle_timeout(60 * MINUTE).lock_after(10 * MINUTE))
    })
    .await;
    let mut browser = logged_in(&site, "ada").await;
    for _ in 0..5 {
        site.clock.advance(10 * MINUTE);
        assert_eq!(browser.get("/show").await.body, "ada 0 - ");
    }
    browser.post("/act", "prove").await;
    site.clock.advance(11 * MINUTE);
    browser.get("/visit").await;
    assert!(list(&site, "ada").await[0].is_locked);
    assert_eq!(browser.get("/keys").await.status, StatusCode::SEE_OTHER);
    browser.post("/act", "prove").await;
    assert!(!list(&site, "ada").await[0].is_locked);
    assert_eq!(browser.get("/keys").await.body, "keys of ada");
    browser.post("/act", "lock").await;
    assert_eq!(browser.get("/keys").await.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get("/show").await.body, "ada 1 - ");
}

pub(crate) async fn the_list_of_devices_says_from_where(framework: Framework) {
    let site = Site::built(framework, |store| store.touch_interval(MINUTE)).await;
    let mut browser = logged_in(&site, "ada").await;
    let home = [("user-agent", "Firefox"), ("x-forwarded-for", "10.1.1.1, 203.0.113.7")];
    browser.post_with("/act", "", &home).await;
    site.clock.advance(MINUTE);
    assert_eq!(browser.post_with("/act", "", &home).await.body, "here");
    let away = [("user-agent", "Firefox"), ("x-forwarded-for", "203.0.113.7, 198.51.100.9")];
    let _ = site.watch.take();
    assert_eq!(browser.post_with("/act", "", &away).await.body, "elsewhere");
    assert_eq!(site.watch.take(), Calls { fetch: 1, ..Calls::default() });
    site.clock.advance(MINUTE);
    browser.post_with("/act", "", &away).await;
    assert_eq!(site.watch.take(), Calls { fetch: 1, save: 1, ..Calls::default() });
    let devices = list(&site, "ada").await.remove(0).devices.unwrap();
    assert_eq!(devices.first.network.as_deref(), Some("203.0.113.0/24"));
    assert_eq!(devices.last.network.as_deref(), Some("198.51.100.0/24"), "the proxy's word alone");
    assert_eq!(devices.last.user_agent.as_deref(), Some("Firefox"));
}
