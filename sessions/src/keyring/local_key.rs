//! A key-encryption key that the host holds.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::encryption::{KeyEncryption, KeyEncryptionError, WrappedKey};
use super::recipient_set::is_set;
use crate::crypto::xaes::{NONCE, TAG, Xaes};
use crate::error::Error;
use crate::random::Random;

/// A key-encryption key that every host holds: 32 random bytes from a file or an environment
/// variable.
///
/// Create one with `openssl rand -base64 32`. To change it, give the new and the old one
/// ([`and_previous`](Self::and_previous)) to every host, call
/// [`Codec::rewrap_keys`](crate::codec::Codec::rewrap_keys) once, then remove the old one.
///
/// ```
/// use sessions::{MemoryProvider, codec::Codec, keys::LocalKey};
///
/// # fn main() -> Result<(), sessions::Error> {
/// # let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// let codec = Codec::builder(MemoryProvider::new())
///     .key_encryption(LocalKey::from_base64(secret)?)
///     .build()?;
/// # let _ = codec; Ok(()) }
/// ```
pub struct LocalKey {
    current: Held,
    previous: Vec<Held>,
    random: Random,
}

struct Held {
    id: String,
    cipher: Xaes,
}

impl LocalKey {
    /// Creates a key from 32 random bytes.
    ///
    /// ```
    /// let key = sessions::keys::LocalKey::from_bytes([7; 32]);
    /// assert!(!format!("{key:?}").contains('7'));
    /// ```
    #[must_use]
    pub fn from_bytes(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        // The id distinguishes keys and reveals nothing about them.
        let digest = Sha256::new().chain_update(b"sessions/v1 local key").chain_update(*key);
        let id = format!("local:{}", URL_SAFE_NO_PAD.encode(&digest.finalize()[..9]));
        let current = Held { id, cipher: Xaes::new(&key) };
        Self { current, previous: Vec::new(), random: Random::default() }
    }

    /// Creates a key from the base64 of 32 random bytes. White space around the text is ignored.
    ///
    /// # Errors
    /// [`Error::Config`] if the text is anything else.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// assert!(LocalKey::from_base64("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").is_ok());
    /// assert!(LocalKey::from_base64("c2hvcnQ=").is_err());
    /// ```
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        Self::read(text, "the local key")
    }

    /// Creates a key from a file with the base64 of 32 random bytes, such as a mounted secret.
    ///
    /// # Errors
    /// [`Error::Config`] if the file cannot be read or contains anything else.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), sessions::Error> {
    /// let key = sessions::keys::LocalKey::from_file("/run/secrets/session-key")?;
    /// # let _ = key; Ok(()) }
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::config(format!("the local key cannot be read from {}: {error}", path.display()))
        })?;
        Self::read(&Zeroizing::new(text), &format!("the local key in {}", path.display()))
    }

    /// Creates a key from an environment variable with the base64 of 32 random bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if the variable is not set or contains anything else.
    ///
    /// ```
    /// assert!(sessions::keys::LocalKey::from_env("A_VARIABLE_THAT_IS_NOT_SET").is_err());
    /// ```
    pub fn from_env(variable: &str) -> Result<Self, Error> {
        let text = std::env::var(variable).map_err(|_| {
            Error::config(format!(
                "the environment variable {variable} is not set, give it the base64 of 32 bytes"
            ))
        })?;
        Self::read(&Zeroizing::new(text), &format!("the environment variable {variable}"))
    }

    /// Also decrypts what `previous` encrypted, while the ring moves to this key.
    ///
    /// ```
    /// use sessions::keys::LocalKey;
    /// let key = LocalKey::from_bytes([2; 32]).and_previous(LocalKey::from_bytes([1; 32]));
    /// # let _ = key;
    /// ```
    #[must_use]
    pub fn and_previous(mut self, previous: Self) -> Self {
        self.previous.push(previous.current);
        self.previous.extend(previous.previous);
        self
    }

    /// `place` is where the text comes from, for the error.
    fn read(text: &str, place: &str) -> Result<Self, Error> {
        let text = text.trim().as_bytes();
        let mut key = Zeroizing::new([0; 32]);
        match STANDARD.decode_slice(text, &mut *key) {
            Ok(32) => Ok(Self::from_bytes(*key)),
            _ => Err(Error::config(format!(
                "{place} is not the base64 of 32 bytes, make one with `openssl rand -base64 32`"
            ))),
        }
    }
}

#[async_trait]
impl KeyEncryption for LocalKey {
    async fn wrap(
        &self,
        material: &[u8],
        context: &[u8],
    ) -> Result<WrappedKey, KeyEncryptionError> {
        let nonce = self.random.secret::<NONCE>().map_err(|error| {
            KeyEncryptionError::unavailable("the operating system returned no random bytes")
                .with_source(error)
        })?;
        let mut blob = nonce.to_vec();
        blob.extend_from_slice(material);
        let tag = self.current.cipher.seal(&nonce, context, &mut blob[NONCE..]);
        blob.extend_from_slice(&tag);
        Ok(WrappedKey { kek_id: self.current.id.clone(), blob })
    }

    async fn unwrap(
        &self,
        kek_id: &str,
        blob: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, KeyEncryptionError> {
        let mut all = std::iter::once(&self.current).chain(&self.previous);
        let Some(held) = all.find(|held| held.id == kek_id) else {
            if is_set(kek_id) {
                return Err(KeyEncryptionError::unavailable(
                    "a key was wrapped for several recipients, give this host Recipients::new() of \
                     its key",
                ));
            }
            return Err(KeyEncryptionError::permanent(format!(
                "a key was wrapped by {kek_id:?}, which this host does not have; give it with \
                 and_previous()"
            )));
        };
        let refused = || KeyEncryptionError::permanent("a wrapped key was changed or swapped");
        let (nonce, rest) = blob.split_first_chunk::<NONCE>().ok_or_else(refused)?;
        let (sealed, tag) = rest.split_last_chunk::<TAG>().ok_or_else(refused)?;
        let mut material = sealed.to_vec();
        if held.cipher.open(nonce, context, &mut material, tag) {
            Ok(material)
        } else {
            material.zeroize();
            Err(refused())
        }
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("id", &self.current.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo sets the variable.
    #[test]
    fn what_is_no_key_says_where_it_came_from() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (key, place) in [
            (LocalKey::from_env("CARGO_PKG_NAME"), "CARGO_PKG_NAME"),
            (LocalKey::from_file(manifest), manifest),
        ] {
            let text = key.expect_err("no key").to_string();
            assert!(text.contains(place) && text.contains("openssl rand"), "{text}");
        }
    }

    #[tokio::test]
    async fn unwraps_what_it_wrapped_in_the_same_context_only() {
        let key = LocalKey::from_bytes([1; 32]);
        let wrapped = key.wrap(&[9; 32], b"context").await.unwrap();
        let open =
            async |id: &str, blob: &[u8], context: &[u8]| key.unwrap(id, blob, context).await;
        assert_eq!(open(&wrapped.kek_id, &wrapped.blob, b"context").await.unwrap(), [9; 32]);
        assert!(open(&wrapped.kek_id, &wrapped.blob, b"other").await.is_err());
        assert!(open("local:other", &wrapped.blob, b"context").await.is_err());
        for at in 0..wrapped.blob.len() {
            let mut blob = wrapped.blob.clone();
            blob[at] ^= 1;
            assert!(open(&wrapped.kek_id, &blob, b"context").await.is_err());
            assert!(open(&wrapped.kek_id, &blob[..at], b"context").await.is_err());
        }
    }

    #[tokio::test]
    async fn a_new_key_unwraps_what_the_previous_ones_wrapped() {
        let wrapped = LocalKey::from_bytes([1; 32]).wrap(&[9; 32], b"c").await.unwrap();
        let second = LocalKey::from_bytes([2; 32]).and_previous(LocalKey::from_bytes([1; 32]));
        let third = LocalKey::from_bytes([3; 32]).and_previous(second);
        assert!(third.unwrap(&wrapped.kek_id, &wrapped.blob, b"c").await.is_ok());
        assert_ne!(third.wrap(&[9; 32], b"c").await.unwrap().kek_id, wrapped.kek_id);
    }
}
