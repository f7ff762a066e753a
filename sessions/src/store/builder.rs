//! The settings of a store, checked before it exists.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::finish::Commits;
use super::queue::Queues;
use super::times::Times;
use super::{Inner, Store};
use crate::clock::{Clock, SystemClock};
use crate::codec::Codec;
use crate::cookie::CookieConfig;
use crate::provider::Provider;
use crate::{Error, KeyEncryption};

/// Builds a [`Store`]. Made by [`Store::builder`].
///
/// ```
/// use std::time::Duration;
/// use sessions::{MemoryProvider, Store};
///
/// let store = Store::builder(MemoryProvider::new())
///     .app("shop")
///     .idle_timeout(Duration::from_secs(30 * 60))
///     .lifetime(Duration::from_secs(12 * 60 * 60))
///     .build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[must_use = "call `build()`"]
pub struct StoreBuilder {
    provider: Arc<dyn Provider>,
    clock: Arc<dyn Clock>,
    app: String,
    idle: Duration,
    lifetime: Duration,
    touch: Option<Duration>,
    longest_remember: Option<Duration>,
    cookie: CookieConfig,
    keep: KeepChanges,
    key_rotation: Option<Duration>,
    key_encryption: Option<Arc<dyn KeyEncryption>>,
}

/// After which responses the changes of a request are kept. Destroying a session is always
/// carried out.
///
/// ```
/// use sessions::{KeepChanges, MemoryProvider, Store};
///
/// let store = Store::builder(MemoryProvider::new()).keep_changes(KeepChanges::OnSuccess).build()?;
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepChanges {
    /// Unless the status is 5xx or 408: the default. A timeout inside the layer answers 408 and
    /// drops the handler half way.
    #[default]
    UnlessFailed,
    /// Only when the status is 2xx or 3xx.
    OnSuccess,
}

impl KeepChanges {
    pub(crate) fn keeps(self, status: http::StatusCode) -> bool {
        match self {
            Self::UnlessFailed => {
                !status.is_server_error() && status != http::StatusCode::REQUEST_TIMEOUT
            }
            Self::OnSuccess => status.is_success() || status.is_redirection(),
        }
    }
}

impl StoreBuilder {
    pub(crate) fn new(provider: impl Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            clock: Arc::new(SystemClock),
            app: "app".to_owned(),
            idle: 7 * DAY,
            lifetime: 30 * DAY,
            touch: None,
            longest_remember: None,
            cookie: CookieConfig::new(),
            keep: KeepChanges::default(),
            key_rotation: None,
            key_encryption: None,
        }
    }

    /// The name of the app, 1 to 64 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`; "app" by default.
    /// Apps of different names share a database without seeing each other's sessions.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = app.into();
        self
    }

    /// How long a session lives without a request; 7 days by default.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives at most, whatever its activity; 30 days by default.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How often reading a session moves its expiry: at most once each interval. By default the
    /// smaller of an hour and a tenth of the idle timeout.
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.touch = Some(interval);
        self
    }

    /// The longest time that [`Session::remember`](crate::Session::remember) grants; by default
    /// 90 days, or the lifetime if that is longer. Tokens must stay valid for as long, so that a
    /// longer time keeps more old keys.
    pub fn longest_remember(mut self, longest: Duration) -> Self {
        self.longest_remember = Some(longest);
        self
    }

    /// How cookies are written.
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.cookie = cookie;
        self
    }

    /// After which responses a request's changes are kept.
    pub fn keep_changes(mut self, keep: KeepChanges) -> Self {
        self.keep = keep;
        self
    }

    /// Where the time comes from: a [`ManualClock`](crate::ManualClock) in tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a key seals cookies before the next one takes over; 7 days by default.
    pub fn key_rotation(mut self, period: Duration) -> Self {
        self.key_rotation = Some(period);
        self
    }

    /// Encrypts the key ring in the database, so that whoever reads it cannot forge cookies.
    pub fn key_encryption(mut self, encryption: impl KeyEncryption) -> Self {
        self.key_encryption = Some(Arc::new(encryption));
        self
    }

    /// Builds the store. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work together; the text says why.
    pub fn build(self) -> Result<Store, Error> {
        self.check()?;
        let touch = self.touch.unwrap_or_else(|| HOUR.min(self.idle / 10));
        let longest_remember = self.longest_remember.unwrap_or(self.lifetime.max(90 * DAY));
        // A browser may come back with its first token as late as the session can live.
        let max_age = self
            .lifetime
            .min(self.idle.saturating_mul(2).max(self.idle.saturating_add(touch)))
            .max(longest_remember);
        let mut codec = Codec::builder(self.provider.clone())
            .app(&self.app)
            .clock(self.clock.clone())
            .max_age(max_age)
            .allow_plain_keys();
        if let Some(period) = self.key_rotation {
            codec = codec.rotation_period(period);
        }
        if let Some(encryption) = self.key_encryption {
            codec = codec.key_encryption(encryption);
        }
        Ok(Store::from_inner(Inner {
            provider: self.provider,
            codec: codec.build()?,
            clock: self.clock,
            app: self.app,
            times: Times { idle: self.idle, lifetime: self.lifetime, touch },
            longest_remember,
            cookie: self.cookie,
            keep: self.keep,
            kinds: RwLock::default(),
            commits: Commits::default(),
            queues: Queues::default(),
        }))
    }

    fn check(&self) -> Result<(), Error> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.app.is_empty() || self.app.len() > 64 || !self.app.bytes().all(known) {
            return Err(Error::config(format!(
                "app {:?} must be 1 to 64 of a-z, A-Z, 0-9, `.`, `_` and `-`",
                self.app
            )));
        }
        if self.idle < SECOND || self.lifetime < SECOND {
            return Err(Error::config("idle_timeout and lifetime must be at least a second"));
        }
        if self.idle > self.lifetime {
            return Err(Error::config(format!(
                "idle_timeout ({:?}) is longer than lifetime ({:?}); raise `lifetime` or lower \
                 `idle_timeout`",
                self.idle, self.lifetime
            )));
        }
        if self.touch.is_some_and(|touch| touch > self.idle) {
            return Err(Error::config(
                "touch_interval is longer than idle_timeout: a visitor's activity would be \
                 noticed too late; choose at most a tenth of it",
            ));
        }
        if self.longest_remember.is_some_and(|longest| longest < SECOND) {
            return Err(Error::config("longest_remember must be at least a second"));
        }
        self.cookie.check()
    }
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("app", &self.app)
            .field("idle_timeout", &self.idle)
            .field("lifetime", &self.lifetime)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::MemoryProvider;

    fn builder() -> StoreBuilder {
        StoreBuilder::new(MemoryProvider::new())
    }

    #[test]
    fn impossible_settings_say_why() {
        for (builder, word) in [
            (builder().app(""), "app"),
            (builder().app("a/b"), "app"),
            (builder().app("a".repeat(65)), "app"),
            (builder().idle_timeout(Duration::ZERO), "second"),
            (builder().idle_timeout(31 * DAY), "raise `lifetime`"),
            (builder().touch_interval(8 * DAY), "touch_interval"),
            (builder().longest_remember(Duration::ZERO), "longest_remember"),
            (builder().cookie(CookieConfig::new().path("x")), "path"),
        ] {
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(builder().build().is_ok());
    }

    #[test]
    fn changes_are_kept_unless_the_response_failed() {
        let kept = |keep: KeepChanges| {
            [200, 302, 404, 408, 500, 503]
                .map(|code| keep.keeps(StatusCode::from_u16(code).unwrap()))
        };
        assert_eq!(kept(KeepChanges::UnlessFailed), [true, true, true, false, false, false]);
        assert_eq!(kept(KeepChanges::OnSuccess), [true, true, false, false, false, false]);
    }
}
