//! The settings of a store, checked before it exists.

use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::at_rest::AtRest;
use super::queue::Queues;
use super::reported::Reported;
use super::times::Times;
use super::tracker::Commits;
use super::{Inner, Store};
use crate::clock::{Clock, SystemClock};
use crate::codec::Codec;
use crate::cookie::CookieConfig;
use crate::provider::Provider;
use crate::random::Random;
use crate::schema::{MAX_RECORD, RECORD_LIMIT};
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
    random: Random,
    app: String,
    idle: Duration,
    lifetime: Duration,
    touch: Option<Duration>,
    longest_remember: Option<Duration>,
    most_sessions: Option<usize>,
    record_limit: usize,
    client_side: bool,
    plain_keys: bool,
    encrypt_records: bool,
    accept_plain_records: bool,
    reset_unreadable: bool,
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
    #[cfg(any(test, feature = "actix", feature = "axum"))]
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
            random: Random::default(),
            app: "app".to_owned(),
            idle: 7 * DAY,
            lifetime: 30 * DAY,
            touch: None,
            longest_remember: None,
            most_sessions: None,
            record_limit: RECORD_LIMIT,
            client_side: false,
            plain_keys: false,
            encrypt_records: false,
            accept_plain_records: false,
            reset_unreadable: false,
            cookie: CookieConfig::new(),
            keep: KeepChanges::default(),
            key_rotation: None,
            key_encryption: None,
        }
    }

    /// The name of the app, 1 to 64 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`; "app" by default.
    /// Apps of different names share a database without seeing each other's sessions.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).app("shop").build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = app.into();
        self
    }

    /// How long a session lives without a request; 7 days by default, at least a second and at most
    /// the [`lifetime`](Self::lifetime). It may live longer, by up to one touch interval.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// const HOUR: Duration = Duration::from_secs(60 * 60);
    /// let store = Store::builder(MemoryProvider::new()).idle_timeout(HOUR).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How long a session lives at most, whatever its activity; 30 days by default, at least a
    /// second. It counts from when the session began, or its owner logged in.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let store = Store::builder(MemoryProvider::new()).lifetime(90 * DAY).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How often reading a session moves its expiry: at most once each interval. By default the
    /// smaller of an hour and a tenth of the idle timeout; at most the idle timeout.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
    /// let store = Store::builder(MemoryProvider::new()).touch_interval(TEN_MINUTES).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn touch_interval(mut self, interval: Duration) -> Self {
        self.touch = Some(interval);
        self
    }

    /// The longest time that [`Session::remember`](crate::Session::remember) grants; by default
    /// 90 days, or the lifetime if that is longer; at least a second. Tokens must stay valid for as
    /// long, so that a longer time keeps more old keys: beyond about 59 times the
    /// [`key_rotation`](Self::key_rotation), [`build`](Self::build) refuses it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let store = Store::builder(MemoryProvider::new()).longest_remember(365 * DAY).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn longest_remember(mut self, longest: Duration) -> Self {
        self.longest_remember = Some(longest);
        self
    }

    /// How many sessions an owner may have at once: a login above that ends the oldest. Without a
    /// limit by default. It costs a login one listing.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).max_sessions_per_owner(5).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn max_sessions_per_owner(mut self, most: usize) -> Self {
        self.most_sessions = Some(most);
        self
    }

    /// How many bytes the data of a record may have; 64 KiB by default, at most 16 MiB. A commit
    /// above that is [`Error::Encode`], which names the longest field. Every request reads a record
    /// whole, and a visitor may fill it.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).max_record_size(256 << 10).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn max_record_size(mut self, bytes: usize) -> Self {
        self.record_limit = bytes;
        self
    }

    /// Keeps each session whole in its cookie, sealed, and no record of it. The provider keeps
    /// only the keys.
    ///
    /// The price: a session cannot be listed, revoked or updated in the background (these are
    /// errors); a copy of a cookie stays good after a logout, until it expires; of two requests at
    /// the same time the last one's cookie counts; and name and value of the cookie must fit into
    /// 4096 bytes, or the commit is [`Error::CookieTooLarge`].
    ///
    /// Whoever reads the keys can forge sessions, so it asks for
    /// [`key_encryption`](Self::key_encryption), or an explicit
    /// [`danger_plain_keys`](Self::danger_plain_keys).
    ///
    /// ```
    /// use sessions::{LocalKey, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .client_side()
    ///     .key_encryption(LocalKey::from_bytes([7; 32]))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn client_side(mut self) -> Self {
        self.client_side = true;
        self
    }

    /// Gives a visitor whose record this build cannot read a fresh session, instead of an error.
    /// The record stays as it was until the new session is saved, which ends it. During a rolling
    /// deploy this logs people out whose sessions a newer build has changed, so the default is
    /// `false`: it is for a rollback that stays, and for a conversion that fails. Where visitors may
    /// log in again by hand, [`load_or_new`](crate::Store::load_or_new), or the extractor
    /// `OrNew`, in the handler of the login is enough.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).reset_unreadable(true).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn reset_unreadable(mut self, reset: bool) -> Self {
        self.reset_unreadable = reset;
        self
    }

    /// Encrypts the data of records, so that whoever reads the database does not read what the
    /// sessions hold. Each record's data is bound to its id. Ids (which are hashes), expiries,
    /// formats and owners stay readable.
    ///
    /// The keys are the key ring's, so it asks for [`key_encryption`](Self::key_encryption), or an
    /// explicit [`danger_plain_keys`](Self::danger_plain_keys). Keys outlive the records that they
    /// encrypt; after an emergency rotation those records are lost, as are the cookies that name
    /// them.
    ///
    /// ```
    /// use sessions::{LocalKey, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .encrypt_records()
    ///     .key_encryption(LocalKey::from_bytes([7; 32]))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn encrypt_records(mut self) -> Self {
        self.encrypt_records = true;
        self
    }

    /// With [`encrypt_records`](Self::encrypt_records), still reads records that were saved before
    /// it was switched on; they are encrypted when they are next saved. Drop it after a lifetime:
    /// until then whoever can write to the database can put a plain record in place of an
    /// encrypted one.
    ///
    /// ```
    /// use sessions::{LocalKey, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .encrypt_records()
    ///     .accept_plain_records()
    ///     .key_encryption(LocalKey::from_bytes([7; 32]))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn accept_plain_records(mut self) -> Self {
        self.accept_plain_records = true;
        self
    }

    /// Lets a store that is [`client_side`](Self::client_side) or that
    /// [encrypts its records](Self::encrypt_records) keep its keys unencrypted in the database:
    /// whoever can read it can forge any session, or read it. Other stores need no such
    /// permission, for their records decide.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store =
    ///     Store::builder(MemoryProvider::new()).client_side().danger_plain_keys().build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn danger_plain_keys(mut self) -> Self {
        self.plain_keys = true;
        self
    }

    /// How cookies are written; by default as safely as browsers allow.
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, SameSite, Store};
    ///
    /// let cookie = CookieConfig::new().same_site(SameSite::Strict);
    /// let store = Store::builder(MemoryProvider::new()).cookie(cookie).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.cookie = cookie;
        self
    }

    /// After which responses a request's changes are kept; by default unless the status is 5xx or
    /// 408. The layer of a framework heeds it, [`Session::commit`](crate::Session::commit) does not.
    ///
    /// ```
    /// use sessions::{KeepChanges, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).keep_changes(KeepChanges::OnSuccess).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn keep_changes(mut self, keep: KeepChanges) -> Self {
        self.keep = keep;
        self
    }

    /// Where the time comes from: a [`ManualClock`](crate::ManualClock) in tests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{ManualClock, MemoryProvider, Store};
    ///
    /// let clock = ManualClock::default();
    /// let store = Store::builder(MemoryProvider::new()).clock(clock.clone()).build()?;
    /// clock.advance(Duration::from_secs(60)); // For the store too.
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where ids and keys come from.
    #[cfg(feature = "testing")]
    pub(crate) fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// How long a key seals cookies before the next one takes over; 7 days by default, at least 4
    /// hours.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let store = Store::builder(MemoryProvider::new()).key_rotation(14 * DAY).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn key_rotation(mut self, period: Duration) -> Self {
        self.key_rotation = Some(period);
        self
    }

    /// Encrypts the key ring in the database, so that whoever reads it cannot forge cookies. By
    /// default its keys are stored as they are.
    ///
    /// ```
    /// use sessions::{LocalKey, MemoryProvider, Store};
    ///
    /// # let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    /// let key = LocalKey::from_base64(secret)?;
    /// let store = Store::builder(MemoryProvider::new()).key_encryption(key).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn key_encryption(mut self, encryption: impl KeyEncryption) -> Self {
        self.key_encryption = Some(Arc::new(encryption));
        self
    }

    /// Builds the store. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work together; the text says why.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{Error, MemoryProvider, Store};
    ///
    /// let idle = Duration::from_secs(365 * 24 * 60 * 60);
    /// let refused = Store::builder(MemoryProvider::new()).idle_timeout(idle).build();
    /// assert!(matches!(refused, Err(Error::Config(text)) if text.contains("raise `lifetime`")));
    /// ```
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
            .random(self.random.clone())
            .max_age(max_age);
        // Hashed ids survive a look at the keys; what else they protect was asked for in check().
        if self.key_encryption.is_none() {
            codec = codec.allow_plain_keys();
        }
        if let Some(period) = self.key_rotation {
            codec = codec.rotation_period(period);
        }
        if let Some(encryption) = self.key_encryption {
            codec = codec.key_encryption(encryption);
        }
        let codec = codec.build().map_err(|error| match error {
            Error::Config(text) => Error::config(format!(
                "{text} (in a store `rotation_period` is key_rotation(), and `max_age` follows \
                 from lifetime() and longest_remember())"
            )),
            error => error,
        })?;
        let mut provider = self.provider;
        if self.encrypt_records {
            provider = Arc::new(AtRest::new(provider, codec.clone(), self.accept_plain_records));
        }
        Ok(Store::from_inner(Inner {
            provider,
            codec,
            clock: self.clock,
            random: self.random,
            app: self.app,
            times: Times { idle: self.idle, lifetime: self.lifetime, touch },
            longest_remember,
            most_sessions: self.most_sessions,
            record_limit: self.record_limit,
            client_side: self.client_side,
            reset_unreadable: self.reset_unreadable,
            cookie: self.cookie,
            keep: self.keep,
            types: RwLock::default(),
            commits: Commits::default(),
            closing: watch::Sender::new(false),
            queues: Queues::default(),
            reported: Reported::default(),
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
        if !(1 << 10..=MAX_RECORD).contains(&self.record_limit) {
            return Err(Error::config(format!(
                "max_record_size({}) must be between 1 KiB and 16 MiB",
                self.record_limit
            )));
        }
        if self.client_side && self.most_sessions.is_some() {
            return Err(Error::config(
                "max_sessions_per_owner() needs records, and client_side() keeps none; drop one \
                 of them",
            ));
        }
        if self.client_side && self.encrypt_records {
            return Err(Error::config(
                "client_side() keeps no records to encrypt; drop encrypt_records()",
            ));
        }
        if self.accept_plain_records && !self.encrypt_records {
            return Err(Error::config("accept_plain_records() goes with encrypt_records()"));
        }
        if self.encrypt_records && self.key_encryption.is_none() && !self.plain_keys {
            return Err(Error::config(
                "encrypt_records() with plain keys beside the records hides nothing; set \
                 key_encryption(), or say danger_plain_keys()",
            ));
        }
        if self.client_side && self.key_encryption.is_none() && !self.plain_keys {
            return Err(Error::config(
                "client_side() with plain keys lets whoever reads the database forge sessions; \
                 set key_encryption(), or say danger_plain_keys()",
            ));
        }
        if self.most_sessions == Some(0) {
            return Err(Error::config(
                "max_sessions_per_owner(0) would end every login; choose at least 1",
            ));
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
            (builder().max_sessions_per_owner(0), "at least 1"),
            (builder().max_record_size(0), "between"),
            (builder().max_record_size(1 << 30), "between"),
            (builder().client_side(), "key_encryption()"),
            (builder().encrypt_records(), "key_encryption()"),
            (builder().accept_plain_records(), "encrypt_records()"),
            (builder().encrypt_records().client_side(), "drop encrypt_records()"),
            (builder().lifetime(Duration::MAX).encrypt_records().danger_plain_keys(), "keys"),
            (builder().client_side().danger_plain_keys().max_sessions_per_owner(1), "drop one"),
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
