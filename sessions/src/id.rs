//! The names of a session: the id and the secret in its cookie, and the key in the store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::Error;
use crate::random::Random;

/// 16 random bytes that only the browser has, sealed in its cookie.
macro_rules! random_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub(crate) struct $name(u128);

        impl $name {
            pub(crate) const LENGTH: usize = 16;

            /// From the operating system's generator (OWASP ASVS 5, 7.2.3).
            pub(crate) fn random(random: &Random) -> Result<Self, Error> {
                random.secret().map(Self::from_bytes)
            }

            pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }

            pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; Self::LENGTH]> {
                Zeroizing::new(self.0.to_be_bytes())
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

random_bytes! {
    /// The id of a session. It stays the same from the first save to the end. The store key is its
    /// hash.
    SessionId
}

random_bytes! {
    /// The proof that a cookie belongs to a session. A renewal replaces it; the record holds its
    /// hash.
    Secret
}

/// The hash of a [`Secret`], as the record holds it. Comparison takes constant time.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; SecretHash::LENGTH]);

impl SecretHash {
    /// 128 bits, as many as the secret has.
    pub(crate) const LENGTH: usize = 16;

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// The random mark of an owner's fence, which [`Store::revoke_all`](crate::Store::revoke_all) of
/// that owner writes. It is not secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; Mark::LENGTH]);

impl Mark {
    pub(crate) const LENGTH: usize = 16;

    pub(crate) fn random(random: &Random) -> Self {
        Self(random.nonce())
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({:032x})", u128::from_be_bytes(self.0))
    }
}

/// The key under which the store keeps a session: a hash of its id. It stays the same from the
/// session's first save to its end, across logins and renewals.
///
/// It is safe to show, to log and to put into a form: nobody can make a cookie from it. Derive no
/// secret from it; [`Session::binding`](crate::Session::binding) is for that. It names a session in
/// [`Store::list`](crate::Store::list), [`Store::revoke`](crate::Store::revoke) and
/// [`Store::update`](crate::Store::update). serde serializes it as its text.
///
/// ```
/// use sessions::StoreKey;
///
/// let text = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k";
/// let key: StoreKey = text.parse()?;
/// assert_eq!(key.to_string(), text);
/// assert!("../etc/passwd".parse::<StoreKey>().is_err());
/// # Ok::<(), sessions::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey([u8; StoreKey::CHARS]);

impl StoreKey {
    /// 43 characters of base64url: 256 bits.
    pub(crate) const CHARS: usize = 43;

    /// Returns the key as text.
    ///
    /// ```
    /// # let text = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k";
    /// let key: sessions::StoreKey = text.parse()?;
    /// assert_eq!(key.as_str(), text);
    /// # Ok::<(), sessions::Error>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor accepts only characters of base64url.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.as_str().into()
    }
}

impl FromStr for StoreKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        match text.as_bytes().try_into() {
            Ok(chars) if text.as_bytes().iter().all(known) => Ok(Self(chars)),
            _ => Err(Error::InvalidKey),
        }
    }
}

impl Serialize for StoreKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StoreKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.as_str())
    }
}

/// Hashes the ids, or the secrets, of one app and session type. A hash of one type never equals
/// that of another.
#[derive(Clone)]
pub(crate) struct KeyHasher(Sha256);

impl KeyHasher {
    pub(crate) fn new(domain: &str, app: &str, name: &str) -> Self {
        let mut hash = Sha256::new();
        for part in ["sessions/v1", domain, app, name] {
            // One byte is enough, because app and name have at most 64 bytes. It keeps the hash of
            // an id within one block.
            hash.update([u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            hash.update(part);
        }
        Self(hash)
    }

    /// The first half of the hash.
    pub(crate) fn half(&self, input: &[u8]) -> [u8; 16] {
        let digest = self.0.clone().chain_update(input).finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn key(&self, input: &[u8]) -> StoreKey {
        let digest = self.0.clone().chain_update(input).finalize();
        let mut text = [b'-'; StoreKey::CHARS];
        // 32 bytes always make 43 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(digest, &mut text);
        StoreKey(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_their_debug_is_redacted() {
        let [one, other] = [(); 2].map(|()| SessionId::random(&Random::default()).unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "SessionId(..)");
    }

    #[test]
    fn keys_differ_by_app_name_domain_and_id() {
        let key = |domain, app, name, id: u8| KeyHasher::new(domain, app, name).key(&[id; 16]);
        let base = key("session", "app", "visitor", 1);
        assert_eq!(base, key("session", "app", "visitor", 1));
        assert_eq!(base.as_str().len(), 43);
        for other in [
            key("fence", "app", "visitor", 1),
            key("session", "apps", "visitor", 1),
            key("session", "app", "cart", 1),
            key("session", "app", "visitor", 2),
            key("session", "appv", "isitor", 1),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_key_survives_text_and_refuses_anything_else() {
        let key = KeyHasher::new("session", "app", "visitor").key(b"x");
        assert_eq!(key.to_string().parse::<StoreKey>().unwrap(), key);
        for wrong in ["", "short", &"a".repeat(44), &"/".repeat(43), &"é".repeat(22)] {
            assert!(wrong.parse::<StoreKey>().is_err(), "{wrong}");
        }
    }
}
