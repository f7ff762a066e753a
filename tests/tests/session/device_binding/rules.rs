//! Each rule of a registration and of a refresh, broken one at a time.

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, SET_COOKIE};
use serde_json::{Value, json};
use sessions::DeviceBinding;
use sessions_tests::device::{Device, REFRESH, REGISTER, post};
use sessions_tests::events::Events;
use tracing::Level;

use super::{ADA, App, BOB, BOUND, Browser, MINUTE, RESPONSE, SECOND, SESSION_ID};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Breaks one rule of a registration.
struct Broken {
    reason: &'static str,
    headers: Vec<(HeaderName, String)>,
}

fn broken(reason: &'static str, proof: impl Into<String>) -> Broken {
    Broken { reason, headers: vec![(RESPONSE, proof.into())] }
}

#[tokio::test]
async fn each_broken_rule_of_a_registration_is_refused() {
    let app = App::new(DeviceBinding::enforce());
    let browser = app.login(ADA).await;
    let other = app.login(BOB).await;
    let (device, challenge) = (&browser.device, browser.challenge());
    let header = |name: &str, value: Value| {
        let mut header = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": device.jwk() });
        match value {
            Value::Null => drop(header.as_object_mut().unwrap().remove(name)),
            value => header[name] = value,
        }
        device.jwt(&header, &json!({ "jti": challenge }))
    };
    let key = |name: &str, value: Value| {
        let mut jwk = device.jwk();
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value,
        }
        header("jwk", jwk)
    };
    let good = device.registration(&challenge);
    let claims = |claims: Value| {
        let header = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": device.jwk() });
        device.jwt(&header, &claims)
    };
    let stranger = Device::new(9);
    let foreign = App::new(DeviceBinding::enforce()).login(ADA).await.challenge();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let with = |more: &[(HeaderName, &str)]| Broken {
        reason: "",
        headers: [(RESPONSE, good.clone())]
            .into_iter()
            .chain(more.iter().map(|(name, value)| (name.clone(), (*value).to_owned())))
            .collect(),
    };
    let all = [
        broken("algorithm", header("alg", json!("RS256"))),
        broken("algorithm", header("alg", json!("none"))),
        broken("algorithm", header("alg", Value::Null)),
        broken("algorithm", header("alg", json!(["ES256"]))),
        broken("type", header("typ", json!("jwt"))),
        broken("type", header("typ", Value::Null)),
        broken("critical", header("crit", json!(["exp"]))),
        broken("key", header("jwk", Value::Null)),
        broken("key", header("jwk", json!("text"))),
        broken("key", key("kty", json!("RSA"))),
        broken("key", key("crv", json!("P-384"))),
        broken("key", key("x", Value::Null)),
        // Not on the curve.
        broken("key", key("x", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))),
        broken("key", key("y", json!("AAAA"))),
        broken("private_key", key("d", json!("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"))),
        broken("signature", {
            let header = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": stranger.jwk() });
            device.jwt(&header, &json!({ "jti": challenge }))
        }),
        broken("signature", format!("{signed}.{}", "A".repeat(86))),
        broken("signature", format!("{signed}.{}", &signature[..84])),
        broken("malformed", format!("{signed}.{}", &signature[..85])),
        broken("challenge", claims(json!({}))),
        broken("challenge", claims(json!({ "jti": 7 }))),
        broken("challenge", claims(json!({ "jti": "x" }))),
        broken("challenge", claims(json!({ "jti": "a".repeat(1025) }))),
        broken("challenge", device.registration(&foreign)),
        broken("challenge", device.registration(browser.jar.value("__Host-visitor"))),
        broken("audience", claims(json!({ "jti": challenge, "aud": "https://a.example/other" }))),
        broken("audience", claims(json!({ "jti": challenge, "aud": 1 }))),
        broken(
            "audience",
            claims(json!({ "jti": challenge, "aud": format!("http://a.example{REGISTER}") })),
        ),
        // The browser's cookie names Ada's session, and the challenge Bob's.
        broken("other_session", device.registration(&other.challenge())),
        broken("too_large", format!("{signed}{}.{signature}", "A".repeat(5 * 1024))),
        broken("malformed", "a.b"),
        broken("malformed", "a.b.c.d"),
        broken("malformed", signed),
        broken("malformed", format!("\"{good}")),
        broken("malformed", format!("({good})")),
        broken("malformed", format!("{good}, {good}")),
        Broken { reason: "missing", headers: Vec::new() },
        Broken { reason: "twice", ..with(&[(RESPONSE, "a")]) },
        Broken { reason: "cross_site", ..with(&[(SITE, "cross-site")]) },
        Broken { reason: "cross_site", ..with(&[(SITE, "same-site")]) },
    ];
    app.forget_calls();
    let events = Events::capture(Level::DEBUG);
    for Broken { reason, headers } in &all {
        let headers: Vec<_> = headers.iter().map(|(name, it)| (name.clone(), &**it)).collect();
        let answer = post(&app.store, REGISTER, &headers, browser.jar.headers()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{reason}: {headers:?}");
        assert_eq!(answer.headers.len(), 1, "only `no-store`");
        let events = events.take();
        let refused: Vec<_> = events.iter().filter(|it| it.contains("device.refused")).collect();
        assert_eq!(refused.len(), 1, "{reason}: {events:?}");
        assert!(refused[0].contains(&format!("reason=\"{reason}\"")), "{reason}: {}", refused[0]);
    }
    assert_eq!(app.calls.take(), Default::default(), "none costs a call");
    assert!(!app.load(&browser.jar).await.device_bound());
}

/// One browser sends a token, the draft says a string; both may have parameters, and claims that
/// nobody asks for.
#[tokio::test]
async fn each_form_of_a_good_proof_is_taken() {
    let forms: [fn(&Device, &str) -> String; 4] = [
        |device, challenge| device.registration(challenge),
        |device, challenge| format!("\"{}\"", device.registration(challenge)),
        |device, challenge| format!("\"{}\";a=1;b=\"c\"", device.registration(challenge)),
        |device, challenge| {
            let header = json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": device.jwk() });
            let url = format!("https://shop.example{REGISTER}");
            let claims = json!({ "jti": challenge, "aud": url, "iat": 1, "iss": "x", "sub": "y" });
            device.jwt(&header, &claims)
        },
    ];
    for form in forms {
        let app = App::new(DeviceBinding::enforce());
        let browser = app.login(ADA).await;
        let proof = form(&browser.device, &browser.challenge());
        // After a link from another site, a browser sends no cookie.
        for site in ["same-origin", "none"] {
            let headers = [(RESPONSE, &*proof), (SITE, site)];
            let answer = post(&app.store, REGISTER, &headers, &HeaderMap::new()).await;
            assert_eq!(answer.is_proof(), site == "same-origin", "once: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_registration_is_answered_once_and_within_fifteen_minutes() {
    let app = App::new(DeviceBinding::enforce());
    let events = Events::capture(Level::DEBUG);
    let mut browser = app.login(ADA).await;
    app.clock.advance(15 * MINUTE + SECOND);
    assert_eq!(browser.register(&app.store).await.status, StatusCode::BAD_REQUEST);
    assert!(events.take().iter().any(|it| it.contains("reason=\"expired\"")));

    let mut browser = app.login(ADA).await;
    app.clock.advance(15 * MINUTE);
    assert!(browser.register(&app.store).await.is_proof());
    drop(events.take());
    // The same proof again, and another device.
    for mut again in [browser.clone(), Browser { device: Device::new(8), ..browser.clone() }] {
        assert_eq!(again.register(&app.store).await.status, StatusCode::BAD_REQUEST);
        assert!(events.take().iter().any(|it| it.contains("reason=\"bound\"")));
    }
    assert!(browser.refresh(&app.store).await.is_proof());
}

/// What a browser sends to refresh.
fn refreshing<'h>(device: &'h Device, proof: &'h str) -> [(HeaderName, &'h str); 2] {
    [(SESSION_ID, &device.identifier), (RESPONSE, proof)]
}

#[tokio::test]
async fn each_broken_rule_of_a_refresh_is_refused() {
    let app = App::new(DeviceBinding::enforce());
    let browser = app.bound(ADA).await;
    let bob = app.bound(BOB).await;
    let device = &browser.device;
    let good = device.proof(&device.challenge);
    let claims = json!({ "jti": device.challenge });
    let refused = [
        ("signature", Device::new(9).proof(&device.challenge)),
        ("algorithm", device.jwt(&json!({ "alg": "HS256", "typ": "dbsc+jwt" }), &claims)),
        ("type", device.jwt(&json!({ "alg": "ES256", "typ": "JWT" }), &claims)),
        ("too_large", "A".repeat(5 * 1024)),
        ("malformed", "A.B".to_owned()),
    ];
    // The browser may try these again with another challenge.
    let again = [
        ("challenge", device.proof(&bob.device.challenge)),
        ("challenge", device.proof(&browser.challenge())),
        ("challenge", device.proof("nonsense")),
    ];
    let events = Events::capture(Level::DEBUG);
    app.forget_calls();
    let all = refused.iter().map(|it| (it, 400)).chain(again.iter().map(|it| (it, 403)));
    for ((reason, proof), status) in all {
        let headers = refreshing(device, proof);
        let answer = post(&app.store, REFRESH, &headers, browser.jar.headers()).await;
        assert_eq!(answer.status, status, "{reason}");
        assert!(!answer.headers.contains_key(SET_COOKIE));
        assert!(
            events.take().iter().any(|it| it.contains(&format!("reason=\"{reason}\""))),
            "{reason}"
        );
        let calls = app.calls.take();
        assert!(calls.fetch <= 1 && calls.save + calls.touch + calls.delete == 0, "{calls:?}");
    }
    // What names no session of this store costs no call.
    for identifier in ["", "x", "AQAHq80FBQUF", &device.challenge, browser.jar.value(BOUND)] {
        let headers = [(SESSION_ID, identifier), (RESPONSE, &*good)];
        let answer = post(&app.store, REFRESH, &headers, browser.jar.headers()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{identifier}");
    }
    let twice = [(SESSION_ID, &*device.identifier), (SESSION_ID, &*device.identifier)];
    let missing = [(RESPONSE, &*good)];
    for headers in [&twice[..], &missing[..], &[]] {
        let answer = post(&app.store, REFRESH, headers, &HeaderMap::new()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(app.calls.take(), Default::default());
    drop(events.take());

    // Nothing of that has used up the good one.
    let answer = post(&app.store, REFRESH, &refreshing(device, &good), &HeaderMap::new()).await;
    assert!(answer.is_proof());
    let answer = post(&app.store, REFRESH, &refreshing(device, &good), &HeaderMap::new()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(events.take().iter().any(|it| it.contains("reason=\"replayed\"")));

    let mut late = browser.clone();
    let answer = late.device.ask(&app.store, &mut late.jar).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(events.take().is_empty(), "a browser asks for its first challenge so");
    app.clock.advance(15 * MINUTE + SECOND);
    assert_eq!(late.refresh(&app.store).await.status, StatusCode::FORBIDDEN);
    assert!(events.take().iter().any(|it| it.contains("reason=\"expired\"")));
    assert!(late.refresh(&app.store).await.is_proof());
}
