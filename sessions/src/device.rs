//! From where a session is used, as far as its owner should see it in the list of their devices.

use std::fmt;
use std::net::IpAddr;

use http::header::{HeaderName, USER_AGENT};
use ipnet::IpNet;

use crate::error::Error;
use crate::transport::RequestHeaders;

/// From where a request came: what the browser says of itself, and the network of its address. For
/// [`Session::seen_from`](crate::Session::seen_from).
///
/// Neither proves anything: a browser says what it likes, and addresses are shared. They let a
/// person recognize their own devices.
///
/// ```
/// use std::net::IpAddr;
///
/// use http::header::{HeaderMap, HeaderValue, USER_AGENT};
/// use sessions::Device;
///
/// let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("Firefox"))]);
/// let address: IpAddr = "203.0.113.77".parse().expect("an address");
/// let device = Device::of(&headers).address(address);
/// assert_eq!(device.user_agent.as_deref(), Some("Firefox"));
/// assert_eq!(device.network.as_deref(), Some("203.0.113.0/24"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// The `User-Agent` header, at most 256 bytes of it.
    pub user_agent: Option<String>,
    /// The network of the address: its first 24 bits (IPv4) or 48 bits (IPv6), as `203.0.113.0/24`.
    pub network: Option<String>,
}

impl Device {
    /// Reads the `User-Agent` header of a request.
    ///
    /// ```
    /// use sessions::Device;
    /// assert_eq!(Device::of(&http::HeaderMap::new()), Device::default());
    /// ```
    #[must_use]
    pub fn of(headers: &impl RequestHeaders) -> Self {
        let mut values = headers.all(&USER_AGENT);
        let user_agent = values.next().map(|value| {
            let text = String::from_utf8_lossy(value);
            let text: String = text.chars().filter(|letter| !letter.is_control()).collect();
            cut(&text).to_owned()
        });
        Self { user_agent: user_agent.filter(|text| !text.is_empty()), network: None }
    }

    /// Adds the network of the client's address. Behind a proxy that is not the peer's address: see
    /// [`TrustedProxies`].
    ///
    /// ```
    /// use sessions::Device;
    ///
    /// let device = Device::default().address("2001:db8:1:2::3".parse().expect("an address"));
    /// assert_eq!(device.network.as_deref(), Some("2001:db8:1::/48"));
    /// ```
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { 24 } else { 48 };
        let network = IpNet::new(address, length).map(|network| network.trunc().to_string());
        self.network = network.ok();
        self
    }
}

/// Returns the front of a text that fits.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

/// The most bytes of a `User-Agent` that are kept.
const LONGEST: usize = 256;

/// The devices of a session, as [`SessionInfo`](crate::SessionInfo) has them.
///
/// ```
/// fn moved(devices: &sessions::Devices) -> bool {
///     devices.first.network != devices.last.network
/// }
/// # let _ = moved;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Devices {
    /// The device at the login, or when the session began.
    pub first: Device,
    /// The device that it was last seen from, with the precision of the touch interval.
    pub last: Device,
}

/// The proxies in front of the app, to find the address of a client.
///
/// A client can send any `X-Forwarded-For`. So only what one of these proxies added is believed,
/// from the right to the left.
///
/// ```
/// use http::header::{HeaderMap, HeaderValue};
/// use sessions::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8", "127.0.0.1"])?;
/// let mut headers = HeaderMap::new();
/// let said = HeaderValue::from_static("8.8.8.8, 203.0.113.7, 10.0.0.2");
/// headers.insert("x-forwarded-for", said);
///
/// let proxy = "10.0.0.1".parse().expect("an address");
/// assert_eq!(proxies.client(proxy, &headers).to_string(), "203.0.113.7");
/// let stranger = "198.51.100.9".parse().expect("an address");
/// assert_eq!(proxies.client(stranger, &headers), stranger);
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts the proxies of these networks (`10.0.0.0/8`) and addresses.
    ///
    /// # Errors
    /// [`Error::Config`] if one is neither.
    ///
    /// ```
    /// use sessions::TrustedProxies;
    ///
    /// assert!(TrustedProxies::new(["10.0.0.0/8", "::1"]).is_ok());
    /// assert!(TrustedProxies::new(["proxy.internal"]).is_err());
    /// ```
    pub fn new<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<Self, Error> {
        let parse = |text: N| {
            let text = text.as_ref();
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                Error::config(format!(
                    "{text:?} is no network and no address; write it as `10.0.0.0/8` or `10.0.0.1`"
                ))
            })
        };
        networks.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the address of the client: the rightmost one in `X-Forwarded-For` that is no trusted
    /// proxy. It is `peer` if that is no trusted proxy, and the last proxy if the header says
    /// nothing that can be read.
    ///
    /// ```
    /// use sessions::TrustedProxies;
    ///
    /// let peer = "127.0.0.1".parse().expect("an address");
    /// let none = TrustedProxies::default();
    /// assert_eq!(none.client(peer, &http::HeaderMap::new()), peer);
    /// ```
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &impl RequestHeaders) -> IpAddr {
        let mut client = peer.to_canonical();
        let values: Vec<&[u8]> = headers.all(&X_FORWARDED_FOR).collect();
        let mut said = values.iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        while self.0.iter().any(|network| network.contains(&client)) {
            let Some(next) = said.next().and_then(address) else { break };
            client = next;
        }
        client
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Reads an address of `X-Forwarded-For`. Some proxies add a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let address = text.parse::<std::net::SocketAddr>().map(|it| it.ip());
    let address = address.or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>()).ok()?;
    Some(address.to_canonical())
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_kept_as_its_network() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(Device::default().address(ip(address)).network.as_deref(), Some(network));
        }
    }

    #[test]
    fn a_user_agent_is_plain_and_bounded() {
        let of = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            Device::of(&HeaderMap::from_iter([(USER_AGENT, value)])).user_agent
        };
        assert_eq!(of(b"Firefox").as_deref(), Some("Firefox"));
        assert_eq!(of(b"a\tb").as_deref(), Some("ab"));
        assert_eq!(of(b""), None);
        assert_eq!(of(&[b'x'; 5_000]).unwrap().len(), 256);
        assert!(of(&[0xff; 1_000]).unwrap().len() <= 256);
        let umlauts = "ü".repeat(200);
        assert_eq!(of(format!("x{umlauts}").as_bytes()).unwrap().len(), 255);
    }

    #[test]
    fn only_what_a_trusted_proxy_added_is_believed() {
        let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
        let client = |peer: &str, said: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-for", HeaderValue::from_str(value).unwrap());
            }
            proxies.client(ip(peer), &headers).to_string()
        };
        // Nobody but a proxy is believed.
        assert_eq!(client("198.51.100.9", &["1.1.1.1"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        // What the client said itself stands left of what the proxy added.
        assert_eq!(client("10.0.0.1", &["10.0.0.9, 8.8.8.8, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(client("10.0.0.1", &["8.8.8.8", "1.1.1.1,10.0.0.2"]), "1.1.1.1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 2001:db8::7"]), "1.1.1.1");
        assert_eq!(client("10.0.0.1", &["[2001:470::1]:4000"]), "2001:470::1");
        assert_eq!(client("10.0.0.1", &["1.1.1.1:4000"]), "1.1.1.1");
        // What cannot be read ends the chain.
        for lie in ["", "unknown", "1.1.1.1, junk", "1.1.1.999", "_hidden"] {
            assert_eq!(client("10.0.0.1", &[lie]), "10.0.0.1", "{lie}");
        }
        let long = "10.0.0.5, ".repeat(10_000);
        assert_eq!(client("10.0.0.1", &[&long]), "10.0.0.1");
    }
}
