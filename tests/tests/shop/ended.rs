//! What the shop tells an open page, over HTTP: that its session has ended.

use http::Request;
use http::header::{CONTENT_TYPE, HeaderMap};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sessions_tests::browser::Browser;
use sessions_tests::shop::Shop;

use crate::shop::login;

/// Asks as the script of a page does.
async fn listen(shop: &Shop, cookies: &HeaderMap) -> Incoming {
    let mut request = Request::get(format!("http://{}/ended", shop.address));
    request.headers_mut().unwrap().extend(cookies.clone());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    answer.into_body()
}

/// The rest of a stream, but for the comments that keep it open.
async fn rest(events: Incoming) -> String {
    let text = events.collect().await.unwrap().to_bytes();
    let text = str::from_utf8(&text).unwrap();
    text.lines().filter(|line| !line.starts_with(':') && !line.is_empty()).collect()
}

const ENDED: &str = "event: endeddata: log in again";

#[tokio::test]
async fn a_page_is_told_when_its_session_ends() {
    let shop = Shop::open(&["--store", "memory:"]);
    let (mut here, mut there) = (Browser::new(shop.address), Browser::new(shop.address));
    login(&mut here, "ada", "lovelace").await;
    login(&mut there, "ada", "lovelace").await;
    let events = listen(&shop, there.jar.headers()).await;
    here.post("/account/end-others", "").await;
    assert_eq!(rest(events).await, ENDED);
    // A page that asks too late is told at once, and so is one of a browser that was never logged in.
    for cookies in [there.jar.headers(), &HeaderMap::new()] {
        assert_eq!(rest(listen(&shop, cookies).await).await, ENDED);
    }
}

#[tokio::test]
async fn after_a_renewal_the_browser_asks_again_and_a_copy_of_the_old_cookie_is_told() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "ada", "lovelace").await;
    let old = browser.jar.clone();
    let events = listen(&shop, old.headers()).await;
    browser.post("/confirm", "password=lovelace").await;
    assert_eq!(rest(events).await, "", "it only closes");
    assert_eq!(rest(listen(&shop, old.headers()).await).await, ENDED);
    let events = listen(&shop, browser.jar.headers()).await;
    browser.post("/logout", "").await;
    assert_eq!(rest(events).await, ENDED);
}

#[tokio::test]
async fn the_shop_stops_while_pages_listen() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "ada", "lovelace").await;
    let events = listen(&shop, browser.jar.headers()).await;
    shop.stop();
    assert_eq!(rest(events).await, "", "the session goes on");
}
