//! The test kit itself, on axum, on actix-web and without a framework.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use axum::http::{Request, StatusCode};
use sessions::provider::{Page, ProviderError};
use sessions::testing::{Call, Calls, TestStore, cookies_after};
use sessions::{Error, Session, commit::Outcome};
use tower::ServiceExt as _;

#[derive(Session, Default)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(owner)]
    user: Option<String>,
    #[session(merge = add)]
    visits: u32,
    #[session(merge = conflict)]
    seat: String,
}

fn ada() -> Visitor {
    Visitor { user: Some("ada".to_owned()), ..Visitor::default() }
}

async fn visit(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    format!("{:?} {}", visitor.user, visitor.visits)
}

async fn login(mut visitor: Session<Visitor>) -> &'static str {
    visitor.user = Some("grace".to_owned());
    "welcome"
}

async fn logout(mut visitor: Session<Visitor>) -> &'static str {
    visitor.destroy();
    "bye"
}

#[tokio::test]
async fn a_login_right_after_logging_out_everywhere_is_a_later_one() {
    let test = TestStore::new();
    let store = test.store();
    for round in 0..3 {
        let cookie = test.cookie(&ada()).await;
        assert!(test.read::<Visitor>(&cookie).await.is_some(), "{round}");
        // A login that is under way meanwhile is undone.
        let mut under_way = store.load::<Visitor>(&HeaderMap::new()).await.unwrap();
        under_way.user = Some("ada".to_owned());
        let before = store.now();
        assert_eq!(store.revoke_all::<Visitor>("ada").await.unwrap(), 1);
        assert_eq!(store.now(), before + Duration::from_millis(1));
        assert!(test.read::<Visitor>(&cookie).await.is_none());
        let error = Error::from(under_way.commit().await.unwrap_err());
        assert!(matches!(error, Error::LoginUndone), "{error}");
    }
}

fn axum_app(test: &TestStore) -> axum::Router {
    use axum::routing::get;
    axum::Router::new()
        .route("/visit", get(visit))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .layer(sessions::axum::SessionLayer::new(test.store()))
}

/// What a framework answered: its status, and the cookies after it.
struct Answer {
    status: u16,
    cookies: String,
}

/// The same for every framework: who may send a request is told by a function.
async fn behaves(test: &TestStore, mut get: impl AsyncFnMut(&str, &str) -> Answer) {
    let cookie = test.cookie(&ada()).await;
    assert_eq!(test.calls(), Calls::default(), "the kit's own calls are not counted");

    let answer = get("/visit", &cookie).await;
    assert_eq!((answer.status, &answer.cookies), (200, &cookie), "it sets no cookie");
    assert_eq!(test.calls(), Calls { fetch: 1, save: 1, ..Calls::default() });
    let visitor = test.read::<Visitor>(&cookie).await.unwrap();
    assert_eq!((visitor.user.as_deref(), visitor.visits), (Some("ada"), 1));
    assert_eq!(test.calls(), Calls::default());

    // Somebody else comes first.
    test.conflict::<Visitor>(|other| other.visits += 10);
    get("/visit", &cookie).await;
    assert_eq!(test.read::<Visitor>(&cookie).await.unwrap().visits, 12);
    assert_eq!(test.calls(), Calls { fetch: 1, save: 2, ..Calls::default() });

    let answer = get("/login", "theme=dark").await;
    assert!(answer.cookies.starts_with("theme=dark; __Host-visitor="), "{}", answer.cookies);
    let grace = test.read::<Visitor>(&answer.cookies).await.unwrap();
    assert_eq!(grace.user.as_deref(), Some("grace"));
    let answer = get("/logout", &answer.cookies).await;
    assert_eq!(answer.cookies, "theme=dark", "cleared");

    test.set_down(true);
    assert_eq!(get("/visit", &cookie).await.status, 503);
    assert!(test.read::<Visitor>(&cookie).await.is_some(), "the kit still reaches it");
    test.set_down(false);
    test.fail_next(Call::Fetch, ProviderError::permanent("no such table"));
    assert_eq!(get("/visit", &cookie).await.status, 500);
    assert_eq!(get("/visit", &cookie).await.status, 200);

    test.advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert!(test.read::<Visitor>(&cookie).await.is_none());
}

#[tokio::test]
async fn handlers_of_axum() {
    let test = TestStore::new();
    let app = axum_app(&test);
    behaves(&test, async |path, cookie| {
        let request = Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        Answer { status: answer.status().as_u16(), cookies: cookies_after(cookie, &answer) }
    })
    .await;
}

#[actix_web::test]
async fn handlers_of_actix_web() {
    use actix_web::{App, test, web};
    let kit = TestStore::new();
    let app = App::new()
        .wrap(sessions::actix::SessionMiddleware::new(kit.store()))
        .route("/visit", web::get().to(visit))
        .route("/login", web::get().to(login))
        .route("/logout", web::get().to(logout));
    let app = test::init_service(app).await;
    behaves(&kit, async |path, cookie| {
        let request = test::TestRequest::get().uri(path).insert_header(("cookie", cookie));
        let answer = test::call_service(&app, request.to_request()).await;
        Answer { status: answer.status().as_u16(), cookies: cookies_after(cookie, &answer) }
    })
    .await;
}

#[tokio::test]
async fn every_run_has_the_same_ids_and_keys() {
    let (one, two) = (TestStore::new(), TestStore::new());
    let cookies = [one.cookie(&ada()).await, two.cookie(&ada()).await];
    assert_eq!(cookies[0], cookies[1]);
    assert_ne!(one.cookie(&ada()).await, cookies[0], "but each session has its own");
    let other = TestStore::with(|builder| builder.app("other"));
    assert!(other.read::<Visitor>(&cookies[0]).await.is_none(), "apps are still apart");
}

#[tokio::test]
async fn another_request_comes_first() {
    let test = TestStore::new();
    let cookie = test.cookie(&ada()).await;
    let mut mine = test.read::<Visitor>(&cookie).await.unwrap();
    test.conflict::<Visitor>(|other| other.seat = "12A".to_owned());
    mine.seat = "9F".to_owned();
    let refused = mine.commit().await.unwrap_err();
    assert!(refused.error().is_conflict(), "{refused}");

    // Only one save meets it.
    let mut mine = test.read::<Visitor>(&cookie).await.unwrap();
    assert_eq!(mine.seat, "12A");
    mine.seat = "9F".to_owned();
    assert_eq!(mine.commit().await.unwrap().outcome(), Outcome::Saved);

    let mut mine = test.read::<Visitor>(&cookie).await.unwrap();
    test.before_save(|store, key| async move { assert!(store.revoke_any(&key).await.unwrap()) });
    mine.visits += 1;
    assert!(matches!(mine.commit().await.unwrap_err().error(), Error::Gone));
}

#[tokio::test]
async fn each_kind_of_call_is_counted_and_fails_when_told_to() {
    let test = TestStore::new();
    let store = test.store();
    let cookie = test.cookie(&ada()).await;
    let cookies = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&cookie).unwrap())]);
    let key = test.read::<Visitor>(&cookie).await.unwrap().key().unwrap().clone();
    let fail = |call| test.fail_next(call, ProviderError::permanent("no such table"));
    for call in
        [Call::Fetch, Call::Save, Call::Touch, Call::Delete, Call::List, Call::Scan, Call::Purge]
    {
        let once = |count: fn(&mut Calls) -> &mut u32| {
            let mut calls = Calls::default();
            *count(&mut calls) = 1;
            calls
        };
        let mut session = test.read::<Visitor>(&cookie).await.unwrap();
        fail(call);
        let (failed, expected) = match call {
            Call::Fetch => {
                (store.load::<Visitor>(&cookies).await.is_err(), once(|calls| &mut calls.fetch))
            }
            Call::Save => {
                session.visits += 1;
                (session.commit().await.is_err(), once(|calls| &mut calls.save))
            }
            Call::Touch => {
                test.advance(Duration::from_secs(2 * 60 * 60));
                let before = session.expires_at();
                let _ = session.commit().await.unwrap();
                (session.expires_at() == before, once(|calls| &mut calls.touch))
            }
            Call::Delete => {
                (store.revoke_any(&key).await.is_err(), once(|calls| &mut calls.delete))
            }
            Call::List => {
                let listed = store.list::<Visitor>("ada", Page::first(1)).await;
                (listed.is_err(), once(|calls| &mut calls.list))
            }
            Call::Scan => (store.stats().await.is_err(), once(|calls| &mut calls.scan)),
            Call::Purge => (store.purge_expired(1).await.is_err(), once(|calls| &mut calls.purge)),
        };
        assert!(failed, "{call:?}");
        assert_eq!(test.calls(), expected, "{call:?}");
    }
    assert!(store.revoke_any(&key).await.unwrap(), "each failed once");
}

#[tokio::test]
#[should_panic(expected = "is that of a new visitor, who has no cookie")]
async fn a_new_visitor_has_no_cookie() {
    TestStore::new().cookie(&Visitor::default()).await;
}

#[test]
#[should_panic(expected = "at least 1")]
fn settings_that_cannot_work_say_so() {
    let _ = TestStore::with(|builder| builder.max_sessions_per_owner(0));
}

#[test]
fn cookies_are_kept_as_a_browser_does() {
    let mut headers = HeaderMap::new();
    for cookie in ["a=1; Path=/; HttpOnly", "b=; Max-Age=0", "c=3; Max-Age=60", "not a cookie"] {
        headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
    }
    assert_eq!(cookies_after("b=2; d=4; a=0", &headers), "d=4; a=1; c=3");
    assert_eq!(cookies_after("", &headers), "a=1; c=3");
    assert_eq!(cookies_after("", &HeaderMap::new()), "");
    let response = axum::http::Response::builder().header(SET_COOKIE, "a=1").body(()).unwrap();
    assert_eq!(cookies_after("", &response), "a=1");
    assert_eq!(response.status(), StatusCode::OK);
}
