//! The key ring as a value: keys, their times, and how two copies of one ring merge.

use std::fmt;
use std::sync::{Arc, OnceLock};

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto::purpose::Purpose;
use crate::crypto::xaes::Xaes;

/// The most keys that a ring holds.
pub(crate) const MAX_KEYS: usize = 64;

/// The name of a key in tokens: the lowest 16 bits of the generation that created it, and 16 random
/// bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(u32);

impl KeyId {
    pub(super) fn new(generation: u64, random: [u8; 2]) -> Self {
        let [.., high, low] = generation.to_be_bytes();
        Self(u32::from_be_bytes([high, low, random[0], random[1]]))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Returns how many generations this key is ahead of `generation`. It is zero if the key is not
    /// ahead, or implausibly far. It is correct across the wrap at 16 bits.
    pub(super) fn ahead_of(self, generation: u64) -> u16 {
        let [a, b, _, _] = self.to_bytes();
        let [.., high, low] = generation.to_be_bytes();
        let ahead = u16::from_be_bytes([a, b]).wrapping_sub(u16::from_be_bytes([high, low]));
        if ahead <= MAX_AHEAD { ahead } else { 0 }
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How far ahead of this host's ring a key may plausibly be.
const MAX_AHEAD: u16 = 64;

/// 32 secret bytes, wiped when they are dropped.
pub(crate) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

/// A key's material and the ciphers that were derived from it.
pub(crate) struct RootKey {
    secret: Secret,
    ring: RingId,
    /// The ciphers, filled from the front. Every request reads them without a lock.
    derived: [OnceLock<(Purpose, Box<Xaes>)>; MAX_DERIVED],
}

impl RootKey {
    pub(super) fn new(ring: RingId, secret: Secret) -> Self {
        Self { secret, ring, derived: Default::default() }
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Calls `with` on the cipher of a purpose, derived on its first use.
    pub(crate) fn with_cipher<R>(
        &self,
        app: &str,
        purpose: &Purpose,
        with: impl FnOnce(&Xaes) -> R,
    ) -> R {
        for slot in &self.derived {
            let (known, cipher) = slot.get_or_init(|| {
                let xaes = derive(&self.secret, &self.ring, app, purpose);
                (purpose.clone(), Box::new(xaes))
            });
            if known == purpose {
                return with(cipher);
            }
        }
        with(&derive(&self.secret, &self.ring, app, purpose))
    }
}

/// Further purposes are derived on each use, because purposes are meant to be few.
const MAX_DERIVED: usize = 16;

fn derive(secret: &Secret, ring: &RingId, app: &str, purpose: &Purpose) -> Xaes {
    let mut info = b"sessions/v1".to_vec();
    for part in [app, purpose.kind(), purpose.name()] {
        info.extend_from_slice(&(part.len() as u64).to_be_bytes());
        info.extend_from_slice(part.as_bytes());
    }
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are one block of HKDF's output, of at most 255.
    let expanded = Hkdf::<Sha256>::new(Some(ring), secret.bytes()).expand(&info, &mut *key);
    debug_assert!(expanded.is_ok());
    Xaes::new(&key)
}

/// The id of a ring. It distinguishes separate rings, such as those of two databases.
pub(crate) type RingId = [u8; 16];

/// The material of a key as stored, and opened if possible.
#[derive(Clone)]
pub(super) enum Material {
    /// An emergency rotation erased it. The mark stays until the key expires, so that no old copy
    /// of the ring restores the key.
    Erased,
    /// Stored in plaintext.
    Plain(Arc<RootKey>),
    /// Stored under a key-encryption key.
    Wrapped(Wrapped, Opened),
}

/// Bytes under a key-encryption key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) kek: Arc<str>,
    pub(super) blob: Arc<[u8]>,
}

/// Whether wrapped material could be unwrapped.
#[derive(Clone)]
pub(super) enum Opened {
    Ready(Arc<RootKey>),
    /// Not yet, or the key service is down.
    Unavailable,
    /// The key service refused it permanently.
    Broken,
}

/// A key of the ring. Times are seconds since 1970.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) created: u64,
    /// When the key starts to seal.
    pub(super) activate: u64,
    /// When its successor takes over. It may seal for the grace period after that.
    pub(super) retire: u64,
    /// When no valid token can name it any more.
    pub(super) expire: u64,
    pub(super) material: Material,
}

impl Key {
    pub(super) fn root(&self) -> Option<&Arc<RootKey>> {
        match &self.material {
            Material::Plain(root) | Material::Wrapped(_, Opened::Ready(root)) => Some(root),
            Material::Erased | Material::Wrapped(..) => None,
        }
    }

    pub(super) fn is_erased(&self) -> bool {
        matches!(self.material, Material::Erased)
    }

    /// Whether the key is only temporarily unavailable.
    pub(super) fn is_unavailable(&self) -> bool {
        matches!(self.material, Material::Wrapped(_, Opened::Unavailable))
    }

    fn stored_eq(&self, other: &Self) -> bool {
        let times = |key: &Self| (key.id, key.created, key.activate, key.retire, key.expire);
        times(self) == times(other)
            && match (&self.material, &other.material) {
                (Material::Erased, Material::Erased) => true,
                (Material::Plain(a), Material::Plain(b)) => a.secret == b.secret,
                (Material::Wrapped(a, _), Material::Wrapped(b, _)) => a == b,
                _ => false,
            }
    }
}

/// The key that authenticates a record, wrapped beside the keys.
#[derive(Clone)]
pub(super) struct MacKey {
    pub(super) wrapped: Wrapped,
    pub(super) secret: Arc<Secret>,
}

/// A ring of keys.
#[derive(Clone)]
pub(super) struct Ring {
    pub(super) id: RingId,
    /// A number that every write raises.
    pub(super) generation: u64,
    /// Present only in a ring under a key-encryption key.
    pub(super) mac: Option<MacKey>,
    /// The newest first.
    pub(super) keys: Vec<Key>,
}

impl Ring {
    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    pub(super) fn sort(&mut self) {
        self.keys.sort_by_key(|key| std::cmp::Reverse((key.activate, key.created, key.id)));
    }

    /// Drops keys until one more fits: first erased keys, then those that expire first.
    pub(super) fn make_room(&mut self) {
        while self.keys.len() >= MAX_KEYS {
            let least =
                self.keys.iter().enumerate().min_by_key(|(_, k)| (!k.is_erased(), k.expire));
            let Some((at, _)) = least else { return };
            self.keys.remove(at);
        }
    }

    /// Whether both are stored as the same record, except for their generation.
    pub(super) fn stored_eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.mac.as_ref().map(|mac| &mac.wrapped)
                == other.mac.as_ref().map(|mac| &mac.wrapped)
            && self.keys.len() == other.keys.len()
            && self.keys.iter().zip(&other.keys).all(|(a, b)| a.stored_eq(b))
    }

    /// Merges the keys that this host holds into the stored ring of the same id: the keys of both,
    /// the later times, the erasures of both, the encryption of the later generation. Drops expired
    /// keys.
    pub(super) fn join(mut self, held: &Self, now: u64) -> Self {
        // An old copy that somebody puts back must not bring back a key-encryption key, or leave
        // out a recipient.
        let newer = held.generation > self.generation;
        if newer && held.mac.is_some() {
            self.mac.clone_from(&held.mac);
        }
        for theirs in &held.keys {
            let Some(mine) = self.keys.iter_mut().find(|key| key.id == theirs.id) else {
                if theirs.expire > now {
                    self.keys.push(theirs.clone());
                }
                continue;
            };
            mine.activate = mine.activate.max(theirs.activate);
            mine.retire = mine.retire.max(theirs.retire);
            mine.expire = mine.expire.max(theirs.expire);
            match (&mine.material, &theirs.material) {
                (_, Material::Erased) => mine.material = Material::Erased,
                // Keep keys that are already opened and derived.
                (Material::Plain(a), Material::Plain(b)) if a.secret == b.secret => {
                    mine.material = theirs.material.clone();
                }
                (
                    Material::Plain(_) | Material::Wrapped(..),
                    Material::Wrapped(_, Opened::Ready(_)),
                ) if newer => mine.material = theirs.material.clone(),
                (Material::Wrapped(wrapped, _), _) => {
                    // It is the same key, even if it was encrypted again, because ids are never
                    // reused.
                    if let Some(root) = theirs.root() {
                        let opened = Opened::Ready(root.clone());
                        mine.material = Material::Wrapped(wrapped.clone(), opened);
                    }
                }
                _ => {}
            }
        }
        while self.keys.len() > MAX_KEYS {
            self.make_room();
        }
        self.sort();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, expire: u64, byte: u8) -> Key {
        let material = Material::Plain(Arc::new(RootKey::new([0; 16], Secret::new([byte; 32]))));
        let id = KeyId::from_bytes([0, id, 0, 0]);
        Key { id, created: 0, activate: id.0.into(), retire: 90, expire, material }
    }

    fn ring(generation: u64, keys: Vec<Key>) -> Ring {
        let mut ring = Ring { id: [0; 16], generation, mac: None, keys };
        ring.sort();
        ring
    }

    #[test]
    fn an_id_tells_how_far_ahead_it_is_also_across_the_wrap() {
        let id = |generation| KeyId::new(generation, [0xff; 2]);
        assert_eq!(id(7).ahead_of(7), 0);
        assert_eq!(id(7).ahead_of(8), 0);
        assert_eq!(id(8).ahead_of(7), 1);
        assert_eq!(id(71).ahead_of(7), 64);
        assert_eq!(id(72).ahead_of(7), 0);
        assert_eq!(id(0x1_0003).ahead_of(0xffff), 4);
        assert_eq!(id(0xffff).ahead_of(0x1_0003), 0);
    }

    #[test]
    fn rings_join_to_the_union_of_their_keys_the_later_times_and_the_erasures_of_both() {
        let mut stored = ring(9, vec![key(1, 100, 1), key(2, 100, 2), key(3, 100, 3)]);
        let mut held = ring(8, vec![key(2, 200, 2), key(3, 50, 3), key(4, 100, 4), key(5, 60, 5)]);
        stored.keys.iter_mut().find(|key| key.expire == 100).unwrap().material = Material::Erased;
        held.keys.iter_mut().find(|key| key.expire == 200).unwrap().material = Material::Erased;
        let joined = stored.join(&held, 60);
        let seen: Vec<_> =
            joined.keys.iter().map(|key| (key.id.0 >> 16, key.expire, key.is_erased())).collect();
        // The newest first; key 5 had expired.
        let all = [(4, 100, false), (3, 100, true), (2, 200, true), (1, 100, false)];
        assert_eq!(seen, all);
    }

    #[test]
    fn rings_join_under_the_key_encryption_key_of_the_later_generation() {
        let under = |kek: &str, generation| {
            let wrapped = Wrapped { kek: kek.into(), blob: [1].into() };
            let root = Arc::new(RootKey::new([0; 16], Secret::new([1; 32])));
            let mut key = key(1, 100, 1);
            key.material = Material::Wrapped(wrapped.clone(), Opened::Ready(root));
            let mac = Some(MacKey { wrapped, secret: Arc::new(Secret::new([2; 32])) });
            Ring { mac, ..ring(generation, vec![key]) }
        };
        let keks = |ring: Ring| {
            let Material::Wrapped(wrapped, Opened::Ready(_)) = &ring.keys[0].material else {
                panic!("the key is not wrapped");
            };
            (wrapped.kek.to_string(), ring.mac.unwrap().wrapped.kek.to_string())
        };
        let of = |kek: &str| (kek.to_owned(), kek.to_owned());
        assert_eq!(keks(under("stored", 8).join(&under("held", 9), 60)), of("held"));
        assert_eq!(keks(under("stored", 9).join(&under("held", 9), 60)), of("stored"));
        assert_eq!(keks(under("stored", 9).join(&under("held", 8), 60)), of("stored"));
        let mut erased = under("stored", 8);
        erased.keys[0].material = Material::Erased;
        assert!(erased.join(&under("held", 9), 60).keys[0].is_erased());
        // What this host could not open does not replace what it may open.
        let mut closed = under("held", 9);
        let wrapped = Wrapped { kek: "held".into(), blob: [1].into() };
        closed.keys[0].material = Material::Wrapped(wrapped, Opened::Broken);
        assert_eq!(keks(under("stored", 8).join(&closed, 60)).0, "stored");
    }

    #[test]
    fn room_is_made_by_erased_keys_first_then_by_those_that_expire_first() {
        let mut keys: Vec<_> = (0..64).map(|at| key(at, 1000 + u64::from(at), at)).collect();
        keys[40].material = Material::Erased;
        let mut ring = ring(1, keys);
        ring.make_room();
        assert!(ring.keys.len() == 63 && ring.find(KeyId::from_bytes([0, 40, 0, 0])).is_none());
        ring.keys.push(key(70, 2000, 0));
        ring.make_room();
        assert!(ring.keys.len() == 63 && ring.find(KeyId::from_bytes([0, 0, 0, 0])).is_none());
    }

    #[test]
    fn a_cipher_is_bound_to_ring_app_purpose_and_kind() {
        let root = |ring| RootKey::new([ring; 16], Secret::new([1; 32]));
        let tag = |root: &RootKey, app: &str, purpose: &Purpose| {
            root.with_cipher(app, purpose, |xaes| xaes.seal(&[0; 24], b"", &mut [0; 4]))
        };
        let (one, other) = (root(1), root(2));
        let reset = Purpose::new("reset");
        let mut tags = vec![
            tag(&one, "app", &reset),
            tag(&one, "app", &Purpose::new("rese")),
            tag(&one, "app", &Purpose::session("reset")),
            tag(&other, "app", &reset),
        ];
        assert_eq!(tags[0], tag(&one, "app", &Purpose::new("reset")), "cached or not");
        // The app is the same for all tokens of a ring, so the cache does not include it.
        tags.push(tag(&root(1), "ap", &Purpose::new("preset")));
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 5);
    }

    #[test]
    fn purposes_beyond_the_cache_work_too() {
        let root = RootKey::new([1; 16], Secret::new([1; 32]));
        let tag = |at: usize| {
            let purpose = Purpose::new(&format!("purpose {at}"));
            root.with_cipher("app", &purpose, |xaes| xaes.seal(&[0; 24], b"", &mut [0; 4]))
        };
        let first: Vec<_> = (0..2 * MAX_DERIVED).map(tag).collect();
        let second: Vec<_> = (0..2 * MAX_DERIVED).map(tag).collect();
        assert_eq!(first, second);
    }

    #[test]
    fn secrets_cannot_be_cloned_or_shown() {
        // Each function compiles only while the type lacks the trait: with it, the inherent
        // choice below would be ambiguous.
        trait Ambiguous<A> {
            fn check() {}
        }
        struct Shown;
        struct Cloned;
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: fmt::Debug> Ambiguous<Shown> for T {}
        impl<T: Clone> Ambiguous<Cloned> for T {}
        <Secret as Ambiguous<_>>::check();
        <RootKey as Ambiguous<_>>::check();
        <Xaes as Ambiguous<_>>::check();
    }
}
