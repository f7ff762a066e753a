//! The key ring for operators: its times and states, without secrets.

use std::time::SystemTime;

use super::plan;
use super::ring::{Key, Material, Opened};
use super::shared::KeyRing;
use crate::clock::from_unix_millis;

/// The key ring as this host knows it, from [`Codec::key_ring`](crate::codec::Codec::key_ring). It is for
/// a page or a command for operators and holds no secret.
///
/// ```
/// # use sessions::{MemoryProvider, codec::Codec};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
/// codec.refresh().await?;
/// let ring = codec.key_ring().expect("it was read just now");
/// assert_eq!((ring.generation, ring.keys.len()), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRingInfo {
    /// A number that rises with every change of the ring. If hosts show different numbers, one has
    /// not read the ring for a while, or they do not share a database.
    pub generation: u64,
    /// When this host last read the ring. It reads the ring every 4 to 5 minutes while it seals and
    /// opens tokens. A time that falls behind under load means that the database cannot be reached.
    pub read_at: SystemTime,
    /// The keys, newest first, at most 64.
    pub keys: Vec<KeyInfo>,
}

/// A key of the ring, without its secret.
///
/// ```
/// fn line(key: &sessions::keys::KeyInfo) -> String {
///     format!("{} {:?}, until {:?}", key.id, key.state, key.expires_at)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The id: eight hexadecimal digits, as in events. Every token names its key too.
    pub id: String,
    /// What the key can do now.
    pub state: KeyState,
    /// When a host made the key.
    pub created_at: SystemTime,
    /// When the key starts to seal.
    pub activates_at: SystemTime,
    /// When its successor takes over.
    pub retires_at: SystemTime,
    /// When the last token that the key may have sealed expires.
    pub expires_at: SystemTime,
    /// The name of the key-encryption key that encrypts the stored key. It is `None` for a key that
    /// is stored in plaintext, or erased.
    pub kek_id: Option<String>,
}

/// What a key can do.
///
/// ```
/// # use sessions::{MemoryProvider, codec::Codec, keys::KeyState};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
/// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
/// codec.rotate_now().await?;
/// codec.rotate_now().await?;
/// let keys = codec.key_ring().expect("it was written just now").keys;
/// let count = |state| keys.iter().filter(|key| key.state == state).count();
/// assert_eq!((count(KeyState::Sealing), count(KeyState::Erased)), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// The key is published, so that every host knows it before it seals.
    Waiting,
    /// The key seals new tokens, and opens those that it sealed.
    Sealing,
    /// The key only opens the tokens that it sealed.
    Retired,
    /// All tokens of the key have expired. The ring's next change removes it.
    Expired,
    /// [`rotate_now`](crate::codec::Codec::rotate_now) erased the key, and its tokens are invalid.
    Erased,
    /// The key service has not unwrapped the key yet. The library retries.
    Unavailable,
    /// The key service refuses to unwrap the key, and its tokens are invalid.
    Refused,
}

impl KeyRing {
    /// Returns what this host knows of the ring, or `None` before it was read.
    pub(crate) fn info(&self) -> Option<KeyRingInfo> {
        let now = self.since_epoch().as_secs();
        let snapshot = self.0.snapshot.load();
        let snapshot = snapshot.as_ref()?;
        let ring = &snapshot.ring;
        let sealing = plan::sealing(ring, now, &self.config().settings).map(|key| key.id);
        let info = |key: &Key| KeyInfo {
            id: key.id.to_string(),
            state: state(key, now, sealing == Some(key.id)),
            created_at: from_secs(key.created),
            activates_at: from_secs(key.activate),
            retires_at: from_secs(key.retire),
            expires_at: from_secs(key.expire),
            kek_id: match &key.material {
                Material::Wrapped(wrapped, _) => Some(wrapped.kek.to_string()),
                Material::Plain(_) | Material::Erased => None,
            },
        };
        Some(KeyRingInfo {
            generation: ring.generation,
            read_at: from_unix_millis(snapshot.checked_at),
            keys: ring.keys.iter().map(info).collect(),
        })
    }
}

fn state(key: &Key, now: u64, seals: bool) -> KeyState {
    match key.material {
        Material::Erased => KeyState::Erased,
        _ if key.expire <= now => KeyState::Expired,
        Material::Wrapped(_, Opened::Unavailable) => KeyState::Unavailable,
        Material::Wrapped(_, Opened::Broken) => KeyState::Refused,
        _ if seals => KeyState::Sealing,
        _ if key.activate > now => KeyState::Waiting,
        _ => KeyState::Retired,
    }
}

fn from_secs(secs: u64) -> SystemTime {
    from_unix_millis(secs.saturating_mul(1000))
}
