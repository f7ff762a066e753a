//! The cookies of a browser in a test, for every framework.

use cookie::Cookie;
use cookie::time::Duration;
use http::header::{HeaderMap, SET_COOKIE};

use crate::transport::PREFIX;

/// A source of cookies or of a token: the text of a `Cookie` header, a token (`sess_...`), or a
/// response of axum, any other `tower` stack, or actix-web.
///
/// ```
/// use sessions::testing::cookies_after;
///
/// let response = http::Response::builder()
///     .header("set-cookie", "theme=dark; Path=/")
///     .header("set-cookie", "seen=; Max-Age=0")
///     .body(())
///     .expect("a response");
/// assert_eq!(cookies_after("seen=1; lang=en", &response), "lang=en; theme=dark");
/// ```
pub trait CookieSource: sealed::CookieSource {}

impl<S: sealed::CookieSource + ?Sized> CookieSource for S {}

/// Returns the `Cookie` header that a browser sends after a response, if it sent `cookies` before.
/// The header contains the cookies that the response sets, but not those that it clears.
///
/// It ignores paths and domains.
///
/// ```
/// use sessions::testing::cookies_after;
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("set-cookie", http::HeaderValue::from_static("seen=2; Path=/"));
/// assert_eq!(cookies_after("seen=1", &headers), "seen=2");
/// assert_eq!(cookies_after("", &headers), "seen=2");
/// ```
#[must_use]
pub fn cookies_after(cookies: &str, response: &(impl CookieSource + ?Sized)) -> String {
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in
        sealed::CookieSource::changes(cookies).into_iter().chain(response.changes())
    {
        let at = kept.iter().position(|(known, _)| *known == name);
        match (at, value) {
            (Some(at), Some(value)) => kept[at].1 = value,
            (Some(at), None) => drop(kept.remove(at)),
            (None, Some(value)) => kept.push((name, value)),
            (None, None) => {}
        }
    }
    let pairs: Vec<String> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

pub(super) mod sealed {
    #[allow(unreachable_pub)] // It seals a public trait.
    pub trait CookieSource {
        /// Returns names with their new values, and `None` for a cleared cookie.
        fn changes(&self) -> Vec<(String, Option<String>)>;

        /// Returns the token in a header of this name.
        fn token(&self, header: &str) -> Option<String>;
    }
}

impl sealed::CookieSource for str {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        let cookies = Cookie::split_parse(self).flatten();
        cookies.map(|it| (it.name().to_owned(), Some(it.value().to_owned()))).collect()
    }

    fn token(&self, _: &str) -> Option<String> {
        self.starts_with(PREFIX).then(|| self.to_owned())
    }
}

impl sealed::CookieSource for String {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        self.as_str().changes()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.as_str().token(header)
    }
}

impl sealed::CookieSource for HeaderMap {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        self.get_all(SET_COOKIE).iter().filter_map(|value| set_cookie(value.as_bytes())).collect()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.get(header)?.to_str().ok().map(str::to_owned)
    }
}

impl<B> sealed::CookieSource for http::Response<B> {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        self.headers().changes()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.headers().token(header)
    }
}

#[cfg(feature = "actix")]
impl sealed::CookieSource for actix_web::http::header::HeaderMap {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        let values = self.get_all(actix_web::http::header::SET_COOKIE);
        values.filter_map(|value| set_cookie(value.as_bytes())).collect()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.get(header)?.to_str().ok().map(str::to_owned)
    }
}

#[cfg(feature = "actix")]
impl<B> sealed::CookieSource for actix_web::dev::ServiceResponse<B> {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        self.headers().changes()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.headers().token(header)
    }
}

#[cfg(feature = "actix")]
impl<B> sealed::CookieSource for actix_web::HttpResponse<B> {
    fn changes(&self) -> Vec<(String, Option<String>)> {
        self.headers().changes()
    }

    fn token(&self, header: &str) -> Option<String> {
        self.headers().token(header)
    }
}

fn set_cookie(text: &[u8]) -> Option<(String, Option<String>)> {
    let cookie = Cookie::parse(std::str::from_utf8(text).ok()?).ok()?;
    let cleared = cookie.max_age().is_some_and(|age| age <= Duration::ZERO);
    let value = Some(cookie.value().to_owned()).filter(|_| !cleared);
    Some((cookie.name().to_owned(), value))
}
