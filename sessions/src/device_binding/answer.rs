//! What the endpoints answer, and what a login's answer offers.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE,
};
use http::{Response, StatusCode};
use serde_json::json;

use super::{DeviceBinding, Endpoint};
use crate::cookie::SetCookie;
use crate::error::Error;

/// Offers a browser to register a key.
pub(crate) const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

/// Returns what a login's answer offers.
pub(crate) fn offer(binding: &DeviceBinding, challenge: &str) -> Result<HeaderValue, Error> {
    let path = binding.path_of(Endpoint::Register);
    let mut value = value(format!("(ES256);path=\"{path}\";challenge=\"{challenge}\""))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The answer to a good proof.
pub(crate) struct Proven {
    /// What sets the bound cookie.
    pub(crate) cookie: HeaderValue,
    pub(crate) identifier: String,
    /// What the browser's next proof answers.
    pub(crate) challenge: String,
}

/// Answers a registration.
pub(crate) fn registered(
    binding: &DeviceBinding,
    cookie: &SetCookie,
    proven: &Proven,
) -> Result<Response<String>, Error> {
    let excluded = binding.excluded().iter();
    let rules = excluded.map(|path| json!({ "type": "exclude", "domain": "*", "path": path }));
    let instructions = json!({
        "session_identifier": proven.identifier,
        "refresh_url": binding.path_of(Endpoint::Refresh),
        "scope": {
            // The origin is that of the registration.
            "include_site": false,
            "scope_specification": rules.collect::<Vec<_>>(),
        },
        "credentials": [{
            "type": "cookie",
            "name": cookie.name,
            "attributes": cookie.attributes(),
        }],
    });
    let mut response = json_response(instructions.to_string());
    prove(&mut response, proven)?;
    Ok(response)
}

/// Answers a refresh.
pub(crate) fn refreshed(proven: &Proven) -> Result<Response<String>, Error> {
    let mut response = empty(StatusCode::OK);
    prove(&mut response, proven)?;
    Ok(response)
}

fn prove(response: &mut Response<String>, proven: &Proven) -> Result<(), Error> {
    let Proven { cookie, identifier, challenge } = proven;
    response.headers_mut().append(SET_COOKIE, cookie.clone());
    add_challenge(response, identifier, challenge)
}

/// Asks for a proof over another challenge.
pub(crate) fn challenged(identifier: &str, challenge: &str) -> Result<Response<String>, Error> {
    let mut response = empty(StatusCode::FORBIDDEN);
    add_challenge(&mut response, identifier, challenge)?;
    Ok(response)
}

fn add_challenge(
    response: &mut Response<String>,
    identifier: &str,
    challenge: &str,
) -> Result<(), Error> {
    let value = value(format!("\"{challenge}\";id=\"{identifier}\""))?;
    response.headers_mut().append(CHALLENGE, value);
    Ok(())
}

/// Ends the browser's side of a session that is gone.
pub(crate) fn ended() -> Response<String> {
    json_response(json!({ "continue": false }).to_string())
}

/// Refuses what was sent. It does not say why: the event does.
pub(crate) fn refused(status: StatusCode) -> Response<String> {
    let mut response = empty(status);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The store could not be asked: the browser keeps the session, and tries again.
pub(crate) fn unavailable() -> Response<String> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The page that a link from another site gets while the session's proof is out. It loads the page
/// again, and that request the browser proves. The page has no address in it, so it cannot lead
/// elsewhere, and no request but that one.
#[cfg(any(feature = "actix", feature = "axum"))]
pub(crate) fn again() -> Response<String> {
    let mut response = empty(StatusCode::OK);
    *response.body_mut() =
        "<!doctype html><link rel=\"icon\" href=\"data:,\"><title>One moment</title>".to_owned();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(HeaderName::from_static("refresh"), HeaderValue::from_static("0"));
    response
}

fn json_response(body: String) -> Response<String> {
    let mut response = empty(StatusCode::OK);
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn empty(status: StatusCode) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn value(text: String) -> Result<HeaderValue, Error> {
    // The paths are checked by the builder, and sealed texts are base64url.
    HeaderValue::try_from(text)
        .map_err(|_| Error::misuse("the path of a device binding is not ASCII"))
}
