//! The settings of a store, checked before it exists.

mod check;
#[cfg(feature = "dbsc")]
mod device;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use http::HeaderName;
use tokio::sync::watch;

use super::assurance::Assurance;
use super::at_limit::{AtLimit, Limit};
use super::at_rest::AtRest;
#[cfg(feature = "cache")]
use super::cache::{Cache, CachedRecords};
#[cfg(feature = "cache")]
use super::cached::Cached;
use super::core::Core;
use super::endings::Endings;
#[cfg(feature = "dbsc")]
use super::endpoints::Endpoints;
use super::keep::KeepChanges;
use super::queue::Queues;
use super::reported::Reported;
use super::settings::{SessionSettings, TypeSettings};
use super::tasks::Tasks;
use super::tracker::Commits;
#[cfg(feature = "dbsc")]
use super::used_challenges::UsedChallenges;
use crate::clock::{Clock, SystemClock};
use crate::codec::Codec;
use crate::cookie::CookieConfig;
use crate::data::SessionData;
use crate::error::Error;
use crate::keyring::encryption::KeyEncryption;
use crate::keyring::epochs::Epochs;
use crate::provider::Provider;
use crate::random::Random;
use crate::schema::limits::RECORD_LIMIT;
use crate::telemetry::event::{Event, Events};
use crate::transport::Transport;

/// Builds a [`Store`](crate::Store). [`Store::builder`](crate::Store::builder) creates it.
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
    /// What applies to every session type that sets nothing else.
    settings: SessionSettings,
    /// The session types with settings of their own, and their names.
    types: Vec<(TypeId, &'static str, SessionSettings)>,
    most_sessions: Option<usize>,
    at_limit: AtLimit,
    record_limit: usize,
    client_side: bool,
    plain_keys: bool,
    encrypt_records: bool,
    accept_plain_records: bool,
    reset_unreadable: bool,
    keep: KeepChanges,
    key_rotation: Option<Duration>,
    key_encryption: Option<Arc<dyn KeyEncryption>>,
    watch_interval: Duration,
    events: Events,
    #[cfg(feature = "cache")]
    cache: Option<Cache>,
}

impl StoreBuilder {
    pub(crate) fn new(provider: impl Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            clock: Arc::new(SystemClock),
            random: Random::default(),
            app: "app".to_owned(),
            settings: SessionSettings::default(),
            types: Vec::new(),
            most_sessions: None,
            at_limit: AtLimit::default(),
            record_limit: RECORD_LIMIT,
            client_side: false,
            plain_keys: false,
            encrypt_records: false,
            accept_plain_records: false,
            reset_unreadable: false,
            keep: KeepChanges::default(),
            key_rotation: None,
            key_encryption: None,
            watch_interval: WATCH_INTERVAL,
            events: Events::default(),
            #[cfg(feature = "cache")]
            cache: None,
        }
    }

    /// Sets the name of the app: 1 to 64 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`. The default is
    /// "app". Apps of different names can share a database and do not see each other's sessions.
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

    /// Sets how long a session lives without a request. The default is 7 days, or the
    /// [`lifetime`](Self::lifetime) if that is shorter. The minimum is one second, the maximum the
    /// lifetime. A session may live longer by up to one touch interval.
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
        self.settings = self.settings.idle_timeout(idle);
        self
    }

    /// Sets how long a session lives at most, even if it is in use. The default is 30 days, the
    /// minimum one second, the maximum that of [`longest_remember`](Self::longest_remember). The
    /// time starts when the session is created, and again when its owner logs in.
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
        self.settings = self.settings.lifetime(lifetime);
        self
    }

    /// Sets how often reading a session moves its expiry: at most once in each interval. The
    /// default is the smaller of an hour and a tenth of the idle timeout, the maximum the idle
    /// timeout.
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
        self.settings = self.settings.touch_interval(interval);
        self
    }

    /// Sets the longest time that [`Session::remember`](crate::Session::remember) grants. The
    /// default is 90 days, or the lifetime if that is longer; the minimum is one second. Tokens
    /// must stay valid for as long, so a longer time keeps more old keys: [`build`](Self::build)
    /// refuses more than about 59 times the [`key_rotation`](Self::key_rotation).
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
        self.settings = self.settings.longest_remember(longest);
        self
    }

    /// Sets how many sessions an owner may have at once: a login above that ends the oldest
    /// session. By default there is no limit. The limit costs a login two more list calls.
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

    /// Sets what a login above [`max_sessions_per_owner`](Self::max_sessions_per_owner) does. The
    /// default ends the session with the oldest login.
    ///
    /// ```
    /// use sessions::{AtLimit, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .max_sessions_per_owner(3)
    ///     .at_limit(AtLimit::RefuseLogin)
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn at_limit(mut self, at: AtLimit) -> Self {
        self.at_limit = at;
        self
    }

    /// Sets the largest size of a record's data in bytes. The default is 64 KiB, the minimum 1 KiB,
    /// the maximum 16 MiB. A commit above it fails with [`Error::Encode`], which names the longest
    /// field. Every request reads its record whole, and a visitor may be able to fill it.
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

    /// Keeps each whole session in its cookie, sealed, without a record. The provider keeps only
    /// the keys.
    ///
    /// This has limits. A session cannot be listed, revoked or updated in the background; these
    /// calls are errors. A copy of a cookie is valid after a logout, until it expires. Of two
    /// requests at the same time, the cookie of the last response wins. Name and value of the
    /// cookie have at most 4096 bytes, or the commit fails with [`Error::CookieTooLarge`].
    ///
    /// Anybody who reads the keys can forge sessions, so the store needs
    /// [`key_encryption`](Self::key_encryption), or an explicit
    /// [`danger_plain_keys`](Self::danger_plain_keys).
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, keys::LocalKey};
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

    /// Encrypts the data of records, so that the database does not reveal what the sessions hold.
    /// Each record's data is bound to its id. Ids (which are hashes), expiries, formats and owners
    /// stay readable.
    ///
    /// The key ring has the keys, so the store needs [`key_encryption`](Self::key_encryption), or
    /// an explicit [`danger_plain_keys`](Self::danger_plain_keys). Keys outlive the records that
    /// they encrypt. An emergency rotation loses these records, together with the cookies that name
    /// them.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, keys::LocalKey};
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
    /// encryption was switched on. The next save encrypts them. Remove this setting after a
    /// lifetime: until then, somebody who can write to the database can replace an encrypted record
    /// with a plain one.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, keys::LocalKey};
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

    /// Allows a store that is [`client_side`](Self::client_side) or that [encrypts its
    /// records](Self::encrypt_records) to keep its keys in plaintext in the database: anybody who
    /// can read the database can then forge or read any session. Other stores need no such
    /// permission, because their records decide.
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

    /// Sets how cookies are written. The default is as safe as browsers allow.
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, SameSite, Store};
    ///
    /// let cookie = CookieConfig::new().same_site(SameSite::Strict);
    /// let store = Store::builder(MemoryProvider::new()).cookie(cookie).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.settings = self.settings.cookie(cookie);
        self
    }

    /// Also reads the cookies of another configuration, while a deploy changes the cookie's name,
    /// domain, path or partition. See [`SessionSettings::also_read_cookie`] for the two deploys that
    /// log nobody out.
    ///
    /// ```
    /// use sessions::{CookieConfig, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .cookie(CookieConfig::new().domain("example.com"))
    ///     .also_read_cookie(CookieConfig::new())
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn also_read_cookie(mut self, cookie: CookieConfig) -> Self {
        self.settings = self.settings.also_read_cookie(cookie);
        self
    }

    /// Sets how clients carry the token of their session. The default is a cookie.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, Transport};
    ///
    /// let store = Store::builder(MemoryProvider::new()).transport(Transport::Either).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn transport(mut self, transport: Transport) -> Self {
        self.settings = self.settings.transport(transport);
        self
    }

    /// Sets the header that carries tokens, in requests and in responses. The default is
    /// `Authorization: Bearer` in requests and `Session-Token` in responses.
    ///
    /// ```
    /// use http::HeaderName;
    /// use sessions::{MemoryProvider, Store, Transport};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .transport(Transport::Header)
    ///     .token_header(HeaderName::from_static("x-session-token"))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn token_header(mut self, name: HeaderName) -> Self {
        self.settings = self.settings.token_header(name);
        self
    }

    /// Applies the session rules of an assurance level of NIST SP 800-63B-4, which [`Assurance`]
    /// lists: the times and the cookie, unless the store or a session type sets stricter ones.
    ///
    /// [`build`](Self::build) refuses a setting that is weaker than the level, and names it. A
    /// session cannot get more by [`remember`](crate::Session::remember) or by times of its own: the
    /// level's limits hold for them too. A session type may have
    /// [a level of its own](SessionSettings::assurance). Sessions from before the level was set keep
    /// their expiry until their next touch or save.
    ///
    /// ```
    /// use sessions::{Assurance, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).assurance(Assurance::Aal2).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn assurance(mut self, level: Assurance) -> Self {
        self.settings = self.settings.assurance(level);
        self
    }

    /// Sets what is different for one session type: its times, its cookie and its transport.
    /// Everything else is the store's. A second call for the same type adds to the first.
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
    /// let strict = CookieConfig::new().same_site(SameSite::Strict);
    /// let store = Store::builder(MemoryProvider::new())
    ///     .session::<Admin>(|it| it.idle_timeout(Duration::from_secs(15 * 60)).cookie(strict))
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn session<T: SessionData>(
        mut self,
        set: impl FnOnce(SessionSettings) -> SessionSettings,
    ) -> Self {
        let type_id = TypeId::of::<T>();
        let known = self.types.iter().position(|(known, ..)| *known == type_id);
        let own = known.map(|at| self.types.swap_remove(at).2).unwrap_or_default();
        self.types.push((type_id, T::SCHEMA.name, set(own)));
        self
    }

    /// Sets which responses keep a request's changes. The default is all responses except 5xx and
    /// 408. The layer of a framework applies this setting;
    /// [`Session::commit`](crate::Session::commit) does not.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, commit::KeepChanges};
    ///
    /// let store = Store::builder(MemoryProvider::new()).keep_changes(KeepChanges::OnSuccess).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn keep_changes(mut self, keep: KeepChanges) -> Self {
        self.keep = keep;
        self
    }

    /// Sets the source of time: a [`ManualClock`](crate::clock::ManualClock) in tests.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store, clock::ManualClock};
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

    /// Sets the source of ids and keys.
    #[cfg(feature = "testing")]
    pub(crate) fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// Sets how long a key seals cookies before the next one takes over. The default is 7 days, the
    /// minimum 4 hours, and about a 59th of [`longest_remember`](Self::longest_remember) and a day,
    /// which is 38 hours by default: the ring holds 64 keys.
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

    /// Encrypts the key ring in the database, so that somebody who reads the database cannot forge
    /// cookies. By default the keys are stored in plaintext.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store, keys::LocalKey};
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

    /// Keeps records in this process, so that most reads make no round trip. [`Cache`] says how late
    /// another host's changes may be seen. Set it on every host of the app. By default there is no
    /// cache. Needs the feature `cache`.
    ///
    /// ```
    /// use sessions::{Cache, MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new()).cache(Cache::new()).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[cfg(feature = "cache")]
    pub fn cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets how often the database is asked about each session that
    /// [`Session::ended`](crate::Session::ended) or [`Store::watch`](crate::Store::watch) waits for,
    /// in case nothing else tells of its end. The default is 30 seconds, the minimum one second. A
    /// call asks about up to 100 sessions.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let minute = Duration::from_secs(60);
    /// let store = Store::builder(MemoryProvider::new()).watch_interval(minute).build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn watch_interval(mut self, interval: Duration) -> Self {
        self.watch_interval = interval;
        self
    }

    /// Calls `hear` for each event of a session on this host: the events that `tracing` gets, with
    /// their names and words, such as "session.ended". For an audit log, or an app's own counters.
    ///
    /// Only the host that acted tells, at most once: an event is lost if the process ends, and no
    /// session that expires, or that another program deletes, makes one. So build nothing on it that
    /// must happen for each session. `hear` is called in the middle of requests: it must be quick, and
    /// must not block, panic, or use the request's sessions. A second call replaces the first.
    ///
    /// ```
    /// use sessions::{MemoryProvider, Store};
    ///
    /// let store = Store::builder(MemoryProvider::new())
    ///     .on_event(|event| {
    ///         if event.name() == "session.ended" {
    ///             println!("{:?}: {:?}", event.key(), event.reason());
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), sessions::Error>(())
    /// ```
    pub fn on_event(mut self, hear: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.events = Events::to(hear);
        self
    }

    /// See [`build`](Self::build).
    pub(crate) fn core(self) -> Result<Core, Error> {
        self.check()?;
        let plain = SessionSettings::default().over(&self.settings);
        let own =
            |(id, name, own): &(_, _, SessionSettings)| (*id, *name, own.over(&self.settings));
        let types: Vec<(TypeId, &'static str, TypeSettings)> = self.types.iter().map(own).collect();
        let all = || types.iter().map(|(.., settings)| settings).chain([&plain]);
        // A browser may send its first token as late as the session can live.
        let max_age = all().map(TypeSettings::token_age).max().unwrap_or_default();
        // A record is encrypted when it is saved, and may be read until its session ends.
        let lifetime = all().map(|settings| settings.times.lifetime).max().unwrap_or_default();
        let max_age = if self.encrypt_records { max_age.max(lifetime) } else { max_age };
        let epochs = Arc::new(Epochs::new(self.provider.clone(), self.clock.clone(), &self.app));
        let reads_host = all().any(TypeSettings::has_domains);
        #[cfg(feature = "dbsc")]
        let device_endpoints = Endpoints::of(all());
        let mut codec = Codec::builder(self.provider.clone())
            .app(&self.app)
            .epochs(epochs.clone())
            .clock(self.clock.clone())
            .random(self.random.clone())
            .max_age(max_age);
        // Ids are hashed in the database, so reading the keys reveals none. check() requires an
        // explicit choice for everything else that the keys protect.
        if self.key_encryption.is_none() {
            codec = codec.allow_plain_keys();
        }
        if let Some(period) = self.key_rotation {
            codec = codec.key_rotation(period);
        }
        if let Some(encryption) = self.key_encryption {
            codec = codec.key_encryption(encryption);
        }
        let codec = codec.build().map_err(|error| match error {
            Error::Config(text) => Error::config(format!(
                "{text} (in a store `key_rotation` is key_rotation(), and `max_age` follows \
                 from lifetime() and longest_remember())"
            )),
            error => error,
        })?;
        let mut provider = self.provider;
        if self.encrypt_records {
            provider = Arc::new(AtRest::new(provider, codec.clone(), self.accept_plain_records));
        }
        #[cfg(feature = "cache")]
        let cache = self.cache.as_ref().map(|settings| Arc::new(CachedRecords::new(settings)));
        #[cfg(feature = "cache")]
        if let Some(cache) = &cache {
            provider = Arc::new(Cached::new(provider, cache.clone(), self.events.clone()));
        }
        Ok(Core {
            provider,
            codec,
            epochs,
            clock: self.clock,
            random: self.random,
            app: self.app,
            settings: plain,
            own_settings: types,
            limit: self.most_sessions.map(|most| Limit { most, at: self.at_limit }),
            record_limit: self.record_limit,
            client_side: self.client_side,
            encrypts_records: self.encrypt_records,
            reset_unreadable: self.reset_unreadable,
            keep: self.keep,
            types: RwLock::default(),
            commits: Commits::default(),
            events: self.events,
            closing: watch::Sender::new(false),
            queues: Queues::default(),
            reads_host,
            endings: Endings::default(),
            reported: Reported::default(),
            watches: Arc::default(),
            watch_interval: self.watch_interval,
            feed: Arc::default(),
            tasks: Tasks::default(),
            #[cfg(feature = "cache")]
            cache,
            #[cfg(feature = "dbsc")]
            device_endpoints,
            #[cfg(feature = "dbsc")]
            used_challenges: UsedChallenges::default(),
        })
    }
}

/// How often the database is asked about a watched session.
const WATCH_INTERVAL: Duration = Duration::from_secs(30);

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("app", &self.app)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
