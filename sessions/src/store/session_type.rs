//! What a store knows of one session type. It is computed once, and its requests share it.

use std::any::TypeId;
use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HOST, HeaderName, HeaderValue, SET_COOKIE};
use smallvec::SmallVec;

use super::assurance::OwnLimits;
#[cfg(feature = "dbsc")]
use super::device_cookie::DeviceCookie;
use super::fence::CredentialHash;
use super::settings::TypeSettings;
use super::times::{Span, Times};
use crate::clock::SKEW;
use crate::cookie::SetCookie;
use crate::crypto::purpose::Purpose;
use crate::data::SessionData;
#[cfg(feature = "dbsc")]
use crate::device_binding::answer::REGISTRATION;
use crate::error::Error;
use crate::id::{KeyHasher, Secret, SecretHash, SessionId, StoreKey};
use crate::schema::fields::Fields;
use crate::schema::header::{OwnTimes, Summary};
use crate::schema::table::Table;
use crate::telemetry::event::Events;
use crate::telemetry::metrics::Tallies;
use crate::transport::{
    Carrier, Delivery, DeliveryHeaders, PREFIX, Place, RequestHeaders, TokenHeader, Transport,
};

/// A session type as the store sees it, without the type.
pub(crate) struct SessionType {
    pub(crate) type_id: TypeId,
    pub(crate) table: &'static Table,
    pub(crate) cookie: SetCookie,
    /// The domains of which one is chosen by the request's host, each with its cookie.
    domains: Vec<(String, SetCookie)>,
    pub(crate) purpose: Purpose,
    /// Another cookie that is still read.
    pub(crate) other_cookie: Option<OtherCookie>,
    pub(crate) transport: Transport,
    pub(crate) token_header: TokenHeader,
    pub(crate) header_purpose: Purpose,
    /// The purpose of a cookie that holds the whole session.
    pub(crate) client_side: Purpose,
    /// The fields of a new session.
    pub(crate) fresh: fn() -> Result<Fields, Error>,
    pub(crate) tallies: Tallies,
    /// Who is told of what happens to its sessions.
    pub(crate) events: Events,
    pub(crate) longest_remember: Duration,
    /// How its sessions are bound to a device, if they are.
    #[cfg(feature = "dbsc")]
    pub(crate) device: Option<DeviceCookie>,
    times: Times,
    lock: Option<Duration>,
    own_limits: OwnLimits,
    ids: KeyHasher,
    secrets: KeyHasher,
    bindings: KeyHasher,
    fences: KeyHasher,
    credentials: KeyHasher,
    app: String,
}

impl SessionType {
    pub(crate) fn of<T: SessionData>(app: &str, settings: &TypeSettings, events: Events) -> Self {
        let name = T::SCHEMA.name;
        let config = &settings.cookie;
        let cookie = config.named(config.cookie_name(name));
        let other_cookie = settings.other_cookie.as_ref().map(|config| {
            let other = config.named(config.cookie_name(name));
            OtherCookie {
                purpose: Purpose::session(&other.name),
                client_side: Purpose::client_side(&other.name),
                cookie: other,
            }
        });
        let hasher = |domain| KeyHasher::new(domain, app, name);
        Self {
            type_id: TypeId::of::<T>(),
            table: T::TABLE,
            purpose: Purpose::session(&cookie.name),
            client_side: Purpose::client_side(&cookie.name),
            domains: config.of_domains(&cookie.name),
            cookie,
            other_cookie,
            transport: settings.transport,
            token_header: settings.token_header.clone(),
            header_purpose: Purpose::session_header(name),
            fresh: || T::fresh().fields(),
            tallies: Tallies::new(name),
            events,
            longest_remember: settings.longest_remember,
            #[cfg(feature = "dbsc")]
            device: DeviceCookie::of(name, settings),
            times: settings.times,
            lock: settings.lock,
            own_limits: settings.own,
            ids: hasher("session"),
            secrets: hasher("secret"),
            bindings: hasher("binding"),
            fences: hasher("fence"),
            credentials: hasher("credential"),
            app: app.to_owned(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.table.schema.name
    }

    /// Returns how the token of a new session travels that a handler has asked to be in the header,
    /// or not. `None` if no response may carry it.
    pub(crate) fn birth(&self, carrier: Carrier, asked: bool) -> Option<Carrier> {
        match carrier {
            Carrier::Unasked if !asked => None,
            Carrier::Unasked => Some(Carrier::Header),
            _ if asked => Some(Carrier::Header),
            _ => Some(carrier.current()),
        }
    }

    /// Whether both types would take one token of a request as theirs.
    pub(crate) fn shares_header(&self, other: &Self) -> bool {
        self.transport != Transport::Cookie
            && other.transport != Transport::Cookie
            && (self.token_header.request == other.token_header.request
                || self.token_header.response == other.token_header.response)
    }

    /// Returns the place of the domain that the host of a request belongs to, the longest that fits.
    /// Zero, for a cookie of this host alone, if none does.
    pub(crate) fn place(&self, headers: &impl RequestHeaders) -> Place {
        if self.domains.is_empty() {
            return 0;
        }
        let host = headers.all(&HOST).next().unwrap_or_default();
        let fits = self.domains.iter().zip(1..).filter(|((domain, _), _)| is_within(host, domain));
        fits.max_by_key(|((domain, _), _)| domain.len()).map_or(0, |(_, place)| place)
    }

    fn cookie_of(&self, carrier: Carrier) -> &SetCookie {
        let (Carrier::Cookie(place) | Carrier::OtherCookie(place)) = carrier else {
            return &self.cookie;
        };
        let domain = usize::from(place).checked_sub(1).and_then(|at| self.domains.get(at));
        domain.map_or(&self.cookie, |(_, cookie)| cookie)
    }

    /// Returns what the tokens of a carrier are sealed for.
    pub(crate) fn purpose_of(&self, carrier: Carrier) -> &Purpose {
        match carrier.transport() {
            Transport::Header => &self.header_purpose,
            _ => &self.purpose,
        }
    }

    /// Returns what gives the client its token. `left` is how long the session can last.
    pub(crate) fn deliver(
        &self,
        carrier: Carrier,
        token: &str,
        left: Duration,
        persistent: bool,
    ) -> Result<Delivery, Error> {
        let transport = carrier.transport();
        let value = match transport {
            Transport::Header => {
                let value = HeaderValue::try_from([PREFIX, token].concat());
                let mut value = value.map_err(|_| Error::misuse("a token is not base64url"))?;
                value.set_sensitive(true);
                value
            }
            _ => self.cookie_of(carrier).set(token, left, persistent)?,
        };
        Ok(Delivery::new(transport, value))
    }

    /// Returns what makes the client drop its token: a cookie that has expired, or an empty header.
    pub(crate) fn withdraw(&self, carrier: Carrier) -> Result<Delivery, Error> {
        let transport = carrier.transport();
        let value = match transport {
            Transport::Header => HeaderValue::from_static(""),
            _ => self.cookie_of(carrier).clear()?,
        };
        Ok(Delivery::new(transport, value))
    }

    /// Returns the headers of a response that deliver a token.
    pub(crate) fn headers(&self, delivery: Delivery) -> DeliveryHeaders {
        let Delivery { transport, value, .. } = delivery;
        let mut headers = DeliveryHeaders::new();
        if transport == Transport::Header {
            headers.push((self.token_header.response.clone(), value));
            return headers;
        }
        // The browser has one of the two afterwards, with any cookie that it came with.
        let other = self.other_cookie.as_ref().and_then(|other| other.cookie.clear().ok());
        headers.extend(other.map(|value| (SET_COOKIE, value)));
        headers.push((SET_COOKIE, value));
        #[cfg(feature = "dbsc")]
        headers.extend(delivery.offer.map(|offer| (REGISTRATION, *offer)));
        headers
    }

    /// Adds the request headers that a response of this type depends on.
    pub(crate) fn vary(&self, names: &mut SmallVec<[HeaderName; 1]>) {
        let cookie = (self.transport != Transport::Header).then_some(COOKIE);
        let header =
            (self.transport != Transport::Cookie).then(|| self.token_header.request.clone());
        for name in cookie.into_iter().chain(header) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }

    /// Whether sessions of this type are locked when they are not used.
    pub(crate) fn locks(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the owner of the session of this record has to prove again who they are. Nobody's
    /// session is never locked.
    pub(crate) fn is_locked(&self, summary: &Summary, is_owned: bool, now: SystemTime) -> bool {
        // The last uses may have been less than a touch interval apart.
        let unused = || {
            let (seen_at, lock) = (summary.seen_at?, self.lock?);
            let most = lock.saturating_add(self.span(summary).touch_interval());
            Some(match now.duration_since(seen_at) {
                Ok(unused) => unused >= most,
                Err(ahead) => ahead.duration() > SKEW,
            })
        };
        is_owned && (summary.locked || unused().unwrap_or(false))
    }

    /// Returns the times that apply to the session of this record.
    pub(crate) fn span(&self, summary: &Summary) -> Span {
        let OwnTimes { idle, lifetime, persistent } = summary.own;
        let OwnLimits { idle: longest_idle, lifetime: longest } = self.own_limits;
        let own = OwnTimes {
            idle: idle.map(|idle| idle.min(longest_idle)),
            lifetime: lifetime.map(|lifetime| lifetime.min(longest)),
            persistent,
        };
        self.times.of(summary.created_at, own)
    }

    pub(crate) fn key(&self, id: &SessionId) -> StoreKey {
        self.ids.key(&*id.to_bytes())
    }

    /// Returns the hash of a secret, as the record holds it.
    pub(crate) fn hash(&self, secret: &Secret) -> SecretHash {
        SecretHash::from_bytes(self.secrets.half(&*secret.to_bytes()))
    }

    /// Returns the bytes that an app may derive from a secret.
    pub(crate) fn binding(&self, secret: &Secret) -> [u8; 16] {
        self.bindings.half(&*secret.to_bytes())
    }

    /// Returns the id of the record of an owner's fence. No store key has this form, so nobody can
    /// revoke a fence.
    pub(crate) fn fence(&self, owner: &str) -> String {
        format!("{FENCE}{}", self.fences.key(owner.as_bytes()))
    }

    /// Returns the hash of a credential's id, as a fence holds it.
    pub(crate) fn credential(&self, credential: &str) -> CredentialHash {
        self.credentials.half(credential.as_bytes())
    }

    /// Returns `"app/name/owner"`, so that user 7 of one type is not user 7 of another. An owner
    /// that does not fit into a record's 255 bytes is replaced by its hash.
    pub(crate) fn owner(&self, owner: &str) -> String {
        let name = self.name();
        let whole = self.app.len() + name.len() + owner.len() + 2;
        if whole <= 255 && !owner.contains('\0') && !owner.starts_with('/') {
            [&*self.app, name, owner].join("/")
        } else {
            // Two slashes, so no plain owner has this form.
            format!("{}/{name}//{}", self.app, self.fences.key(owner.as_bytes()))
        }
    }

    /// Whether a record that is filed under `filed` may hold this value: `revoke_all` must reach
    /// whoever it says is logged in.
    pub(crate) fn files<T: SessionData>(&self, filed: Option<&str>, value: &T) -> bool {
        self.is_filed(filed, value.owner())
            // An owner that is no `Option` owns nothing before it is assigned.
            || filed.is_none() && {
                let text = |owner: Option<&T::Owner>| owner.map(ToString::to_string);
                text(value.owner()) == text(T::fresh().owner())
            }
    }

    /// Whether `filed`, as a record has it, is this owner.
    ///
    /// Compares piece by piece as the owner displays itself: each load asks this.
    fn is_filed(&self, filed: Option<&str>, owner: Option<&impl fmt::Display>) -> bool {
        let (filed, owner) = match (filed, owner) {
            (None, None) => return true,
            (Some(filed), Some(owner)) => (filed, owner),
            _ => return false,
        };
        let name = [&self.app, "/", self.name(), "/"];
        let mut rest = Rest(filed);
        if name.iter().all(|part| rest.write_str(part).is_ok()) && !rest.0.starts_with('/') {
            return write!(rest, "{owner}").is_ok() && rest.0.is_empty();
        }
        filed == self.owner(&owner.to_string())
    }
}

/// Whether a `Host` header is a domain or below it. Its port and its case do not matter.
fn is_within(host: &[u8], domain: &str) -> bool {
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let Some(above) = host.len().checked_sub(domain.len()) else { return false };
    let (rest, end) = host.split_at(above);
    end.eq_ignore_ascii_case(domain.as_bytes()) && (rest.is_empty() || rest.ends_with(b"."))
}

/// A cookie of another configuration that is still read.
pub(crate) struct OtherCookie {
    pub(crate) cookie: SetCookie,
    pub(crate) purpose: Purpose,
    pub(crate) client_side: Purpose,
}

/// What is left of a text once what was written is taken from its front.
struct Rest<'t>(&'t str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The start of the id of a fence's record.
const FENCE: &str = "fence:";

impl fmt::Debug for SessionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionType").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Session;
    use crate::store::settings::SessionSettings;

    #[derive(Session)]
    #[session(name = "visitor", version = 1, crate = crate)]
    struct Visitor {}

    #[test]
    fn a_host_belongs_to_a_domain_whatever_its_case_and_port() {
        for (host, domain, is) in [
            ("example.com", "example.com", true),
            ("Shop.EXAMPLE.com:8443", "example.com", true),
            ("notexample.com", "example.com", false),
            ("example.com.evil.test", "example.com", false),
            ("com", "example.com", false),
            ("", "example.com", false),
            ("[::1]:80", "example.com", false),
        ] {
            assert_eq!(is_within(host.as_bytes(), domain), is, "{host}");
        }
        assert!(!is_within(b"\xff\xff", "example.com"));
    }

    #[test]
    fn a_record_is_filed_under_the_owner_that_displays_so() {
        let settings = SessionSettings::default().over(&SessionSettings::default());
        let session_type = SessionType::of::<Visitor>("shop", &settings, Events::default());
        let long = "x".repeat(300);
        for owner in ["7", "", "a/b", "/rooted", "nul\0", "ünïcode", &long] {
            let filed = session_type.owner(owner);
            assert!(session_type.is_filed(Some(&filed), Some(&owner)), "{owner:?}");
            for other in ["8", "77", "a", &long[1..]] {
                assert!(!session_type.is_filed(Some(&filed), Some(&other)), "{owner:?} {other:?}");
            }
            assert!(!session_type.is_filed(None, Some(&owner)));
            assert!(!session_type.is_filed(Some(&filed), None::<&u64>));
            assert!(!session_type.is_filed(Some(&format!("app/{owner}")), Some(&owner)));
        }
        assert!(session_type.is_filed(None, None::<&u64>));
    }
}
