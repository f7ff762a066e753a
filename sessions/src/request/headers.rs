//! The cache headers of a response that depends on a session, and the headers that the response to
//! an error keeps from the response that it replaces.

use http::header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, VARY};

use super::layer::{Deliveries, Varies};
use crate::error::Error;
use crate::store::session_type::SessionType;
use crate::transport::Transport;

/// The headers of a response, in its framework's own type.
pub(crate) trait ResponseHeaders {
    /// Whether `is` accepts a value of this header.
    fn any(&self, name: &HeaderName, is: impl FnMut(&[u8]) -> bool) -> bool;

    fn none(&self, name: &HeaderName) -> bool {
        !self.any(name, |_| true)
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue);

    /// Appends a value that needs no copy.
    fn append_text(&mut self, name: &HeaderName, value: &'static str);

    /// Removes the headers with lower-case names that `is` accepts. Returns whether there were any.
    fn remove_all(&mut self, is: impl Fn(&str) -> bool) -> bool;
}

impl ResponseHeaders for HeaderMap {
    fn any(&self, name: &HeaderName, is: impl FnMut(&[u8]) -> bool) -> bool {
        self.get_all(name).iter().map(HeaderValue::as_bytes).any(is)
    }

    fn append(&mut self, name: &HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn append_text(&mut self, name: &HeaderName, value: &'static str) {
        self.append(name, HeaderValue::from_static(value));
    }

    fn remove_all(&mut self, is: impl Fn(&str) -> bool) -> bool {
        let names: Vec<_> = self.keys().filter(|name| is(name.as_str())).cloned().collect();
        names.iter().for_each(|name| drop(self.remove(name)));
        !names.is_empty()
    }
}

/// Writes a response's session tokens and cache headers. A response with a token belongs to one
/// client. If its handler took a session, it depends on the headers that carry the tokens
/// (`varies`).
pub(crate) fn finish_headers(
    headers: &mut impl ResponseHeaders,
    varies: &Varies,
    deliveries: Deliveries,
) {
    let session = deliveries.first().map(|(session_type, _)| session_type.clone());
    let in_header = deliveries.iter().any(|(_, it)| it.transport == Transport::Header);
    if let Some(session) = session.as_deref().filter(|_| in_header) {
        // A browser's own cache may keep a page with a cookie. A client's that keeps a token would
        // give it again when it is dead.
        keep_from_caches(headers, session);
    }
    let tokens = deliveries.into_iter().flat_map(|(session_type, it)| session_type.headers(it));
    finish(headers, varies, session.as_deref(), tokens);
}

fn finish(
    headers: &mut impl ResponseHeaders,
    varies: &Varies,
    session: Option<&SessionType>,
    tokens: impl Iterator<Item = (HeaderName, HeaderValue)>,
) {
    if let Some(session) = session {
        keep_from_shared_caches(headers, session);
    }
    for (name, value) in tokens {
        headers.append(&name, value);
    }
    for name in varies {
        if !headers.any(&VARY, |value| names(value, name.as_str()) || names(value, "*")) {
            if name == COOKIE {
                headers.append_text(&VARY, "cookie");
            } else {
                headers.append(&VARY, HeaderValue::from(name.clone()));
            }
        }
    }
    if !varies.is_empty() && headers.none(&CACHE_CONTROL) {
        headers.append_text(&CACHE_CONTROL, "private");
    }
}

/// Prevents every cache from storing a response, whatever its handler allows.
fn keep_from_caches(headers: &mut impl ResponseHeaders, session: &SessionType) {
    let targeted = headers.remove_all(is_targeted);
    let asked = headers.any(&CACHE_CONTROL, |value| {
        let no_store = |directive: &[u8]| directive.eq_ignore_ascii_case(b"no-store");
        !directives(value).any(no_store)
    });
    headers.remove_all(|name| name == CACHE_CONTROL.as_str());
    headers.append_text(&CACHE_CONTROL, "private, no-store");
    if targeted || asked {
        session.events.public_response(session.name());
    }
}

/// Prevents shared caches from storing a response, even if its handler allows it (RFC 9111, section
/// 3, and RFC 9213 for headers that target some caches).
fn keep_from_shared_caches(headers: &mut impl ResponseHeaders, session: &SessionType) {
    let targeted = headers.remove_all(is_targeted);
    if headers.none(&CACHE_CONTROL) {
        headers.append_text(&CACHE_CONTROL, "private, no-store");
        if targeted {
            session.events.public_response(session.name());
        }
        return;
    }
    let mut control = Control::default();
    // Used to visit every value; the result does not matter.
    headers.any(&CACHE_CONTROL, |value| {
        control.read(value);
        false
    });
    if targeted || control.is_shared() {
        session.events.public_response(session.name());
    }
    if control.is_private && !control.is_public {
        return;
    }
    headers.remove_all(|name| name == CACHE_CONTROL.as_str());
    match HeaderValue::from_bytes(&control.private()) {
        Ok(value) => headers.append(&CACHE_CONTROL, value),
        // Unreachable: every part comes from a valid header value.
        Err(_) => headers.append_text(&CACHE_CONTROL, "private, no-store"),
    }
}

/// Whether some caches obey this header instead of `Cache-Control`: `CDN-Cache-Control`, the names
/// of vendors (RFC 9213), and older headers.
fn is_targeted(name: &str) -> bool {
    name.ends_with("-cache-control")
        || matches!(name, "surrogate-control" | "edge-control" | "x-accel-expires")
}

/// The parsed `Cache-Control` of a handler.
#[derive(Default)]
struct Control {
    /// The directives that stay.
    kept: Vec<Vec<u8>>,
    /// Whether it contains `private` without an argument.
    is_private: bool,
    /// Whether it contains `public`, `s-maxage`, or a `private` that names headers.
    is_public: bool,
    is_stored: bool,
    no_store: bool,
}

impl Control {
    fn read(&mut self, value: &[u8]) {
        for directive in directives(value) {
            let (name, argument) = match memchr::memchr(b'=', directive) {
                Some(at) => (directive[..at].trim_ascii(), true),
                None => (directive, false),
            };
            let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
            if is("private") && !argument {
                self.is_private = true;
            } else if is("public") || is("s-maxage") || is("private") {
                self.is_public = true;
            } else {
                self.no_store |= is("no-store");
                // Caches that implement it ignore `no-store` (RFC 9111, section 5.2.2.3).
                self.is_stored |= is("must-understand");
                self.kept.push(directive.to_vec());
            }
        }
    }

    /// Whether a shared cache could have stored the response.
    fn is_shared(&self) -> bool {
        self.is_public || !self.is_private && (!self.no_store || self.is_stored)
    }

    /// Returns the value that replaces it.
    fn private(&self) -> Vec<u8> {
        let mut value = b"private".to_vec();
        for directive in &self.kept {
            value.extend_from_slice(b", ");
            value.extend_from_slice(directive);
        }
        value
    }
}

/// Returns the directives of a `Cache-Control` header. A comma inside quotes does not separate
/// directives. The rest of the value after an unclosed quote, with its directive, is ignored.
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        let end = value.iter().position(|byte| {
            let is_end = *byte == b',' && !quoted;
            quoted ^= *byte == b'"' && !escaped;
            escaped = quoted && *byte == b'\\' && !escaped;
            is_end
        });
        Some(match end {
            Some(at) => {
                rest = Some(&value[at + 1..]);
                value[..at].trim_ascii()
            }
            None if quoted => &[],
            None => value.trim_ascii(),
        })
    })
    .filter(|directive| !directive.is_empty())
}

/// Adds `Retry-After`, if a retry can help, and `Cache-Control: no-store` to the response to an
/// error, unless they are set.
pub(crate) fn complete(error: &Error, headers: &mut impl ResponseHeaders) {
    if error.is_unavailable() && headers.none(&RETRY_AFTER) {
        headers.append_text(&RETRY_AFTER, "1");
    }
    if headers.none(&CACHE_CONTROL) {
        headers.append_text(&CACHE_CONTROL, "no-store");
    }
}

/// Whether the response to an error keeps this header of the response that it replaces. It keeps
/// the headers that inner layers set for every response. It drops the handler's cookies and the
/// headers that describe the handler's own response.
pub(crate) fn keeps(name: &str) -> bool {
    const KEPT: [&str; 18] = [
        "alt-svc",
        "nel",
        "origin-agent-cluster",
        "permissions-policy",
        "referrer-policy",
        "report-to",
        "reporting-endpoints",
        "server",
        "server-timing",
        "strict-transport-security",
        "timing-allow-origin",
        "traceparent",
        "x-content-type-options",
        "x-dns-prefetch-control",
        "x-frame-options",
        "x-permitted-cross-domain-policies",
        "x-request-id",
        "x-xss-protection",
    ];
    const FAMILIES: [&str; 3] = ["access-control-", "content-security-policy", "cross-origin-"];
    KEPT.contains(&name)
        || name == VARY.as_str()
        || FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Whether a comma-separated header contains this word.
fn names(value: &[u8], word: &str) -> bool {
    let mut words = value.split(|byte| *byte == b',');
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::settings::SessionSettings;
    use crate::telemetry::event::Events;

    #[derive(crate::Session)]
    #[session(name = "visitor", version = 1, crate = crate)]
    struct Visitor {
        count: u32,
    }

    fn cookies() -> Varies {
        Varies::from_iter([COOKIE])
    }

    /// The headers of a response that read a session, and gave its client no token.
    fn read(headers: &mut HeaderMap, varies: &Varies) {
        finish(headers, varies, None, std::iter::empty());
    }

    fn with_cookie(headers: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let cookie = (http::header::SET_COOKIE, HeaderValue::from_static("a=b"));
        let settings = SessionSettings::default().over(&SessionSettings::default());
        let session = SessionType::of::<Visitor>("app", &settings, Events::default());
        finish(&mut map, &cookies(), Some(&session), [cookie].into_iter());
        map
    }

    #[test]
    fn whatever_a_handler_says_no_shared_cache_keeps_a_response_with_a_cookie() {
        for (said, expected) in [
            ("max-age=5", "private, max-age=5"),
            ("public", "private"),
            ("PUBLIC, Max-Age=5", "private, Max-Age=5"),
            ("s-maxage=5", "private"),
            ("s-maxage=\"5\" ,max-age=1", "private, max-age=1"),
            ("S-MaxAge = 5", "private"),
            ("no-cache", "private, no-cache"),
            ("no-store", "private, no-store"),
            ("no-store, must-understand", "private, no-store, must-understand"),
            ("private", "private"),
            ("max-age=1, private", "max-age=1, private"),
            ("private, public", "private"),
            ("private=\"set-cookie\"", "private"),
            ("private=\"a, public\", max-age=3", "private, max-age=3"),
            ("no-cache=\"set-cookie, x\", public", "private, no-cache=\"set-cookie, x\""),
            ("ext=\"a\\\", b\", public", "private, ext=\"a\\\", b\""),
            ("max-age=1, ext=\"open, public", "private, max-age=1"),
            ("", "private"),
            (",, ,", "private"),
            (
                "must-revalidate, proxy-revalidate, max-age=0",
                "private, must-revalidate, proxy-revalidate, max-age=0",
            ),
            (
                "max-age=1, stale-while-revalidate=9, immutable",
                "private, max-age=1, stale-while-revalidate=9, immutable",
            ),
        ] {
            let headers = with_cookie(&[("cache-control", said)]);
            let values: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
            assert_eq!(values, [expected], "{said}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let headers = with_cookie(&[("cache-control", "private"), ("cache-control", "public")]);
        let values: Vec<_> = headers.get_all(CACHE_CONTROL).iter().collect();
        assert_eq!(values, ["private"]);
        let headers = with_cookie(&[("cache-control", "max-age=1"), ("cache-control", "no-cache")]);
        assert_eq!(headers[CACHE_CONTROL], "private, max-age=1, no-cache");
    }

    #[test]
    fn what_is_aimed_at_some_caches_goes() {
        for name in [
            "cdn-cache-control",
            "cloudflare-cdn-cache-control",
            "vercel-cdn-cache-control",
            "akamai-cache-control",
            "surrogate-control",
            "edge-control",
            "x-accel-expires",
        ] {
            let headers = with_cookie(&[(name, "max-age=5")]);
            assert!(!headers.contains_key(name), "{name}");
            assert_eq!(headers[CACHE_CONTROL], "private, no-store");
            let headers = with_cookie(&[(name, "max-age=5"), ("cache-control", "private")]);
            assert!(!headers.contains_key(name), "{name}");
            assert_eq!(headers[CACHE_CONTROL], "private");
        }
        assert!(with_cookie(&[("x-cache", "hit")]).contains_key("x-cache"));
    }

    #[test]
    fn a_response_that_was_read_for_is_private_unless_its_handler_says_otherwise() {
        let mut headers = HeaderMap::new();
        read(&mut headers, &cookies());
        assert_eq!(
            (&headers[CACHE_CONTROL], &headers[VARY]),
            (&HeaderValue::from_static("private"), &HeaderValue::from_static("cookie"))
        );
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=5"));
        read(&mut headers, &cookies());
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=5");
        let mut headers = HeaderMap::new();
        read(&mut headers, &Varies::new());
        assert!(headers.is_empty());
    }

    #[test]
    fn a_response_varies_by_each_header_that_carries_tokens() {
        let vary = |said: &[&'static str]| -> Vec<String> {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(VARY, HeaderValue::from_static(value));
            }
            let names = Varies::from_iter([COOKIE, http::header::AUTHORIZATION]);
            read(&mut headers, &names);
            let values = headers.get_all(VARY).iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(vary(&[]), ["cookie", "authorization"]);
        assert_eq!(vary(&["Authorization"]), ["Authorization", "cookie"]);
        assert_eq!(vary(&["origin, Cookie, authorization"]), ["origin, Cookie, authorization"]);
        assert_eq!(vary(&["*"]), ["*"]);
    }
}
