//! The cookies of a client, kept as a browser keeps them.

use cookie::Cookie;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use sessions::commit::{Commit, CommitError};
use sessions::testing::cookies_after;

/// The cookies of one client. Clones have a copy of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    headers: HeaderMap,
}

impl Jar {
    /// A jar without a cookie.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A jar with the cookie of this commit.
    ///
    /// # Panics
    /// When the commit sets none.
    #[must_use]
    pub fn of(commit: &Commit) -> Self {
        let mut jar = Self::new();
        assert!(jar.keep(commit), "the commit sets no cookie");
        jar
    }

    /// What a request of this client brings.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// As [`headers`](Self::headers), for a client that keeps no further cookie.
    #[must_use]
    pub fn into_headers(self) -> HeaderMap {
        self.headers
    }

    /// Whether there is no cookie in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The cookies' names and values, in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text().split("; ").filter_map(|pair| pair.split_once('='))
    }

    /// A cookie's value.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        let mut pairs = self.pairs();
        pairs.find_map(|(known, value)| (known == name).then_some(value)).expect("a cookie of it")
    }

    /// Puts a cookie into it that no response brought.
    ///
    /// # Panics
    /// When a header cannot hold it.
    pub fn insert(&mut self, name: &str, value: &str) {
        let cookie = HeaderValue::try_from(format!("{name}={value}")).expect("a cookie");
        self.put(&HeaderMap::from_iter([(SET_COOKIE, cookie)]));
    }

    /// Takes what a response brings; returns whether it brought anything.
    ///
    /// # Panics
    /// As [`keep_all`](Self::keep_all).
    pub fn keep(&mut self, commit: &Commit) -> bool {
        self.keep_one(commit.set_cookie())
    }

    /// As [`keep`](Self::keep), of a commit that failed.
    ///
    /// # Panics
    /// As [`keep_all`](Self::keep_all).
    pub fn keep_error(&mut self, error: &CommitError) -> bool {
        self.keep_one(error.set_cookie())
    }

    /// Takes the cookies of a response's headers that a browser takes.
    ///
    /// # Panics
    /// When one is not ASCII, or no cookie.
    pub fn keep_all(&mut self, response: &HeaderMap) {
        let cookies = response.get_all(SET_COOKIE).iter().filter(|cookie| is_taken(cookie));
        self.put(&cookies.map(|cookie| (SET_COOKIE, cookie.clone())).collect());
    }

    fn keep_one(&mut self, cookie: Option<&HeaderValue>) -> bool {
        let response = cookie.map(|cookie| (SET_COOKIE, cookie.clone())).into_iter().collect();
        self.keep_all(&response);
        cookie.is_some()
    }

    fn put(&mut self, response: &HeaderMap) {
        let cookies = cookies_after(self.text(), response);
        if cookies.is_empty() {
            self.headers.remove(COOKIE);
        } else {
            let cookies = HeaderValue::try_from(cookies).expect("a cookie's characters");
            self.headers.insert(COOKIE, cookies);
        }
    }

    fn text(&self) -> &str {
        let cookies = self.headers.get(COOKIE);
        cookies.map_or("", |cookies| cookies.to_str().expect("cookies are ASCII"))
    }
}

/// The rules of RFC 6265bis, section 5.7: a loopback address counts as secure, and a `__Host-` cookie
/// that breaks its promises is ignored.
fn is_taken(cookie: &HeaderValue) -> bool {
    let text = cookie.to_str().expect("a cookie is ASCII");
    let cookie = Cookie::parse(text).expect("a cookie that parses");
    let keeps_its_promises =
        cookie.secure() == Some(true) && cookie.path() == Some("/") && cookie.domain().is_none();
    (keeps_its_promises || !cookie.name().starts_with("__Host-"))
        && cookie.name().len() + cookie.value().len() <= 4096
}
