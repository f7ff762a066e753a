//! A device with a private key, as a browser with Device Bound Session Credentials uses it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Method, Response, StatusCode};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::Value;
use sessions::Store;

use crate::browser::{Answer as HttpAnswer, Browser};
use crate::jar::Jar;

/// The endpoints of the default path.
pub const REGISTER: &str = "/.sessions/dbsc/register";
/// Where a proof is refreshed.
pub const REFRESH: &str = "/.sessions/dbsc/refresh";

const RESPONSE_NAME: &str = "secure-session-response";
const SESSION_ID_NAME: &str = "sec-secure-session-id";
const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");
const RESPONSE: HeaderName = HeaderName::from_static(RESPONSE_NAME);
const SESSION_ID: HeaderName = HeaderName::from_static(SESSION_ID_NAME);
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

/// A device, and what its browser keeps of one session.
#[derive(Clone, Debug)]
pub struct Device {
    key: SigningKey,
    /// The identifier that the browser was given.
    pub identifier: String,
    /// What the next proof answers.
    pub challenge: String,
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as JSON; null where it has none.
    pub json: Value,
}

impl Device {
    /// A device with the key that this number makes.
    ///
    /// # Panics
    /// For zero, which is no key.
    #[must_use]
    pub fn new(number: u8) -> Self {
        let key = SigningKey::from_slice(&[number; 32]).expect("a number below the order");
        Self { key, identifier: String::new(), challenge: String::new() }
    }

    /// Its public key.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let point = self.key.verifying_key().to_encoded_point(false);
        let [x, y] = [point.x(), point.y()].map(|it| encode(it.expect("it is not compressed")));
        serde_json::json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// Signs any header and claims.
    #[must_use]
    pub fn jwt(&self, header: &Value, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(&signature.to_bytes()))
    }

    /// The proof of a registration.
    #[must_use]
    pub fn registration(&self, challenge: &str) -> String {
        let header = serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt", "jwk": self.jwk() });
        self.jwt(&header, &serde_json::json!({ "jti": challenge }))
    }

    /// The proof of a refresh.
    #[must_use]
    pub fn proof(&self, challenge: &str) -> String {
        self.jwt(
            &serde_json::json!({ "alg": "ES256", "typ": "dbsc+jwt" }),
            &serde_json::json!({ "jti": challenge }),
        )
    }

    /// Registers the device for the session that a login's answer offered to bind, and keeps what a
    /// browser keeps.
    ///
    /// # Panics
    /// When the answer offered nothing.
    pub async fn register(&mut self, store: &Store, offer: &HeaderMap, jar: &mut Jar) -> Answer {
        let (path, challenge) = offered(offer).expect("an offer");
        let proof = self.registration(&challenge);
        self.send(store, &path, &[(RESPONSE, &proof)], jar).await
    }

    /// Refreshes the proof with the challenge that it was given last.
    pub async fn refresh(&mut self, store: &Store, jar: &mut Jar) -> Answer {
        let (identifier, proof) = (self.identifier.clone(), self.proof(&self.challenge));
        self.send(store, REFRESH, &[(SESSION_ID, &identifier), (RESPONSE, &proof)], jar).await
    }

    /// Registers over HTTP, with the cookies of a browser.
    ///
    /// # Panics
    /// When the answer offered nothing.
    pub async fn register_over(&mut self, browser: &mut Browser, offer: &HeaderMap) -> Answer {
        let (path, challenge) = offered(offer).expect("an offer");
        let proof = self.registration(&challenge);
        let answer = browser.post_with(&path, "", &[(RESPONSE_NAME, &proof)]).await;
        self.keep(Answer::from(answer))
    }

    /// Refreshes over HTTP.
    pub async fn refresh_over(&mut self, browser: &mut Browser) -> Answer {
        let (identifier, proof) = (self.identifier.clone(), self.proof(&self.challenge));
        let headers = [(SESSION_ID_NAME, &*identifier), (RESPONSE_NAME, &*proof)];
        let answer = browser.post_with(REFRESH, "", &headers).await;
        self.keep(Answer::from(answer))
    }

    /// Keeps what a browser keeps of an answer.
    fn keep(&mut self, answer: Answer) -> Answer {
        if let Some(identifier) = answer.json["session_identifier"].as_str() {
            identifier.clone_into(&mut self.identifier);
        }
        if let Some(challenge) = next_challenge(&answer.headers) {
            self.challenge = challenge;
        }
        answer
    }

    /// Asks for a refresh without a proof.
    pub async fn ask(&mut self, store: &Store, jar: &mut Jar) -> Answer {
        let identifier = self.identifier.clone();
        self.send(store, REFRESH, &[(SESSION_ID, &identifier)], jar).await
    }

    /// Sends these headers to an endpoint, and keeps what a browser keeps of the answer.
    ///
    /// # Panics
    /// When the store has no endpoint there.
    pub async fn send(
        &mut self,
        store: &Store,
        path: &str,
        headers: &[(HeaderName, &str)],
        jar: &mut Jar,
    ) -> Answer {
        let answer = post(store, path, headers, jar.headers()).await;
        jar.keep_all(&answer.headers);
        self.keep(answer)
    }
}

/// Posts to an endpoint.
///
/// # Panics
/// When the store has no endpoint there.
pub async fn post(
    store: &Store,
    path: &str,
    headers: &[(HeaderName, &str)],
    cookies: &HeaderMap,
) -> Answer {
    let mut all = cookies.clone();
    for (name, value) in headers {
        all.append(name.clone(), HeaderValue::from_str(value).expect("a header's characters"));
    }
    let answer = store.answer_device(&Method::POST, path, &all).await;
    Answer::of(answer.expect("an endpoint"))
}

impl From<HttpAnswer> for Answer {
    fn from(answer: HttpAnswer) -> Self {
        Self { status: answer.status, headers: answer.headers, json: json(&answer.body) }
    }
}

/// The JSON of a body; null where it is empty.
fn json(body: &str) -> Value {
    match body {
        "" => Value::Null,
        body => serde_json::from_str(body).expect("JSON"),
    }
}

impl Answer {
    /// Reads a response of the store.
    ///
    /// # Panics
    /// When its body is no JSON.
    #[must_use]
    pub fn of(response: Response<String>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, json: json(&body) }
    }

    /// Whether it says that the session has ended.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.status == StatusCode::OK && self.json["continue"] == false
    }

    /// Whether it proves the device: it sets the bound cookie.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.status == StatusCode::OK && self.headers.contains_key(SET_COOKIE)
    }
}

/// The path and the challenge of an offer, if there is one.
///
/// # Panics
/// When it has another form.
#[must_use]
pub fn offered(headers: &HeaderMap) -> Option<(String, String)> {
    let offer = headers.get(REGISTRATION)?.to_str().expect("ASCII");
    let mut parts = offer.split(';');
    assert_eq!(parts.next(), Some("(ES256)"), "{offer}");
    let text = |part: Option<&str>, name: &str| {
        let value = part.and_then(|part| part.strip_prefix(name)?.strip_prefix("=\""));
        value.and_then(|value| value.strip_suffix('"')).expect("a parameter").to_owned()
    };
    Some((text(parts.next(), "path"), text(parts.next(), "challenge")))
}

/// The challenge that an answer gives.
///
/// # Panics
/// When it has another form.
#[must_use]
pub fn next_challenge(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CHALLENGE)?.to_str().expect("ASCII");
    let (challenge, id) = value.split_once(';').expect("its session");
    assert!(id.starts_with("id=\"") && id.ends_with('"'), "{value}");
    Some(challenge.trim_matches('"').to_owned())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
