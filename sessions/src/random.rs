//! Where randomness comes from: the operating system for ids and keys, a fast generator for
//! nonces and jitter.

use rand::rngs::OsRng;
use rand::{RngCore, TryRngCore};

use crate::error::Error;

/// The source of randomness of a codec or store. Cheap to clone; a test's is seeded.
#[derive(Clone, Default)]
pub(crate) struct Random {
    #[cfg(any(test, feature = "testing"))]
    seeded: Option<std::sync::Arc<std::sync::Mutex<Seeded>>>,
}

/// A test's source.
#[cfg(any(test, feature = "testing"))]
struct Seeded {
    rng: rand::rngs::StdRng,
    /// The ids and keys that were drawn.
    secrets: Vec<Vec<u8>>,
}

impl Random {
    /// Bytes that must stay unique or unpredictable for years: ids and keys. They come from the
    /// operating system.
    ///
    /// # Errors
    /// When the operating system's generator fails.
    pub(crate) fn secret<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        #[cfg(any(test, feature = "testing"))]
        if self.fill_seeded(&mut bytes, true) {
            return Ok(bytes);
        }
        OsRng.try_fill_bytes(&mut bytes).map_err(Error::unavailable)?;
        Ok(bytes)
    }

    /// Bytes for a nonce, from this thread's generator: ChaCha, seeded and reseeded by the
    /// operating system.
    pub(crate) fn nonce<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        #[cfg(any(test, feature = "testing"))]
        if self.fill_seeded(&mut bytes, false) {
            return bytes;
        }
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `end`, for jitter: the bias of a plain remainder does not matter there.
    pub(crate) fn below(&self, end: u64) -> u64 {
        u64::from_le_bytes(self.nonce()) % end.max(1)
    }
}

#[cfg(any(test, feature = "testing"))]
impl Random {
    /// The same bytes in every run.
    pub(crate) fn seeded(seed: u64) -> Self {
        use rand::SeedableRng;
        let rng = rand::rngs::StdRng::seed_from_u64(seed);
        let seeded = Seeded { rng, secrets: Vec::new() };
        Self { seeded: Some(std::sync::Arc::new(std::sync::Mutex::new(seeded))) }
    }

    fn fill_seeded(&self, bytes: &mut [u8], secret: bool) -> bool {
        let Some(seeded) = &self.seeded else { return false };
        let mut seeded = seeded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seeded.rng.fill_bytes(bytes);
        if secret {
            seeded.secrets.push(bytes.to_vec());
        }
        true
    }

    /// The ids and keys that a seeded source has given.
    #[cfg(feature = "testing")]
    pub(crate) fn drawn(&self) -> Vec<Vec<u8>> {
        let Some(seeded) = &self.seeded else { return Vec::new() };
        seeded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).secrets.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_source_repeats_and_the_systems_does_not() {
        let (one, two) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(one.nonce::<24>(), two.nonce::<24>());
        assert_eq!(one.secret::<32>().unwrap(), two.secret::<32>().unwrap());
        let system = Random::default();
        assert_ne!(system.nonce::<24>(), system.nonce::<24>());
        assert_ne!(system.secret::<16>().unwrap(), system.secret::<16>().unwrap());
        assert_eq!(system.below(1), 0);
        assert_eq!(system.below(0), 0);
    }
}
