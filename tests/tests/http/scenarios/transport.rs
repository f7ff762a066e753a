//! How tokens travel: in a header, in a cookie, in a cookie of another configuration.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use sessions::{CookieConfig, SameSite, Store, StoreBuilder, Transport};
use sessions_tests::browser::{Answer, Browser};
use sessions_tests::hooked::Calls;
use sessions_tests::jar::Jar;

use crate::app::{Theme, Visitor};
use crate::site::{Framework, Site};

const TOKEN: &str = "session-token";

/// What the answer says of the token: `None` if nothing.
fn token(answer: &Answer) -> Option<&str> {
    assert!(answer.headers.get_all(TOKEN).iter().count() <= 1, "{answer:?}");
    answer.headers.get(TOKEN).map(|token| token.to_str().expect("a token is ASCII"))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A client that keeps its token itself.
struct Client {
    browser: Browser,
    token: String,
}

impl Client {
    /// It has been at `/visit` once.
    async fn new(site: &Site) -> Self {
        let mut browser = Browser::new(site.address);
        let answer = browser.get("/visit").await;
        Self { token: token(&answer).expect("a new session has a token").to_owned(), browser }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.browser.get_saying(path, &[("authorization", &bearer(&self.token))]).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.browser.post_with(path, form, &[("authorization", &bearer(&self.token))]).await
    }
}

fn in_header(store: StoreBuilder) -> StoreBuilder {
    store.transport(Transport::Header)
}

fn in_either(store: StoreBuilder) -> StoreBuilder {
    store.transport(Transport::Either)
}

pub(crate) async fn a_client_without_cookies_has_its_token_in_a_header(framework: Framework) {
    let site = Site::built(framework, in_header).await;
    let mut browser = Browser::new(site.address);
    let first = browser.get("/visit").await;
    assert_eq!((first.body.as_str(), first.set_cookies().len()), ("1", 0));
    let new = token(&first).expect("a new session has a token").to_owned();
    assert!(new.starts_with("sess_") && new.len() == 115, "{new}");
    assert_eq!(first.headers["cache-control"], "private, no-store");
    assert_eq!(first.headers["vary"], "authorization");

    let mut client = Client { browser, token: new };
    let again = client.get("/visit").await;
    assert_eq!((again.body.as_str(), token(&again)), ("2", None), "a token is sent once");
    assert_eq!(again.headers["cache-control"], "private");

    let login = client.post("/login", "ada").await;
    let old = std::mem::replace(&mut client.token, token(&login).expect("it renews").to_owned());
    assert_ne!(client.token, old);
    assert_eq!(client.get("/show").await.body, "ada 2 - ");

    let logout = client.post("/logout", "").await;
    assert_eq!((token(&logout), logout.set_cookies().len()), (Some(""), 0), "it is to be dropped");
    assert_eq!(client.get("/show").await.body, "- 0 - ");
    // What was asked with a token that names nothing leaves nothing behind.
    let _ = site.watch.take();
    assert_eq!(token(&client.get("/show").await), None);
    assert_eq!(site.watch.take(), Calls { fetch: 1, ..Calls::default() });
}

pub(crate) async fn a_client_that_lost_its_new_token_logs_in_again(framework: Framework) {
    let site = Site::built(framework, in_header).await;
    let mut client = Client::new(&site).await;
    let lost = client.post("/login", "ada").await;
    assert!(token(&lost).is_some(), "this answer never came");
    // The old token reads as nobody's session, changes nothing, and is neither replaced nor dropped.
    let read = client.get("/show").await;
    assert_eq!((read.body.as_str(), token(&read)), ("- 0 - ", None));
    assert_eq!(token(&client.get("/visit").await), None);
    let login = client.post("/login", "ada").await;
    client.token = token(&login).expect("a login has a token").to_owned();
    assert_eq!(client.get("/show").await.body, "ada 0 - ");
}

pub(crate) async fn with_a_token_in_the_header_no_cookie_counts(framework: Framework) {
    let site = Site::built(framework, in_either).await;
    let mut browser = site.browser.clone();
    let first = browser.get("/visit").await;
    assert_eq!((first.set_cookies().len(), token(&first)), (1, None), "a browser gets a cookie");
    let mut vary = first.headers.get_all("vary").iter().map(|value| value.to_str().unwrap());
    assert_eq!((vary.next(), vary.next()), (Some("cookie"), Some("authorization")));

    let answer = Browser::new(site.address).post("/token", "ada").await;
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(token(&answer), Some(answer.body.as_str()), "in the body and in the header");
    let mut both = Client { browser: browser.clone(), token: answer.body };
    assert_eq!(both.get("/show").await.body, "ada 0 - ");
    let changed = both.get("/visit").await;
    assert_eq!((changed.body.as_str(), changed.set_cookies().len()), ("1", 0));

    // One that names no session: no session, and no cookie instead.
    let dead = std::mem::replace(&mut both.token, "sess_AAAA".to_owned());
    for unusable in ["sess_AAAA", "sess_", &dead[..114]] {
        unusable.clone_into(&mut both.token);
        assert_eq!(both.get("/show").await.body, "- 0 - ");
        let dropped = both.get("/visit").await;
        assert_eq!((dropped.status, token(&dropped)), (StatusCode::OK, None));
        assert_eq!(dropped.set_cookies(), [""; 0]);
        let refused = both.post("/login", "bob").await;
        assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!((token(&refused), refused.set_cookies().len()), (None, 0));
        let asked = both.post("/token", "bob").await;
        assert_eq!((asked.status, asked.set_cookies().len()), (StatusCode::OK, 0));
        // A logout clears what it came with.
        let logout = both.post("/logout", "").await;
        assert_eq!((token(&logout), logout.set_cookies().len()), (Some(""), 0));
    }
    // The browser's own session has not noticed.
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
    assert_eq!(
        site.store.list::<Visitor>("bob", sessions::Page::first(9)).await.unwrap().items.len(),
        3
    );
}

pub(crate) async fn a_session_keeps_the_transport_that_it_began_with(framework: Framework) {
    let site = Site::built(framework, in_either).await;
    let mut browser = site.browser.clone();
    browser.get("/visit").await;
    let refused = browser.post("/token", "ada").await;
    assert_eq!((refused.status, token(&refused)), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert_eq!(browser.get("/show").await.body, "- 1 - ");

    // The token of one does not open in the other.
    let cookie = browser.jar.value("__Host-visitor").to_owned();
    let in_header = format!("Bearer sess_{cookie}");
    let answer =
        Browser::new(site.address).get_saying("/show", &[("authorization", &in_header)]).await;
    assert_eq!(answer.body, "- 0 - ");
    let issued = Browser::new(site.address).post("/token", "ada").await.body;
    for value in [&issued[..], &issued["sess_".len()..]] {
        browser.jar.insert("__Host-visitor", value);
        assert_eq!(browser.get("/show").await.body, "- 0 - ");
    }
    let items = site.store.list::<Visitor>("ada", sessions::Page::first(9)).await.unwrap().items;
    assert_eq!(items[0].transport, Transport::Header);
}

pub(crate) async fn two_types_have_two_transports_in_one_request(framework: Framework) {
    let name = HeaderName::from_static("x-theme");
    let site = Site::built(framework, |store| {
        store.session::<Theme>(|it| it.transport(Transport::Header).token_header(name))
    })
    .await;
    let mut browser = site.browser.clone();
    browser.get("/visit").await;
    let dark = browser.get("/dark").await;
    assert_eq!(dark.set_cookies(), [""; 0]);
    let theme = dark.headers["x-theme"].to_str().unwrap().to_owned();
    let both = browser.get_saying("/both", &[("x-theme", &theme)]).await;
    assert_eq!(both.body, "1 true");
    let mut vary: Vec<_> = both.headers.get_all("vary").iter().collect();
    vary.sort_unstable();
    assert_eq!(vary, ["cookie", "x-theme"]);
    assert_eq!(browser.get("/both").await.body, "1 false");

    let site = Site::built(framework, in_header).await;
    let mut browser = site.browser.clone();
    let answer = browser.get("/both").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "one header for two types");
}

pub(crate) async fn no_authorization_header_does_harm(framework: Framework) {
    let site = Site::built(framework, in_either).await;
    let mut browser = site.browser.clone();
    browser.get("/visit").await;
    let issued = Browser::new(site.address).post("/token", "ada").await.body;
    let long = format!("Bearer sess_{}", "A".repeat(6_000));
    let bearer = bearer(&issued);
    let padded = format!("bEARER    {issued} ");
    let _ = site.watch.take();
    let rows: [(&[&str], &str); 9] = [
        // Other schemes and other tokens are not this library's: the cookie counts.
        (&["Basic YTpi"], "- 1 - "),
        (&["Bearer eyJhbGciOiJub25lIn0.e30."], "- 1 - "),
        (&["Bearer"], "- 1 - "),
        (&[""], "- 1 - "),
        (&["Basic a", "Bearer b"], "- 1 - "),
        // Nobody can know which one is meant.
        (&[&bearer, &bearer], "- 0 - "),
        (&["Basic a", &bearer], "- 0 - "),
        (&[&long], "- 0 - "),
        (&[&padded], "ada 0 - "),
    ];
    for (values, shown) in rows {
        let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        let answer = browser.get_saying("/show", &headers).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, shown), "{values:?}");
        assert_eq!((answer.set_cookies().len(), token(&answer)), (0, None));
    }
    assert_eq!(site.watch.take(), Calls { fetch: 6, ..Calls::default() });
}

/// What a browser has from a store with the cookie of old.
async fn of_old(site: &Site, visits: u32, cookie: CookieConfig) -> Jar {
    let store = Store::builder(site.records.clone()).clock(site.clock.clone()).cookie(cookie);
    let store = store.build().unwrap();
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.visits = visits;
    Jar::of(&visitor.commit().await.unwrap())
}

fn wide() -> CookieConfig {
    CookieConfig::new().domain("example.com")
}

pub(crate) async fn a_cookie_of_another_configuration_is_read_and_replaced(framework: Framework) {
    let site =
        Site::built(framework, |store| store.cookie(wide()).also_read_cookie(CookieConfig::new()))
            .await;
    let mut browser = site.browser.clone();
    browser.jar = of_old(&site, 5, CookieConfig::new()).await;
    site.clock.advance(std::time::Duration::from_secs(12 * 60));
    let moved = browser.get("/show").await;
    assert_eq!(moved.body, "- 5 - ");
    let [clear, set] = &moved.set_cookies()[..] else { panic!("two cookies: {moved:?}") };
    assert!(clear.starts_with("__Host-visitor=;") && clear.contains("Max-Age=0"), "{clear}");
    assert!(set.starts_with("__Secure-visitor=") && set.contains("Domain=example.com"), "{set}");
    let names: Vec<_> = browser.jar.pairs().map(|(name, _)| name).collect();
    assert_eq!(names, ["__Secure-visitor"]);
    let settled = browser.get("/visit").await;
    assert_eq!((settled.body.as_str(), settled.set_cookies().len()), ("6", 0));

    // Going back: the first deploy reads both, too.
    let back = Site::built(framework, |store| store.also_read_cookie(wide())).await;
    let mut browser = back.browser.clone();
    browser.jar = of_old(&back, 7, wide()).await;
    back.clock.advance(std::time::Duration::from_secs(12 * 60));
    assert_eq!(browser.get("/visit").await.body, "8");
    let names: Vec<_> = browser.jar.pairs().map(|(name, _)| name).collect();
    assert_eq!(names, ["__Host-visitor"]);
    let logout = browser.post("/logout", "").await;
    assert_eq!(logout.set_cookies().len(), 2, "both are cleared: {logout:?}");
}

/// A browser keeps a partitioned cookie beside one of the same name that is not.
pub(crate) async fn a_partitioned_cookie_takes_the_place_of_one_that_is_not(framework: Framework) {
    let embedded = || CookieConfig::new().same_site(SameSite::None);
    let site = Site::built(framework, |store| {
        store.cookie(embedded().partitioned()).also_read_cookie(embedded())
    })
    .await;
    let mut browser = site.browser.clone();
    browser.jar = of_old(&site, 5, embedded()).await;
    assert_eq!(browser.get("/show").await.body, "- 5 - ");
    let login = browser.post("/login", "ada").await;
    let [clear, set] = &login.set_cookies()[..] else { panic!("two cookies: {login:?}") };
    assert!(clear.starts_with("__Host-visitor=;") && !clear.contains("Partitioned"), "{clear}");
    assert!(set.contains("Partitioned") && !set.contains("Max-Age=0"), "{set}");
    assert_eq!(browser.get("/show").await.body, "ada 5 - ");
    let logout = browser.post("/logout", "").await.set_cookies();
    let partitioned = logout.iter().filter(|cookie| cookie.contains("Partitioned")).count();
    assert_eq!((logout.len(), partitioned), (2, 1), "{logout:?}");
}

/// An HTTP cache of the client's own would give a dead token again.
pub(crate) async fn no_cache_keeps_a_token_in_a_header(framework: Framework) {
    let site = Site::built(framework, in_header).await;
    let answer = Browser::new(site.address).get("/with_headers").await;
    assert!(token(&answer).is_some());
    let said: Vec<_> = answer.headers.get_all("cache-control").iter().collect();
    assert_eq!(said, ["private, no-store"], "the handler said max-age=5");
}

/// A browser that turns into a client with a token of its own.
pub(crate) async fn a_session_in_a_cookie_ends_and_one_in_the_header_begins(framework: Framework) {
    let site = Site::built(framework, in_either).await;
    let mut browser = site.browser.clone();
    browser.get("/visit").await;
    let moved = browser.post("/move", "ada").await;
    assert_eq!(moved.status, StatusCode::OK);
    let [clear] = &moved.set_cookies()[..] else { panic!("one cookie: {moved:?}") };
    assert!(clear.contains("Max-Age=0"), "{clear}");
    let mut client = Client { token: token(&moved).expect("a token").to_owned(), browser };
    assert!(client.browser.jar.is_empty());
    assert_eq!(client.get("/show").await.body, "ada 0 - ");
}

pub(crate) async fn the_host_of_a_request_chooses_the_domain_of_its_cookie(framework: Framework) {
    let site = Site::built(framework, |store| {
        store.cookie(CookieConfig::new().domains([
            "example.com",
            "shop.example.com",
            "example.org",
        ]))
    })
    .await;
    for (host, domain) in [
        ("example.com", Some("Domain=example.com;")),
        ("WWW.Example.com:8080", Some("Domain=example.com;")),
        ("eu.shop.example.com", Some("Domain=shop.example.com;")),
        ("example.org", Some("Domain=example.org;")),
        ("evilexample.com", None),
        ("127.0.0.1", None),
    ] {
        let mut browser = Browser::new(site.address);
        let host = [("host", host)];
        // A first visit, a login, and a logout name the same domain.
        let visit = browser.get_saying("/visit", &host).await;
        let login = browser.post_with("/login", "ada", &host).await;
        let logout = browser.post_with("/logout", "", &host).await;
        for answer in [visit, login, logout] {
            let [cookie] = &answer.set_cookies()[..] else { panic!("one cookie: {answer:?}") };
            assert!(cookie.starts_with("__Secure-visitor="), "{cookie}");
            let said = cookie.find("Domain=").map(|at| &cookie[at..]);
            let said = said.map(|said| said.split_inclusive(';').next().unwrap());
            assert_eq!(said, domain, "{host:?}");
        }
    }
}

pub(crate) async fn a_cookie_that_a_subdomain_planted_does_not_count(framework: Framework) {
    let site = Site::built(framework, |store| store.also_read_cookie(wide())).await;
    let mut browser = site.browser.clone();
    browser.get("/visit").await;
    let planted = of_old(&site, 99, wide()).await;
    let value = planted.value("__Secure-visitor");
    browser.jar.insert("__Secure-visitor", value);
    assert_eq!(browser.get("/show").await.body, "- 1 - ");
    // Nor when the session of the current one has ended, for the planted one would be a login of
    // somebody else's.
    let own = browser.jar.value("__Host-visitor").to_owned();
    browser.post("/logout", "").await;
    let cookies = format!("__Secure-visitor={value}; __Host-visitor={own}");
    let header = HeaderValue::try_from(cookies).unwrap();
    let answer = browser.get_with("/show", &[header.as_bytes()]).await;
    assert_eq!(answer.body, "- 0 - ");
    // One that does not open is none.
    let cookies = format!("__Secure-visitor={value}; __Host-visitor=x");
    assert_eq!(browser.get_with("/show", &[cookies.as_bytes()]).await.body, "- 99 - ");
}
