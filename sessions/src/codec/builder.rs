//! The settings of a codec.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::keyring::encryption::KeyEncryption;
use crate::keyring::epochs::Epochs;
use crate::keyring::settings::Settings;
use crate::keyring::shared::{Config, KeyRing};
use crate::provider::Provider;
use crate::random::Random;
use crate::telemetry::metrics::Refusals;

/// Builds a [`Codec`](crate::codec::Codec). [`Codec::builder`](crate::codec::Codec::builder) creates it.
///
/// ```
/// use std::time::Duration;
/// use sessions::{MemoryProvider, codec::Codec, keys::LocalKey};
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
    key_rotation: Duration,
    clock: Arc<dyn Clock>,
    key_encryption: Option<Arc<dyn KeyEncryption>>,
    plain_keys: bool,
    plain_allowed: bool,
    random: Random,
    epochs: Option<Arc<Epochs>>,
}

impl CodecBuilder {
    pub(super) fn new(provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            app: "app".into(),
            max_age: Duration::from_secs(30 * DAY),
            key_rotation: Duration::from_secs(7 * DAY),
            clock: Arc::new(SystemClock),
            key_encryption: None,
            plain_keys: false,
            plain_allowed: false,
            random: Random::default(),
            epochs: None,
        }
    }

    /// Sets the name of the app, 1 to 250 bytes. The default is "app". Each app has its own
    /// keys, in the record `<app>:keys`, and cannot open the tokens of another.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// let builder = Codec::builder(MemoryProvider::new()).app("shop");
    /// # let _ = builder;
    /// ```
    pub fn app(mut self, name: &str) -> Self {
        self.app = name.into();
        self
    }

    /// Sets how long a token is valid, in whole seconds. The default is 30 days, the minimum one
    /// second, the maximum about 59 times the [`key_rotation`](Self::key_rotation). It applies across
    /// every rotation of the keys, and to tokens that were sealed before the setting was changed.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// # use std::time::Duration;
    /// let builder = Codec::builder(MemoryProvider::new()).max_age(Duration::from_secs(900));
    /// # let _ = builder;
    /// ```
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Sets how long a key seals before the next one takes over. The default is 7 days, the minimum
    /// 4 hours, and about a 59th of [`max_age`](Self::max_age) and a day, which is 13 hours by
    /// default: the ring holds 64 keys.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// # use std::time::Duration;
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let builder = Codec::builder(MemoryProvider::new()).key_rotation(day);
    /// # let _ = builder;
    /// ```
    pub fn key_rotation(mut self, period: Duration) -> Self {
        self.key_rotation = period;
        self
    }

    /// Sets the source of time. The default is the system's clock.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, clock::ManualClock, codec::Codec};
    /// let builder = Codec::builder(MemoryProvider::new()).clock(ManualClock::default());
    /// # let _ = builder;
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Encrypts the keys before they are stored. Without it, somebody who reads the database can
    /// make tokens, so [`build`](Self::build) refuses that unless
    /// [`danger_plain_keys`](Self::danger_plain_keys) is called.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec, keys::LocalKey};
    /// let builder = Codec::builder(MemoryProvider::new())
    ///     .key_encryption(LocalKey::from_bytes([7; 32]));
    /// # let _ = builder;
    /// ```
    pub fn key_encryption(mut self, key_encryption: impl KeyEncryption) -> Self {
        self.key_encryption = Some(Arc::new(key_encryption));
        self
    }

    /// Accepts keys that are stored in plaintext, so that somebody who reads the database can open
    /// and make tokens. Together with [`key_encryption`](Self::key_encryption), it accepts a
    /// plaintext ring so that you can [wrap](crate::codec::Codec::rewrap_keys) it.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// assert!(Codec::builder(MemoryProvider::new()).danger_plain_keys().build().is_ok());
    /// ```
    pub fn danger_plain_keys(mut self) -> Self {
        self.plain_keys = true;
        self
    }

    /// Accepts plaintext keys for a store, whose ids are stored hashed: a forged token names no
    /// session. Unlike [`danger_plain_keys`](Self::danger_plain_keys), it does not accept a
    /// plaintext ring once `key_encryption` is set.
    pub(crate) fn allow_plain_keys(mut self) -> Self {
        self.plain_allowed = true;
        self
    }

    pub(crate) fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// Reads a store's epoch whenever the keys are read.
    pub(crate) fn epochs(mut self, epochs: Arc<Epochs>) -> Self {
        self.epochs = Some(epochs);
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
                "the keys would be stored in plaintext; set key_encryption, or call \
                 danger_plain_keys() to accept that anybody who reads the database can forge \
                 tokens",
            ));
        }
        let jitter = self.random.below(u64::MAX);
        let settings = Settings::new(self.max_age, self.key_rotation, jitter)?;
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
            epochs: self.epochs,
        })
    }
}

const DAY: u64 = 24 * 60 * 60;
/// A record's id has at most 255 bytes.
const MAX_APP: usize = 250;
