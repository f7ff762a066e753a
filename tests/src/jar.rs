//! A client without HTTP: the cookie that it got last.

use http::header::{COOKIE, HeaderMap, HeaderValue};
use sessions::{Commit, CommitError};

/// The cookie of one session type. Clones have a copy of it.
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

    /// What a request of this client brings.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Takes what a response brings; returns whether it brought anything.
    ///
    /// # Panics
    /// When the cookie is not ASCII.
    pub fn keep(&mut self, commit: &Commit) -> bool {
        let Some(cookie) = commit.set_cookie() else { return false };
        self.keep_text(cookie.to_str().expect("a cookie is ASCII"));
        true
    }

    /// As [`keep`](Self::keep), of a commit that failed.
    ///
    /// # Panics
    /// When the cookie is not ASCII.
    pub fn keep_error(&mut self, error: &CommitError) -> bool {
        let Some(cookie) = error.set_cookie() else { return false };
        self.keep_text(cookie.to_str().expect("a cookie is ASCII"));
        true
    }

    fn keep_text(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let pair = parts.next().unwrap_or_default();
        if parts.any(|part| part == "Max-Age=0") {
            self.headers.remove(COOKIE);
        } else {
            let pair = HeaderValue::from_str(pair).expect("a cookie's characters");
            self.headers.insert(COOKIE, pair);
        }
    }
}
