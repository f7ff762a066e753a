//! What the sealed texts of a device binding say: the session's identifier, the challenges, and the
//! proof in the bound cookie. None needs state on the server.

use crate::crypto::purpose::Purpose;
use crate::device_key::BindingId;
use crate::id::{SecretHash, StoreKey};

/// What the identifiers of bound sessions are sealed for.
pub(crate) fn identifier_purpose() -> Purpose {
    Purpose::device("device identifier", "")
}

/// What challenges are sealed for.
pub(crate) fn challenge_purpose() -> Purpose {
    Purpose::device("device challenge", "")
}

/// What the proof in a cookie of this name is sealed for.
pub(crate) fn proof_purpose(cookie_name: &str) -> Purpose {
    Purpose::device("device proof", cookie_name)
}

/// The session type and the key of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) session: String,
    pub(crate) key: StoreKey,
}

/// The identifier under which a browser keeps a bound session. It names the session, so that a
/// refresh without any cookie finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier {
    pub(crate) named: Named,
    pub(crate) binding: BindingId,
}

/// What a proof has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// The registration of a session, and a part of the hash of the secret that it had.
    Register { named: Named, secret: [u8; SECRET] },
    /// The refresh of a binding.
    Refresh { binding: BindingId },
}

impl Named {
    fn put(&self, out: &mut Vec<u8>) {
        // A session type's name has at most 64 bytes.
        out.push(u8::try_from(self.session.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.session.as_bytes());
        out.extend_from_slice(self.key.as_str().as_bytes());
    }

    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first()?;
        let (session, rest) = rest.split_at_checked(usize::from(*length))?;
        let (key, rest) = rest.split_at_checked(StoreKey::CHARS)?;
        let session = std::str::from_utf8(session).ok()?.to_owned();
        let key = std::str::from_utf8(key).ok()?.parse().ok()?;
        Some((Self { session, key }, rest))
    }
}

impl Identifier {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.named.put(&mut out);
        out.extend_from_slice(self.binding.as_bytes());
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (named, rest) = Named::parse(bytes)?;
        Some(Self { named, binding: BindingId::from_bytes(rest.try_into().ok()?) })
    }
}

impl Challenge {
    /// The challenge of a session that may be registered.
    pub(crate) fn register(named: Named, secret: SecretHash) -> Self {
        Self::Register { named, secret: part(secret) }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Register { named, secret } => {
                out.push(REGISTER);
                named.put(&mut out);
                out.extend_from_slice(secret);
            }
            Self::Refresh { binding } => {
                out.push(REFRESH);
                out.extend_from_slice(binding.as_bytes());
            }
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            REGISTER => {
                let (named, secret) = Named::parse(rest)?;
                Some(Self::Register { named, secret: secret.try_into().ok()? })
            }
            REFRESH => {
                Some(Self::Refresh { binding: BindingId::from_bytes(rest.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

/// Returns the part of a secret's hash that a challenge has.
pub(crate) fn part(secret: SecretHash) -> [u8; SECRET] {
    secret.as_bytes().first_chunk().copied().unwrap_or_default()
}

const REGISTER: u8 = 0;
const REFRESH: u8 = 1;
const SECRET: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        let key = "rIzFhEBBR0tLtLGF5jQGBqzTq2J5ZCg0xTqHc6kZT5k".parse().unwrap();
        Named { session: "visitor".to_owned(), key }
    }

    #[test]
    fn each_is_read_as_it_was_written_and_nothing_else_is() {
        let binding = BindingId::from_bytes([7; 16]);
        let identifier = Identifier { named: named(), binding };
        let bytes = identifier.to_bytes();
        assert_eq!(Identifier::parse(&bytes), Some(identifier));
        assert_eq!(bytes.len(), 1 + 7 + 43 + 16);
        for end in 0..bytes.len() {
            assert_eq!(Identifier::parse(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Identifier::parse(&[&bytes[..], b"x"].concat()), None);

        let secret = SecretHash::from_bytes([5; 16]);
        for challenge in [Challenge::register(named(), secret), Challenge::Refresh { binding }] {
            let bytes = challenge.to_bytes();
            assert_eq!(Challenge::parse(&bytes), Some(challenge));
            for end in 0..bytes.len() {
                assert_eq!(Challenge::parse(&bytes[..end]), None, "cut at {end}");
            }
            assert_eq!(Challenge::parse(&[&bytes[..], b"x"].concat()), None);
        }
        assert_eq!(Challenge::parse(&[2; 17]), None);
    }
}
