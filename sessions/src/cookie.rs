//! The settings, the writing and the parsing of session cookies.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use cookie::Cookie;
use http::header::HeaderValue;

use crate::error::Error;
use crate::transport::RequestHeaders;

/// The `SameSite` attribute: whether a browser sends a cookie with requests that other sites cause.
///
/// ```
/// use sessions::{CookieConfig, SameSite};
/// let _ = CookieConfig::new().same_site(SameSite::Strict);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// The browser never sends it.
    Strict,
    /// The browser sends it only when the user follows a link. This is the default.
    Lax,
    /// The browser always sends it. For pages that are embedded in other sites.
    None,
}

/// The settings of session cookies.
///
/// The default is the safest that browsers offer: `__Host-<name>`, `Secure`, `HttpOnly`,
/// `SameSite=Lax`, `Path=/`, kept when the browser closes. Chromium and Firefox accept it on
/// `http://localhost` and `http://127.0.0.1` too. For other browsers use
/// [`danger_plain_http`](Self::danger_plain_http) during development.
///
/// ```
/// use sessions::{CookieConfig, MemoryProvider, Store};
///
/// let store = Store::builder(MemoryProvider::new())
///     .cookie(CookieConfig::new().domain("example.com"))
///     .build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieConfig {
    domain: Option<String>,
    domains: Vec<String>,
    path: Cow<'static, str>,
    same_site: SameSite,
    persistent: bool,
    insecure: bool,
    partitioned: bool,
    http_prefix: bool,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl CookieConfig {
    /// Creates the default settings, which are the safest.
    ///
    /// ```
    /// use sessions::CookieConfig;
    /// assert_eq!(CookieConfig::new(), CookieConfig::default());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            domain: None,
            domains: Vec::new(),
            path: Cow::Borrowed("/"),
            same_site: SameSite::Lax,
            persistent: true,
            insecure: false,
            partitioned: false,
            http_prefix: false,
        }
    }

    /// Sends the cookie to the subdomains of `domain` too. The cookie's prefix becomes `__Secure-`.
    ///
    /// `domain` is a host name. Browsers drop the cookie unless the domain is the host that answers
    /// or a parent of it. [`StoreBuilder::build`](crate::StoreBuilder::build) refuses a scheme, a
    /// port, a path or a wildcard.
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, Store};
    ///
    /// let with = |domain| {
    ///     let cookie = CookieConfig::new().domain(domain);
    ///     Store::builder(MemoryProvider::new()).cookie(cookie).build()
    /// };
    /// assert!(with("example.com").is_ok());
    /// assert!(with("https://example.com").is_err());
    /// ```
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sends the cookie to the subdomains of one of these domains: of the longest one that the host of
    /// the request belongs to, by its `Host` header. For an app that serves several sites. To a host
    /// that belongs to none, the cookie is for that host alone. The cookie's prefix becomes
    /// `__Secure-`.
    ///
    /// At most 255 domains, each as [`domain`](Self::domain) takes it. A proxy must pass the browser's
    /// `Host` header on. [`StoreBuilder::build`](crate::StoreBuilder::build) refuses it together with
    /// `domain`, and for sessions that live [in their cookies](crate::StoreBuilder::client_side).
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, Store};
    ///
    /// let cookie = CookieConfig::new().domains(["example.com", "example.org"]);
    /// assert!(Store::builder(MemoryProvider::new()).cookie(cookie).build().is_ok());
    /// ```
    #[must_use]
    pub fn domains<D: Into<String>>(mut self, domains: impl IntoIterator<Item = D>) -> Self {
        self.domains = domains.into_iter().map(Into::into).collect();
        self
    }

    /// Whether the domain depends on the request.
    pub(crate) fn has_domains(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Sends the cookie only below `path`. Unless `path` is `/`, the cookie's prefix becomes
    /// `__Secure-`.
    ///
    /// ```
    /// use sessions::CookieConfig;
    /// let _ = CookieConfig::new().path("/shop");
    /// ```
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets when the browser sends the cookie with requests that other sites cause.
    ///
    /// ```
    /// use sessions::{CookieConfig, SameSite};
    /// let _ = CookieConfig::new().same_site(SameSite::Strict);
    /// ```
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Makes the browser drop the cookie when it closes, unless the session asked to be remembered.
    ///
    /// ```
    /// use sessions::CookieConfig;
    /// let _ = CookieConfig::new().until_browser_closes();
    /// ```
    #[must_use]
    pub fn until_browser_closes(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// Removes the `Secure` attribute and the name's prefix, for plain HTTP on an address other
    /// than localhost, or for a browser that needs HTTPS there too. Anybody on the network can then
    /// steal the session, so use it only during development.
    ///
    /// ```
    /// use sessions::CookieConfig;
    /// let _ = CookieConfig::new().danger_plain_http();
    /// ```
    #[must_use]
    pub fn danger_plain_http(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Gives each site that embeds this one a cookie of its own (`Partitioned`, also called CHIPS).
    /// Browsers that block third-party cookies still keep such a cookie. A visitor then has one
    /// session for each embedding site.
    ///
    /// It needs [`SameSite::None`] and a secure cookie:
    /// [`StoreBuilder::build`](crate::StoreBuilder::build) refuses anything else.
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, SameSite, Store};
    ///
    /// let embedded = CookieConfig::new().same_site(SameSite::None).partitioned();
    /// assert!(Store::builder(MemoryProvider::new()).cookie(embedded).build().is_ok());
    /// let lax = CookieConfig::new().partitioned();
    /// assert!(Store::builder(MemoryProvider::new()).cookie(lax).build().is_err());
    /// ```
    #[must_use]
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// Uses the prefix `__Host-Http-`, or `__Http-` with a domain or a path, in place of `__Host-`
    /// and `__Secure-`. A browser that knows these prefixes accepts the cookie only from a header
    /// with `HttpOnly`, so no script can plant one. Other browsers ignore the prefix, and with it
    /// what `__Host-` and `__Secure-` promise.
    ///
    /// The name is part of what a token is bound to, so switching it on or off logs visitors out.
    ///
    /// ```
    /// use sessions::CookieConfig;
    ///
    /// assert_eq!(CookieConfig::new().http_prefix().cookie_name("visitor"), "__Host-Http-visitor");
    /// ```
    #[must_use]
    pub fn http_prefix(mut self) -> Self {
        self.http_prefix = true;
        self
    }

    /// Returns the full name of the cookie of the session type `name`.
    ///
    /// ```
    /// use sessions::CookieConfig;
    ///
    /// assert_eq!(CookieConfig::new().cookie_name("visitor"), "__Host-visitor");
    /// assert_eq!(CookieConfig::new().path("/a").cookie_name("visitor"), "__Secure-visitor");
    /// ```
    #[must_use]
    pub fn cookie_name(&self, name: &str) -> String {
        let is_host = self.domain.is_none() && self.domains.is_empty() && self.path == "/";
        let prefix = match (self.insecure, is_host, self.http_prefix) {
            (true, _, _) => "",
            (false, true, false) => "__Host-",
            (false, false, false) => "__Secure-",
            (false, true, true) => "__Host-Http-",
            (false, false, true) => "__Http-",
        };
        format!("{prefix}{name}")
    }

    /// Whether it is sent without HTTPS.
    pub(crate) fn is_insecure(&self) -> bool {
        self.insecure
    }

    /// Whether the cookie goes to the host that set it alone, with every path.
    #[cfg(feature = "dbsc")]
    pub(crate) fn is_of_one_host(&self) -> bool {
        self.domain.is_none() && self.domains.is_empty() && self.path == "/"
    }

    #[cfg(feature = "dbsc")]
    pub(crate) fn is_partitioned(&self) -> bool {
        self.partitioned
    }

    /// Whether it is always sent with requests that other sites cause.
    pub(crate) fn is_cross_site(&self) -> bool {
        self.same_site == SameSite::None
    }

    /// Refuses settings that every browser rejects.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.insecure && self.same_site == SameSite::None {
            return Err(Error::config(
                "browsers refuse SameSite=None without Secure; choose SameSite::Lax, or drop \
                 danger_plain_http()",
            ));
        }
        if self.partitioned && (self.insecure || self.same_site != SameSite::None) {
            return Err(Error::config(
                "a partitioned cookie is for pages that other sites embed: call \
                 same_site(SameSite::None), and drop danger_plain_http()",
            ));
        }
        if self.http_prefix && self.insecure {
            return Err(Error::config(
                "danger_plain_http() leaves out every prefix of the name; drop it, or drop \
                 http_prefix()",
            ));
        }
        let plain = |text: &str| {
            text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b';' && byte != b',')
        };
        if !self.path.starts_with('/') || !plain(&self.path) {
            return Err(Error::config(format!(
                "the cookie path {:?} must start with `/` and hold no space, comma or semicolon",
                self.path
            )));
        }
        if self.domain.is_some() && !self.domains.is_empty() || self.domains.len() > 255 {
            return Err(Error::config(
                "a cookie has one domain(), or up to 255 domains() of which the request's host \
                 chooses one; drop one of the two",
            ));
        }
        self.domain.iter().chain(&self.domains).try_for_each(|domain| check_domain(domain))
    }

    /// Whether a browser keeps a cookie of these settings beside one of the others (RFC 6265bis,
    /// section 5.7). Otherwise the one replaces the other.
    pub(crate) fn is_apart(&self, other: &Self) -> bool {
        let place = |config: &Self| {
            let domain = config
                .domain
                .as_deref()
                .map(|domain| domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase());
            let domains = config.domains.clone();
            (domain, domains, config.path.clone(), config.cookie_name(""), config.partitioned)
        };
        place(self) != place(other)
    }

    /// Returns the cookies of this name for each of the domains, and the domains as hosts have them.
    pub(crate) fn of_domains(&self, name: &str) -> Vec<(String, SetCookie)> {
        let cookie = |domain: &String| {
            let one = Self { domain: Some(domain.clone()), ..self.clone() };
            let plain = domain.strip_prefix('.').unwrap_or(domain).to_owned();
            (plain, one.named(name.to_owned()))
        };
        self.domains.iter().map(cookie).collect()
    }

    /// Returns the cookie of this name. Its attributes are formatted once, not for each response.
    pub(crate) fn named(&self, name: String) -> SetCookie {
        let mut cookie = Cookie::new("", "");
        cookie.set_path(&*self.path);
        cookie.set_http_only(true);
        cookie.set_secure(!self.insecure);
        cookie.set_same_site(match self.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        });
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain);
        }
        if self.partitioned {
            cookie.set_partitioned(true);
        }
        SetCookie { name, end: cookie.to_string(), persistent: self.persistent }
    }
}

/// The `Set-Cookie` headers of one cookie.
pub(crate) struct SetCookie {
    pub(crate) name: String,
    /// `=` and the attributes. The value goes between them.
    end: String,
    persistent: bool,
}

impl SetCookie {
    /// Returns the attributes, except for the age.
    #[cfg(feature = "dbsc")]
    pub(crate) fn attributes(&self) -> &str {
        self.end.trim_start_matches(['=', ';', ' '])
    }

    /// Returns the header that gives the browser a token. `max_age` is how long the session can
    /// last. `remember` keeps the cookie when the browser closes, even if the configuration does
    /// not.
    pub(crate) fn set(
        &self,
        token: &str,
        max_age: Duration,
        remember: bool,
    ) -> Result<HeaderValue, Error> {
        check_length(&self.name, token.len())?;
        let seconds = (self.persistent || remember).then(|| {
            // Round up to whole seconds, so that the browser does not drop the cookie before the
            // server ends the session.
            max_age.min(LONGEST).as_millis().div_ceil(1_000)
        });
        let mut header = self.header(token, seconds)?;
        // Debug output does not show the header, and HTTP/2 does not index it.
        header.set_sensitive(true);
        Ok(header)
    }

    /// Returns the header that makes the browser drop the cookie.
    pub(crate) fn clear(&self) -> Result<HeaderValue, Error> {
        self.header("", Some(0))
    }

    fn header(&self, value: &str, max_age: Option<u128>) -> Result<HeaderValue, Error> {
        let (equals, attributes) = self.end.split_at(1);
        // With the exact capacity, because `HeaderValue` would copy the text otherwise.
        let age =
            max_age.map_or(0, |age| AGE.len() + 1 + age.checked_ilog10().unwrap_or(0) as usize);
        let length = self.name.len() + value.len() + self.end.len() + age;
        let mut text = String::with_capacity(length);
        for part in [&*self.name, equals, value, attributes] {
            text.push_str(part);
        }
        if let Some(seconds) = max_age {
            // Writing to a string cannot fail.
            let _ = write!(text, "{AGE}{seconds}");
        }
        HeaderValue::try_from(text).map_err(|_| {
            Error::config(
                "the cookie's domain or path is not ASCII; use printable ASCII characters",
            )
        })
    }
}

/// Refuses a domain that makes every browser drop the cookie (RFC 6265bis, section 5.6.3).
fn check_domain(domain: &str) -> Result<(), Error> {
    if is_host(domain) {
        return Ok(());
    }
    let mut text = format!("the cookie domain {domain:?} is not a host name");
    if domain.is_ascii() {
        let host = domain.split_once("//").map_or(domain, |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        let host = host.trim_start_matches(['*', '.']).trim_end_matches('.');
        if is_host(host) {
            text += &format!(
                ": write `{host}` alone, without a scheme, a port, a path or a wildcard; the \
                 cookie goes to its subdomains too"
            );
        }
    } else {
        text += " as browsers compare it: write its ASCII form, which begins with `xn--`";
    }
    Err(Error::config(text))
}

/// Whether this is a valid host name for a `Domain` attribute. Browsers ignore one leading dot.
fn is_host(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(allowed)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Refuses a cookie that every browser drops.
pub(crate) fn check_length(name: &str, value: usize) -> Result<(), Error> {
    let length = name.len().saturating_add(value);
    if length > LARGEST {
        return Err(Error::CookieTooLarge { name: name.to_owned(), length });
    }
    Ok(())
}

/// Returns the values of the cookies called `name`, in the order in which the browser sent them.
/// Skips everything that is not a cookie.
pub(crate) fn values<'h>(
    headers: &'h impl RequestHeaders,
    name: &'h str,
) -> impl Iterator<Item = &'h [u8]> {
    headers.cookies().flat_map(pairs).filter_map(move |pair| {
        // Most pairs are other cookies: compare the first bytes before anything else.
        let rest = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
        let value = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
        // A value may be sent in quotes (RFC 6265, section 4.1.1).
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value)).filter(|value| std::str::from_utf8(value).is_ok())
    })
}

fn pairs(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(header);
    std::iter::from_fn(move || {
        let header = left?;
        let (pair, rest) = match memchr::memchr(b';', header) {
            Some(at) => (&header[..at], Some(&header[at + 1..])),
            None => (header, None),
        };
        left = rest;
        Some(pair)
    })
}

const AGE: &str = "; Max-Age=";

/// Browsers ignore a cookie whose name and value together are longer (RFC 6265bis, section 5.6).
const LARGEST: usize = 4096;

/// Browsers keep no cookie for longer (RFC 6265bis, section 5.6.2).
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, HeaderMap};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn sent(cookies: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        headers
    }

    #[test]
    fn the_default_cookie_is_the_safest() {
        let config = CookieConfig::new();
        let cookie = config.named(config.cookie_name("visitor"));
        assert_eq!(
            cookie.set("abc", HOUR, false).unwrap(),
            "__Host-visitor=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600"
        );
        assert_eq!(
            cookie.clear().unwrap(),
            "__Host-visitor=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
        );
    }

    #[test]
    fn a_partitioned_cookie_is_set_and_cleared_alike() {
        let config = CookieConfig::new().same_site(SameSite::None).partitioned();
        config.check().unwrap();
        let cookie = config.named(config.cookie_name("visitor"));
        for header in [cookie.set("abc", HOUR, false).unwrap(), cookie.clear().unwrap()] {
            assert!(header.to_str().unwrap().contains("; Partitioned"), "{header:?}");
            assert!(header.to_str().unwrap().contains("; Secure"), "{header:?}");
        }
        let plain = CookieConfig::new().partitioned();
        assert!(plain.check().unwrap_err().to_string().contains("SameSite::None"));
        let strict = CookieConfig::new().same_site(SameSite::Strict).partitioned();
        assert!(strict.check().is_err());
    }

    #[test]
    fn the_prefix_says_that_no_script_wrote_the_cookie_where_asked_for() {
        let config = CookieConfig::new().http_prefix();
        assert_eq!(config.cookie_name("visitor"), "__Host-Http-visitor");
        assert_eq!(config.clone().path("/a").cookie_name("visitor"), "__Http-visitor");
        assert_eq!(config.clone().domain("example.com").cookie_name("visitor"), "__Http-visitor");
        config.check().unwrap();
        assert!(config.danger_plain_http().check().is_err());
    }

    #[test]
    fn a_domain_or_a_path_takes_the_weaker_prefix() {
        let config = CookieConfig::new().domain("example.com").path("/shop");
        let cookie = config.named(config.cookie_name("visitor"));
        let header = cookie.set("abc", HOUR, false).unwrap();
        assert!(header.to_str().unwrap().starts_with("__Secure-visitor=abc;"));
        assert!(header.to_str().unwrap().contains("Domain=example.com"));
    }

    #[test]
    fn a_cookie_until_the_browser_closes_has_no_age_unless_remembered() {
        let cookie = CookieConfig::new().until_browser_closes().named("a".to_owned());
        assert!(!cookie.set("b", HOUR, false).unwrap().to_str().unwrap().contains("Max-Age"));
        assert!(cookie.set("b", HOUR, true).unwrap().to_str().unwrap().contains("Max-Age"));
    }

    #[test]
    fn name_and_value_above_4096_bytes_are_an_error() {
        let cookie = CookieConfig::new().named("abcd".to_owned());
        assert!(cookie.set(&"x".repeat(4092), HOUR, false).is_ok());
        let error = cookie.set(&"x".repeat(4093), HOUR, false).unwrap_err();
        assert!(matches!(error, Error::CookieTooLarge { length: 4097, .. }));
    }

    #[test]
    fn impossible_settings_are_refused() {
        assert!(CookieConfig::new().check().is_ok());
        assert!(CookieConfig::new().path("shop").check().is_err());
        assert!(CookieConfig::new().path("/a;b").check().is_err());
        assert!(CookieConfig::new().domains(["a.example", "b.example"]).check().is_ok());
        assert!(CookieConfig::new().domains(["a.example", "https://b"]).check().is_err());
        assert!(CookieConfig::new().domain("a.example").domains(["b.example"]).check().is_err());
        let none = CookieConfig::new().danger_plain_http().same_site(SameSite::None);
        assert!(none.check().is_err());
    }

    #[test]
    fn a_domain_is_a_host_name_alone() {
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        for domain in [
            "example.com",
            ".example.com",
            "Shop.Example.COM",
            "localhost",
            "a_b.xn--bcher-kva.example",
            "192.0.2.1",
            &long,
        ] {
            assert!(CookieConfig::new().domain(domain).check().is_ok(), "{domain}");
        }
        let says = |domain: &str| {
            let error = CookieConfig::new().domain(domain).check().unwrap_err();
            std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)
        };
        for domain in [
            "https://example.com",
            "http://example.com:8080/shop",
            "//example.com",
            "example.com:443",
            "*.example.com",
            ".*.example.com",
            "..example.com",
            "example.com/",
            "example.com.",
        ] {
            assert!(says(domain).contains("write `example.com` alone"), "{}", says(domain));
        }
        assert!(says("bücher.example").contains("xn--"));
        let longer = format!("{long}d");
        for domain in ["", ".", "a..b", "exa mple.com", "a;b", "a,b", "a@b", "[::1]", &longer] {
            assert!(says(domain).contains("is not a host name"), "{}", says(domain));
        }
    }

    #[test]
    fn cookies_are_found_among_any_bytes_and_headers() {
        let headers = sent(&[
            b"other=1; visitor=first ;visitors=x",
            b"\xff\xfe; visitor=\xff; =; ;visitor; visitor = second",
            b"visitor=third",
        ]);
        let found: Vec<_> = values(&headers, "visitor").collect();
        assert_eq!(found, [&b"first"[..], b"second", b"third"]);
    }

    #[test]
    fn one_pair_of_quotes_around_a_value_is_not_part_of_it() {
        let headers = sent(&[b"v=\"a\"; v= \"b\" ; v=\"c; v=d\"; v=\"\"e\"\"; v=\"; v=\"\""]);
        let found: Vec<_> = values(&headers, "v").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"\"c", b"d\"", b"\"e\"", b"\"", b""]);
    }
}
