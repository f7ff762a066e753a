//! A provider that fails on demand, hosts with clocks of their own, and a way to build codecs.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Barrier;

use crate::clock::{Clock, ManualClock};
use crate::codec::builder::CodecBuilder;
use crate::codec::{Codec, Seal};
use crate::crypto::purpose::Purpose;
use crate::error::Error;
use crate::keyring::record::stored_keys;
use crate::keyring::ring::KeyId;
use crate::memory::MemoryProvider;
use crate::provider::{Deleted, Expect, Provider, ProviderError, Record, Saved};
use crate::random::Random;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// How the provider behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Up,
    Down,
    /// Answers never.
    Hanging,
    /// Fails for good: a missing table.
    Broken,
    /// Saves, then says that it failed.
    LosesAnswers,
    ReadOnly,
    Panics,
}

#[derive(Default)]
pub(super) enum DatabaseClock {
    #[default]
    None,
    Fails,
    Tells(ManualClock),
}

/// A memory provider that fails on demand and counts its calls.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) inner: MemoryProvider,
    mode: Mutex<Mode>,
    /// The database's clock.
    pub(super) clock: Mutex<DatabaseClock>,
    /// So many fetches, the first ones, wait for each other before they answer.
    crowd: OnceLock<(u64, Barrier)>,
    fetches: AtomicU64,
    saves: AtomicU64,
}

impl Faults {
    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// The first fetches all read before anybody writes, however the tasks are scheduled.
    pub(super) fn crowd(&self, first: usize) {
        assert!(self.crowd.set((first as u64, Barrier::new(first))).is_ok());
    }

    /// How often it was asked since the last time.
    pub(super) fn take_fetches(&self) -> u64 {
        self.fetches.swap(0, Ordering::SeqCst)
    }

    pub(super) fn take_saves(&self) -> u64 {
        self.saves.swap(0, Ordering::SeqCst)
    }

    async fn pass(&self) -> Result<Mode, ProviderError> {
        // Lets the others go on in between, as a network would.
        tokio::task::yield_now().await;
        let mode = *self.mode.lock().unwrap();
        match mode {
            Mode::Down => Err(ProviderError::unavailable("connection refused")),
            Mode::Broken => Err(ProviderError::permanent("no such table")),
            Mode::Hanging => std::future::pending().await,
            Mode::Panics => panic!("a provider's own fault"),
            Mode::Up | Mode::LosesAnswers | Mode::ReadOnly => Ok(mode),
        }
    }
}

#[async_trait]
impl Provider for Faults {
    async fn fetch(&self, id: &str, now: SystemTime) -> Result<Option<Record>, ProviderError> {
        let before = self.fetches.fetch_add(1, Ordering::SeqCst);
        self.pass().await?;
        let found = self.inner.fetch(id, now).await;
        if let Some((first, barrier)) = self.crowd.get()
            && before < *first
        {
            barrier.wait().await;
        }
        found
    }

    async fn save(
        &self,
        record: &Record,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Saved, ProviderError> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        if self.pass().await? == Mode::ReadOnly {
            return Err(ProviderError::unavailable("read only"));
        }
        let saved = self.inner.save(record, expect, now).await?;
        if self.pass().await? == Mode::LosesAnswers {
            return Err(ProviderError::unavailable("the connection was cut"));
        }
        Ok(saved)
    }

    async fn delete(
        &self,
        id: &str,
        expect: Expect,
        now: SystemTime,
    ) -> Result<Deleted, ProviderError> {
        self.pass().await?;
        self.inner.delete(id, expect, now).await
    }

    async fn clock(&self) -> Result<Option<SystemTime>, ProviderError> {
        self.pass().await?;
        match &*self.clock.lock().unwrap() {
            DatabaseClock::None => Ok(None),
            DatabaseClock::Fails => Err(ProviderError::unavailable("statement timeout")),
            DatabaseClock::Tells(clock) => Ok(Some(clock.now())),
        }
    }
}

/// A host's clock: the true time and an error of its own.
#[derive(Clone)]
pub(super) struct HostClock {
    pub(super) world: ManualClock,
    pub(super) offset_secs: Arc<AtomicI64>,
}

impl Clock for HostClock {
    fn now(&self) -> SystemTime {
        let offset = self.offset_secs.load(Ordering::SeqCst);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { self.world.now() - by } else { self.world.now() + by }
    }
}

/// A provider and the true time.
pub(super) struct World {
    pub(super) provider: Arc<Faults>,
    pub(super) clock: ManualClock,
    seed: AtomicU64,
}

impl World {
    pub(super) fn new() -> Self {
        let provider = Arc::default();
        Self { provider, clock: ManualClock::default(), seed: AtomicU64::new(1) }
    }

    /// A host of the default app.
    pub(super) fn host(&self) -> Codec {
        self.host_with(|builder| builder)
    }

    pub(super) fn host_with(&self, change: impl FnOnce(CodecBuilder) -> CodecBuilder) -> Codec {
        let seed = self.seed.fetch_add(1, Ordering::SeqCst);
        let builder = Codec::builder(self.provider.clone())
            .clock(self.clock.clone())
            .random(Random::seeded(seed))
            .allow_plain_keys();
        change(builder).build().unwrap()
    }

    /// A host whose clock is off by this many seconds.
    pub(super) fn host_off_by(&self, secs: i64) -> Codec {
        let offset_secs = Arc::new(AtomicI64::new(secs));
        let clock = HostClock { world: self.clock.clone(), offset_secs };
        self.host_with(|builder| builder.clock(clock))
    }

    pub(super) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(super) async fn record(&self) -> Option<Record> {
        self.provider.inner.fetch("app:keys", self.clock.now()).await.unwrap()
    }

    pub(super) async fn put(&self, record: &Record) {
        self.provider.inner.save(record, Expect::Any, self.clock.now()).await.unwrap();
    }

    pub(super) async fn delete(&self) {
        self.provider.inner.delete("app:keys", Expect::Any, self.clock.now()).await.unwrap();
    }

    /// The keys that are stored and not erased.
    pub(super) async fn keys(&self) -> Vec<(KeyId, u64, u64)> {
        self.record().await.map(|record| stored_keys(&record.data)).unwrap_or_default()
    }
}

pub(super) fn purpose() -> Purpose {
    Purpose::session("__Host-visitor")
}

pub(super) async fn seal(codec: &Codec) -> String {
    codec.seal(&purpose(), &[7; 16]).await.unwrap()
}

pub(super) async fn open(codec: &Codec, token: &str) -> Result<Seal, Error> {
    let (id, seal) =
        codec.open_short(&purpose(), token.as_bytes(), |it| <[u8; 16]>::try_from(it).ok()).await?;
    assert_eq!(id, [7; 16]);
    Ok(seal)
}

pub(super) fn is_invalid<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::InvalidToken))
}

pub(super) fn is_unavailable<T>(result: &Result<T, Error>) -> bool {
    result.as_ref().is_err_and(Error::is_unavailable)
}

/// The id of the key that a token names.
pub(super) fn key_of(token: &str) -> KeyId {
    let mut buffer = [0; 256];
    super::super::token::decode(token.as_bytes(), &mut buffer).unwrap().0
}

/// A token that names another key.
pub(super) fn renamed(token: &str, key: [u8; 4]) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = engine.decode(token).unwrap();
    bytes[1..5].copy_from_slice(&key);
    engine.encode(bytes)
}

/// Refreshes that were started beside a call end before the test goes on.
pub(super) async fn idle(codec: &Codec) {
    codec.ring.idle().await;
}
