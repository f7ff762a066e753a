//! The settings of one session type beside those of its store.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use sessions::{
    Arrival, CookieConfig, EndedBy, Error, MemoryProvider, Page, SameSite, Session,
    SessionSettings, Store, StoreBuilder, Transport,
    clock::{Clock as _, ManualClock},
};
use sessions_tests::jar::Jar;
use tower::ServiceExt as _;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    count: u64,
}

#[derive(Session)]
#[session(name = "admin", version = 1)]
struct Admin {
    #[session(owner)]
    user: Option<u64>,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MILLI: Duration = Duration::from_millis(1);

fn strict(builder: StoreBuilder) -> StoreBuilder {
    let cookie = CookieConfig::new().same_site(SameSite::Strict).until_browser_closes();
    builder.session::<Admin>(|admin| {
        let admin = admin.idle_timeout(15 * MINUTE).touch_interval(MINUTE);
        admin.lifetime(8 * HOUR).longest_remember(DAY).cookie(cookie)
    })
}

/// A store, and the cookies of a visitor who is an administrator too.
async fn both() -> (Store, ManualClock, Jar) {
    let clock = ManualClock::default();
    let builder = Store::builder(MemoryProvider::new()).clock(clock.clone());
    let store = strict(builder).build().unwrap();
    let mut jar = Jar::new();
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.count = 1;
    jar.keep(&visitor.commit().await.unwrap());
    let mut admin = store.load::<Admin>(jar.headers()).await.unwrap();
    admin.user = Some(7);
    jar.keep(&admin.commit().await.unwrap());
    (store, clock, jar)
}

#[tokio::test]
async fn each_type_ends_at_its_own_time() {
    let (store, clock, jar) = both().await;
    let start = clock.now();
    let admin = store.load::<Admin>(jar.headers()).await.unwrap();
    assert_eq!(admin.expires_at(), Some(start + 16 * MINUTE));
    let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    assert_eq!(visitor.expires_at(), Some(start + 7 * DAY + HOUR));
    clock.set(start + 16 * MINUTE - MILLI);
    assert!(!store.load::<Admin>(jar.headers()).await.unwrap().is_new());
    clock.set(start + 16 * MINUTE);
    assert!(store.load::<Admin>(jar.headers()).await.unwrap().is_new());
    assert!(!store.load::<Visitor>(jar.headers()).await.unwrap().is_new());
}

#[tokio::test]
async fn a_session_in_use_goes_on_and_its_list_says_since_when() {
    let (store, clock, jar) = both().await;
    let start = clock.now();
    for minutes in (10..=8 * 60 - 10).step_by(10) {
        clock.set(start + minutes * MINUTE);
        let mut admin = store.load::<Admin>(jar.headers()).await.unwrap();
        assert!(!admin.is_new(), "{minutes}");
        let _ = admin.commit().await.unwrap();
    }
    let listed = store.list::<Admin>(7, Page::first(9)).await.unwrap().items;
    assert_eq!(listed[0].last_seen, start + (8 * 60 - 16) * MINUTE, "the lifetime caps the expiry");
    assert_eq!(listed[0].expires_at, Some(start + 8 * HOUR));
    clock.set(start + 8 * HOUR);
    assert!(store.load::<Admin>(jar.headers()).await.unwrap().is_new());
}

#[tokio::test]
async fn each_type_remembers_for_its_own_longest_time() {
    let (store, clock, jar) = both().await;
    let mut admin = store.load::<Admin>(jar.headers()).await.unwrap();
    admin.remember(60 * DAY);
    let _ = admin.commit().await.unwrap();
    assert_eq!(admin.expires_at(), Some(clock.now() + DAY));
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.remember(60 * DAY);
    let _ = visitor.commit().await.unwrap();
    assert_eq!(visitor.expires_at(), Some(clock.now() + 60 * DAY));
}

/// The token's key is kept for as long as the type with the longest time needs it.
#[tokio::test]
async fn a_cookie_opens_for_as_long_as_its_type_lives() {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new())
        .clock(clock.clone())
        .idle_timeout(HOUR)
        .lifetime(HOUR)
        .longest_remember(HOUR)
        .session::<Admin>(|it| it.idle_timeout(100 * DAY).lifetime(100 * DAY))
        .build()
        .unwrap();
    let mut admin = store.load::<Admin>(&HeaderMap::new()).await.unwrap();
    admin.user = Some(7);
    let jar = Jar::of(&admin.commit().await.unwrap());
    // Somebody else's requests rotate the keys meanwhile.
    for _ in 0..99 {
        clock.advance(DAY);
        let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        visitor.count = 1;
        let _ = visitor.commit().await.unwrap();
    }
    assert!(!store.load::<Admin>(jar.headers()).await.unwrap().is_new());
}

#[tokio::test]
async fn one_response_carries_the_cookies_of_both() {
    let store = strict(Store::builder(MemoryProvider::new())).build().unwrap();
    let login = async |mut visitor: Session<Visitor>, mut admin: Session<Admin>| {
        visitor.count += 1;
        admin.user = Some(7);
    };
    let router = axum::Router::new()
        .route("/", axum::routing::get(login))
        .layer(sessions::axum::SessionLayer::new(store));
    let response = router.oneshot(Request::new(axum::body::Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let cookies = response.headers().get_all(SET_COOKIE).iter();
    let mut cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
    cookies.sort_unstable();
    let [admin, visitor] = cookies[..] else { panic!("{cookies:?}") };
    assert!(admin.starts_with("__Host-admin=") && admin.contains("SameSite=Strict"), "{admin}");
    assert!(!admin.contains("Max-Age"), "{admin}");
    assert!(visitor.contains("SameSite=Lax") && visitor.contains("Max-Age=2592000"), "{visitor}");
}

#[test]
fn settings_that_cannot_work_name_their_type() {
    let store = || Store::builder(MemoryProvider::new());
    for (builder, words) in [
        (store().session::<Admin>(|it| it.idle_timeout(31 * DAY)), ["admin", "raise `lifetime`"]),
        (store().session::<Admin>(|it| it.lifetime(MILLI)), ["admin", "second"]),
        (store().session::<Admin>(|it| it.touch_interval(8 * DAY)), ["admin", "touch_interval"]),
        (
            store().session::<Admin>(|it| it.cookie(CookieConfig::new().partitioned())),
            ["admin", "SameSite::None"],
        ),
        (
            store()
                .session::<Admin>(|it| it.idle_timeout(9 * HOUR))
                .session::<Admin>(|it| it.lifetime(8 * HOUR)),
            ["admin", "longer than lifetime"],
        ),
        (store().session::<Admin>(|it| it).session::<Other>(|it| it), ["admin", "another name"]),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(store().session::<Admin>(|it| it.lifetime(HOUR)).build().is_ok());
}

#[derive(Session)]
#[session(name = "admin", version = 1)]
struct Other {
    count: u64,
}

/// Polls a page, whose layer commits.
#[tokio::test]
async fn polling_is_no_activity_for_the_layer_either() {
    let clock = ManualClock::default();
    let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build().unwrap();
    let mut visitor = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
    visitor.count = 1;
    let jar = Jar::of(&visitor.commit().await.unwrap());
    let until = visitor.expires_at();
    let router = axum::Router::new()
        .route(
            "/poll",
            axum::routing::get(async |mut visitor: Session<Visitor>| visitor.skip_touch()),
        )
        .route(
            "/read",
            axum::routing::get(async |visitor: Session<Visitor>| visitor.count.to_string()),
        )
        .route(
            "/both",
            axum::routing::get(async |mut one: Session<Visitor>, two: Session<Visitor>| {
                one.skip_touch();
                two.count.to_string()
            }),
        )
        .layer(sessions::axum::SessionLayer::new(store.clone()));
    clock.advance(2 * DAY);
    for (path, moves) in [("/poll", false), ("/both", false), ("/read", true)] {
        let mut request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        request.headers_mut().extend(jar.headers().clone());
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let found = store.load::<Visitor>(jar.headers()).await.unwrap().expires_at();
        assert_eq!(found != until, moves, "{path}");
    }
}

/// What a request came with, for "your session has expired" beside "please log in".
#[tokio::test]
async fn a_handle_says_what_the_request_came_with() {
    let (store, clock, jar) = both().await;
    let arrival = async |jar: &Jar| {
        let visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
        visitor.arrival()
    };
    assert_eq!(arrival(&Jar::new()).await, Arrival::New);
    assert_eq!(arrival(&jar).await, Arrival::Live);
    let mut forged = Jar::new();
    forged.insert("__Host-visitor", "AAAA");
    assert_eq!(arrival(&forged).await, Arrival::Invalid);
    // A renewal by another request.
    let mut visitor = store.load::<Visitor>(jar.headers()).await.unwrap();
    visitor.renew();
    let renewed = Jar::of(&visitor.commit().await.unwrap());
    assert_eq!(visitor.arrival(), Arrival::Live);
    assert_eq!(arrival(&jar).await, Arrival::Superseded);
    // A logout, by another handle.
    let mut stale = store.load::<Visitor>(renewed.headers()).await.unwrap();
    let mut visitor = store.load::<Visitor>(renewed.headers()).await.unwrap();
    visitor.destroy();
    let _ = visitor.commit().await.unwrap();
    assert_eq!(arrival(&renewed).await, Arrival::Ended);
    stale.count += 1;
    assert!(stale.commit().await.is_err());
    assert_eq!(stale.arrival(), Arrival::Live, "it came with a live one");
    // A new session does not change what this request came with.
    let mut visitor = store.load::<Visitor>(renewed.headers()).await.unwrap();
    visitor.count = 1;
    let jar = Jar::of(&visitor.commit().await.unwrap());
    assert_eq!(visitor.arrival(), Arrival::Ended);
    assert_eq!(arrival(&jar).await, Arrival::Live);
    clock.advance(8 * DAY);
    assert_eq!(arrival(&jar).await, Arrival::Ended);
}

#[tokio::test]
async fn the_host_that_ended_a_session_knows_by_what() {
    let memory = MemoryProvider::new();
    let host = || Store::builder(memory.clone()).max_sessions_per_owner(2).build().unwrap();
    let (here, there) = (host(), host());
    let login = async || {
        let mut visitor = here.load::<Admin>(Jar::new().headers()).await.unwrap();
        visitor.user = Some(7);
        let jar = Jar::of(&visitor.commit().await.unwrap());
        (visitor, jar)
    };
    let by = async |store: &Store, jar: &Jar| {
        let visitor = store.load::<Admin>(jar.headers()).await.unwrap();
        assert_eq!(visitor.arrival(), Arrival::Ended);
        visitor.ended_by()
    };

    let (mut visitor, jar) = login().await;
    assert_eq!(visitor.ended_by(), None);
    visitor.destroy();
    let _ = visitor.commit().await.unwrap();
    assert_eq!(by(&here, &jar).await, Some(EndedBy::Logout));
    assert_eq!(by(&there, &jar).await, None, "nothing is left behind");

    let (_, jar) = login().await;
    let _ = here.destroy::<Admin>(jar.headers()).await.unwrap();
    assert_eq!(by(&here, &jar).await, Some(EndedBy::Logout));

    let (visitor, jar) = login().await;
    assert!(here.revoke::<Admin>(7, visitor.key().unwrap()).await.unwrap());
    assert_eq!(by(&here, &jar).await, Some(EndedBy::Revoke));
    let (visitor, jar) = login().await;
    assert!(here.revoke_any(visitor.key().unwrap()).await.unwrap());
    assert_eq!(by(&here, &jar).await, Some(EndedBy::Revoke));

    let (_, jar) = login().await;
    here.revoke_all::<Admin>(7).await.unwrap();
    assert_eq!(by(&here, &jar).await, Some(EndedBy::RevokeAll));

    let (mut visitor, jar) = login().await;
    visitor.user = Some(8);
    let _ = visitor.commit().await.unwrap();
    assert_eq!(by(&here, &jar).await, Some(EndedBy::NewOwner));

    let (_, jar) = login().await;
    let _ = (login().await, login().await);
    assert_eq!(by(&here, &jar).await, Some(EndedBy::Limit));
    // A new session does not change what the request came with.
    let mut visitor = here.load::<Admin>(jar.headers()).await.unwrap();
    visitor.user = Some(9);
    let _ = visitor.commit().await.unwrap();
    assert_eq!(visitor.ended_by(), Some(EndedBy::Limit));
}

#[tokio::test]
async fn two_types_share_no_token_header() {
    for (visitor, admin) in [
        (None, None),
        (Some("x-token"), Some("x-token")),
        // The response header of `Authorization`.
        (None, Some("session-token")),
        (Some("session-token"), None),
    ] {
        let with = |it: SessionSettings, name: Option<&'static str>| {
            let it = it.transport(Transport::Either);
            match name {
                Some(name) => it.token_header(HeaderName::from_static(name)),
                None => it,
            }
        };
        let store = Store::builder(MemoryProvider::new())
            .session::<Visitor>(|it| with(it, visitor))
            .session::<Admin>(|it| with(it, admin))
            .build()
            .unwrap();
        let _ = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        let error = store.load::<Admin>(&HeaderMap::new()).await.err().unwrap();
        assert!(matches!(&error, Error::Misuse(text) if text.contains("token_header")), "{error}");
    }
}
