//! Which cookies are set and believed, and what caches are told.

use std::time::Duration;

use http::header::{COOKIE, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sessions_tests::browser::{Answer, Browser};
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

/// RFC 6265, section 4.1.1, lets a cookie's value stand in quotes, and some clients write them.
pub(crate) async fn a_cookie_in_quotes_is_read(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let token = browser.jar.value("__Host-visitor").to_owned();
    let show = async |browser: &mut Browser, value: &str| {
        let cookie = format!("a=\"b\"; __Host-visitor={value}; c=d");
        browser.get_with("/show", &[cookie.as_bytes()]).await.body
    };
    assert_eq!(show(&mut browser, &format!("\"{token}\"")).await, "- 1 - ");
    assert_eq!(show(&mut browser, &format!(" \"{token}\" ")).await, "- 1 - ");
    // What is not a pair of quotes around the value is not the value.
    for value in [
        format!("\"{token}"),
        format!("{token}\""),
        format!("\"\"{token}\"\""),
        format!("'{token}'"),
        "\"".to_owned(),
        "\"\"".to_owned(),
    ] {
        assert_eq!(show(&mut browser, &value).await, "- 0 - ", "{value}");
    }
    // Logging out with it works as well.
    let cookie = format!("\"{token}\"");
    browser.jar.insert("__Host-visitor", &cookie);
    assert_eq!(browser.post("/logout", "").await.body, "bye");
    browser.jar.insert("__Host-visitor", &token);
    assert_eq!(browser.get("/show").await.body, "- 0 - ");
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
    assert_eq!(none.headers["cache-control"], "private", "it sets no cookie: {none:?}");
    // What the handler says is said once, and by this browser's cache alone.
    let own = browser.get("/with_headers").await;
    assert_eq!(own.set_cookies().len(), 1, "{own:?}");
    assert_eq!(cache_control(&own), ["private, max-age=5"]);
    // Nor is a page kept that clears the cookie.
    assert_eq!(browser.post("/logout", "").await.headers["cache-control"], "private, no-store");
    // What is the same for everybody may be kept.
    assert!(!browser.get("/plain").await.headers.contains_key("cache-control"));
}

fn cache_control(answer: &Answer) -> Vec<&str> {
    let values = answer.headers.get_all("cache-control").iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

/// Whatever the handler says, in the words of RFC 9111: with a session cookie it is made private,
/// without one it is the handler's to say.
pub(crate) async fn no_shared_cache_keeps_a_session_cookie(framework: Framework) {
    let Site { mut browser, address, _server, .. } = Site::new(framework).await;
    for (said, kept) in [
        ("public", "private"),
        ("max-age=600", "private, max-age=600"),
        ("s-maxage=600", "private"),
        ("S-MAXAGE=600 , Public,max-age=1", "private, max-age=1"),
        ("no-cache", "private, no-cache"),
        ("no-store", "private, no-store"),
        ("no-store, must-understand, max-age=9", "private, no-store, must-understand, max-age=9"),
        ("private", "private"),
        ("max-age=1, private", "max-age=1, private"),
        ("private, public", "private"),
        ("private=\"set-cookie\"", "private"),
        ("no-cache=\"set-cookie, x\", public", "private, no-cache=\"set-cookie, x\""),
        ("must-revalidate, proxy-revalidate", "private, must-revalidate, proxy-revalidate"),
        ("immutable, stale-if-error=1", "private, immutable, stale-if-error=1"),
        ("no-transform", "private, no-transform"),
        ("public\ncache-control: max-age=3", "private, max-age=3"),
    ] {
        // A login sets the cookie, another visitor's logout clears it, a read leaves it alone.
        let header = format!("cache-control: {said}");
        let set = browser.post("/say", &format!("visit\n{header}")).await;
        assert_eq!((set.set_cookies().len(), &*cache_control(&set)), (1, &[kept][..]), "{said}");
        assert_eq!(set.headers["vary"], "cookie");
        let mut left = Browser::new(address);
        left.get("/visit").await;
        let cleared = left.post("/say", &format!("logout\n{header}")).await;
        let found = (cleared.set_cookies().len(), cache_control(&cleared));
        assert_eq!(found, (1, vec![kept]), "{said}");
        let none = browser.post("/say", &header).await;
        assert_eq!(none.set_cookies(), [""; 0]);
        let own: Vec<_> = said.split("\ncache-control: ").collect();
        assert_eq!(cache_control(&none), own, "the handler has a say");
        assert_eq!(none.headers["vary"], "cookie");
    }
    for name in [
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "vercel-cdn-cache-control",
        "surrogate-control",
        "edge-control",
        "x-accel-expires",
    ] {
        let header = format!("{name}: max-age=600");
        let set = browser.post("/say", &format!("visit\n{header}")).await;
        assert_eq!(cache_control(&set), ["private, no-store"]);
        assert!(!set.headers.contains_key(name), "{name}");
        let none = browser.post("/say", &header).await;
        assert_eq!(
            (&*cache_control(&none), &none.headers[name]),
            (&["private"][..], &HeaderValue::from_static("max-age=600"))
        );
    }
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
