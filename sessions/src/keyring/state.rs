//! What an operator may know of the key ring: its times and what each key is good for, no secret.

use std::time::SystemTime;

use super::plan;
use super::ring::{Key, Material, Opened};
use super::shared::KeyRing;
use crate::clock::from_unix_millis;

/// The key ring as this host knows it, from [`Codec::key_ring`](crate::Codec::key_ring): for a page
/// or a command of an operator. It holds no secret.
///
/// ```
/// # use sessions::{Codec, MemoryProvider};
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
    /// Raised with every change of the ring: hosts that tell different ones have not read it for a
    /// while, or do not share a database.
    pub generation: u64,
    /// When this host read the ring last. It does so every 4 to 5 minutes as long as it seals and
    /// opens tokens; a time that falls behind under load means that the database cannot be reached.
    pub read_at: SystemTime,
    /// The keys, newest first; at most 64.
    pub keys: Vec<KeyInfo>,
}

/// A key of the ring, without its secret.
///
/// ```
/// fn line(key: &sessions::KeyInfo) -> String {
///     format!("{} {:?}, until {:?}", key.id, key.state, key.expires_at)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Eight hexadecimal digits, as events name it. Every token names its key too.
    pub id: String,
    /// What the key is good for now.
    pub state: KeyState,
    /// When a host made it.
    pub created_at: SystemTime,
    /// When it starts to seal.
    pub activates_at: SystemTime,
    /// When its successor takes over.
    pub retires_at: SystemTime,
    /// When the last token that it may have sealed has expired.
    pub expires_at: SystemTime,
    /// The key-encryption key that it is stored under, by its name; `None` for a key that is
    /// stored in the clear, or erased.
    pub kek_id: Option<String>,
}

/// What a key is good for.
///
/// ```
/// # use sessions::{Codec, KeyState, MemoryProvider};
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
    /// Published, so that every host knows it before it seals.
    Waiting,
    /// It seals new tokens, and opens those that it sealed.
    Sealing,
    /// It opens the tokens that it sealed.
    Retired,
    /// No token of it is valid any more. It goes with the ring's next change.
    Expired,
    /// Erased by [`rotate_now`](crate::Codec::rotate_now); its tokens are invalid.
    Erased,
    /// The key service has not unwrapped it yet, and is asked again.
    Unavailable,
    /// The key service refuses to unwrap it; its tokens are invalid.
    Refused,
}

impl KeyRing {
    /// What this host knows of the ring; `None` before it was read.
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
