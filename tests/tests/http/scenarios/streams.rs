//! Sessions in a body that is made once the headers have gone, as by a page that is rendered out of
//! order.

use crate::site::{Framework, Site};

pub(crate) async fn a_session_is_read_and_saved_after_the_headers_have_gone(framework: Framework) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    // A new visitor, to whom the response has just given the cookie.
    assert_eq!(browser.post("/late", "visit").await.body, "- 1 false; saved; 11");
    assert_eq!(browser.get("/show").await.body, "- 11 - ");
    // A session that the handler has read, or has not even looked at.
    let _ = watch.take();
    assert_eq!(browser.post("/late", "read").await.body, "- 11 false; saved; 21");
    assert_eq!(watch.take().fetch, 1, "it is not read twice");
    assert_eq!(browser.post("/late", "nothing").await.body, "- 21 false; saved; 31");
    // A login gives the browser another secret, and the body goes on with it.
    assert_eq!(browser.post("/late", "login").await.body, "ada 31 false; saved; 41");
    assert_eq!(browser.get("/show").await.body, "ada 41 - ");
    browser.get("/dark").await;
    assert_eq!(browser.post("/late", "visit").await.body, "ada 42 true; saved; 52");
    // What a failed handler changed is discarded, and is not seen again.
    assert_eq!(browser.post("/late", "fail").await.body, "ada 52 true; saved; 62");
    // After a logout there is nothing left to read.
    let left = browser.post("/late", "logout").await.body;
    assert!(left.starts_with("- 0 true; "), "{left}");
    assert!(left.contains("can take no new cookie"), "{left}");
    assert_eq!(browser.get("/show").await.body, "- 0 - ");
}

pub(crate) async fn what_needs_a_cookie_is_refused_after_the_headers_have_gone(
    framework: Framework,
) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    for form in ["nothing", "read"] {
        let body = browser.post("/late", form).await.body;
        assert!(body.starts_with("- 0 false; "), "{body}");
        assert!(body.contains("can take no new cookie"), "{body}");
        assert!(browser.jar.is_empty());
    }
    assert_eq!(watch.take().save, 0, "no record without a browser");
}
