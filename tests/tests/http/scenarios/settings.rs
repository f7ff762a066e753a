//! What the settings of a store and of its types do to responses.

use std::time::Duration;

use http::StatusCode;
use sessions::{Assurance, AtLimit, CookieConfig, SameSite};
use sessions_tests::browser::Browser;

use crate::app::{Theme, Visitor};
use crate::site::{Framework, Site};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn a_type_has_times_and_a_cookie_of_its_own(framework: Framework) {
    let site = Site::built(framework, |store| {
        store.session::<Theme>(|it| {
            let strict = CookieConfig::new().same_site(SameSite::Strict);
            it.idle_timeout(10 * MINUTE).lifetime(20 * MINUTE).cookie(strict)
        })
    })
    .await;
    let mut browser = site.browser.clone();
    let lax = browser.get("/visit").await.set_cookies().remove(0);
    let strict = browser.get("/dark").await.set_cookies().remove(0);
    assert!(lax.contains("SameSite=Lax") && lax.contains("Max-Age=2592000"), "{lax}");
    assert!(strict.contains("SameSite=Strict") && strict.contains("Max-Age=1200"), "{strict}");
    site.clock.advance(9 * MINUTE);
    assert_eq!(browser.get("/both").await.body, "1 true");
    site.clock.advance(11 * MINUTE);
    assert_eq!(browser.get("/both").await.body, "1 false");
}

pub(crate) async fn an_assurance_level_sets_times_and_cookies(framework: Framework) {
    let site = Site::built(framework, |store| store.assurance(Assurance::Aal3)).await;
    let mut browser = site.browser.clone();
    let cookie = browser.post("/login", "ada").await.set_cookies().remove(0);
    assert!(cookie.contains("SameSite=Strict") && !cookie.contains("Max-Age"), "{cookie}");
    // Twelve hours in all, however much it is used, and fifteen minutes without a request.
    for _ in 0..51 {
        site.clock.advance(14 * MINUTE);
        assert_eq!(browser.get("/show").await.body, "ada 0 - ");
    }
    site.clock.advance(6 * MINUTE);
    assert_eq!(browser.get("/show").await.body, "- 0 - ");
    browser.post("/login", "ada").await;
    site.clock.advance(15 * MINUTE);
    assert_eq!(browser.get("/show").await.body, "- 0 - ");
}

pub(crate) async fn a_login_above_the_limit_is_409_and_ends_nothing(framework: Framework) {
    let site = Site::built(framework, |store| {
        store.max_sessions_per_owner(1).at_limit(AtLimit::RefuseLogin)
    })
    .await;
    let mut first = Browser::new(site.address);
    first.post("/login", "ada").await;
    let mut second = Browser::new(site.address);
    second.get("/visit").await;
    let refused = second.post("/login", "ada").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(second.get("/show").await.body, "- 1 - ", "what they had is there");
    assert_eq!(first.get("/show").await.body, "ada 0 - ");
    first.post("/logout", "").await;
    assert_eq!(second.post("/login", "ada").await.status, StatusCode::OK);
    assert_eq!(second.get("/show").await.body, "ada 1 - ");
    // What is kept of them.
    let export = site.store.export_owner::<Visitor>("ada".to_owned()).await.unwrap();
    let export: serde_json::Value = serde_json::from_str(&export).unwrap();
    assert_eq!(export["sessions"][0]["fields"]["visits"], 1);
}
