//! How a token travels between a client and the server: in a cookie, or in a header.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use smallvec::SmallVec;

use crate::error::Error;

/// How clients carry the token of their session: set it for a store with
/// [`StoreBuilder::transport`](crate::StoreBuilder::transport), or for a session type with
/// [`SessionSettings::transport`](crate::SessionSettings::transport).
///
/// A session has one transport for its whole life: [`Session::transport`](crate::Session::transport).
/// A token of one transport does not open in the other.
///
/// ```
/// use sessions::{MemoryProvider, Store, Transport};
///
/// // Mobile apps, command line tools and services: `Authorization: Bearer sess_...`.
/// let store = Store::builder(MemoryProvider::new()).transport(Transport::Header).build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A cookie. This is the default, and the right choice for browsers: scripts cannot read it.
    #[default]
    Cookie,
    /// A header, for clients that keep no cookies: `Authorization: Bearer sess_...`, or the
    /// [`token_header`](crate::StoreBuilder::token_header). Cookies are neither read nor set.
    Header,
    /// Both. A request with a token in the header uses only the header, any other request the
    /// cookie. A new session gets a cookie, unless its handler calls
    /// [`Session::use_header`](crate::Session::use_header).
    Either,
}

/// How the token of one session travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// In the cookie, of the domain that this host belongs to.
    Cookie(Place),
    /// In a cookie of another configuration, which is still read. The next cookie is the current
    /// one.
    OtherCookie(Place),
    /// In the header.
    Header,
    /// Not at all: the request has a token in its header that names no session, so the response
    /// sets no cookie, and the handler has not asked for a token in the header.
    Unasked,
}

impl Carrier {
    /// How the next token travels: the cookie of the current configuration.
    pub(crate) fn current(self) -> Self {
        match self {
            Self::OtherCookie(place) => Self::Cookie(place),
            carrier => carrier,
        }
    }

    /// As the public interface names it.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Cookie(_) | Self::OtherCookie(_) => Transport::Cookie,
            Self::Header | Self::Unasked => Transport::Header,
        }
    }
}

/// Which of a configuration's domains a cookie is for: zero for the only one, or for none.
pub(crate) type Place = u8;

/// A token, or its withdrawal, for a response: the value of a `Set-Cookie` header or of the token
/// header.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) transport: Transport,
    pub(crate) value: HeaderValue,
    /// The offer to bind the session to the device. Boxed, because only logins have one.
    #[cfg(feature = "dbsc")]
    pub(crate) offer: Option<Box<HeaderValue>>,
}

impl Delivery {
    pub(crate) fn new(transport: Transport, value: HeaderValue) -> Self {
        Self {
            transport,
            value,
            #[cfg(feature = "dbsc")]
            offer: None,
        }
    }
}

/// The headers of a response that deliver its tokens.
pub(crate) type DeliveryHeaders = SmallVec<[(HeaderName, HeaderValue); 1]>;

/// The headers that carry tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenHeader {
    pub(crate) request: HeaderName,
    pub(crate) response: HeaderName,
}

impl Default for TokenHeader {
    /// `Authorization` in requests. In a response that name has no meaning, so it has another.
    fn default() -> Self {
        Self { request: AUTHORIZATION, response: SESSION_TOKEN }
    }
}

impl TokenHeader {
    /// The same header in requests and responses.
    pub(crate) fn named(name: HeaderName) -> Self {
        if name == AUTHORIZATION {
            Self::default()
        } else {
            Self { request: name.clone(), response: name }
        }
    }

    /// Refuses a header that has another meaning.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if TAKEN.contains(&self.request) {
            return Err(Error::config(format!(
                "the header `{}` has another meaning; choose one of your own as token_header, such \
                 as `x-session-token`",
                self.request
            )));
        }
        Ok(())
    }

    /// Returns the token that a request's header carries.
    pub(crate) fn read<'h>(&self, headers: &'h impl RequestHeaders) -> Carried<'h> {
        let is_bearer = self.request == AUTHORIZATION;
        let mut carried = Carried::Nothing;
        let mut count = 0;
        for value in headers.all(&self.request) {
            count += 1;
            let token = if is_bearer { bearer(value) } else { Some(value.trim_ascii()) };
            match token.map(|token| token.strip_prefix(PREFIX.as_bytes())) {
                Some(Some(token)) => carried = Carried::Token(token),
                // `Authorization` has other schemes and other tokens. A header of the app's own is
                // only for this.
                Some(None) if !is_bearer => carried = Carried::Unusable,
                _ => {}
            }
        }
        match carried {
            // Nobody can know which one the client means.
            Carried::Token(_) if count > 1 => Carried::Unusable,
            carried => carried,
        }
    }
}

/// The token of a request's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried<'h> {
    /// There is none.
    Nothing,
    /// The token, without its prefix.
    Token(&'h [u8]),
    /// A header that holds no token, or several headers.
    Unusable,
}

/// Returns the token of `Bearer <token>` (RFC 6750, section 2.1). The scheme's case does not
/// matter (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let token = rest.trim_ascii_start();
    let is_bearer = scheme.eq_ignore_ascii_case(SCHEME) && token.len() < rest.len();
    is_bearer.then_some(token)
}

/// What each token in a header begins with, so that secret scanners find one that was published.
pub(crate) const PREFIX: &str = "sess_";

const SCHEME: &[u8] = b"Bearer";

/// The header of a response that carries a token to a client that sends it in `Authorization`.
const SESSION_TOKEN: HeaderName = HeaderName::from_static("session-token");

/// Headers with a meaning that a token would break.
const TAKEN: [HeaderName; 10] = [
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    ORIGIN,
    SET_COOKIE,
    TRANSFER_ENCODING,
    VARY,
];

/// The headers of a request: `http`'s `HeaderMap`, or actix-web's.
///
/// ```
/// use sessions::request::RequestHeaders;
///
/// fn may_hold_a_token(headers: &impl RequestHeaders) {
///     let _ = headers;
/// }
/// may_hold_a_token(&http::HeaderMap::new());
/// ```
pub trait RequestHeaders: sealed::Headers {}

impl<H: sealed::Headers> RequestHeaders for H {}

pub(crate) mod sealed {
    use http::HeaderName;

    #[allow(unreachable_pub)] // It seals a public trait.
    pub trait Headers {
        /// Returns the value of each `Cookie` header. HTTP/2 splits cookies into several headers
        /// (RFC 9113, section 8.2.3).
        fn cookies(&self) -> impl Iterator<Item = &[u8]>;

        /// Returns the values of a header.
        fn all(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]>;
    }
}

impl sealed::Headers for HeaderMap {
    fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.all(&COOKIE)
    }

    fn all(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_bearers_token_of_this_library_is_read_and_no_other() {
        let read = |values: &[&[u8]]| {
            let headers = headers("authorization", values);
            match TokenHeader::default().read(&headers) {
                Carried::Token(token) => String::from_utf8_lossy(token).into_owned(),
                Carried::Nothing => "nothing".to_owned(),
                Carried::Unusable => "unusable".to_owned(),
            }
        };
        for value in [
            &b"Bearer sess_abc"[..],
            b"bearer sess_abc",
            b"BEARER   sess_abc ",
            b"Bearer\tsess_abc",
        ] {
            assert_eq!(read(&[value]), "abc");
        }
        for value in [
            &b"Basic sess_abc"[..],
            b"Bearer abc",
            b"Bearersess_abc",
            b"Bearer",
            b"",
            b"Bearer \xffsess_abc",
            b"Token Bearer sess_abc",
        ] {
            assert_eq!(read(&[value]), "nothing", "{value:?}");
        }
        assert_eq!(read(&[]), "nothing");
        assert_eq!(read(&[b"Bearer sess_abc", b"Bearer sess_abc"]), "unusable");
        assert_eq!(read(&[b"Basic abc", b"Bearer sess_abc"]), "unusable");
        assert_eq!(read(&[b"Basic abc", b"Bearer abc"]), "nothing");
    }

    #[test]
    fn a_header_of_the_apps_own_holds_the_token_alone() {
        let header = TokenHeader::named(HeaderName::from_static("x-session"));
        let one = headers("x-session", &[b" sess_abc "]);
        assert_eq!(header.read(&one), Carried::Token(b"abc"));
        for values in [&[&b"Bearer sess_abc"[..]][..], &[b"abc"], &[b""], &[b"sess_a", b"sess_a"]] {
            assert_eq!(header.read(&headers("x-session", values)), Carried::Unusable);
        }
        assert_eq!(header.read(&headers("authorization", &[b"Bearer sess_abc"])), Carried::Nothing);
    }

    #[test]
    fn a_header_with_another_meaning_is_refused() {
        for name in TAKEN {
            let error = TokenHeader::named(name).check().unwrap_err();
            assert!(error.to_string().contains("another meaning"), "{error}");
        }
        assert!(TokenHeader::named(HeaderName::from_static("x-session")).check().is_ok());
        assert!(TokenHeader::named(AUTHORIZATION).check().is_ok());
        assert_eq!(TokenHeader::named(AUTHORIZATION), TokenHeader::default());
    }
}
