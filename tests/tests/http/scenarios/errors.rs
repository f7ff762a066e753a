//! What a visitor is told when a session fails.

use http::{HeaderValue, StatusCode};
use sessions_tests::browser::{Answer, Browser};

use crate::app::HEADERS;
use crate::site::{Framework, Site};

#[track_caller]
fn assert_told(answer: &Answer, status: u16, body: &str) {
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, body), "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let retry = answer.headers.get("retry-after").map(http::HeaderValue::as_bytes);
    assert_eq!(retry, (status == 503).then_some(&b"1"[..]));
    assert_eq!(answer.set_cookies(), [""; 0]);
}

pub(crate) async fn a_store_that_is_down_is_503_and_keeps_the_cookie(framework: Framework) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    browser.post("/login", "ada").await;
    let jar = browser.jar.clone();
    watch.set_down(true);
    for path in ["/show", "/visit", "/known", "/saved"] {
        let answer = browser.get(path).await;
        assert_told(&answer, 503, "sessions are unavailable, try again");
    }
    assert_eq!(browser.get("/plain").await.status, StatusCode::OK);
    assert_eq!(browser.post("/logout", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.jar, jar);
    watch.set_down(false);
    assert_eq!(browser.get("/show").await.body, "ada 0 - ");
}

pub(crate) async fn a_commit_that_fails_replaces_the_response(framework: Framework) {
    let Site { watch, address, _server, .. } = Site::new(framework).await;
    Browser::new(address).get("/visit").await;
    // A new visitor's handler succeeds; only its commit meets the store.
    let mut browser = Browser::new(address);
    watch.set_down(true);
    assert_told(&browser.get("/visit").await, 503, "");
    assert!(browser.jar.is_empty());
}

/// Lets another request take the seat while a slow one, sent to `path`, is in its handler.
async fn two_take_a_seat(site: &mut Site, path: &str) -> Answer {
    site.browser.get("/visit").await;
    let (mut slow, signals) = (site.browser.clone(), site.signals.clone());
    let path = path.to_owned();
    let slow = tokio::spawn(async move { slow.post(&path, "slow").await });
    signals.reached.notified().await;
    assert_eq!(site.browser.post("/seat", "quick").await.body, "seated");
    signals.go.notify_one();
    slow.await.unwrap()
}

pub(crate) async fn a_conflict_is_409_and_the_first_change_stays(framework: Framework) {
    let mut site = Site::new(framework).await;
    assert_told(&two_take_a_seat(&mut site, "/seat").await, 409, "");
    assert_eq!(site.browser.get("/show").await.body, "- 1 quick ");
}

pub(crate) async fn a_failed_commit_keeps_the_cookies_of_the_others(framework: Framework) {
    for site in [Site::new(framework).await, Site::with_hook(framework).await] {
        let mut site = site;
        let answer = two_take_a_seat(&mut site, "/seat_and_theme").await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        let [cookie] = &answer.set_cookies()[..] else { panic!("one cookie: {answer:?}") };
        assert!(cookie.starts_with("__Host-theme="), "{cookie}");
        site.browser.jar.keep_all(&answer.headers);
        assert_eq!(site.browser.get("/both").await.body, "1 true");
    }
}

pub(crate) async fn a_hook_answers_errors(framework: Framework) {
    let mut site = Site::with_hook(framework).await;
    // A commit, and what else the handler has to say is not heard.
    assert_told(&two_take_a_seat(&mut site, "/seat").await, 418, "the hook's 418 for POST /seat");
    site.watch.set_down(true);
    let commit = Browser::new(site.address).get("/visit").await;
    assert_told(&commit, 503, "the hook's 503 for GET /visit");
    // A rejection, an optional one, and an error that a handler passed on.
    for path in ["/show", "/known"] {
        let text = format!("the hook's 503 for GET {path}");
        assert_told(&site.browser.get(path).await, 503, &text);
        // An API's client gets what it can read.
        let api = [("accept", "application/json")];
        assert_told(&site.browser.get_saying(path, &api).await, 503, "{\"status\":503}");
    }
    let saved = Browser::new(site.address).get("/saved").await;
    assert_told(&saved, 503, "the hook's 503 for GET /saved");
    assert_eq!(site.browser.get("/plain").await.body, "plain");
    // Where all goes well, nothing is changed.
    site.watch.set_down(false);
    assert_eq!(site.browser.get("/show").await.body, "- 1 quick ");
    assert_eq!(site.browser.post("/answer", "503").await.body, "");
}

pub(crate) async fn an_error_that_a_handler_answers_is_its_own(framework: Framework) {
    for site in [Site::new(framework).await, Site::with_hook(framework).await] {
        let mut site = site;
        site.browser.get("/visit").await;
        assert_eq!(site.browser.get("/own_rejection").await.body, "1");
        site.watch.set_down(true);
        let answer = site.browser.get("/own_rejection").await;
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
        assert!(answer.body.starts_with("own: the session store is unavailable"), "{answer:?}");
    }
}

/// What a layer inside says of every response, such as CORS and security headers, is said of an
/// error as well; what it says of the answer that is replaced is not.
pub(crate) async fn an_error_keeps_the_headers_of_the_layers_inside(framework: Framework) {
    for hook in [false, true] {
        let mut site = Site::arranged(framework, |app| {
            (app.headers, app.hook) = (true, hook);
        })
        .await;
        let conflict = two_take_a_seat(&mut site, "/seat").await;
        let prefetch = site.browser.get_saying("/visit", &[("sec-purpose", "prefetch")]).await;
        site.watch.set_down(true);
        let commit = Browser::new(site.address).get("/visit").await;
        let load = site.browser.get("/show").await;
        let passed_on = site.browser.get("/saved").await;
        for (answer, status) in [
            (&conflict, if hook { 418 } else { 409 }),
            (&prefetch, 503),
            (&commit, 503),
            (&load, 503),
            (&passed_on, 503),
        ] {
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            for (name, value) in HEADERS.iter().filter(|(name, _)| name.starts_with(['a', 'c'])) {
                assert_eq!(answer.headers[*name], *value, "{answer:?}");
            }
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert!(vary.contains(&&HeaderValue::from_static("origin")), "{answer:?}");
        }
        for answer in [conflict, prefetch, commit] {
            assert!(!answer.headers.contains_key("x-of-this-answer"), "{answer:?}");
        }
    }
}
