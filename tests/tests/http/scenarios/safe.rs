//! Requests that must leave no trace: HEAD, which is thrown away, and prefetches, which nobody may
//! ever see.

use std::time::Duration;

use http::StatusCode;
use sessions_tests::hooked::Calls;

use crate::site::{Framework, Site};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn a_head_request_commits_nothing(framework: Framework) {
    let Site { mut browser, watch, clock, _server, .. } = Site::new(framework).await;
    // A new visitor gets neither record nor cookie.
    let answer = browser.head("/visit").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    assert_eq!((answer.set_cookies().len(), watch.take()), (0, Calls::default()));
    // A message that is shown once is still there for the page, however the handler takes it.
    browser.get("/visit").await;
    browser.post("/add", "hello").await;
    // The expiry and the cookie are due.
    clock.advance(6 * DAY);
    let _ = watch.take();
    for path in ["/take", "/take_and_save", "/visit", "/bye", "/end_unread"] {
        let jar = browser.jar.clone();
        let answer = browser.head(path).await;
        assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::OK, 0), "{path}");
        assert_eq!(answer.headers["vary"], "cookie", "{path}");
        let calls = watch.take();
        assert_eq!((calls.save, calls.touch, calls.delete), (0, 0, 0), "{path}");
        assert_eq!(browser.jar, jar);
    }
    assert_eq!(browser.get("/take").await.body, "hello");
    assert_eq!(browser.get("/take").await.body, "");
    assert_eq!(browser.get("/bye").await.body, "bye");
    assert!(browser.jar.is_empty());
}

pub(crate) async fn a_prefetch_that_changes_a_session_is_refused(framework: Framework) {
    let Site { mut browser, watch, clock, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    browser.post("/add", "hello").await;
    clock.advance(6 * DAY);
    let _ = watch.take();
    let jar = browser.jar.clone();
    for header in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        for path in ["/take", "/take_and_save", "/visit", "/bye", "/end_unread"] {
            let answer = browser.get_saying(path, &[header]).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path} {header:?}");
            assert_eq!((answer.body.as_str(), answer.set_cookies().len()), ("", 0), "{path}");
            assert_eq!(answer.headers["cache-control"], "no-store");
            // Browsers would prefetch nothing from this site for a while.
            assert!(!answer.headers.contains_key("retry-after"));
        }
        // What changes nothing is a page like any other, and no activity of its visitor.
        for (path, body) in [("/show", "- 1 - hello"), ("/borrow", "hello"), ("/plain", "plain")] {
            let answer = browser.get_saying(path, &[header]).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, body));
            assert_eq!(answer.set_cookies(), [""; 0]);
        }
        let calls = watch.take();
        assert_eq!((calls.save, calls.touch, calls.delete), (0, 0, 0), "{header:?}");
    }
    assert_eq!(browser.jar, jar);
    // The visit that follows sees the message, once.
    assert_eq!(browser.get("/take").await.body, "hello");
    assert_eq!(browser.get("/take").await.body, "");
    // Where somebody's script calls a form's submission a prefetch, it is none.
    let said = browser.post_with("/add", "tea", &[("purpose", "prefetch")]).await;
    assert_eq!(said.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get_saying("/show", &[("sec-purpose", "navigate")]).await.body, "- 1 - tea");
    // Other words of the same headers ask for the page itself.
    let visited = browser.get_saying("/visit", &[("sec-purpose", "navigate")]).await;
    assert_eq!((visited.status, visited.body.as_str()), (StatusCode::OK, "2"));
}

/// A hook makes pages of errors; a prefetch must not get one with a status that the browser uses.
pub(crate) async fn a_hook_does_not_answer_a_prefetch(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::with_hook(framework).await;
    let answer = browser.get_saying("/visit", &[("sec-purpose", "prefetch")]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, ""));
}
