//! Which cookies are set and believed, and what caches are told.

use std::time::Duration;

use http::header::COOKIE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sessions_tests::browser::Browser;
use sessions_tests::hooked::Calls;

use crate::site::{Framework, Site};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn a_session_survives_from_request_to_request(framework: Framework) {
    let mut site = Site::new(framework).await;
    let first = site.browser.get("/visit").await;
    assert_eq!((first.status, first.body.as_str()), (StatusCode::OK, "1"));
    let [cookie] = &first.set_cookies()[..] else { panic!("one cookie: {first:?}") };
    for part in ["__Host-visitor=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie} lacks {part}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // 16 bytes of id and 16 of secret make a token of 110 characters.
    assert_eq!(site.browser.jar.value("__Host-visitor").len(), 110);

    let second = site.browser.get("/visit").await;
    assert_eq!(second.body, "2");
    assert_eq!(second.set_cookies(), [""; 0], "a fresh token is not sent again");
    assert_eq!(site.browser.get("/show").await.body, "- 2 - ");
}

pub(crate) async fn two_session_types_have_their_own_cookies(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    browser.get("/dark").await;
    let names: Vec<_> = browser.jar.pairs().map(|(name, _)| name).collect();
    assert_eq!(names, ["__Host-visitor", "__Host-theme"]);
    assert_eq!(browser.get("/both").await.body, "1 true");
    // One type's token is not the other's.
    let swapped = browser.jar.value("__Host-theme").to_owned();
    browser.jar.insert("__Host-visitor", &swapped);
    assert_eq!(browser.get("/both").await.body, "0 true");
}

pub(crate) async fn a_forged_cookie_is_a_fresh_anonymous_session(framework: Framework) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let mut forged = browser.jar.value("__Host-visitor").as_bytes().to_vec();
    let _ = watch.take();
    forged[60] = if forged[60] == b'A' { b'B' } else { b'A' };
    for value in [forged.as_slice(), b"", b"x", &[b'A'; 110], &[0xff; 110], &[b'A'; 12_000]] {
        let cookie = [b"__Host-visitor=", value].concat();
        let answer = browser.get_with("/show", &[&cookie]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "- 0 - "));
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    assert_eq!(watch.take(), Calls::default(), "what does not open asks the store for nothing");
}

pub(crate) async fn of_several_cookies_the_first_that_opens_counts(framework: Framework) {
    let Site { mut browser, address, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let mut other = Browser::new(address);
    other.post("/login", "ada").await;
    let [one, two] = [&browser, &other]
        .map(|browser| format!("__Host-visitor={}", browser.jar.value("__Host-visitor")));
    let mixed = format!("__Host-visitor=x; a=b;; {one}");
    let both = format!("{two}; {one}");
    let rows: [(&[&[u8]], &str); 5] = [
        (&[mixed.as_bytes()], "- 1 - "),
        (&[b"\xfe=\xff", one.as_bytes()], "- 1 - "),
        (&[one.as_bytes(), two.as_bytes()], "- 1 - "),
        (&[two.as_bytes(), one.as_bytes()], "ada 0 - "),
        (&[both.as_bytes()], "ada 0 - "),
    ];
    for (cookies, shown) in rows {
        let answer = browser.get_with("/show", cookies).await;
        assert_eq!(answer.body, shown);
    }
}

pub(crate) async fn remember_keeps_a_session_beyond_the_idle_timeout(framework: Framework) {
    let Site { mut browser, clock, address, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let mut forgotten = Browser::new(address);
    forgotten.get("/visit").await;
    let answer = browser.post("/remember", "60").await;
    assert!(answer.set_cookies()[0].contains("Max-Age=5184000"), "{answer:?}");
    clock.advance(59 * DAY);
    assert_eq!(forgotten.get("/show").await.body, "- 0 - ");
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
    clock.advance(DAY);
    assert_eq!(browser.get("/show").await.body, "- 0 - ");
}

pub(crate) async fn a_response_with_a_cookie_is_private(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    assert_eq!(browser.get("/visit").await.headers["cache-control"], "private, no-store");
    let none = browser.get("/visit").await;
    assert!(!none.headers.contains_key("cache-control"), "it sets no cookie: {none:?}");
    // What the handler says stays, and is said once.
    let own = browser.get("/with_headers").await;
    assert_eq!(own.set_cookies().len(), 1, "{own:?}");
    let said: Vec<_> = own.headers.get_all("cache-control").iter().collect();
    assert_eq!(said, ["max-age=5"]);
    // Nor is a page kept that clears the cookie.
    assert_eq!(browser.post("/logout", "").await.headers["cache-control"], "private, no-store");
}

pub(crate) async fn a_response_that_was_read_for_varies_by_cookie(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    for path in ["/show", "/visit", "/known", "/both"] {
        let answer = browser.get(path).await;
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["cookie"], "{path}");
    }
    let own = browser.get("/with_headers").await;
    let vary: Vec<_> = own.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept, COOKIE"], "the handler has said it already");
    let plain = browser.get("/plain").await;
    assert!(!plain.headers.contains_key("vary"), "it is the same for everybody");
}

pub(crate) async fn a_head_request_is_committed_too(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    let answer = browser.head("/visit").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(browser.head("/visit").await.set_cookies(), [""; 0]);
    assert_eq!(browser.get("/show").await.body, "- 2 - ");
}

/// The memory of an ended request serves the next; nothing of its sessions may.
pub(crate) async fn requests_on_one_connection_are_strangers(framework: Framework) {
    let Site { mut browser, address, _server, .. } = Site::new(framework).await;
    browser.post("/login", "ada").await;
    let cookie = format!("__Host-visitor={}", browser.jar.value("__Host-visitor"));
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build_http();
    for round in 0..20 {
        for (cookie, shown) in [(Some(&cookie), "ada 0 - "), (None, "- 0 - ")] {
            let mut request = Request::get(format!("http://{address}/show"));
            if let Some(cookie) = cookie {
                request = request.header(COOKIE, cookie);
            }
            let request = request.body(Full::<Bytes>::default()).unwrap();
            let response = client.request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, shown, "in round {round}");
        }
    }
}
