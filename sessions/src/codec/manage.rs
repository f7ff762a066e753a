//! The operator's calls on a codec's keys. Normal operation needs none of them.

use super::Codec;
use crate::error::Error;
use crate::keyring::state::KeyRingInfo;

impl Codec {
    /// Reads the key ring now, and creates the first key of an empty one. Codecs do this every few
    /// minutes without this call. Call it when a service starts, to find out early if its keys
    /// cannot be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the provider or the key service is down. [`Error::Provider`] or
    /// [`Error::Config`] if the ring cannot be used; the text says what to do.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// codec.refresh().await?;
    /// # Ok(()) }
    /// ```
    pub async fn refresh(&self) -> Result<(), Error> {
        self.ring.refresh().await
    }

    /// Erases every key and creates a new one. Use it if a key may have leaked, and after the
    /// database was restored from a backup.
    ///
    /// Every token that was sealed before becomes invalid: on this host at once, on another host
    /// when it next reads the ring, at most ten minutes later. A host that cannot reach the
    /// provider continues with the keys it holds until it can.
    ///
    /// # Errors
    /// The errors of [`refresh`](Self::refresh). The keys may or may not be erased then: call it
    /// again.
    ///
    /// ```
    /// # use sessions::{Error, MemoryProvider, codec::{Codec, Purpose}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// let purpose = Purpose::new("reset");
    /// let token = codec.seal(&purpose, b"user 7").await?;
    /// codec.rotate_now().await?;
    /// assert!(matches!(codec.open(&purpose, &token).await, Err(Error::InvalidToken)));
    /// # Ok(()) }
    /// ```
    pub async fn rotate_now(&self) -> Result<(), Error> {
        self.ring.rotate_now().await
    }

    /// Encrypts every key under the current key-encryption key. No token becomes invalid. Call it
    /// once, on any host, after the key-encryption key was changed. Also call it after
    /// `key_encryption` was set for keys that were stored in plaintext, on a codec that also has
    /// [`danger_plain_keys`](super::CodecBuilder::danger_plain_keys).
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the provider or the key service is down. [`Error::Config`] without
    /// `key_encryption`.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec, keys::LocalKey};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// # let provider = MemoryProvider::new();
    /// let old = LocalKey::from_bytes([1; 32]);
    /// let new = LocalKey::from_bytes([2; 32]);
    /// let codec = Codec::builder(provider).key_encryption(new.and_previous(old)).build()?;
    /// codec.rewrap_keys().await?;
    /// # Ok(()) }
    /// ```
    pub async fn rewrap_keys(&self) -> Result<(), Error> {
        self.ring.rewrap().await
    }

    /// Returns what this host knows of its keys, for operators: times and states, no secrets. It is
    /// `None` before the ring was first read. It calls neither the provider nor the key service;
    /// call [`refresh`](Self::refresh) first to see the ring as it is stored now.
    ///
    /// ```
    /// # use sessions::{MemoryProvider, codec::Codec, keys::KeyState};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sessions::Error> {
    /// let codec = Codec::builder(MemoryProvider::new()).danger_plain_keys().build()?;
    /// assert!(codec.key_ring().is_none());
    ///
    /// codec.refresh().await?;
    /// let ring = codec.key_ring().expect("it was read just now");
    /// assert_eq!(ring.keys[0].state, KeyState::Sealing);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn key_ring(&self) -> Option<KeyRingInfo> {
        self.ring.info()
    }
}
