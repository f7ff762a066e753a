//! What a layer knows of a request from its method and headers.

use http::header::HeaderName;

use super::slots::{Dry, Served};
use crate::transport::RequestHeaders;

/// What a layer knows of a request before its handler runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestKind {
    /// Why it commits nothing, if it does not.
    pub(super) dry: Option<Dry>,
    /// Whether it is a link from another site that was followed, to a store that binds sessions.
    pub(super) is_link: bool,
}

impl RequestKind {
    pub(crate) fn of(served: &Served, method: &str, headers: &impl RequestHeaders) -> Self {
        match method {
            "HEAD" => Self { dry: Some(Dry::Head), is_link: false },
            // Browsers prefetch only with GET.
            "GET" => Self {
                dry: is_prefetch(headers).then_some(Dry::Prefetch),
                is_link: served.binds_devices() && is_link(headers),
            },
            _ => Self::default(),
        }
    }
}

fn is_prefetch(headers: &impl RequestHeaders) -> bool {
    static NAMES: [HeaderName; 3] = [
        HeaderName::from_static("sec-purpose"),
        HeaderName::from_static("purpose"),
        HeaderName::from_static("x-moz"),
    ];
    NAMES.iter().flat_map(|name| headers.all(name)).any(says_prefetch)
}

/// Whether a value of `Sec-Purpose`, `Purpose` or `X-Moz` announces a prefetch, for example
/// `prefetch;prerender`.
fn says_prefetch(value: &[u8]) -> bool {
    let mut words = value.split(|byte| matches!(byte, b',' | b';'));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"prefetch"))
}

/// Whether a browser says that a visitor comes from another site (Fetch Metadata, sections 2.3 and
/// 2.4).
fn is_link(headers: &impl RequestHeaders) -> bool {
    static SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    static MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
    headers.all(&SITE).eq([b"cross-site"]) && headers.all(&MODE).eq([b"navigate"])
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_prefetch_says_so() {
        for value in ["prefetch", "Prefetch", "prefetch;prerender", "prefetch; anonymous-client-ip"]
        {
            assert!(says_prefetch(value.as_bytes()), "{value}");
        }
        for value in ["", "navigate", "prefetched", "no-prefetch"] {
            assert!(!says_prefetch(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_link_from_another_site_is_a_navigation_across_sites() {
        let is = |site: &'static str, mode: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            is_link(&headers)
        };
        assert!(is("cross-site", "navigate"));
        assert!(!is("same-site", "navigate") && !is("none", "navigate"));
        assert!(!is("cross-site", "no-cors") && !is("cross-site", "cors"));
        assert!(!is_link(&HeaderMap::new()));
    }
}
