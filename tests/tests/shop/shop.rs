//! The shop of the examples, as the README starts it: its own process, its own file.

use std::path::Path;
#[cfg(feature = "redis")]
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sessions_tests::browser::{Answer, Browser};
use sessions_tests::shop::{Shop, refuse};

/// The option that names a database file in this folder.
pub(crate) fn sqlite(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("shop.db").display())
}

pub(crate) async fn login(browser: &mut Browser, user: &str, password: &str) -> Answer {
    browser.post("/login", &format!("user={user}&password={password}")).await
}

/// How many pieces of everything are in the cart, by the number beside the link to it.
async fn pieces(browser: &mut Browser) -> u32 {
    let page = browser.get("/cart").await.body;
    let count = page
        .split_once(r#"<span class="count">"#)
        .map_or("0", |(_, rest)| rest.split('<').next().unwrap());
    count.parse().unwrap()
}

#[tokio::test]
async fn a_visitor_is_still_logged_in_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut browser = Browser::new(shop.address);
    let front = browser.get("/").await;
    assert!(front.body.contains("Add to cart"));
    assert_eq!(front.headers["cache-control"], "private, no-store");
    assert!(browser.jar.is_empty(), "looking around stores nothing");
    assert_eq!(browser.post("/cart/add", "id=sencha").await.status, StatusCode::SEE_OTHER);
    assert!(browser.get("/").await.body.contains("Sencha is in your cart"));
    assert!(!browser.get("/").await.body.contains("is in your cart"), "a notice is shown once");

    login(&mut browser, "ada", "wrong").await;
    assert!(browser.get("/login").await.body.contains("Wrong name or password"));
    let anonymous = browser.jar.clone();
    login(&mut browser, "ada", "lovelace").await;
    assert_ne!(browser.jar, anonymous);
    let _shop = shop.restart();

    let account = browser.get("/account").await;
    assert_eq!(account.status, StatusCode::OK);
    assert!(account.body.contains("This device"), "{}", account.body);
    assert!(browser.get("/cart").await.body.contains("Sencha"), "the cart came along");
}

#[tokio::test]
async fn a_user_ends_sessions_one_by_one_or_all_but_this_or_all() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browsers: Vec<_> = (0..4).map(|_| Browser::new(shop.address)).collect();
    for browser in &mut browsers {
        login(browser, "ada", "lovelace").await;
    }
    let [here, second, third, fourth] = &mut browsers[..] else { unreachable!() };
    let is_in =
        async |browser: &mut Browser| browser.get("/account").await.status == StatusCode::OK;
    let ends = |page: &str| page.matches(r#"action="/account/end""#).count();

    let page = here.get("/account").await.body;
    assert_eq!((page.matches("This device").count(), ends(&page)), (1, 3));
    let key = page.split_once(r#"name="key" value=""#).unwrap().1.split('"').next().unwrap();
    here.post("/account/end", &format!("key={key}")).await;
    let page = here.get("/account").await.body;
    assert!(page.contains("That device is logged out"));
    assert_eq!(ends(&page), 2);
    here.post("/account/end", &format!("key={key}")).await;
    assert!(here.get("/account").await.body.contains("was logged out already"));

    // Another user's key is nobody's business.
    let mut grace = Browser::new(shop.address);
    login(&mut grace, "grace", "hopper").await;
    let key = page.split_once(r#"name="key" value=""#).unwrap().1.split('"').next().unwrap();
    grace.post("/account/end", &format!("key={key}")).await;
    assert!(grace.get("/account").await.body.contains("was logged out already"));
    let mut still_in = 0;
    for browser in [&mut *second, &mut *third, &mut *fourth] {
        still_in += u32::from(is_in(browser).await);
    }
    assert_eq!(still_in, 2);

    here.post("/account/end-others", "").await;
    assert!(here.get("/account").await.body.contains("2 other devices are logged out"));
    login(fourth, "ada", "lovelace").await;
    here.post("/logout-everywhere", "").await;
    assert!(here.jar.is_empty());
    assert!(!is_in(fourth).await && !is_in(here).await);
    assert!(is_in(&mut grace).await);
    grace.post("/logout", "").await;
    assert!(grace.jar.is_empty());
}

#[tokio::test]
async fn nobody_finds_anothers_cart() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browser = Browser::new(shop.address);
    browser.post("/cart/add", "id=cup").await;
    login(&mut browser, "ada", "lovelace").await;
    assert_eq!(pieces(&mut browser).await, 1);
    login(&mut browser, "ada", "lovelace").await;
    assert_eq!(pieces(&mut browser).await, 1, "one's own cart stays");
    login(&mut browser, "grace", "hopper").await;
    assert_eq!(pieces(&mut browser).await, 0);
}

#[tokio::test]
async fn two_tabs_fill_one_cart() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut browser = Browser::new(shop.address);
    browser.post("/cart/add", "id=cup").await;
    let tabs: Vec<_> = ["sencha", "assam"]
        .map(|id| {
            let mut tab = browser.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let added = tab.post("/cart/add", &format!("id={id}")).await;
                    assert_eq!(added.status, StatusCode::SEE_OTHER);
                }
            })
        })
        .into();
    for tab in tabs {
        tab.await.unwrap();
    }
    assert_eq!(pieces(&mut browser).await, 21);
    browser.post("/cart/remove", "id=sencha").await;
    assert_eq!(pieces(&mut browser).await, 20);
}

#[tokio::test]
async fn records_of_version_1_are_read_by_version_2() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let shop = Shop::open(&["--store", &store, "--schema", "1"]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "ada", "lovelace").await;
    for id in ["sencha", "cup", "sencha"] {
        browser.post("/cart/add", &format!("id={id}")).await;
    }
    let cart = browser.get("/cart").await.body;
    assert!(!cart.contains("for later"), "version 1 has no such thing");
    assert_eq!(browser.post("/cart/put-aside", "id=cup").await.status, StatusCode::NOT_FOUND);

    let _shop = shop.redeploy(&["--store", &store]);
    let front = browser.get("/").await.body;
    assert!(front.contains("Lately in your cart"), "made of what version 1 wrote");
    browser.post("/cart/put-aside", "id=cup").await;
    assert!(browser.get("/cart").await.body.contains("Saved for later"));
    assert_eq!(pieces(&mut browser).await, 2);
    assert_eq!(browser.get("/account").await.status, StatusCode::OK, "still logged in");
}

#[tokio::test]
async fn a_rolling_deploy_runs_both_versions_on_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path());
    let old = Shop::open(&["--store", &store, "--schema", "1"]);
    let new = Shop::open(&["--store", &store]);
    let mut browser = Browser::new(old.address);
    login(&mut browser, "ada", "lovelace").await;
    browser.post("/cart/add", "id=cup").await;
    let mut browser = browser.at(new.address);
    browser.post("/cart/put-aside", "id=cup").await;

    // The old build knows nothing of what is put aside, and loses none of it.
    let mut browser = browser.at(old.address);
    browser.post("/cart/add", "id=whisk").await;
    assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    let mut browser = browser.at(new.address);
    let cart = browser.get("/cart").await.body;
    assert!(cart.contains("Saved for later") && cart.contains("Stoneware cup"), "{cart}");
    assert_eq!(pieces(&mut browser).await, 1);

    // Both at once, in two tabs of one browser.
    let tabs: Vec<_> = [old.address, new.address]
        .map(|address| {
            let mut tab = browser.clone().at(address);
            tokio::spawn(async move {
                for _ in 0..10 {
                    assert_eq!(
                        tab.post("/cart/add", "id=sencha").await.status,
                        StatusCode::SEE_OTHER
                    );
                }
            })
        })
        .into();
    for tab in tabs {
        tab.await.unwrap();
    }
    assert_eq!(pieces(&mut browser).await, 21);
    assert!(browser.get("/cart").await.body.contains("Saved for later"));
}

#[tokio::test]
async fn operators_see_the_keys_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(&["--store", &sqlite(folder.path())]);
    let mut grace = Browser::new(shop.address);
    assert_eq!(grace.get("/operators").await.status, StatusCode::NOT_FOUND);
    let mut ada = Browser::new(shop.address);
    login(&mut ada, "ada", "lovelace").await;
    assert_eq!(ada.get("/operators").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ada.post("/operators/refresh", "").await.status, StatusCode::NOT_FOUND);
    assert!(!ada.get("/").await.body.contains("/operators"));

    login(&mut grace, "grace", "hopper").await;
    let page = grace.get("/operators").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in ["generation 1", "read just now", "seals", "version 2", "shop.db"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    // Two visitors' records.
    assert!(page.body.contains(r#"<code>shop/2</code></td><td class="number">2<"#));
    grace.post("/operators/refresh", "").await;
    assert!(grace.get("/operators").await.body.contains("The key ring was read"));
}

/// What any provider must do for the shop.
async fn shops_on(url: &str, database: &str) {
    let shop = Shop::open(&["--store", url]);
    let mut grace = Browser::new(shop.address);
    grace.post("/cart/add", "id=cup").await;
    login(&mut grace, "grace", "hopper").await;
    let shop = shop.restart();
    let mut elsewhere = Browser::new(shop.address);
    login(&mut elsewhere, "grace", "hopper").await;
    assert_eq!(pieces(&mut grace).await, 1, "the server's restart lost nothing");
    let page = grace.get("/operators").await.body;
    assert!(page.contains(database), "{page}");
    assert!(!page.contains("secret"), "a password is nobody's business: {page}");
    let count = r#"<code>shop/2</code></td><td class="number">2<"#;
    assert!(page.contains(count), "{page}");
    grace.post("/account/end-others", "").await;
    assert!(grace.get("/account").await.body.contains("One other device is logged out"));
    assert_eq!(elsewhere.get("/account").await.status, StatusCode::SEE_OTHER);
    grace.post("/logout", "").await;
    assert_eq!(grace.get("/account").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    shops_on(&sqlite(folder.path()), "SQLite").await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_postgresql() {
    let database = sessions_tests::postgres::Database::create();
    shops_on(database.url(), "PostgreSQL").await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_mysql() {
    let database = sessions_tests::mysql::Database::create();
    shops_on(database.url(), "MySQL").await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_redis() {
    // One of its own: the shop's keys have the prefix that all apps' have.
    let server = sessions_tests::redis::RedisServer::start(&[]);
    shops_on(&server.url(), "Redis").await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_dynamodb() {
    let endpoint = tokio::task::spawn_blocking(sessions_tests::dynamodb::endpoint).await.unwrap();
    let table = sessions_tests::dynamodb::Table::reserve();
    shops_on(&format!("dynamodb://{}?endpoint={endpoint}", table.name), "DynamoDB").await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_is_a_page_that_says_so_and_loses_nothing() {
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = sessions_tests::redis::RedisServer::start(&settings);
    let shop = Shop::open(&["--store", &server.url()]);
    let mut browser = Browser::new(shop.address);
    browser.post("/cart/add", "id=cup").await;
    server.kill();
    for answer in [browser.get("/cart").await, browser.post("/cart/add", "id=cup").await] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains("Back in a minute"), "{}", answer.body);
        assert!(answer.headers.contains_key("retry-after"));
        assert_eq!(answer.headers["cache-control"], "private, no-store");
    }
    assert_eq!(browser.get("/style.css").await.status, StatusCode::OK);
    server.start_again();
    let deadline = Instant::now() + Duration::from_secs(60);
    while browser.get("/cart").await.status != StatusCode::OK {
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pieces(&mut browser).await, 1);
}

#[tokio::test]
async fn the_memory_forgets_at_a_restart() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browser = Browser::new(shop.address);
    login(&mut browser, "grace", "hopper").await;
    assert!(browser.get("/operators").await.body.contains("<code>shop/2</code>"));
    let _shop = shop.restart();
    assert_eq!(browser.get("/operators").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn forms_of_other_sites_are_refused() {
    let shop = Shop::open(&["--store", "memory:"]);
    let mut browser = Browser::new(shop.address);
    let own = format!("http://{}", shop.address);
    let cases = [
        (("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "same-site"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "same-origin"), StatusCode::SEE_OTHER),
        (("origin", "http://shop.example"), StatusCode::FORBIDDEN),
        (("origin", "null"), StatusCode::FORBIDDEN),
        (("origin", &own), StatusCode::SEE_OTHER),
    ];
    let mut added = 0;
    for (header, status) in cases {
        let answer = browser.post_with("/cart/add", "id=cup", &[header]).await;
        assert_eq!(answer.status, status, "{header:?}");
        added += u32::from(status == StatusCode::SEE_OTHER);
    }
    assert_eq!(pieces(&mut browser).await, added);
}

#[test]
fn options_that_cannot_be_used_are_refused_with_what_to_write() {
    let cases = [
        (&["--store", "mongodb://here"][..], "\"mongodb://here\" is no place for sessions"),
        (&["--store", "sqlite:no/such/folder/shop.db"], "create its folder"),
        (&["--store", "postgres://localhost:1/shop"], "start the server"),
        (&["--store", "dynamodb://sessions"], "?endpoint=http"),
        (&["--schema", "3"], "there is no schema 3"),
        (&["--port", "http"], "http is not a port"),
        (&["--port"], "--port needs a value"),
        (&["--proxies", "10.0.0.0/8,here"], "\"here\" is no network and no address"),
        (&["--minutes-ahead", "soon"], "soon is no number"),
        (&["--what"], "--what is not known"),
    ];
    for (words, says) in cases {
        let output = refuse(words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(says), "{words:?}: {error}");
    }
}
