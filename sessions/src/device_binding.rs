//! Sessions bound to a device, by the Device Bound Session Credentials of the W3C (feature `dbsc`).
//!
//! A browser that supports them keeps a private key in the device's hardware and proves every few
//! minutes that it still has it. A cookie that was copied to another device is useless as soon as
//! the last proof is out. [The guide's page](crate::guide::device_binding) says what this
//! protects, where browsers are, and how to turn it on. The protocol is a draft, so this module is
//! experimental: <https://www.w3.org/TR/dbsc/>.

pub(crate) mod answer;
pub(crate) mod fields;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod proof;
pub(crate) mod tokens;

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;

/// How sessions are bound to the device that their owner logged in on.
///
/// [`StoreBuilder::device_binding`](crate::StoreBuilder::device_binding) sets it for all session
/// types, and [`SessionSettings::device_binding`](crate::SessionSettings::device_binding) for one.
/// By default no session is bound. A browser without Device Bound Session Credentials ignores the
/// one header that a login's answer has more, and its sessions are never bound.
///
/// ```
/// use sessions::{DeviceBinding, MemoryProvider, Store};
///
/// let store = Store::builder(MemoryProvider::new())
///     .device_binding(DeviceBinding::enforce())
///     .build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "pass it to `device_binding`"]
pub struct DeviceBinding {
    policy: Policy,
    path: Cow<'static, str>,
    proof_lifetime: Duration,
    grace: Duration,
    excluded: Vec<Cow<'static, str>>,
}

/// What is asked of a request whose session is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Off,
    Offer,
    Observe,
    Enforce,
}

impl Policy {
    /// The word that events and counters use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Offer => "offer",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

impl DeviceBinding {
    /// Offers each login to be bound, and demands nothing: browsers register their keys.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::offer();
    /// ```
    pub fn offer() -> Self {
        Self {
            policy: Policy::Offer,
            path: Cow::Borrowed("/.sessions/dbsc"),
            proof_lifetime: 10 * MINUTE,
            grace: MINUTE,
            excluded: Vec::new(),
        }
    }

    /// As [`offer`](Self::offer), and reports each request whose session is bound and that comes
    /// without a proof, as the event `device.unproven`: to see before [`enforce`](Self::enforce) whom
    /// it would affect.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::observe();
    /// ```
    pub fn observe() -> Self {
        Self { policy: Policy::Observe, ..Self::offer() }
    }

    /// As [`observe`](Self::observe), and such a request has no session: its arrival is
    /// [`Arrival::DeviceUnproven`](crate::Arrival::DeviceUnproven). Nothing is saved, except that a
    /// login begins a session of its own and a logout ends the one that the cookie names. The cookie
    /// stays in the browser. A session that is not bound is used as before.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::enforce();
    /// ```
    pub fn enforce() -> Self {
        Self { policy: Policy::Enforce, ..Self::offer() }
    }

    /// Offers nothing and demands nothing: for a session type that is not to be bound in a store
    /// that binds the others. A session that was bound earlier is used as before it was bound.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::off();
    /// ```
    pub fn off() -> Self {
        Self { policy: Policy::Off, ..Self::offer() }
    }

    /// Sets the path below which the layer answers browsers itself: `register` and `refresh`. The
    /// default is `/.sessions/dbsc`. If two stores of one site bind sessions, each needs a path of its
    /// own.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::offer().path("/auth/device");
    /// ```
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets how long a proof counts: how long a stolen cookie works at most, besides two minutes for
    /// the difference between two hosts' clocks. The default is 10 minutes. The shortest is 4 minutes,
    /// because a browser proves its key two minutes early and makes at most 6 proofs in 9 minutes; the
    /// longest is an hour.
    ///
    /// ```
    /// use std::time::Duration;
    /// let binding = sessions::DeviceBinding::enforce().proof_lifetime(Duration::from_secs(300));
    /// ```
    pub fn proof_lifetime(mut self, lifetime: Duration) -> Self {
        self.proof_lifetime = lifetime;
        self
    }

    /// Sets how long after its registration a session needs no proof, because the requests of the
    /// first page may be sent before the answer to the registration arrives. The default is a minute,
    /// the longest ten.
    ///
    /// ```
    /// use std::time::Duration;
    /// let binding = sessions::DeviceBinding::enforce().grace(Duration::from_secs(30));
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Excludes the paths that begin with `prefix`, such as `/static`: a browser sends requests for
    /// them without waiting for a proof. A handler there that takes the session finds none while the
    /// proof is out, so exclude only what needs no session. Call it once for each prefix.
    ///
    /// ```
    /// let binding = sessions::DeviceBinding::offer().exclude_path("/static");
    /// ```
    pub fn exclude_path(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.excluded.push(prefix.into());
        self
    }

    pub(crate) fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) fn is_on(&self) -> bool {
        self.policy != Policy::Off
    }

    /// Returns the path of an endpoint.
    pub(crate) fn path_of(&self, endpoint: Endpoint) -> String {
        let end = match endpoint {
            Endpoint::Register => REGISTER,
            Endpoint::Refresh => REFRESH,
        };
        format!("{}{end}", self.path.trim_end_matches('/'))
    }

    /// Returns the endpoint at this path of a request.
    pub(crate) fn endpoint(&self, path: &str) -> Option<Endpoint> {
        match path.strip_prefix(self.path.trim_end_matches('/'))? {
            REGISTER => Some(Endpoint::Register),
            REFRESH => Some(Endpoint::Refresh),
            _ => None,
        }
    }

    /// How long a proof's cookie is valid in the browser.
    pub(crate) fn cookie_age(&self) -> Duration {
        self.proof_lifetime
    }

    /// How long a challenge can be answered: longer than a proof counts, because a browser keeps it
    /// until it needs the next proof.
    pub(crate) fn challenge_age(&self) -> Duration {
        self.proof_lifetime + 5 * MINUTE
    }

    pub(crate) fn grace_time(&self) -> Duration {
        self.grace
    }

    pub(crate) fn excluded(&self) -> &[Cow<'static, str>] {
        &self.excluded
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = |path: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
            path.starts_with('/') && !path.starts_with("//") && path.bytes().all(allowed)
        };
        if !plain(&self.path) || self.path.len() > 128 {
            return Err(Error::config(format!(
                "the path of device_binding, {:?}, must start with one `/` and have only letters, \
                 digits, `-`, `.`, `_`, `~` and `/`, at most 128 of them",
                self.path
            )));
        }
        if let Some(path) = self.excluded.iter().find(|path| !plain(path)) {
            return Err(Error::config(format!(
                "the path {path:?} of exclude_path must start with one `/` and have only letters, \
                 digits, `-`, `.`, `_`, `~` and `/`"
            )));
        }
        if !(4 * MINUTE..=60 * MINUTE).contains(&self.proof_lifetime) {
            return Err(Error::config(format!(
                "proof_lifetime({:?}) must be between 4 minutes and an hour",
                self.proof_lifetime
            )));
        }
        if self.grace > 10 * MINUTE {
            return Err(Error::config(format!(
                "grace({:?}) must be at most 10 minutes: for so long, a stolen cookie needs no proof",
                self.grace
            )));
        }
        Ok(())
    }
}

/// What the layer answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Register,
    Refresh,
}

const REGISTER: &str = "/register";
const REFRESH: &str = "/refresh";
const MINUTE: Duration = Duration::from_secs(60);

/// How much longer than in the browser a proof counts: the clocks of two hosts differ, and a request
/// that was sent in time takes a while.
pub(crate) const LEEWAY: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_are_below_the_path() {
        for path in ["/.sessions/dbsc", "/.sessions/dbsc/"] {
            let binding = DeviceBinding::offer().path(path);
            for endpoint in [Endpoint::Register, Endpoint::Refresh] {
                assert_eq!(binding.endpoint(&binding.path_of(endpoint)), Some(endpoint));
            }
            for other in
                ["/.sessions/dbsc", "/.sessions/dbsc/refresh/", "/x/refresh", "/refresh", ""]
            {
                assert_eq!(binding.endpoint(other), None, "{other}");
            }
        }
        assert_eq!(DeviceBinding::offer().path("/").endpoint("/refresh"), Some(Endpoint::Refresh));
    }

    #[test]
    fn settings_that_cannot_work_say_why() {
        for (binding, word) in [
            (DeviceBinding::offer().path("auth"), "start with one `/`"),
            (DeviceBinding::offer().path("//evil.example"), "start with one `/`"),
            (DeviceBinding::offer().path("/a\"b"), "letters"),
            (DeviceBinding::offer().path(format!("/{}", "a".repeat(128))), "128"),
            (DeviceBinding::offer().exclude_path("static"), "exclude_path"),
            (DeviceBinding::offer().proof_lifetime(3 * MINUTE), "4 minutes"),
            (DeviceBinding::offer().proof_lifetime(61 * MINUTE), "an hour"),
            (DeviceBinding::offer().grace(11 * MINUTE), "10 minutes"),
        ] {
            let error = binding.check().expect_err("an impossible setting").to_string();
            assert!(error.contains(word), "{error}");
        }
        let longest = DeviceBinding::enforce().proof_lifetime(60 * MINUTE).grace(Duration::ZERO);
        assert!(longest.exclude_path("/static/").check().is_ok());
    }
}
