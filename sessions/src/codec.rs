//! Sealing values into tokens that nobody else can read or make.

pub(crate) mod builder;
pub(crate) mod manage;
pub(crate) mod token;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use self::builder::CodecBuilder;
use self::token::{MAX_PAYLOAD, Malformed, OVERHEAD};
use crate::clock::from_unix_millis;
pub use crate::crypto::purpose::Purpose;
use crate::crypto::xaes::{NONCE, Xaes};
use crate::error::Error;
use crate::keyring::ring::KeyId;
use crate::keyring::shared::{KeyRing, Missing, since_epoch};
use crate::keyring::view::{Accept, Found, Rank};
use crate::provider::{Provider, Source};
use crate::schema::value;
use crate::telemetry;
use crate::telemetry::labels::TokenRefusal;

/// Seals values into tokens and opens them, under keys that it manages.
///
/// A token is text for a cookie or a link: encrypted, authenticated, bound to an app and a
/// [`Purpose`], and valid for a limited time. The codec makes the keys on first use, keeps them in
/// the provider, shares them with every host of the app, and rotates them. Clones are cheap and
/// share the keys.
///
/// Calls need a tokio runtime with its timers enabled. The codec reads the keys in the background.
/// A call waits only at the start, after the host slept, or for a token of a key that it has not
/// seen yet.
///
/// ```
/// use std::time::Duration;
/// use sessions::{MemoryProvider, codec::{Codec, Purpose}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// let codec = Codec::builder(MemoryProvider::new())
///     .app("shop")
///     .max_age(Duration::from_secs(3600))
///     .danger_plain_keys() // An example's keys; a service gives `key_encryption`.
///     .build()?;
/// let reset = Purpose::new("password reset");
///
/// let token = codec.seal(&reset, b"user 7").await?;
/// assert_eq!(codec.open(&reset, &token).await?, b"user 7");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Codec {
    ring: KeyRing,
}

impl Codec {
    /// Starts a codec that keeps its keys in `provider`.
    ///
    /// ```
    /// use sessions::{MemoryProvider, codec::Codec};
    /// let built = Codec::builder(MemoryProvider::new()).app("shop").build();
    /// assert!(built.is_err(), "without key_encryption, plain keys must be asked for");
    /// ```
    pub fn builder(provider: impl Provider) -> CodecBuilder {
        CodecBuilder::new(Arc::new(provider))
    }

    /// Seals up to 6094 bytes into a token of `4/3 (n + 50)` characters: letters, digits, `-` and
    /// `_`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no key yet and none can be made. [`Error::Encode`] if the
    /// payload is too long.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::{Codec, Purpose}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// let token = codec.seal(&Purpose::new("reset"), &[0; 16]).await?;
    /// assert_eq!(token.len(), 88);
    /// # Ok(()) }
    /// ```
    pub async fn seal(&self, purpose: &Purpose, payload: &[u8]) -> Result<String, Error> {
        if payload.len() > MAX_PAYLOAD {
            let text = format!(
                "the value has {} bytes, a token holds {MAX_PAYLOAD}; keep it in a store",
                payload.len()
            );
            return Err(not_encoded(purpose, text.into()));
        }
        self.with_keys(purpose, |accept| self.try_seal(purpose, payload, accept)).await
    }

    /// Opens a token that [`seal`](Self::seal) made for the same app and purpose at most `max_age`
    /// ago.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] for every other token, for any reason. [`Error::Unavailable`] if its
    /// key may exist but cannot be read now.
    ///
    /// ```
    /// # use sessions::{Error, MemoryProvider, codec::{Codec, Purpose}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// let token = codec.seal(&Purpose::new("reset"), b"user 7").await?;
    /// let wrong = codec.open(&Purpose::new("invitation"), &token).await;
    /// assert!(matches!(wrong, Err(Error::InvalidToken)));
    /// # Ok(()) }
    /// ```
    pub async fn open(&self, purpose: &Purpose, token: &str) -> Result<Vec<u8>, Error> {
        self.open_sealed(purpose, token.as_bytes()).await.map(|(payload, _)| payload)
    }

    /// Seals any serde value, as CBOR (RFC 8949).
    ///
    /// # Errors
    /// The errors of [`seal`](Self::seal), and [`Error::Encode`] if the value cannot be serialized.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::{Codec, Purpose}};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize, PartialEq, Debug)]
    /// struct Invitation {
    ///     team: u64,
    ///     email: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// let purpose = Purpose::new("invitation");
    /// let invitation = Invitation { team: 7, email: "ada@example.com".into() };
    /// let token = codec.seal_value(&purpose, &invitation).await?;
    /// assert_eq!(codec.open_value::<Invitation>(&purpose, &token).await?, invitation);
    /// # Ok(()) }
    /// ```
    pub async fn seal_value<T>(&self, purpose: &Purpose, value: &T) -> Result<String, Error>
    where
        T: Serialize + ?Sized,
    {
        let mut payload = Vec::new();
        value::encode(value, &mut payload)
            .map_err(|source| not_encoded(purpose, Box::new(source)))?;
        self.seal(purpose, &payload).await
    }

    /// Opens a token that [`seal_value`](Self::seal_value) made, of the same type.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open). Also [`Error::InvalidToken`] if serde cannot read the
    /// value as this type, because the type has changed.
    ///
    /// ```
    /// # use sessions::{Error, MemoryProvider, codec::{Codec, Purpose}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// let purpose = Purpose::new("unsubscribe");
    /// let token = codec.seal_value(&purpose, "ada@example.com").await?;
    /// assert_eq!(codec.open_value::<String>(&purpose, &token).await?, "ada@example.com");
    /// assert!(matches!(codec.open_value::<u32>(&purpose, &token).await, Err(Error::InvalidToken)));
    /// # Ok(()) }
    /// ```
    pub async fn open_value<T: DeserializeOwned>(
        &self,
        purpose: &Purpose,
        token: &str,
    ) -> Result<T, Error> {
        let payload = self.open(purpose, token).await?;
        value::decode(&payload).map_err(|_| {
            telemetry::token_mistyped::<T>(&self.ring.config().app, purpose.name());
            Error::InvalidToken
        })
    }

    /// Opens a short token without an allocation. `take` accepts or refuses the payload.
    pub(crate) async fn open_short<R>(
        &self,
        purpose: &Purpose,
        token: &[u8],
        take: fn(&[u8]) -> Option<R>,
    ) -> Result<(R, Seal), Error> {
        let now = || self.ring.since_epoch();
        let open = |accept| self.try_open_short(purpose, token, now(), accept, take);
        self.with_keys(purpose, open).await?
    }

    /// Seals without waiting.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it has to wait for a key.
    #[cfg(feature = "dbsc")]
    pub(crate) fn seal_now(&self, purpose: &Purpose, payload: &[u8]) -> Result<String, Error> {
        let sealed = self.try_seal(purpose, payload, Accept::Recent);
        sealed.map_err(|_| Error::unavailable("there is no key to seal with at the moment"))
    }

    /// Opens a short token without waiting. Returns `None` if it has to wait for a key.
    pub(crate) fn open_short_now<R>(
        &self,
        purpose: &Purpose,
        token: &[u8],
        now: SystemTime,
        take: fn(&[u8]) -> Option<R>,
    ) -> Option<Result<(R, Seal), Error>> {
        self.try_open_short(purpose, token, since_epoch(now), Accept::Recent, take).ok()
    }

    fn try_open_short<R>(
        &self,
        purpose: &Purpose,
        token: &[u8],
        now: Duration,
        accept: Accept,
        take: fn(&[u8]) -> Option<R>,
    ) -> Result<Result<(R, Seal), Error>, Missing> {
        let mut buffer = Zeroizing::new([0; STACK]);
        self.try_open(purpose, token, &mut *buffer, now, accept, take)
    }

    /// Opens a token of any length.
    pub(crate) async fn open_sealed(
        &self,
        purpose: &Purpose,
        token: &[u8],
    ) -> Result<(Vec<u8>, Seal), Error> {
        let open = |accept| {
            let (mut stack, mut heap) = ([0; STACK], Vec::new());
            let buffer = if token.len() <= STACK {
                &mut stack[..]
            } else {
                // Four characters hold three bytes, rounded up.
                heap.resize(token.len().min(token::MAX_TOKEN).div_ceil(4) * 3, 0);
                &mut heap
            };
            let now = self.ring.since_epoch();
            self.try_open(purpose, token, buffer, now, accept, |payload| Some(payload.to_vec()))
        };
        self.with_keys(purpose, open).await?
    }

    /// Seals a payload of any length into the bytes of a token, without base64.
    pub(crate) async fn seal_bytes(
        &self,
        purpose: &Purpose,
        payload: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let seal = |accept| {
            let mut buffer = vec![0; payload.len() + OVERHEAD];
            self.try_seal_into(purpose, payload, &mut buffer, accept).map(|()| buffer)
        };
        self.with_keys(purpose, seal).await
    }

    /// Opens what [`seal_bytes`](Self::seal_bytes) made.
    pub(crate) async fn open_bytes(
        &self,
        purpose: &Purpose,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let open = |accept| {
            let mut buffer = sealed.to_vec();
            match token::read(&mut buffer) {
                Ok((id, token)) => {
                    let now = self.ring.since_epoch();
                    let take = |payload: &[u8]| Some(payload.to_vec());
                    self.try_open_token(purpose, id, token, now, accept, take)
                }
                Err(Malformed) => Ok(Err(self.refuse(purpose, TokenRefusal::Malformed))),
            }
        };
        let (payload, _) = self.with_keys(purpose, open).await??;
        Ok(payload)
    }

    /// Seals with the keys at hand.
    fn try_seal(
        &self,
        purpose: &Purpose,
        payload: &[u8],
        accept: Accept,
    ) -> Result<String, Missing> {
        let (mut stack, mut heap) = ([0; STACK], Vec::new());
        let length = payload.len() + OVERHEAD;
        let buffer = if length <= STACK {
            &mut stack[..length]
        } else {
            heap.resize(length, 0);
            &mut heap
        };
        self.try_seal_into(purpose, payload, buffer, accept)?;
        Ok(token::encode(buffer))
    }

    /// Seals with the keys in memory, into a buffer of exactly the right size.
    fn try_seal_into(
        &self,
        purpose: &Purpose,
        payload: &[u8],
        buffer: &mut [u8],
        accept: Accept,
    ) -> Result<(), Missing> {
        let ring = &self.ring;
        let now = ring.since_epoch();
        let view = ring.view(now, accept)?;
        let (key, root) = view.sealing().ok_or(Missing::SealingKey)?;
        let mut nonce: [u8; NONCE] = ring.config().random.nonce();
        stir(&mut nonce, now);
        root.with_cipher(&ring.config().app, purpose, |xaes| {
            token::seal(buffer, xaes, key, &nonce, now.as_secs(), payload);
        });
        Ok(())
    }

    /// Opens with the keys in memory. `take` accepts or refuses the payload.
    fn try_open<R>(
        &self,
        purpose: &Purpose,
        token: &[u8],
        buffer: &mut [u8],
        now: Duration,
        accept: Accept,
        take: impl FnOnce(&[u8]) -> Option<R>,
    ) -> Result<Result<(R, Seal), Error>, Missing> {
        match token::decode(token, buffer) {
            Ok((id, token)) => self.try_open_token(purpose, id, token, now, accept, take),
            Err(Malformed) => Ok(Err(self.refuse(purpose, TokenRefusal::Malformed))),
        }
    }

    fn try_open_token<R>(
        &self,
        purpose: &Purpose,
        id: KeyId,
        token: &mut [u8],
        now: Duration,
        accept: Accept,
        take: impl FnOnce(&[u8]) -> Option<R>,
    ) -> Result<Result<(R, Seal), Error>, Missing> {
        let ring = &self.ring;
        let view = ring.view(now, accept)?;
        let (root, window, rank) = match view.find(id) {
            Found::Key(root, window, rank) => (root, window, rank),
            Found::Missing => return Err(Missing::Key(id)),
            Found::Invalid(reason) => return Ok(Err(self.refuse(purpose, reason))),
            Found::Unavailable => {
                return Ok(Err(Error::unavailable("the token's key cannot be unwrapped now")));
            }
        };
        let open = |xaes: &Xaes| token::open(token, xaes);
        let opened = root.with_cipher(&ring.config().app, purpose, open);
        let Some((issued_at, range)) = opened else {
            return Ok(Err(self.refuse(purpose, TokenRefusal::Forged)));
        };
        let settings = &ring.config().settings;
        let now = now.as_secs();
        let age = now.saturating_sub(issued_at);
        // Every condition is evaluated, even after one has failed.
        let timely = (issued_at <= now.saturating_add(settings.skew))
            & (age <= settings.max_age)
            & (issued_at >= window.first)
            & (issued_at <= window.last);
        let payload = take(&token[range]);
        let (true, Some(payload)) = (timely, payload) else {
            return Ok(Err(self.refuse(purpose, TokenRefusal::Expired)));
        };
        let reissue = rank == Rank::Old || age > settings.max_age / 2;
        let issued_at = from_unix_millis(issued_at.saturating_mul(1000));
        Ok(Ok((payload, Seal { issued_at, reissue })))
    }

    /// Makes an attempt with the keys in memory. If something is missing, waits for it and tries
    /// again.
    // Not an async function, because its future would store the arguments twice.
    #[allow(clippy::manual_async_fn)]
    fn with_keys<R>(
        &self,
        purpose: &Purpose,
        attempt: impl Fn(Accept) -> Result<R, Missing>,
    ) -> impl Future<Output = Result<R, Error>> {
        async move {
            match attempt(Accept::Recent) {
                Ok(done) => Ok(done),
                // Boxed, because it is rare and large.
                Err(missing) => Box::pin(self.wait_for_keys(purpose, missing, attempt)).await,
            }
        }
    }

    async fn wait_for_keys<R>(
        &self,
        purpose: &Purpose,
        mut missing: Missing,
        attempt: impl Fn(Accept) -> Result<R, Missing>,
    ) -> Result<R, Error> {
        for _ in 0..TRIES {
            match self.ring.provide(missing).await {
                Ok(()) => {}
                Err(Error::InvalidToken) => {
                    return Err(self.refuse(purpose, TokenRefusal::UnknownKey));
                }
                Err(error) => return Err(error),
            }
            match attempt(Accept::Any) {
                Ok(done) => return Ok(done),
                Err(still) => missing = still,
            }
        }
        Err(Error::unavailable(match missing {
            Missing::Key(_) => "the token's key is not known yet",
            Missing::Snapshot | Missing::SealingKey => "there is no key to seal with yet",
        }))
    }

    fn refuse(&self, purpose: &Purpose, reason: TokenRefusal) -> Error {
        let config = self.ring.config();
        telemetry::token_refused(&config.app, purpose.name(), reason, &config.refusals);
        Error::InvalidToken
    }
}

impl CodecBuilder {
    /// Builds the codec. It makes no call: the first key is made when it is needed.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that cannot work; the text says what to write instead.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// # use std::time::Duration;
    /// let hourly = Codec::builder(MemoryProvider::new())
    ///     .key_rotation(Duration::from_secs(3600))
    ///     .danger_plain_keys()
    ///     .build();
    /// assert!(hourly.unwrap_err().to_string().contains("4 hours"));
    /// ```
    pub fn build(self) -> Result<Codec, Error> {
        Ok(Codec { ring: self.ring()? })
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = &self.ring.config().app;
        f.debug_struct("Codec").field("app", app).finish_non_exhaustive()
    }
}

/// The properties of an opened token besides its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    /// When the token was sealed, in whole seconds.
    pub(crate) issued_at: SystemTime,
    /// Whether to issue a new token: its key is older than the one that seals, or it is past half
    /// its age.
    pub(crate) reissue: bool,
}

/// How often a call looks for what is missing: a snapshot, then a key, then once more.
const TRIES: u32 = 3;
/// Tokens up to this length are made and read on the stack.
const STACK: usize = 256;

fn not_encoded(purpose: &Purpose, source: Source) -> Error {
    Error::Encode { session: purpose.name().to_owned().into(), field: "value".into(), source }
}

/// Adds the time to a random nonce. The nonce stays random, and two virtual machines that were
/// started from one memory image, with equal generators, still make different nonces.
fn stir(nonce: &mut [u8; NONCE], now: Duration) {
    let nanos = now.as_secs().wrapping_mul(1_000_000_000) + u64::from(now.subsec_nanos());
    for (byte, time) in nonce.iter_mut().rev().zip(nanos.to_le_bytes()) {
        *byte ^= time;
    }
}

#[cfg(test)]
mod tests;
