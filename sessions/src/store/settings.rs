//! The settings of one session type, where they differ from its store's.

use std::time::Duration;

use http::HeaderName;

use super::assurance::{Assurance, Limits, OwnLimits};
use super::times::Times;
use crate::cookie::CookieConfig;
#[cfg(feature = "dbsc")]
use crate::device_binding::DeviceBinding;
use crate::error::Error;
use crate::transport::{TokenHeader, Transport};

/// The settings of one session type, for
/// [`StoreBuilder::session`](crate::StoreBuilder::session). A setting that is not set is the
/// store's.
///
/// ```
/// use std::time::Duration;
/// use sessions::{CookieConfig, MemoryProvider, SameSite, Session, Store};
///
/// #[derive(Session)]
/// #[session(name = "admin", version = 1)]
/// struct Admin {
///     #[session(owner)]
///     user: Option<u64>,
/// }
///
/// const MINUTE: Duration = Duration::from_secs(60);
/// let store = Store::builder(MemoryProvider::new())
///     .session::<Admin>(|admin| {
///         admin
///             .idle_timeout(15 * MINUTE)
///             .lifetime(8 * 60 * MINUTE)
///             .cookie(CookieConfig::new().same_site(SameSite::Strict))
///     })
///     .build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "return it from the closure"]
pub struct SessionSettings {
    idle: Option<Duration>,
    lifetime: Option<Duration>,
    touch: Option<Duration>,
    longest_remember: Option<Duration>,
    cookie: Option<CookieConfig>,
    other_cookie: Option<CookieConfig>,
    transport: Option<Transport>,
    token_header: Option<TokenHeader>,
    lock: Option<Duration>,
    assurance: Option<Assurance>,
    #[cfg(feature = "dbsc")]
    device: Option<DeviceBinding>,
}

impl SessionSettings {
    /// Sets how long a session of this type lives without a request, at least one second. Without
    /// it the store's [`idle_timeout`](crate::StoreBuilder::idle_timeout) applies, or this type's
    /// lifetime if that is shorter.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::SessionSettings;
    ///
    /// let _ = SessionSettings::default().idle_timeout(Duration::from_secs(15 * 60));
    /// ```
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Sets how long a session of this type lives at most, even if it is in use; at least one
    /// second.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::SessionSettings;
    ///
    /// let _ = SessionSettings::default().lifetime(Duration::from_secs(8 * 60 * 60));
    /// ```
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets how often reading a session of this type moves its expiry. Without it, a type with an
    /// idle timeout of its own uses the smaller of an hour and a tenth of that, and a type with
    /// [`lock_after`](Self::lock_after) at most a tenth of that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::SessionSettings;
    ///
    /// let _ = SessionSettings::default().touch_interval(Duration::from_secs(60));
    /// ```
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.touch = Some(interval);
        self
    }

    /// Sets the longest time that [`Session::remember`](crate::Session::remember) grants a session
    /// of this type, at least one second.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::SessionSettings;
    ///
    /// let _ = SessionSettings::default().longest_remember(Duration::from_secs(24 * 60 * 60));
    /// ```
    pub fn longest_remember(mut self, longest: Duration) -> Self {
        self.longest_remember = Some(longest);
        self
    }

    /// Sets how the cookies of this type are written. It replaces the store's configuration as a
    /// whole.
    ///
    /// ```
    /// use sessions::{CookieConfig, SameSite, SessionSettings};
    ///
    /// let strict = CookieConfig::new().same_site(SameSite::Strict);
    /// let _ = SessionSettings::default().cookie(strict);
    /// ```
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// Also reads the cookies of another configuration, so that nobody is logged out when the
    /// cookie's name, domain, path or partition changes. It takes two deploys, because a rolling
    /// deploy runs both: the first reads both and writes the old one, the second writes the new one
    /// and still reads the old one. Once no browser has an old cookie, after the longest life of a
    /// session, a third deploy drops this setting.
    ///
    /// A response that sets one cookie clears the other. If a request has both, the cookie of the
    /// current configuration wins, even if its session has ended, so that a subdomain cannot plant
    /// the other one in its place. The two must differ in name, domain, path or partition.
    ///
    /// ```
    /// use sessions::{CookieConfig, SessionSettings};
    ///
    /// // The second deploy: the cookie goes to every subdomain from now on.
    /// let _ = SessionSettings::default()
    ///     .cookie(CookieConfig::new().domain("example.com"))
    ///     .also_read_cookie(CookieConfig::new());
    /// ```
    pub fn also_read_cookie(mut self, cookie: CookieConfig) -> Self {
        self.other_cookie = Some(cookie);
        self
    }

    /// Locks a session whose owner has not used it for `idle`, at least one second: the session and
    /// its data are still there, but the owner has to prove who they are, with one factor say, before
    /// they go on. [`Session::is_locked`](crate::Session::is_locked) says so, and
    /// [`Session::authenticated`](crate::Session::authenticated) unlocks it. NIST SP 800-63B-4 asks
    /// for it at AAL2 after an hour, and for a full login at the end of the lifetime.
    ///
    /// `idle` must be shorter than the idle timeout, after which the session ends, and at least the
    /// touch interval. A session of such a type is locked at the earliest after `idle` without a
    /// request and at the latest a touch interval later, and a touch of it costs a save.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::SessionSettings;
    ///
    /// let _ = SessionSettings::default().lock_after(Duration::from_secs(15 * 60));
    /// ```
    pub fn lock_after(mut self, idle: Duration) -> Self {
        self.lock = Some(idle);
        self
    }

    /// Sets how clients carry the token of a session of this type.
    ///
    /// ```
    /// use sessions::{SessionSettings, Transport};
    ///
    /// let _ = SessionSettings::default().transport(Transport::Header);
    /// ```
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the header that carries the token of a session of this type, in requests and in
    /// responses. The default is the store's. Two session types of one store whose tokens travel in
    /// headers need two: the first use of the second is an error.
    ///
    /// ```
    /// use http::HeaderName;
    /// use sessions::{SessionSettings, Transport};
    ///
    /// let _ = SessionSettings::default()
    ///     .transport(Transport::Header)
    ///     .token_header(HeaderName::from_static("x-admin-session"));
    /// ```
    pub fn token_header(mut self, name: HeaderName) -> Self {
        self.token_header = Some(TokenHeader::named(name));
        self
    }

    /// Applies the session rules of an assurance level to this type: its times and its cookie,
    /// unless the type sets stricter ones. It is before the store's settings: a longer time of the
    /// store is shortened, and its cookie made stricter.
    ///
    /// ```
    /// use sessions::{Assurance, MemoryProvider, Session, Store};
    ///
    /// #[derive(Session)]
    /// #[session(name = "admin", version = 1)]
    /// struct Admin {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .session::<Admin>(|admin| admin.assurance(Assurance::Aal3))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn assurance(mut self, level: Assurance) -> Self {
        self.assurance = Some(level);
        self
    }

    /// Sets whether and how sessions of this type are bound to a device. Needs the feature `dbsc`.
    ///
    /// ```
    /// use sessions::{DeviceBinding, MemoryProvider, Session, Store};
    ///
    /// #[derive(Session)]
    /// #[session(name = "admin", version = 1)]
    /// struct Admin {
    ///     #[session(owner)]
    ///     user: Option<u64>,
    /// }
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .device_binding(DeviceBinding::observe())
    ///     .session::<Admin>(|it| it.device_binding(DeviceBinding::enforce()))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[cfg(feature = "dbsc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "dbsc")))]
    pub fn device_binding(mut self, binding: DeviceBinding) -> Self {
        self.device = Some(binding);
        self
    }

    /// Returns what applies to the type in a store with these settings.
    pub(crate) fn over(&self, store: &Self) -> TypeSettings {
        let level = self.assurance.or(store.assurance);
        let limits = level.map_or(Limits::NONE, Assurance::limits);
        // What the store sets yields to a level of the type's own.
        let most = if self.assurance.is_some() { limits } else { Limits::NONE };
        let inherit = |time: Option<Duration>| time.map(|time| time.min(most.lifetime));
        let (store_lifetime, store_idle) = (inherit(store.lifetime), store.idle);
        let longest = limits.lifetime.min(30 * DAY);
        let lifetime = self.lifetime.or(store_lifetime).unwrap_or(longest);
        let plain = || self.times_over(store, lifetime);
        let touch = self.touch.or(store.touch);
        let (idle, touch) = match level.and_then(|level| level.idle(touch)) {
            Some((idle, touch)) if self.idle.is_none() && store_idle.is_none() => {
                (idle.min(lifetime), touch)
            }
            Some(level) if self.idle.is_none() && self.assurance.is_some() => {
                // The store's own, where it is stricter.
                let (idle, touch) = plain();
                if idle.saturating_add(touch) <= level.0.saturating_add(level.1) {
                    (idle, touch)
                } else {
                    (level.0.min(lifetime), level.1)
                }
            }
            _ => plain(),
        };
        let longest_remember = self.longest_remember.or(inherit(store.longest_remember));
        let cookie = match (&self.cookie, &store.cookie, level) {
            (Some(own), _, _) => own.clone(),
            (None, Some(cookie), Some(level)) if self.assurance.is_some() => {
                level.cookie(cookie.clone())
            }
            (None, Some(cookie), _) => cookie.clone(),
            (None, None, Some(level)) => level.cookie(CookieConfig::new()),
            (None, None, None) => CookieConfig::new(),
        };
        // A type that locks says when, so it has to know when its sessions are used.
        let touch = match (self.touch, self.lock) {
            (None, Some(lock)) => touch.min(lock / 10),
            _ => touch,
        };
        let times = Times { idle, lifetime, touch };
        TypeSettings {
            times,
            lock: self.lock,
            // It belongs to the cookie: a type with a cookie of its own has none of its store's.
            other_cookie: match (&self.other_cookie, &self.cookie) {
                (None, None) => store.other_cookie.clone(),
                (own, _) => own.clone(),
            },
            transport: self.transport.or(store.transport).unwrap_or_default(),
            token_header: self
                .token_header
                .as_ref()
                .or(store.token_header.as_ref())
                .cloned()
                .unwrap_or_default(),
            longest_remember: longest_remember
                .unwrap_or_else(|| lifetime.max(90 * DAY).min(limits.lifetime)),
            cookie,
            assurance: level,
            own: limits.own(times),
            #[cfg(feature = "dbsc")]
            device: self
                .device
                .as_ref()
                .or(store.device.as_ref())
                .cloned()
                .unwrap_or_else(DeviceBinding::off),
        }
    }

    /// Returns the idle timeout and the touch interval, without a level.
    fn times_over(&self, store: &Self, lifetime: Duration) -> (Duration, Duration) {
        let shortens = self.lifetime.is_some() || self.assurance.is_some();
        let idle = self.idle.unwrap_or_else(|| match store.idle {
            Some(idle) if !shortens => idle,
            // What only lives shorter is not used for longer.
            idle => idle.unwrap_or(IDLE).min(lifetime),
        });
        let default = HOUR.min(idle / 10);
        let touch = match (self.touch, self.idle, store.touch) {
            (Some(own), _, _) => own,
            (None, None, Some(touch)) if shortens => touch.min(idle),
            (None, None, Some(touch)) => touch,
            (None, _, _) => default,
        };
        (idle, touch)
    }
}

/// The settings that apply to a session type.
#[derive(Clone, Debug)]
pub(crate) struct TypeSettings {
    pub(super) times: Times,
    pub(super) longest_remember: Duration,
    pub(super) cookie: CookieConfig,
    pub(super) other_cookie: Option<CookieConfig>,
    pub(super) transport: Transport,
    pub(super) token_header: TokenHeader,
    pub(super) lock: Option<Duration>,
    assurance: Option<Assurance>,
    /// The longest times of one session's own.
    pub(super) own: OwnLimits,
    #[cfg(feature = "dbsc")]
    pub(super) device: DeviceBinding,
}

impl TypeSettings {
    /// Refuses settings that cannot work.
    pub(super) fn check(&self) -> Result<(), Error> {
        let Times { idle, lifetime, touch } = self.times;
        if idle < SECOND || lifetime < SECOND {
            return Err(Error::config("idle_timeout and lifetime must be at least a second"));
        }
        if idle > lifetime {
            return Err(Error::config(format!(
                "idle_timeout ({idle:?}) is longer than lifetime ({lifetime:?}); raise `lifetime` \
                 or lower `idle_timeout`"
            )));
        }
        if touch > idle {
            return Err(Error::config(
                "touch_interval is longer than idle_timeout, so an unused session would live for \
                 more than twice idle_timeout; choose at most a tenth of it",
            ));
        }
        if self.longest_remember < SECOND {
            return Err(Error::config("longest_remember must be at least a second"));
        }
        if let Some(level) = self.assurance {
            level.check(self.times, self.longest_remember, &self.cookie)?;
        }
        if let Some(lock) = self.lock
            && (lock < SECOND || lock >= idle || lock < touch)
        {
            return Err(Error::config(format!(
                "lock_after ({lock:?}) must be at least a second, shorter than idle_timeout \
                 ({idle:?}) and no shorter than touch_interval ({touch:?})"
            )));
        }
        self.token_header.check()?;
        self.cookie.check()?;
        #[cfg(feature = "dbsc")]
        self.check_device()?;
        let Some(other) = &self.other_cookie else { return Ok(()) };
        other.check()?;
        if other.has_domains() {
            return Err(Error::config(
                "also_read_cookie() reads one cookie; set its domain() in place of domains()",
            ));
        }
        if !self.cookie.is_apart(other) {
            return Err(Error::config(
                "also_read_cookie() names the cookie that is already read: the two must differ in \
                 name, domain, path or partition",
            ));
        }
        Ok(())
    }

    #[cfg(feature = "dbsc")]
    fn check_device(&self) -> Result<(), Error> {
        if !self.device.is_on() {
            return Ok(());
        }
        self.device.check()?;
        if self.transport == Transport::Header {
            return Err(Error::config(
                "browsers bind a session in a cookie; drop transport(Transport::Header), or set \
                 DeviceBinding::off()",
            ));
        }
        if self.cookie.is_insecure()
            || self.cookie.is_partitioned()
            || !self.cookie.is_of_one_host()
        {
            return Err(Error::config(
                "device_binding() needs a cookie of one host over HTTPS; drop danger_plain_http(), \
                 partitioned(), domain(), domains() and path(), or set DeviceBinding::off()",
            ));
        }
        Ok(())
    }

    /// Whether the domain of a cookie depends on the request.
    pub(super) fn has_domains(&self) -> bool {
        self.cookie.has_domains()
    }

    /// How long a browser may hold a token before it sends it.
    pub(super) fn token_age(&self) -> Duration {
        let Times { idle, lifetime, touch } = self.times;
        let twice = idle.saturating_mul(2).max(idle.saturating_add(touch));
        // One that has no end is unused for as long, and its token is as old as a touch was skipped.
        lifetime.min(twice).max(self.longest_remember.saturating_add(touch))
    }
}

const IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::SameSite;

    fn times(
        settings: &SessionSettings,
        store: &SessionSettings,
    ) -> (Duration, Duration, Duration) {
        let Times { idle, lifetime, touch } = settings.over(store).times;
        (idle, lifetime, touch)
    }

    #[test]
    fn a_setting_that_is_not_set_is_the_stores() {
        let plain = SessionSettings::default;
        assert_eq!(times(&plain(), &plain()), (7 * DAY, 30 * DAY, HOUR));
        let store = plain().idle_timeout(2 * DAY).lifetime(9 * DAY).touch_interval(5 * HOUR);
        assert_eq!(times(&plain(), &store), (2 * DAY, 9 * DAY, 5 * HOUR));
        // An idle timeout of its own comes with the touch interval that fits it.
        let quarter = HOUR / 4;
        assert_eq!(times(&plain().idle_timeout(quarter), &store), (quarter, 9 * DAY, quarter / 10));
        // A shorter life needs no other setting.
        assert_eq!(times(&plain().lifetime(HOUR), &store), (HOUR, HOUR, HOUR));
        assert_eq!(times(&plain(), &plain().lifetime(HOUR)), (HOUR, HOUR, HOUR / 10));
        assert!(is_ok(&plain(), &plain().lifetime(HOUR)));
        let own = plain().touch_interval(SECOND);
        assert_eq!(times(&own, &store), (2 * DAY, 9 * DAY, SECOND));
    }

    #[test]
    fn the_longest_time_to_remember_follows_the_lifetime() {
        let plain = SessionSettings::default;
        assert_eq!(plain().over(&plain()).longest_remember, 90 * DAY);
        assert_eq!(plain().lifetime(99 * DAY).over(&plain()).longest_remember, 99 * DAY);
        let store = plain().longest_remember(DAY);
        assert_eq!(plain().over(&store).longest_remember, DAY);
        assert_eq!(plain().longest_remember(HOUR).over(&store).longest_remember, HOUR);
    }

    fn plain() -> SessionSettings {
        SessionSettings::default()
    }

    fn is_ok(own: &SessionSettings, store: &SessionSettings) -> bool {
        own.over(store).check().is_ok()
    }

    #[test]
    fn a_level_sets_the_longest_times_that_it_allows() {
        const MINUTE: Duration = Duration::from_secs(60);
        for (level, expected) in [
            (Assurance::Aal1, (7 * DAY, 30 * DAY, HOUR)),
            (Assurance::Aal2, (55 * MINUTE, DAY, 5 * MINUTE)),
            (Assurance::Aal3, (14 * MINUTE, DAY / 2, MINUTE)),
        ] {
            let store = plain().assurance(level);
            assert_eq!(times(&plain(), &store), expected);
            assert_eq!(times(&store, &plain()), expected);
            let settings = plain().over(&store);
            assert!(settings.check().is_ok());
            assert_eq!(settings.longest_remember, expected.1);
        }
    }

    #[test]
    fn a_level_allows_stricter_settings_and_refuses_weaker_ones() {
        for (level, lifetime) in
            [(Assurance::Aal1, 30 * DAY), (Assurance::Aal2, DAY), (Assurance::Aal3, DAY / 2)]
        {
            let allows = |own: SessionSettings| {
                let set = own.clone().assurance(level);
                // At the store, at the type, and one at each.
                let all = [
                    is_ok(&plain(), &set),
                    is_ok(&set, &plain()),
                    is_ok(&own, &plain().assurance(level)),
                ];
                assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
                all[0]
            };
            assert!(allows(plain().lifetime(lifetime)));
            assert!(!allows(plain().lifetime(lifetime + Duration::from_millis(1))));
            assert!(allows(plain().longest_remember(lifetime)));
            assert!(!allows(plain().longest_remember(lifetime + Duration::from_millis(1))));
            assert!(allows(plain().lifetime(lifetime - SECOND)));
            // With a touch interval of a second.
            let idle = |idle| plain().touch_interval(SECOND).idle_timeout(idle);
            let Some((most, touch)) = level.idle(Some(SECOND)) else { continue };
            assert_eq!(touch, SECOND);
            assert!(allows(idle(most)));
            assert!(!allows(idle(most + Duration::from_millis(1))));
            // The rest is for the visitor.
            assert_eq!(times(&plain().touch_interval(SECOND), &plain().assurance(level)).0, most);
        }
    }

    #[test]
    fn a_types_level_comes_before_the_stores_settings() {
        let long = plain().lifetime(90 * DAY).idle_timeout(30 * DAY).longest_remember(90 * DAY);
        let admin = plain().assurance(Assurance::Aal3);
        let settings = admin.over(&long);
        assert!(settings.check().is_ok());
        assert_eq!(settings.times, admin.over(&plain()).times);
        assert_eq!(settings.longest_remember, DAY / 2);
        // What is stricter stays.
        let short = plain().lifetime(HOUR).idle_timeout(HOUR / 10);
        assert_eq!(times(&admin, &short), (HOUR / 10, HOUR, HOUR / 100));
        // And a type may have a lower level than its store.
        let store = plain().assurance(Assurance::Aal2);
        assert_eq!(times(&plain().assurance(Assurance::Aal1), &store).1, 30 * DAY);
    }

    #[test]
    fn a_level_makes_the_cookie_stricter_unless_the_app_sets_one() {
        let of = |own: &SessionSettings, store: &SessionSettings| own.over(store).cookie;
        let level = |level| plain().assurance(level);
        assert_eq!(of(&plain(), &level(Assurance::Aal1)), CookieConfig::new());
        let closes = CookieConfig::new().until_browser_closes();
        assert_eq!(of(&plain(), &level(Assurance::Aal2)), closes);
        assert_eq!(
            of(&plain(), &level(Assurance::Aal3)),
            closes.clone().same_site(SameSite::Strict)
        );
        // The app's own, beside the level.
        let own = CookieConfig::new().path("/admin");
        assert_eq!(of(&plain(), &level(Assurance::Aal3).cookie(own.clone())), own);
        // The store's cookie, for a type with a level.
        let store = plain().cookie(CookieConfig::new().domain("example.com"));
        let expected = closes.domain("example.com").same_site(SameSite::Strict);
        assert_eq!(of(&level(Assurance::Aal3), &store), expected);
        let cross = plain().cookie(CookieConfig::new().same_site(SameSite::None));
        assert!(is_ok(&level(Assurance::Aal1), &cross) && is_ok(&level(Assurance::Aal3), &cross));
        assert!(!is_ok(&level(Assurance::Aal2), &cross));
    }
}
