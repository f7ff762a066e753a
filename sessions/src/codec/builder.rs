//! The settings of a codec.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::keyring::encryption::KeyEncryption;
use crate::keyring::settings::Settings;
use crate::keyring::shared::{Config, KeyRing};
use crate::provider::Provider;
use crate::random::Random;
use crate::telemetry::metrics::Refusals;

/// Settings of a [`Codec`].
///
/// ```
/// use std::time::Duration;
/// use sessions::{Codec, LocalKey, MemoryProvider};
///
/// # fn main() -> Result<(), sessions::Error> {
/// let codec = Codec::builder(MemoryProvider::new())
///     .app("shop")
///     .max_age(Duration::from_secs(15 * 60))
///     .key_encryption(LocalKey::from_bytes([7; 32]))
///     .build()?;
/// # let _ = codec; Ok(()) }
/// ```
#[must_use = "a builder does nothing until `build()`"]
pub struct CodecBuilder {
    provider: Arc<dyn Provider>,
    app: Arc<str>,
    max_age: Duration,
    rotation_period: Duration,
    clock: Arc<dyn Clock>,
    key_encryption: Option<Arc<dyn KeyEncryption>>,
    plain_keys: bool,
    plain_allowed: bool,
    random: Random,
}

impl CodecBuilder {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            app: "app".into(),
            max_age: Duration::from_secs(30 * DAY),
            rotation_period: Duration::from_secs(7 * DAY),
            clock: Arc::new(SystemClock),
            key_encryption: None,
            plain_keys: false,
            plain_allowed: false,
            random: Random::default(),
        }
    }

    /// The app's name, "app" by default. Apps have keys of their own, in the record `<app>:keys`,
    /// and cannot open each other's tokens. At most 250 bytes.
    ///
    /// ```
    /// # use sessions::{Codec, MemoryProvider};
    /// let builder = Codec::builder(MemoryProvider::new()).app("shop");
    /// # let _ = builder;
    /// ```
    pub fn app(mut self, name: &str) -> Self {
        self.app = name.into();
        self
    }

    /// How long a token is valid, in whole seconds; 30 days by default. Holds across every rotation
    /// of the keys, also for tokens that were sealed before it was changed.
    ///
    /// ```
    /// # use sessions::{Codec, MemoryProvider};
    /// # use std::time::Duration;
    /// let builder = Codec::builder(MemoryProvider::new()).max_age(Duration::from_secs(900));
    /// # let _ = builder;
    /// ```
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// How long a key seals before the next one does; 7 days by default, at least 4 hours.
    ///
    /// ```
    /// # use sessions::{Codec, MemoryProvider};
    /// # use std::time::Duration;
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let builder = Codec::builder(MemoryProvider::new()).rotation_period(day);
    /// # let _ = builder;
    /// ```
    pub fn rotation_period(mut self, period: Duration) -> Self {
        self.rotation_period = period;
        self
    }

    /// Where the time comes from: the system's clock, unless a test sets another.
    ///
    /// ```
    /// # use sessions::{Codec, ManualClock, MemoryProvider};
    /// let builder = Codec::builder(MemoryProvider::new()).clock(ManualClock::default());
    /// # let _ = builder;
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// What the keys are wrapped with before they are stored. Without it, whoever reads the
    /// database can make tokens.
    ///
    /// ```
    /// # use sessions::{Codec, LocalKey, MemoryProvider};
    /// let builder = Codec::builder(MemoryProvider::new())
    ///     .key_encryption(LocalKey::from_bytes([7; 32]));
    /// # let _ = builder;
    /// ```
    pub fn key_encryption(mut self, key_encryption: impl KeyEncryption) -> Self {
        self.key_encryption = Some(Arc::new(key_encryption));
        self
    }

    /// Accepts keys that are stored in the clear: whoever reads the database can open and make
    /// tokens. Together with [`key_encryption`](Self::key_encryption) it accepts a ring that was
    /// stored so, in order to [wrap](Codec::rewrap_keys) it.
    ///
    /// ```
    /// # use sessions::{Codec, MemoryProvider};
    /// assert!(Codec::builder(MemoryProvider::new()).danger_plain_keys().build().is_ok());
    /// ```
    pub fn danger_plain_keys(mut self) -> Self {
        self.plain_keys = true;
        self
    }

    /// For a store, whose ids are stored hashed: a forged token names no session. Unlike
    /// [`danger_plain_keys`](Self::danger_plain_keys) it accepts nothing less than
    /// `key_encryption` once that is set.
    pub(crate) fn allow_plain_keys(mut self) -> Self {
        self.plain_allowed = true;
        self
    }

    pub(crate) fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// See [`build`](Self::build).
    pub(super) fn ring(self) -> Result<KeyRing, Error> {
        if self.app.is_empty() || self.app.len() > MAX_APP || self.app.contains('\0') {
            return Err(Error::config(format!(
                "the app's name must have 1 to {MAX_APP} bytes and no NUL"
            )));
        }
        if self.key_encryption.is_none() && !self.plain_keys && !self.plain_allowed {
            return Err(Error::config(
                "the keys would be stored in the clear; set key_encryption, or accept that \
                 whoever reads the database can forge tokens with danger_plain_keys()",
            ));
        }
        let jitter = self.random.below(u64::MAX);
        let settings = Settings::new(self.max_age, self.rotation_period, jitter)?;
        #[cfg(feature = "metrics")]
        crate::telemetry::metrics::describe();
        Ok(self.with_settings(settings))
    }

    pub(super) fn with_settings(self, settings: Settings) -> KeyRing {
        KeyRing::new(Config {
            provider: self.provider,
            refusals: Refusals::new(&self.app),
            app: self.app,
            settings,
            clock: self.clock,
            random: self.random,
            key_encryption: self.key_encryption,
            plain_keys: self.plain_keys,
        })
    }
}

const DAY: u64 = 24 * 60 * 60;
/// A record's id has at most 255 bytes.
const MAX_APP: usize = 250;
