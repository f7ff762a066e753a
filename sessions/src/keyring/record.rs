//! The stored form of a ring.
//!
//! Numbers are big-endian. `bytes` is a 16-bit length and that many bytes.
//!
//! | field | length |
//! |---|---|
//! | version, 1 | 1 |
//! | ring id | 16 |
//! | generation | 8 |
//! | 0, or 1 and the wrapped MAC key: key-encryption key's id, blob | 1 + bytes + bytes |
//! | number of keys | 1 |
//! | each key: id, created, activate, retire, expire | 4 + 4 x 8 |
//! | its material: 0 erased; 1 and the key; 2, key-encryption key's id, blob | 1 + ... |
//! | HMAC-SHA256 of all before it, if there is a MAC key | 32 |

use std::sync::Arc;

use super::ring::{Key, KeyId, MAX_KEYS, Material, Opened, Ring, RingId, RootKey, Secret, Wrapped};

const VERSION: u8 = 1;
/// The `format` of a record, for operators.
pub(super) const FORMAT: &str = "keyring/1";

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A newer build wrote it, so it must not be overwritten.
    Newer,
    /// No build writes such a record.
    Damaged,
}

/// A parsed record. Nothing in it is unwrapped or verified yet.
pub(super) struct Stored {
    pub(super) id: RingId,
    pub(super) generation: u64,
    pub(super) mac: Option<StoredMac>,
    pub(super) keys: Vec<Key>,
}

/// The authentication of a record.
pub(super) struct StoredMac {
    pub(super) key: Wrapped,
    pub(super) tag: [u8; 32],
    /// How many bytes of the record it covers.
    pub(super) covered: usize,
}

/// Returns the bytes of a ring, without the authentication that may follow them.
pub(super) fn encode(ring: &Ring) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + ring.keys.len() * 128);
    out.push(VERSION);
    out.extend_from_slice(&ring.id);
    out.extend_from_slice(&ring.generation.to_be_bytes());
    match &ring.mac {
        None => out.push(0),
        Some(mac) => {
            out.push(1);
            put_wrapped(&mut out, &mac.wrapped);
        }
    }
    debug_assert!(ring.keys.len() <= MAX_KEYS);
    out.push(u8::try_from(ring.keys.len()).unwrap_or(u8::MAX));
    for key in &ring.keys {
        out.extend_from_slice(&key.id.to_bytes());
        for time in [key.created, key.activate, key.retire, key.expire] {
            out.extend_from_slice(&time.to_be_bytes());
        }
        match &key.material {
            Material::Erased => out.push(0),
            Material::Plain(root) => {
                out.push(1);
                out.extend_from_slice(root.secret().bytes());
            }
            Material::Wrapped(wrapped, _) => {
                out.push(2);
                put_wrapped(&mut out, wrapped);
            }
        }
    }
    out
}

/// Reads a record. Accepts exactly what [`encode`] writes, and allocates at most its size.
pub(super) fn decode(data: &[u8]) -> Result<Stored, Unreadable> {
    match data.first() {
        Some(&VERSION) => {}
        Some(&version) if version > VERSION => return Err(Unreadable::Newer),
        _ => return Err(Unreadable::Damaged),
    }
    read(&mut Reader { data, at: 1 }).ok_or(Unreadable::Damaged)
}

fn read(reader: &mut Reader<'_>) -> Option<Stored> {
    let id = reader.array()?;
    let generation = u64::from_be_bytes(reader.array()?);
    let mac_key = match reader.byte()? {
        0 => None,
        1 => Some(reader.wrapped()?),
        _ => return None,
    };
    let count = usize::from(reader.byte()?);
    if count > MAX_KEYS {
        return None;
    }
    let keys = (0..count).map(|_| read_key(reader, id)).collect::<Option<Vec<_>>>()?;
    let ordered = |pair: &[Key]| {
        let order = |key: &Key| (key.activate, key.created, key.id);
        order(&pair[0]) > order(&pair[1])
    };
    let known = |key: &Key, before: &[Key]| before.iter().any(|other| other.id == key.id);
    let repeated = keys.iter().enumerate().any(|(at, key)| known(key, &keys[..at]));
    if repeated || !keys.windows(2).all(ordered) {
        return None;
    }
    let covered = reader.at;
    let mac = match mac_key {
        None => None,
        Some(key) => Some(StoredMac { key, tag: reader.array()?, covered }),
    };
    (reader.at == reader.data.len()).then_some(Stored { id, generation, mac, keys })
}

fn read_key(reader: &mut Reader<'_>, ring: RingId) -> Option<Key> {
    let id = KeyId::from_bytes(reader.array()?);
    let mut times = [0; 4];
    for time in &mut times {
        *time = u64::from_be_bytes(reader.array()?);
    }
    let [created, activate, retire, expire] = times;
    if activate > retire || retire > expire {
        return None;
    }
    let material = match reader.byte()? {
        0 => Material::Erased,
        1 => Material::Plain(Arc::new(RootKey::new(ring, Secret::new(reader.array()?)))),
        2 => Material::Wrapped(reader.wrapped()?, Opened::Unavailable),
        _ => return None,
    };
    Some(Key { id, created, activate, retire, expire, material })
}

fn put_wrapped(out: &mut Vec<u8>, wrapped: &Wrapped) {
    for bytes in [wrapped.kek.as_bytes(), &wrapped.blob] {
        // The length of wrapped material is checked where it is made.
        debug_assert!(bytes.len() <= usize::from(u16::MAX));
        out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
    }
}

struct Reader<'d> {
    data: &'d [u8],
    at: usize,
}

impl<'d> Reader<'d> {
    fn take(&mut self, length: usize) -> Option<&'d [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.data.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Option<&'d [u8]> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn wrapped(&mut self) -> Option<Wrapped> {
        let kek = std::str::from_utf8(self.bytes()?).ok()?.into();
        Some(Wrapped { kek, blob: self.bytes()?.into() })
    }
}

/// The keys of a stored ring that are not erased: id, activation, retirement.
#[cfg(test)]
pub(crate) fn stored_keys(data: &[u8]) -> Vec<(KeyId, u64, u64)> {
    let keys = decode(data).map(|stored| stored.keys).unwrap_or_default();
    let live = keys.iter().filter(|key| !key.is_erased());
    live.map(|key| (key.id, key.activate, key.retire)).collect()
}

/// What somebody writes into the database who cannot unwrap a key: the wrapped key at each place (0
/// is the one that authenticates the record) is changed, and the tag stays.
#[cfg(test)]
pub(crate) fn with_wrapped(
    data: &[u8],
    change: impl Fn(usize, &str, &[u8]) -> (String, Vec<u8>),
) -> Vec<u8> {
    let Ok(Stored { id, generation, mac: Some(mac), keys }) = decode(data) else {
        panic!("not a ring under a key-encryption key");
    };
    let changed = |place, wrapped: &Wrapped| {
        let (kek, blob) = change(place, &wrapped.kek, &wrapped.blob);
        Wrapped { kek: kek.into(), blob: blob.into() }
    };
    let secret = Arc::new(Secret::new([0; 32]));
    let mac_key = super::ring::MacKey { wrapped: changed(0, &mac.key), secret };
    let mut ring = Ring { id, generation, mac: Some(mac_key), keys };
    for (at, key) in ring.keys.iter_mut().enumerate() {
        if let Material::Wrapped(wrapped, _) = &mut key.material {
            *wrapped = changed(at + 1, wrapped);
        }
    }
    [encode(&ring), mac.tag.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::ring::MacKey;
    use super::*;

    fn key(id: u8, activate: u64, material: Material) -> Key {
        let id = KeyId::from_bytes([0, 1, 0, id]);
        Key { id, created: 5, activate, retire: activate + 10, expire: activate + 20, material }
    }

    fn plain(byte: u8) -> Material {
        Material::Plain(Arc::new(RootKey::new([3; 16], Secret::new([byte; 32]))))
    }

    fn wrapped() -> Wrapped {
        Wrapped { kek: "kms/7".into(), blob: [9; 60].into() }
    }

    fn ring(encrypted: bool) -> Ring {
        let secret = Arc::new(Secret::new([8; 32]));
        let material = Material::Wrapped(wrapped(), Opened::Unavailable);
        Ring {
            id: [3; 16],
            generation: 258,
            mac: encrypted.then(|| MacKey { wrapped: wrapped(), secret }),
            keys: vec![key(3, 30, material), key(2, 20, Material::Erased), key(1, 10, plain(7))],
        }
    }

    #[test]
    fn the_bytes_of_a_record_are_pinned() {
        let mut plain_ring = ring(false);
        plain_ring.keys.remove(0);
        let mut expected = vec![1];
        expected.extend([3; 16]);
        expected.extend([0, 0, 0, 0, 0, 0, 1, 2, 0, 2]);
        for (id, activate) in [(2, 20), (1, 10)] {
            expected.extend([0, 1, 0, id]);
            for time in [5, activate, activate + 10, activate + 20] {
                expected.extend([0, 0, 0, 0, 0, 0, 0, time]);
            }
            expected.extend(if id == 2 { vec![0] } else { [vec![1], vec![7; 32]].concat() });
        }
        assert_eq!(encode(&plain_ring), expected);
    }

    #[test]
    fn records_round_trip_and_nothing_else_is_read() {
        for encrypted in [false, true] {
            let ring = ring(encrypted);
            let mut data = encode(&ring);
            if encrypted {
                data.extend([4; 32]);
            }
            let read = decode(&data).unwrap();
            assert_eq!(read.generation, 258);
            assert_eq!(read.mac.as_ref().map(|mac| mac.tag), encrypted.then_some([4; 32]));
            assert_eq!(
                read.mac.as_ref().map(|mac| mac.covered),
                encrypted.then(|| data.len() - 32)
            );
            let again =
                Ring { id: read.id, generation: 258, mac: ring.mac.clone(), keys: read.keys };
            assert!(again.stored_eq(&ring));
            for length in 0..data.len() {
                assert_eq!(decode(&data[..length]).err(), Some(Unreadable::Damaged));
            }
            data.push(0);
            assert_eq!(decode(&data).err(), Some(Unreadable::Damaged));
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut data = encode(&ring(false));
        data[0] = 2;
        assert_eq!(decode(&data).err(), Some(Unreadable::Newer));
        data[0] = 0;
        assert_eq!(decode(&data).err(), Some(Unreadable::Damaged));
    }

    #[test]
    fn unordered_or_repeated_keys_and_impossible_times_are_damage() {
        let damaged = |change: fn(&mut Ring)| {
            let mut ring = ring(false);
            change(&mut ring);
            decode(&encode(&ring)).err() == Some(Unreadable::Damaged)
        };
        assert!(damaged(|ring| ring.keys.reverse()));
        assert!(damaged(|ring| ring.keys[0].id = ring.keys[2].id));
        assert!(damaged(|ring| ring.keys[0].retire = 29));
        assert!(damaged(|ring| ring.keys[0].expire = 39));
    }
}
