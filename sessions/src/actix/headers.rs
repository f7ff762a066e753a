//! The session code's view of actix-web's headers. actix-web 4 uses `http` 0.2.

use actix_web::HttpResponse;
#[cfg(feature = "dbsc")]
use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

#[cfg(feature = "dbsc")]
use crate::request::device::DeviceAnswer;
use crate::request::headers::ResponseHeaders;
#[cfg(feature = "dbsc")]
use crate::request::slots::Served;
use crate::transport::sealed::Headers;

impl Headers for HeaderMap {
    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.get_all(COOKIE).map(HeaderValue::as_bytes)
    }

    fn all(&self, name: &http::HeaderName) -> impl Iterator<Item = &[u8]> {
        match KNOWN.iter().find(|known| known.as_str() == name.as_str()) {
            Some(known) => self.get_all(known),
            None => self.get_all(name.as_str()),
        }
        .map(HeaderValue::as_bytes)
    }
}

/// The headers that are read of each request and that actix-web has no constants for: to look one up
/// by its text allocates.
static KNOWN: [HeaderName; 5] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
];

impl ResponseHeaders for HeaderMap {
    fn any(&self, name: &http::HeaderName, is: impl FnMut(&[u8]) -> bool) -> bool {
        self.get_all(name.as_str()).map(HeaderValue::as_bytes).any(is)
    }

    fn append(&mut self, name: &http::HeaderName, value: http::HeaderValue) {
        let copied = HeaderValue::from_bytes(value.as_bytes());
        let mut copied = copied.expect("both versions of http take the same values");
        copied.set_sensitive(value.is_sensitive());
        self.append(self::name(name), copied);
    }

    fn append_text(&mut self, name: &http::HeaderName, value: &'static str) {
        self.append(self::name(name), HeaderValue::from_static(value));
    }

    fn remove_all(&mut self, is: impl Fn(&str) -> bool) -> bool {
        let names: Vec<_> = self.keys().filter(|name| is(name.as_str())).cloned().collect();
        for name in &names {
            self.remove(name);
        }
        !names.is_empty()
    }
}

fn name(name: &http::HeaderName) -> HeaderName {
    HeaderName::from_bytes(name.as_str().as_bytes())
        .expect("both versions of http take the same names")
}

/// Copies a response of the library's own.
pub(super) fn response(response: http::Response<String>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let mut copied = HttpResponse::build(status(parts.status)).body(body);
    copied.headers_mut().clear();
    for (name, value) in &parts.headers {
        ResponseHeaders::append(copied.headers_mut(), name, value.clone());
    }
    copied
}

/// Returns the answer to a request that is the middleware's own.
#[cfg(feature = "dbsc")]
pub(super) fn answer_device(served: &Served, request: &ServiceRequest) -> Option<DeviceAnswer> {
    let method = http::Method::from_bytes(request.method().as_str().as_bytes()).ok()?;
    let copied = || {
        let copy = |(name, value): (&HeaderName, &HeaderValue)| {
            let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, http::HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        // Appends each value of a name.
        let mut headers = http::HeaderMap::new();
        for (name, value) in request.headers().iter().filter_map(copy) {
            headers.append(name, value);
        }
        headers
    };
    served.answer_device(&method, request.path(), copied)
}

pub(super) fn status(status: http::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
