//! What is saved, and when.

use std::time::{Duration, Instant};

use http::StatusCode;
use sessions::commit::KeepChanges;
use sessions_tests::hooked::Calls;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::site::{Framework, Site};

pub(crate) async fn a_session_that_is_not_extracted_costs_no_call(framework: Framework) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let _ = watch.take();
    let answer = browser.get("/plain").await;
    assert_eq!((answer.status, answer.set_cookies().len()), (StatusCode::OK, 0));
    assert_eq!(watch.take(), Calls::default());
    browser.get("/show").await;
    assert_eq!(watch.take(), Calls { fetch: 1, ..Calls::default() });
    browser.get("/visit").await;
    assert_eq!(watch.take(), Calls { fetch: 1, save: 1, ..Calls::default() });
}

pub(crate) async fn an_optional_session_is_none_until_something_is_stored(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    assert_eq!(browser.get("/known").await.body, "nobody");
    assert!(browser.jar.is_empty());
    browser.get("/visit").await;
    assert_eq!(browser.get("/known").await.body, "1");
    browser.jar.insert("__Host-visitor", "forged");
    assert_eq!(browser.get("/known").await.body, "nobody");
}

pub(crate) async fn what_a_failed_response_changed_is_discarded(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    for code in ["500", "503", "408"] {
        assert_eq!(browser.post("/answer", code).await.status.as_str(), code);
    }
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
    // What a handler changed before it refused the request stays.
    for code in ["404", "302"] {
        browser.post("/answer", code).await;
    }
    assert_eq!(browser.get("/show").await.body, "- 1 - status 404,status 302");
    // Logging out is carried out whatever the status.
    let mut copy = browser.clone();
    assert_eq!(browser.post("/fail_logout", "").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(browser.jar.is_empty());
    assert_eq!(copy.get("/show").await.body, "- 0 - ");
}

pub(crate) async fn changes_may_be_kept_on_success_only(framework: Framework) {
    let build = |builder: sessions::StoreBuilder| builder.keep_changes(KeepChanges::OnSuccess);
    let Site { mut browser, _server, .. } = Site::built(framework, build).await;
    for code in ["404", "302", "500"] {
        assert_eq!(browser.post("/answer", code).await.status.as_str(), code);
    }
    assert_eq!(browser.get("/show").await.body, "- 0 - status 302");
}

pub(crate) async fn a_middleware_and_a_handler_share_the_session(framework: Framework) {
    let Site { mut browser, watch, _server, .. } = Site::new(framework).await;
    let answer = browser.get("/beside").await;
    // The second middleware took what the first put back, and the handler sees nothing of what it
    // holds; all of it is saved.
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "100"));
    assert_eq!(watch.take(), Calls { save: 1, ..Calls::default() });
    let shown = browser.get("/show").await.body;
    let (visits, cart) = shown.rsplit_once(' ').expect("a cart");
    assert_eq!(visits, "- 112 -");
    let mut cart: Vec<_> = cart.split(',').collect();
    cart.sort_unstable();
    assert_eq!(cart, ["around", "around", "before", "handler"]);
}

pub(crate) async fn a_handle_in_a_streamed_body_saves_itself(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    // Without a record there is no cookie yet, and the headers have gone.
    let answer = browser.get("/stream").await;
    assert!(answer.body.contains("can take no new cookie"), "{answer:?}");
    assert!(browser.jar.is_empty());
    browser.get("/visit").await;
    assert_eq!(browser.get("/stream").await.body, "saved one;saved two;");
    assert_eq!(browser.get("/show").await.body, "- 1 - one,two");
}

pub(crate) async fn a_handle_that_outlives_its_request_is_not_saved(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    assert_eq!(browser.get("/outlive").await.body, "going on");
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
}

pub(crate) async fn a_panic_saves_nothing_and_the_server_goes_on(framework: Framework) {
    let Site { mut browser, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    let answer = browser.try_get("/panic").await;
    assert!(answer.is_none(), "the connection is closed: {answer:?}");
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
}

pub(crate) async fn a_commit_is_finished_when_the_client_leaves(framework: Framework) {
    let Site { mut browser, address, saves, store, _server, .. } = Site::new(framework).await;
    browser.get("/visit").await;
    saves.close();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /visit HTTP/1.1\r\nHost: {address}\r\nCookie: __Host-visitor={}\r\n\r\n",
        browser.jar.value("__Host-visitor")
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    saves.arrived(1).await;
    drop(connection);
    assert_eq!(browser.get("/show").await.body, "- 1 - ", "the save waits");
    saves.open();
    store.shutdown().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while browser.get("/show").await.body != "- 2 - " {
        assert!(Instant::now() < deadline, "the commit was not finished");
    }
}
